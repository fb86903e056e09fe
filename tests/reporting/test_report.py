"""The page of a run or a blend: what it holds, what it leaves out; it needs nothing else."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.data.competition import CompetitionData, load_data
from foldwise.errors import RunError, SpecError
from foldwise.metrics.scoring import score
from foldwise.reporting.html import figures
from foldwise.reporting.html.gathering import gather
from foldwise.reporting.html.page import exact, format_value, locate, run_page
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from reporting.making import write_run, write_shown
from reporting.reading import Page, blend_of, run_of
from tiny import copy, write_tiny


@pytest.fixture(scope="module")
def told(submitted: tuple[Workspace, Entry]) -> dict[str, Any]:
    return gather(submitted[0], "tiny", run_of(submitted[0]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, CompetitionData]:
    """A workspace with two made-up runs, the first with all that reports look at."""
    workspace = write_tiny(tmp_path_factory.mktemp("made"))
    data = load_data(workspace, "tiny")
    write_shown(write_run(workspace, data, "tiny-s0-whole"), data)
    before = write_run(workspace, data, "tiny-s0-before", sure=1.0)
    for path in before.glob("fold*/done.json"):  # as an earlier version wrote it
        told = json.loads(path.read_text())
        path.write_text(json.dumps({key: told[key] for key in ("fold", "seconds", "sha256")}))
    return workspace, data


@pytest.fixture(scope="module")
def whole(made: tuple[Workspace, CompetitionData]) -> dict[str, Any]:
    return gather(made[0], "tiny", "tiny-s0-whole")


def test_the_page_holds_the_numbers_of_the_run_directory(
    submitted: tuple[Workspace, Entry], told: dict[str, Any]
) -> None:
    page = Page(run_page(told))
    folder = submitted[0].runs / "tiny" / told["run"]
    done = [json.loads((folder / f"fold{k}" / "done.json").read_text()) for k in range(3)]
    head, *rows = page.tables["folds"]
    assert head[:5] == ["fold", "rows", "score", "seconds", "images per second"]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert [row[3] for row in rows] == [format_value(fold["seconds"]) for fold in done]
    history = json.loads((folder / "fold1" / "history.json").read_text())
    assert [row[1] for row in page.tables["epochs1"][1:]] == [
        format_value(epoch["train_loss"]) for epoch in history
    ]
    classes = {row[0]: row for row in page.tables["classes"][1:]}
    assert {*classes} == {"zebra", "10", "ant"}
    assert [row["class"] for row in told["summary"]["by_class"]] == [*classes]
    assert page.tables["runs"][1][0] == told["run"]
    files = {(int(row[0]), row[1]): row[2] for row in page.tables["hashes"][1:]}
    assert files[2, "oof.parquet"] == done[2]["sha256"]["oof.parquet"]


def test_the_confusion_matrix_has_every_row_once(
    submitted: tuple[Workspace, Entry], told: dict[str, Any]
) -> None:
    matrix = told["matrix"]
    assert sum(matrix["rows"]) == len(load_data(submitted[0], "tiny").train)
    assert [sum(shares) for shares in matrix["shares"]] == pytest.approx([1, 1, 1])
    recalls = [shares[i] for i, shares in enumerate(matrix["shares"])]
    assert recalls == sorted(recalls)  # the most troubled first
    wrong = sum(n * (1 - r) for n, r in zip(matrix["rows"], recalls, strict=True))
    assert sum(pair["rows"] for pair in told["pairs"]) == pytest.approx(wrong)
    assert told["accuracy"] == pytest.approx(1 - wrong / 30)


def test_the_most_confused_classes_link_to_images_of_theirs(
    submitted: tuple[Workspace, Entry], told: dict[str, Any]
) -> None:
    labels = load_data(submitted[0], "tiny").train.frame.set_index("id")["label"]
    page = run_page(told)
    assert told["pairs"]
    for pair in told["pairs"]:
        assert 1 <= len(pair["images"]) <= min(3, pair["rows"])
        assert {str(labels[row["id"]]) for row in pair["images"]} == {pair["label"]}
        sure = [row["probability"] for row in pair["images"]]
        assert sure == sorted(sure, reverse=True)
        assert f'<a href="{pair["link"]}">{pair["label"]}</a>' in page
        assert page.count(f'id="{pair["link"][1:]}"') == 1


def test_the_largest_losses_come_first_with_their_image(told: dict[str, Any]) -> None:
    losses = [row["loss"] for row in told["worst"]]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 24
    assert all(row["image"].startswith("data:image/jpeg;base64,") for row in told["worst"])
    assert all(row["truth"] <= row["probability"] for row in told["worst"])


def test_what_a_class_gets_in_test_is_the_mean_of_all_folds(
    made: tuple[Workspace, CompetitionData], whole: dict[str, Any]
) -> None:
    workspace, data = made
    paths = (workspace.runs / "tiny" / "tiny-s0-whole").glob("fold*/test.parquet")
    mean = pd.concat(pd.read_parquet(path) for path in paths)[list(data.classes)].mean()
    assert len(whole["summary"]["by_class"]) == 3
    for row in whole["summary"]["by_class"]:
        assert row["test_share"] == pytest.approx(mean[row["class"]])
        assert row["train_share"] == pytest.approx(1 / 3)


def test_what_tta_gains_is_that_of_the_folds(
    made: tuple[Workspace, CompetitionData], whole: dict[str, Any]
) -> None:
    workspace, data = made
    values: dict[str, list[float]] = {"oof": [], "oof_plain": []}
    for k in range(3):
        for part, scores in values.items():
            path = workspace.runs / "tiny" / "tiny-s0-whole" / f"fold{k}" / f"{part}.parquet"
            said = pd.read_parquet(path)
            truth = data.train.frame[data.train.frame["id"].isin(said["id"])]
            scores.append(score(data.spec.metric, truth, said, interval=False).value)
    gains = np.array(values["oof"]) - values["oof_plain"]
    tta = whole["tta"]
    assert tta["difference"] == pytest.approx(gains.mean())
    assert tta["error"] == pytest.approx(gains.std(ddof=1) / 3**0.5)
    assert (tta["plain"], tta["views"]) == (pytest.approx(np.mean(values["oof_plain"])), 2)


@pytest.mark.slow
def test_what_training_wrote_is_shown_with_its_numbers(whole: dict[str, Any]) -> None:
    page = Page(run_page(whole))
    assert page.tables["folds"][0][3:] == ["seconds", "images per second", "memory (GB)"]
    assert page.tables["folds"][1][5] == "1.5000"
    assert page.tables["epochs0"][0] == [
        "epoch",
        "train loss",
        "valid loss",
        "accuracy",
        "seconds",
        "images per second",
    ]
    assert page.tables["rates"][0] == ["batch", "stage", "low", "high"]
    assert 100 < len(page.tables["rates"]) < 200  # of 500 batches
    assert page.tables["rates"][-1][0] == "500"
    assert len(page.tables["finder1-0"]) == 101
    assert "fold 1, stage 0: valley 0.0010, steep 0.0020, minimum/10 0.0030" in run_page(whole)
    assert {row["map_of"] for row in whole["worst"]} == {"zebra"}
    assert len(whole["augmented"]) == 12
    assert run_page(whole).count('class="map"') == 24


def test_a_run_of_an_earlier_version_has_none_of_it_and_is_shown_all_the_same(
    made: tuple[Workspace, CompetitionData],
) -> None:
    page = run_page(gather(made[0], "tiny", "tiny-s0-before"))
    for words in ("Learning rate</abbr></h3>", "What the model sees", 'id="maps"', 'class="map"'):
        assert words not in page
    assert Page(page).tables["folds"][0] == ["fold", "rows", "score", "seconds"]
    assert Page(page).tables["epochs0"][0] == ["epoch", "train loss", "valid loss", "accuracy"]


def test_the_page_fetches_nothing(told: dict[str, Any]) -> None:
    text = run_page(told)
    assert Page(text).fetched
    assert all(address.startswith("data:") for address in Page(text).fetched)
    assert "http://" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", text.split("</style>")[1])


def test_names_from_data_are_text_not_markup(told: dict[str, Any]) -> None:
    evil = "<script>alert(1)</script>"
    row = {**told["worst"][0], "label": evil}
    assert evil not in run_page({**told, "worst": [row]})
    assert "&lt;script&gt;alert(1)" in run_page({**told, "worst": [row]})


def test_what_is_not_there_is_left_out(told: dict[str, Any]) -> None:
    page = run_page(
        {
            **told,
            "matrix": None,
            "pairs": [],
            "groups": [],
            "reliability": {},
            "calibration_error": {},
            "tta": None,
        }
    )
    for words in (
        "Confusion matrix",
        "Most confused",
        "Groups",
        "Calibration</abbr></h2>",
        ">TTA</abbr>",
        "expected calibration error",
    ):
        assert words not in page


def test_figures_take_the_pages_colour_and_say_what_they_are() -> None:
    rows = [{"threshold": t, "metric": t, "accuracy": 1 - t} for t in (0.05, 0.5, 0.95)]
    svg = figures.sweep(rows, "micro F1")
    assert svg is not None
    assert svg.startswith('<svg role="img" aria-label="micro F1 and accuracy by threshold"')
    assert "currentColor" in svg
    assert figures.INK not in svg
    assert svg == figures.sweep(rows, "micro F1")  # the same bytes
    nothing = (
        figures.curves([]),
        figures.reliability({}),
        figures.sweep([], ""),
        figures.rates([]),
        figures.finder([]),
        figures.over_time([], ""),
        figures.boards([], ""),
    )
    assert nothing == (None,) * 7


def test_axes_are_named(whole: dict[str, Any]) -> None:
    drawn = {
        figures.curves(whole["folds"]): ("epoch", "loss (as trained, mean per image)"),
        figures.rates(whole["rates"]["rows"]): ("training batch", "learning rate"),
        figures.finder(whole["finder"]): ("learning rate", "smoothed training loss"),
    }
    for svg, names in drawn.items():
        assert svg is not None
        assert [name for name in names if f">{name}</text>" in svg] == [*names]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.12345, "0.1235"),
        (0.0, "0.0000"),
        (3.2e-5, "3.2e-05"),
        (82.94, "82.9"),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
        ([224, 192], "224, 192"),
        ((), "-"),
    ],
)
def test_values_are_short(value: Any, text: str) -> None:
    assert format_value(value) == text


def test_settings_are_shown_as_they_were_written() -> None:
    assert [exact(value) for value in (0.003, 30.0, None, False)] == ["0.003", "30", "-", "no"]


def test_a_blends_page_has_its_members_steps_and_board(submitted: tuple[Workspace, Entry]) -> None:
    workspace, entry = submitted
    told = gather(workspace, "tiny", blend_of(workspace))
    page = Page(run_page(told))
    assert page.tables["members"][1][0] == run_of(workspace)
    record = json.loads((workspace.runs / "tiny" / blend_of(workspace) / "blend.json").read_text())
    assert [row[0] for row in page.tables["steps"][1:]] == [s["step"] for s in record["steps"]]
    assert {*told["reliability"]} == {"blend alone", "after the steps"}
    assert told["headline"]["score"] == record["score"]["value"]
    assert entry.receipt is not None
    board = told["headline"]["board"]
    assert (board["rank"], board["public"]) == (entry.receipt.rank, entry.receipt.public)
    assert ">place</abbr></small>" in run_page(told)
    assert told["tta"] is None


def test_a_blend_of_an_earlier_version_says_how_to_make_it_anew(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    workspace = copy(submitted[0], tmp_path)
    name = blend_of(workspace)
    (workspace.runs / "tiny" / name / "blend.json").write_text('{"method": "mean", "runs": []}')
    message = f"{name}: an earlier version made this blend, or its runs have gone; `foldwise blend"
    with pytest.raises(RunError, match=message):
        gather(workspace, "tiny", name)


def test_the_verb_writes_the_file_and_says_where(submitted: tuple[Workspace, Entry]) -> None:
    workspace = submitted[0]
    run, root = run_of(workspace), ["--root", str(workspace.root)]
    runs = workspace.runs / "tiny"
    for words, path in (
        (["tiny", "--run", run], runs / run / "report.html"),
        ([run], runs / run / "report.html"),
        ([blend_of(workspace)], runs / blend_of(workspace) / "report.html"),
        (["tiny"], runs / "report.html"),
    ):
        path.unlink(missing_ok=True)
        done = CliRunner().invoke(app, ["report", *words, *root])
        assert done.exit_code == 0, done.output
        assert done.stdout == f"report  {path}\n"
        assert path.read_text().startswith("<!DOCTYPE html>")
        path.unlink()
    for words, message in (
        (
            ["tiny", "--run", "tiny-s0-00000000"],
            "no run or blend of tiny is called 'tiny-s0-00000000'; did you mean",
        ),
        (["tiny-s0-00000000"], "no competition or run is called 'tiny-s0-00000000'; did you mean"),
        (["tinny", "--run", run], "no competition is called 'tinny'; did you mean 'tiny'?"),
    ):
        refused = CliRunner().invoke(app, ["report", *words, *root])
        assert refused.exit_code == 1
        assert message in refused.output


def test_a_name_in_two_competitions_needs_the_competition(
    made: tuple[Workspace, CompetitionData], tmp_path: Path
) -> None:
    workspace = copy(made[0], tmp_path)
    shutil.copytree(workspace.runs / "tiny", workspace.runs / "other")
    assert locate(workspace, "tiny") == ("tiny", None)
    with pytest.raises(
        RunError,
        match="expected one run called 'tiny-s0-whole', but other and "
        "tiny have one each; say which: foldwise report other --run",
    ):
        locate(workspace, "tiny-s0-whole")
    shutil.rmtree(workspace.runs / "tiny")
    assert locate(workspace, "tiny-s0-whole") == ("other", "tiny-s0-whole")
    with pytest.raises(SpecError, match="no competition or run is called 'xxx'; there are: "):
        locate(workspace, "xxx")


def test_a_report_loads_no_torch(submitted: tuple[Workspace, Entry]) -> None:
    workspace = submitted[0]
    program = (
        "import sys\nfrom foldwise.reporting.html.page import write_report\n"
        "from foldwise.workspace import Workspace\n"
        f"w = Workspace.find({str(workspace.root)!r})\n"
        f"for name in (None, {run_of(workspace)!r}, {blend_of(workspace)!r}):\n"
        "    write_report(w, 'tiny', name).unlink()\n"
        "print([name for name in ('torch', 'fastai', 'sklearn', 'wandb') if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


def test_shifted_views_count_as_tta(made: tuple[Workspace, CompetitionData]) -> None:
    workspace, data = made
    path = write_run(workspace, data, "tiny-s0-shifted") / "run.json"
    for tta, shift, views in ((["none"], 0.05, 5), (["none", "hflip"], 0.05, 10), (["none"], 0, 0)):
        record = json.loads(path.read_text())
        record["recipe"] |= {"tta": tta, "tta_shift": shift}
        path.write_text(json.dumps(record))
        tta_told = gather(workspace, "tiny", "tiny-s0-shifted")["tta"]
        assert (tta_told["views"] if tta_told else 0) == views
    shutil.rmtree(path.parent)
