"""The command line: one line for a mistake, JSON where asked, help with examples."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

import foldwise as package
from foldwise.cli import app, printing
from foldwise.cli.console import complete_names
from foldwise.cli.printing import plain
from foldwise.commands import status
from foldwise.data.opened import open_competition
from foldwise.metrics.scoring import Score
from foldwise.submitting.entry import Entry
from foldwise.submitting.platforms import Receipt
from foldwise.workspace import Workspace
from packing import make_zip
from tiny import write_tiny

VERBS = (
    "list",
    "new",
    "data",
    "schema",
    "check",
    "train",
    "blend",
    "submit",
    "score",
    "reproduce",
    "status",
    "predict",
    "report",
)


def foldwise(*words: str, cwd: Path) -> Result:
    """Run the command in this process; a mistake of the code is raised."""
    with contextlib.chdir(cwd):
        return CliRunner().invoke(app, words, catch_exceptions=False)


def as_a_user(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "foldwise", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose competition was submitted from the command line."""
    workspace = write_tiny(tmp_path_factory.mktemp("cli"))
    finished = as_a_user("submit", "tiny", cwd=workspace.root)
    assert finished.returncode == 0, finished.stderr
    for words in ("local   ", "public  ", "private ", "place ", "file    "):
        assert words in finished.stdout
    lines = finished.stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "next    foldwise report tiny --open"
    for words in ("fold 1/3 epoch 1/1 train", "images/s", "fold 3/3 done in", "images 42/42"):
        assert words in finished.stderr
    return workspace


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "120"})
    assert result.exit_code == 0
    assert f"foldwise {verb}" in result.output.split("Example:")[1]


def test_the_help_lists_these_verbs_and_no_others() -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"})
    named = [command.name or command.callback.__name__ for command in app.registered_commands]  # type: ignore[union-attr]
    assert tuple(named) == VERBS
    assert all(verb in result.output for verb in VERBS)
    assert CliRunner().invoke(app, []).exit_code == 2


def test_the_help_groups_verbs_by_their_purpose() -> None:
    panels = {verb.rich_help_panel: "" for verb in app.registered_commands}
    assert [*panels] == ["Start", "Train", "Submit", "Look"]
    of = {command.name: command.rich_help_panel for command in app.registered_commands}
    assert (of["check"], of["blend"], of["reproduce"]) == ("Start", "Train", "Submit")
    assert {of["status"], of["predict"], of["report"]} == {"Look"}
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    places = [text.index(f" {panel} ───") for panel in panels]
    assert places == sorted(places)


def test_the_version_is_printed_anywhere(tmp_path: Path) -> None:
    result = foldwise("--version", cwd=tmp_path)
    assert (result.exit_code, result.stdout) == (0, f"foldwise {package.__version__}\n")


