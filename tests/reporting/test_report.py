"""The report of a run: what it holds, what it leaves out, and that it needs nothing but itself."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.data.competition import load_data
from foldwise.reporting import figures
from foldwise.reporting.gathering import gather
from foldwise.reporting.page import render, shown, write_report
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace


class Page(HTMLParser):
    """Tables by their id, and addresses of all that a page would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.row: list[str] | None = None
        self.cell: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "table":
            self.open.append(values.get("id") or "")
            self.tables[self.open[-1]] = []
        elif tag == "tr":
            self.row = []
        elif tag in ("td", "th"):
            self.cell = ""
        for key in ("src", "href"):
            address = values.get(key)
            if address and tag in ("img", "script", "link", "iframe", "image"):
                self.fetched.append(address)

    def handle_data(self, data: str) -> None:
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self.row is not None and self.cell is not None:
            self.row.append(self.cell.strip())
            self.cell = None
        elif tag == "tr" and self.row is not None:
            self.tables[self.open[-1]].append(self.row)
            self.row = None
        elif tag == "table":
            self.open.pop()


def run_of(workspace: Workspace) -> str:
    (path,) = (workspace.runs / "tiny").glob("*/run.json")
    return path.parent.name


@pytest.fixture(scope="module")
def told(submitted: tuple[Workspace, Entry]) -> dict[str, Any]:
    return gather(submitted[0], "tiny", run_of(submitted[0]))


def test_the_page_holds_the_numbers_of_the_run_directory(
    submitted: tuple[Workspace, Entry], told: dict[str, Any]
) -> None:
    page = Page(render(told))
    folder = submitted[0].runs / "tiny" / told["run"]
    done = [json.loads((folder / f"fold{k}" / "done.json").read_text()) for k in range(3)]
    head, *rows = page.tables["folds"]
    assert head == ["fold", "rows", "value", "seconds", "images per second"]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert [row[3] for row in rows] == [shown(fold["seconds"]) for fold in done]
    history = json.loads((folder / "fold1" / "history.json").read_text())
    assert [row[1] for row in page.tables["epochs1"][1:]] == [
        shown(epoch["train_loss"]) for epoch in history
    ]
    classes = {row[0]: row for row in page.tables["classes"][1:]}
    assert {*classes} == {"zebra", "10", "ant"}
    assert [row["class"] for row in told["summary"]["by_class"]] == [*classes]
    assert page.tables["runs"][1][0] == told["run"]


def test_the_confusion_matrix_has_every_row_once(
    submitted: tuple[Workspace, Entry], told: dict[str, Any]
) -> None:
    matrix = told["matrix"]
    assert sum(matrix["rows"]) == len(load_data(submitted[0], "tiny").train)
    for shares in matrix["shares"]:
        assert sum(shares) == pytest.approx(1)
    recalls = [shares[i] for i, shares in enumerate(matrix["shares"])]
    assert recalls == sorted(recalls)  # the most troubled first
    wrong = sum(n * (1 - r) for n, r in zip(matrix["rows"], recalls, strict=True))
    assert sum(pair["rows"] for pair in told["pairs"]) == pytest.approx(wrong)


def test_the_largest_losses_come_first_with_their_image(told: dict[str, Any]) -> None:
    losses = [row["loss"] for row in told["worst"]]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 24
    assert all(row["image"].startswith("data:image/jpeg;base64,") for row in told["worst"])
    assert all(row["truth"] <= row["probability"] for row in told["worst"])


def test_the_page_fetches_nothing(told: dict[str, Any]) -> None:
    text = render(told)
    assert Page(text).fetched
    assert all(address.startswith("data:") for address in Page(text).fetched)
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text.split("</style>")[1])
    assert "prefers-color-scheme: dark" in text


def test_names_from_data_are_text_not_markup(told: dict[str, Any]) -> None:
    evil = "<script>alert(1)</script>"
    row = {**told["worst"][0], "label": evil}
    assert evil not in render({**told, "worst": [row]})
    assert "&lt;script&gt;alert(1)" in render({**told, "worst": [row]})


def test_what_is_not_there_is_left_out(told: dict[str, Any]) -> None:
    page = render({**told, "matrix": None, "pairs": [], "groups": [], "reliability": [],
                   "calibration_error": None, "plain": None, "copies": None})  # fmt: skip
    for words in ("Confusion matrix", "What is taken", "Groups", "How sure", "without TTA",
                  "copies"):  # fmt: skip
        assert words not in page


def test_figures_take_the_pages_colour_and_say_what_they_are() -> None:
    rows = [{"threshold": t, "metric": t, "accuracy": 1 - t} for t in (0.05, 0.5, 0.95)]
    svg = figures.sweep(rows, "micro F1")
    assert svg is not None
    assert svg.startswith('<svg role="img" aria-label="micro F1 and accuracy by threshold"')
    assert "currentColor" in svg
    assert figures.INK not in svg
    assert svg == figures.sweep(rows, "micro F1")  # the same bytes
    assert (figures.curves([]), figures.reliability([]), figures.sweep([], "")) == (None,) * 3


def test_the_verb_writes_the_file_and_says_where(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    workspace = submitted[0]
    words = ["report", "tiny", "--root", str(workspace.root), "--run"]
    done = CliRunner().invoke(app, [*words, run_of(workspace)])
    assert done.exit_code == 0, done.output
    path = workspace.runs / "tiny" / run_of(workspace) / "report.html"
    assert done.stdout == f"report  {path}\n"
    assert path.read_text().startswith("<!DOCTYPE html>")
    refused = CliRunner().invoke(app, [*words, "tiny-s0-00000000"])
    assert refused.exit_code == 1
    assert "no run of tiny is called 'tiny-s0-00000000'; did you mean" in refused.output


def test_a_report_loads_no_torch(submitted: tuple[Workspace, Entry]) -> None:
    import subprocess
    import sys

    workspace = submitted[0]
    program = (
        "import sys\nfrom foldwise.reporting.page import write_report\n"
        "from foldwise.workspace import Workspace\n"
        f"write_report(Workspace.find({str(workspace.root)!r}), 'tiny', {run_of(workspace)!r})\n"
        "print([name for name in ('torch', 'fastai', 'sklearn', 'wandb') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
    assert write_report(workspace, "tiny", run_of(workspace)).is_file()
