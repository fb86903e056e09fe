"""A competition's page: submissions, boards, runs and what they changed, blends, findings."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table

from foldwise import doctor
from foldwise.cli.printing import headline_lines, run_summarised
from foldwise.commands import status
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.reporting.headline import headline_rows
from foldwise.reporting.html import figures
from foldwise.reporting.html.competing import gather_competition
from foldwise.reporting.html.gathering import gather
from foldwise.reporting.html.page import competition_page, write_report
from foldwise.reporting.summary import run_summary
from foldwise.store import ledger
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from reporting.making import write_run
from reporting.reading import Page, blend_of, run_of
from tiny import copy


@pytest.fixture(scope="module")
def told(submitted: tuple[Workspace, Entry]) -> dict[str, Any]:
    return gather_competition(submitted[0], "tiny")


def test_a_submission_is_shown_with_its_interval_and_its_boards(
    submitted: tuple[Workspace, Entry], told: dict[str, Any]
) -> None:
    entry = submitted[1]
    (row,) = told["submissions"]
    manifest = json.loads(entry.file.with_suffix(".json").read_text())
    assert (row["local_low"], row["local_high"]) == (entry.score.low, entry.score.high)
    assert row["expected"] == manifest["blend"]["expected"]["value"] == entry.expected.value
    assert entry.receipt is not None
    assert (row["public"], row["private"]) == (entry.receipt.public, entry.receipt.private)
    assert (row["number"], row["blend"], row["runs"]) == (
        1,
        blend_of(submitted[0]),
        [run_of(submitted[0])],
    )
    page = Page(competition_page(told))
    head, first = page.tables["submissions"]
    assert first[head.index("file")] == entry.file.name
    assert page.tables["runs"][1][0] == run_of(submitted[0])
    assert page.tables["blends"][1][0] == blend_of(submitted[0])
    assert told["agreement"]["verdict"] in unescape(competition_page(told))


def test_the_headline_is_the_same_in_the_terminal_and_on_both_pages(
    submitted: tuple[Workspace, Entry], told: dict[str, Any]
) -> None:
    workspace, entry = submitted
    blend = blend_of(workspace)
    assert told["headline"] == gather(workspace, "tiny", blend)["headline"]
    assert status.headline(open_competition(workspace, "tiny"), entry.file) == told["headline"]
    assert told["headline"]["score"] == pytest.approx(entry.score.value, abs=1e-9)
    run = run_of(workspace)
    own = status.headline(open_competition(workspace, "tiny"), run)
    assert own == gather(workspace, "tiny", run)["headline"]
    assert own["board"] is None
    told_by_status = status.summary(open_competition(workspace, "tiny"), run)
    assert told_by_status["headline"] == own
    assert told_by_status["by_class"] == run_summary(workspace, "tiny", run)["by_class"]
    first, shown, *_ = run_summarised(told_by_status, told_by_status["headline"])
    assert first == f"{run}: log loss of 30 rows"
    assert isinstance(shown, Table)
    assert shown.row_count == len(headline_rows(own)) == 3
    (table,) = headline_lines(told["headline"])
    rows = headline_rows(told["headline"])
    assert table.row_count == len(rows)
    assert {row["what"] for row in rows} >= {"local", "best", "rank", "public", "place"}
    page = re.sub("</?abbr[^>]*>", "", competition_page(told))
    assert len(rows) >= 5
    for row in rows:
        assert f"<small>{row['what']}</small><b>{row['value']}</b>" in page


def test_later_submissions_come_later_and_what_is_not_known_is_left_out(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    workspace = copy(submitted[0], tmp_path)
    book = workspace.data / "tiny" / "submissions" / "ledger.jsonl"
    ledger.append(book, "written", "by-hand.csv", sha256="0", local=0.7)
    rows = gather_competition(workspace, "tiny")["submissions"]
    assert [row["number"] for row in rows] == [1, 2]
    assert (rows[1]["local"], rows[1]["local_low"], rows[1]["blend"]) == (0.7, None, None)
    for draw in (figures.over_time, figures.boards):
        svg = draw(rows, "log loss")
        assert svg is not None
        assert "log loss" in svg
    assert figures.boards(rows[1:], "log loss") is None


def test_the_board_of_the_last_submission_is_shown_beside_a_run_too(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    workspace, entry = copy(submitted[0], tmp_path), submitted[1]
    (workspace.runs / "tiny" / blend_of(workspace) / "blend.json").unlink()
    told = gather_competition(workspace, "tiny")["headline"]
    assert told["run"] == run_of(workspace)
    assert entry.receipt is not None
    assert (told["board"]["file"], told["board"]["public"], told["board"]["expected"]) == (
        entry.file.name,
        entry.receipt.public,
        None,
    )


def test_a_competition_without_anything_says_what_to_do(workspace: Workspace) -> None:
    path = write_report(workspace, "tiny")
    assert path == workspace.runs / "tiny" / "report.html"
    page = path.read_text()
    for words in ("foldwise submit tiny", "foldwise train tiny", "foldwise check tiny"):
        assert f"<code>{words}</code>" in page
    assert "Leaks and damage: not checked" in page


def test_runs_are_shown_with_what_they_changed_and_a_link_to_their_page(
    workspace: Workspace,
) -> None:
    data = load_data(workspace, "tiny")
    write_run(workspace, data, "tiny-s0-a")
    write_run(workspace, data, "tiny-s0-b", sure=4.0, overrides=("label_smoothing=0.05",))
    write_report(workspace, "tiny-s0-b")
    page = write_report(workspace, "tiny").read_text()
    assert '<a href="tiny-s0-b/report.html">tiny-s0-b</a>' in page
    assert "tiny-s0-a/report.html" not in page
    rows = Page(page).tables["history"]
    last = next(row for row in rows if row[0] == "tiny-s0-b")
    assert last[rows[0].index("changed")] == "label_smoothing: 0 → 0.05"


def test_what_check_found_is_shown_and_what_nobody_looked_at_is_said(
    workspace: Workspace,
) -> None:
    folder = workspace.raw("tiny") / "images"
    names = sorted(path.name for path in folder.iterdir())
    (folder / names[0]).write_bytes((folder / names[1]).read_bytes())
    doctor.examine(open_competition(workspace, "tiny"), images=False)
    page = competition_page(gather_competition(workspace, "tiny"))
    assert "not checked (<code>foldwise check tiny</code> looks)" in page
    assert "<b>warning</b> (submit): folds &#39;default&#39; are random" in page
    findings = doctor.check(workspace, "tiny")
    page = competition_page(gather_competition(workspace, "tiny"))
    assert "1 images occur in several rows, 2 in all; copies.csv lists them" in page
    assert page.count("are random") == 1  # both found it
    assert findings.warnings
    assert all(line.split("'")[0] in page for line in findings.warnings)
    assert "Predicting from site alone" in page