COMPLETED = """
import sys
from foldwise.cli import main
sys.argv = ["foldwise"]
try:
    main()
finally:
    heavy = ("torch", "pandas", "numpy", "foldwise.data")
    print(*(name for name in heavy if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize("words", ["submit t", "report ", "status ti"])
def test_a_shell_completes_competitions_and_loads_nothing_heavy(
    workspace: Workspace, words: str
) -> None:
    asked = {"COMP_WORDS": f"foldwise {words}", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", COMPLETED],
        cwd=workspace.root,
        env={**os.environ, **asked, "_FOLDWISE_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["tiny"]
    assert done.stderr.split() == []


def test_outside_a_workspace_no_competition_is_completed(tmp_path: Path) -> None:
    context = typer.Context(typer.main.get_command(app))
    with contextlib.chdir(tmp_path):
        assert complete_names(context, "") == []
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


def test_status_and_list_print_one_json_document(done: Workspace) -> None:
    (row,) = json.loads(foldwise("status", "--json", cwd=done.root).stdout)
    assert {
        "competition",
        "file",
        "sha256",
        "created",
        "local",
        "public",
        "private",
        "rank",
        "state",
    } <= set(row)
    told = json.loads(foldwise("status", "tiny", "--json", cwd=done.root).stdout)
    assert [row] == [{key: shown[key] for key in row} for shown in told["submissions"]]
    assert {"percentile", "medal"} <= set(told["submissions"][0])
    assert told["agreement"]["verdict"].startswith("too few to say: 1 submissions")
    (entry,) = json.loads(foldwise("list", "--json", cwd=done.root).stdout)
    assert entry["state"] == "submitted"


def test_status_and_list_print_tables(done: Workspace) -> None:
    (file,) = (row["file"] for row in status.status(done))
    table = foldwise("status", cwd=done.root).stdout
    assert file in table
    assert "scored" in table
    own = foldwise("status", "tiny", "--offline", cwd=done.root).stdout.splitlines()
    assert [*own[0].split()] == ["file", "local", "public", "private", "place", "state"]
    assert "1 of 2" in own[1]
    assert max(map(len, own)) <= 100
    listed = foldwise("list", cwd=done.root).stdout
    for word in ("tiny", "local", "multi-class", "log loss", "30", "submitted"):
        assert word in listed


def test_status_compares_runs(done: Workspace) -> None:
    document = foldwise("status", "tiny", "--runs", "--json", cwd=done.root)
    (row,) = json.loads(document.stdout)
    assert (row["recipe"], row["done"], row["folds"], row["verdict"]) == ("tiny", 3, 3, "best")
    assert len(row["fold_scores"]) == 3
    table = foldwise("status", "tiny", "--runs", cwd=done.root).stdout
    header, line, meaning = table.splitlines()
    for word in (
        "recipe",
        "seed",
        "scheme",
        "folds",
        "score",
        "mean ± spread",
        "seconds",
        "images/s",
        "to best ± error",
        "verdict",
    ):
        assert word in header
    assert row["run"] in line
    assert f"3/3    {row['score']:.5f}  {row['mean']:.5f} ± {row['deviation']:.5f}" in line
    assert line.split()[-1] == "best"
    assert meaning.startswith("log loss, lower is better; spread: standard deviation over folds")


def test_status_looks_into_a_run(done: Workspace) -> None:
    (run,) = (path.parent.name for path in done.runs.glob("tiny/tiny-s0-*/run.json"))
    told = json.loads(foldwise("status", "tiny", "--run", run, "--json", cwd=done.root).stdout)
    (row,) = status.compare(open_competition(done, "tiny"))
    assert (told["run"], told["score"], told["mean"]) == (run, row["score"], row["mean"])
    assert [fold["value"] for fold in told["by_fold"]] == row["fold_scores"]
    lines = foldwise("status", "tiny", "--run", run, cwd=done.root).stdout.splitlines()
    assert lines[0] == f"{run}: log loss of 30 rows"
    words = (
        f"local  {told['score']:.5f}  local score (log loss, lower is better); 95 % "
        f"interval {told['low']:.5f}"
    )
    assert lines[1].startswith(words)
    assert [line.split()[0] for line in lines[2:4]] == ["best", "rank"]
    lines = lines[3:]
    assert lines[1] == (
        f"folds: mean ± standard deviation {told['mean']:.5f} ± {told['deviation']:.5f}"
    )
    assert lines[2].split() == ["fold", "rows", "value"]
    assert lines[6] == "by class, the worst first"
    assert lines[7].split() == ["class", "rows", "value", "precision", "recall"]
    assert lines[11] == "by group, the worst first; share: of the total loss"
    assert [line.split()[:2] for line in lines[13:-1]] == [
        row["group"].split() for row in told["by_group"]
    ]
    assert lines[-1] == f"next    foldwise report tiny --run {run} --open"


def test_the_table_of_runs_shows_what_is_not_known_as_a_dash() -> None:
    row: dict[str, Any] = dict.fromkeys(("score", "mean", "deviation", "seconds", "verdict"))
    row |= {
        "run": "r",
        "recipe": "r",
        "seed": 0,
        "scheme": "s",
        "folds": 5,
        "done": 0,
        "metric": "accuracy",
        "higher": True,
        "images_per_second": None,
    }
    worse = {**row, "mean": 0.5, "difference": -0.25, "error": 0.125, "images_per_second": 99.6}
    table, meaning = printing.runs_compared([{**row, "difference": None, "error": None}, worse])
    cells = [list(column.cells) for column in table.columns]  # type: ignore[union-attr]
    assert [column[0] for column in cells] == ["r", "r", "0", "s", "0/5", *["-"] * 6]
    assert [column[1] for column in cells[6:]] == ["0.50000", "-", "100", "-0.25000 ± 0.12500", "-"]
    assert str(meaning).startswith("accuracy, higher is better")


@pytest.mark.slow
def test_a_trial_says_in_a_line_what_ran(workspace: Workspace) -> None:
    words = ["train", "tiny", "--fast", "--fold", "1", "--set", "precision=fp32"]
    result = CliRunner().invoke(app, [*words, "--root", str(workspace.root)])
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert line.startswith("tiny fold 1: everything runs in fp32 on ")
    for words in ("images/s", "stages 1, batches 2, validation rows 10, test rows 12", "nothing"):
        assert words in line
    assert list(workspace.runs.rglob("run.json")) == []


@pytest.mark.slow
def test_suggested_rates_are_printed_with_the_place_of_the_curve(workspace: Workspace) -> None:
    result = CliRunner().invoke(app, ["train", "tiny", "--find-lr", "--root", str(workspace.root)])
    assert result.exit_code == 0, result.output
    header, row, curve = result.stdout.splitlines()
    assert header.split() == ["recipe", "fold", "precision", "valley", "steep", "minimum/10"]
    assert row.split()[:2] == ["tiny", "0"]
    assert curve == f"curve of tiny: {workspace.runs / 'tiny' / 'lr-tiny.csv'}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["train", "tiny", "--fast", "--show-batch"],
            "expected --fast, --find-lr or --show-batch, with one --fold",
        ),
        (["train", "tiny", "--fast", "--fold", "0", "--fold", "1"], "with one --fold at most"),
        (["blend", "tiny", "--auto", "--method", "rank"], "expected --auto or --method rank, got"),
        (["status", "--runs"], "--run and --runs need a competition: foldwise status digits"),
        (["status", "--run", "x"], "--run and --runs need a competition: foldwise status digits"),
    ],
)
def test_options_that_do_not_fit_together_are_bad_usage(words: list[str], message: str) -> None:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "120"})
    assert result.exit_code == 2
    assert message in result.output


def test_check_prints_a_report_or_json(done: Workspace) -> None:
    text = foldwise("check", "tiny", cwd=done.root)
    assert text.exit_code == 0
    lines = text.stdout.splitlines()
    assert lines[0] == "✓ Data     30 training rows, 12 test rows"
    assert "! folds 'default' are random, but train and test share no site" in text.stdout
    assert lines[-2:] == ["ready", "next    foldwise train tiny --fast"]
    document = json.loads(foldwise("check", "tiny", "--json", cwd=done.root).stdout)
    assert set(document) == {"ok", "errors", "warnings", "facts"}
    assert document["ok"] is True


def test_check_fails_with_one_document_where_something_is_wrong(workspace: Workspace) -> None:
    (workspace.raw("tiny") / "train_labels.csv").unlink()
    done = foldwise("check", "tiny", "--json", cwd=workspace.root)
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["ok"] is False
    assert "1 of 4 files are missing" in document["errors"][0]


def test_blend_prints_members_and_blend(done: Workspace) -> None:
    rows = json.loads(foldwise("blend", "tiny", "--json", cwd=done.root).stdout)
    assert len(rows) == 2
    assert rows[1]["run"].startswith("blend-mean-")
    assert rows[0]["low"] < rows[0]["value"] < rows[0]["high"]


def test_status_shows_a_blend_as_it_shows_a_run(done: Workspace) -> None:
    blend = json.loads(foldwise("blend", "tiny", "--json", cwd=done.root).stdout)[1]["run"]
    shown = foldwise("status", "tiny", "--run", blend, cwd=done.root)
    assert shown.exit_code == 0, shown.stderr
    assert blend in shown.stdout
    told = json.loads(foldwise("status", "tiny", "--run", blend, "--json", cwd=done.root).stdout)
    assert (told["recipe"], told["headline"]["run"]) == ("mean", blend)
    assert told["headline"]["board"] is not None


@pytest.mark.slow
def test_train_takes_a_fold_and_overrides(workspace: Workspace) -> None:
    done = foldwise("train", "tiny", "--fold", "2", "--set", "batch_size=4", cwd=workspace.root)
    assert done.exit_code == 0, done.stderr
    assert "1 of 3 folds done" in done.stdout
    (run,) = (workspace.runs / "tiny").glob("tiny-s0-*/run.json")
    assert json.loads(run.read_text())["recipe"]["batch_size"] == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["submit", "tinny"], "no competition is called 'tinny'; did you mean 'tiny'?"),
        (["train", "tiny", "--recipe", "tyny"], "has no recipe 'tyny'"),
        (["train", "tiny", "--set", "modle=x"], "unknown key 'modle'; did you mean 'model'?"),
        (["data", "tiny", "--from", "none.zip"], "expected an archive or a folder at none.zip"),
        (["status", "tinny"], "did you mean 'tiny'?"),
        (
            ["status", "tiny", "--run", "x"],
            "no run or blend of tiny is called 'x'; there are: none",
        ),
        (["blend", "tiny"], "folds 0, 1, 2 of 3 are not trained yet"),
        (["blend", "tiny", "--method", "median"], "no blend method is called 'median'"),
        (["train", "tiny", "--fold", "7"], "folds are numbered 0 to 2, got 7"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(
    workspace: Workspace, words: list[str], message: str
) -> None:
    done = foldwise(*words, cwd=workspace.root)
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr


def test_data_exits_1_while_images_are_missing_and_names_what_is_packed(
    workspace: Workspace,
) -> None:
    raw = workspace.raw("tiny")
    images = {path.name: path.read_bytes() for path in (raw / "images").iterdir()}
    shutil.rmtree(raw / "images")
    (raw / "in").mkdir()
    make_zip(raw / "in" / "images.zip", images)
    result = foldwise("data", "tiny", cwd=workspace.root)
    assert result.exit_code == 1
    packed = "still packed: in/images.zip (1 in all); where something in it is needed: foldwise"
    assert f"{packed} data tiny --from {raw}/in/images.zip" in result.stdout
    assert f"{len(images)} images are still missing, e.g. 'images/" in result.stdout
    checked = foldwise("check", "tiny", cwd=workspace.root)
    assert "Still packed is 'in/images.zip' (1 in all): `make data COMP=tiny FROM=" in (
        " ".join(checked.stdout.split())
    )
    shutil.move(raw / "in" / "images.zip", workspace.root)
    result = foldwise("data", "tiny", "--from", "images.zip", cwd=workspace.root)
    assert (result.exit_code, "still" in result.stdout) == (0, False)


def test_no_workspace_and_bad_usage(tmp_path: Path) -> None:
    done = foldwise("list", cwd=tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "expected a folder with competitions/" in done.stderr
    assert foldwise("submit", cwd=tmp_path).exit_code == 2


def test_a_second_submit_while_one_is_at_work_is_refused(workspace: Workspace) -> None:
    first = subprocess.Popen(
        [sys.executable, "-m", "foldwise", "submit", "tiny"],
        cwd=workspace.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert first.stderr is not None
    for line in first.stderr:
        if "images" in line:
            break
    second = foldwise("submit", "tiny", cwd=workspace.root)
    assert second.exit_code == 1
    assert "submitting tiny is already at work in another process" in second.stderr
    first.communicate()
    assert first.returncode == 0
    assert len(status.status(workspace)) == 1


def test_an_interrupted_run_says_how_to_go_on(workspace: Workspace) -> None:
    done = subprocess.Popen(
        [sys.executable, "-m", "foldwise", "train", "tiny", "--set", "stage.0.epochs=500"],
        cwd=workspace.root,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background jobs, and what they start, ignore SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert done.stderr is not None
    for line in done.stderr:
        if "epoch 3/" in line:
            break
    done.send_signal(signal.SIGINT)
    _, said = done.communicate()
    assert done.returncode == 130
    assert "everything is saved, and the same command goes on" in said
    assert "Traceback" not in said


def test_a_bug_keeps_its_traceback(workspace: Workspace) -> None:
    adapter = workspace.competition("tiny") / "adapter.py"
    adapter.write_text("def read_test(spec, raw):\n    return 1 / 0\n")
    done = as_a_user("check", "tiny", cwd=workspace.root)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_values_are_shown_in_one_line() -> None:
    assert plain(None) == "-"
    assert plain(0.123456789) == "0.12346"
    assert plain([3, 4]) == "3 to 4"
    assert plain({f"c{i}": i for i in range(20)}).endswith("(20 in all)")


def test_an_entry_says_its_file_and_what_became_of_it() -> None:
    receipt = Receipt("scored", "as number 7", public=0.25)
    entry = Entry(Path("x.csv"), "s", Score(0.5), {"a": Score(0.25)}, Score(0.5), receipt)
    assert printing.entry_lines(entry) == [
        "run     a: 0.25000",
        "file    x.csv",
        "scored  as number 7",
    ]
    assert printing.entry_lines(replace(entry, receipt=None))[-1] == "sent    no: dry run"


def test_a_terminal_gets_bars(done: Workspace, tmp_path: Path) -> None:
    from rich.console import Console

    from foldwise.cli.progress import show_progress
    from foldwise.kinds.events import BatchDone, EpochDone, FoldDone, FoldStarted

    with (tmp_path / "screen").open("w") as screen:
        console = Console(file=screen, force_terminal=True, width=160)
        with show_progress(console) as (observe, images):
            images(64, 128)
            observe(FoldStarted("run", 0, 5, 2, 10))
            observe(BatchDone("run", 0, 7))
            observe(EpochDone("run", 0, 1, 2, 0.5, 0.25, 123.0, 1.0))
            observe(FoldDone("run", 0, 2.0))
    shown = (tmp_path / "screen").read_text()
    for words in (
        "decoding",
        "images",
        "run fold 1/5",
        "7/10",
        "batches",
        "elapsed",
        "valid 0.2500",
        "123 images/s",
    ):
        assert words in shown
