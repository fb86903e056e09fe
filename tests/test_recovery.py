"""What goes wrong in the main job: a kill, a second process, other folds, missing images."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.commands import status
from foldwise.commands.planning import Selection, Session
from foldwise.commands.submit import submit
from foldwise.commands.train import train
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.ensembling.blend import blend_runs
from foldwise.errors import (
    DataError,
    FoldwiseError,
    ImageError,
    RunError,
    SpecError,
    StorageError,
    SubmissionError,
    WeightsError,
)
from foldwise.kinds.blending import BLENDINGS
from foldwise.kinds.events import Event, FoldDone
from foldwise.store.files import hold_lock, sha256_file
from foldwise.submitting.entry import Entry
from foldwise.training.fitting.run import Run
from foldwise.workspace import Workspace
from tiny import copy, edit, ids, only_run, write_tiny

KILLED = """
import os, signal, sys
from pathlib import Path
from foldwise.commands.planning import Session
from foldwise.commands.submit import submit
from foldwise.data.opened import open_competition
from foldwise.kinds.events import FoldDone, FoldStarted
from foldwise.workspace import Workspace

seen = []
def observe(event):
    kind, count = sys.argv[2], int(sys.argv[3])
    if event.__class__.__name__ == kind:
        seen.append(event)
        if len(seen) == count:
            os.kill(os.getpid(), signal.SIGKILL)

submit(open_competition(Workspace.find(sys.argv[1]), "tiny"), session=Session(observe))
"""


@pytest.mark.parametrize(
    ("event", "count"),
    [
        ("FoldDone", 1),
        ("FoldStarted", 2),
        ("BatchDone", 3),
    ],
)
def test_a_killed_run_goes_on_with_the_next_fold_and_ends_with_the_same_bytes(
    submitted: tuple[Workspace, Entry], tmp_path: Path, event: str, count: int
) -> None:
    workspace = write_tiny(tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path), event, str(count)],
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == -signal.SIGKILL
    assert status.status(workspace) == []
    events: list[Event] = []
    entry = submit(open_competition(workspace, "tiny"), session=Session(observe=events.append))
    finished = [e.fold for e in events if isinstance(e, FoldDone)]
    assert finished == [1, 2]  # the first fold is not trained again
    whole, resumed = only_run(submitted[0]), only_run(workspace)
    for fold in range(3):
        for name in ("oof.parquet", "test.parquet", "weights.safetensors"):
            path = f"fold{fold}/{name}"
            assert sha256_file(whole / path) == sha256_file(resumed / path), path
    assert entry.sha256 == submitted[1].sha256


def test_two_submits_at_once_are_refused(workspace: Workspace) -> None:
    lock = workspace.runs / "tiny" / ".submit.lock"
    with hold_lock(lock, "the first"):
        with pytest.raises(StorageError, match="submitting tiny is already at work in another pro"):
            submit(open_competition(workspace, "tiny"))
    assert not (workspace.runs / "tiny" / "tiny-s0").exists()


def test_a_ledger_that_is_not_understood_stops_a_submit_before_its_training(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    book = workspace.submissions("tiny", practice=True) / "ledger.jsonl"
    book.parent.mkdir(parents=True)
    book.write_text('{"time": "2027", "event": "withdrawn", "file": "a.csv"}\n')
    with pytest.raises(SubmissionError, match=r"line 1: .* got 'withdrawn'; .*: update foldwise"):
        submit(open_competition(workspace, "tiny"))
    assert not [*(workspace.runs / "tiny").glob("*/run.json")]
    assert status.status(workspace, "tiny") == []
    assert "got 'withdrawn'" in caplog.text
    assert "the line is left out" in caplog.text


@pytest.mark.parametrize("verb", ["train", "submit", "blend", "check", "data"])
def test_an_unknown_competition_is_refused_by_every_verb(workspace: Workspace, verb: str) -> None:
    done = CliRunner().invoke(app, [verb, "tinny", "--root", str(workspace.root)])
    assert (done.exit_code, "did you mean 'tiny'" in done.stderr) == (1, True)
    assert not workspace.runs.exists()


def test_an_unknown_scheme_is_refused(workspace: Workspace) -> None:
    with pytest.raises(SpecError, match="no fold scheme is called 'site'; did you mean 'sites'"):
        train(open_competition(workspace, "tiny"), Selection(scheme="site"))


def test_a_run_directory_made_with_other_folds_is_refused(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    other = copy(submitted[0], tmp_path)
    folds = only_run(other) / "folds.csv"
    frame = pd.read_csv(folds, dtype={"id": str})
    frame["fold"] = (frame["fold"] + 1) % 3
    frame.to_csv(folds, index=False)
    with pytest.raises(RunError, match=r"was made with other folds .* cannot be mixed"):
        train(open_competition(other, "tiny"))


def test_runs_of_different_folds_are_not_blended(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    other = copy(submitted[0], tmp_path)
    runs = train(open_competition(other, "tiny"))
    runs += train(open_competition(other, "tiny"), Selection(folds=(), scheme="sites"))
    data = load_data(other, "tiny")
    with pytest.raises(RunError, match="runs of different folds cannot be blended: tiny-s0-"):
        blend_runs(other.runs / "tiny", data, runs, BLENDINGS.parse("mean"))
    with pytest.raises(RunError, match="folds 0, 1, 2 of 3 are not trained yet; run `foldwise tr"):
        blend_runs(other.runs / "tiny", data, runs[1:], BLENDINGS.parse("mean"))


def test_an_oof_that_lacks_an_id_is_refused(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    other = copy(submitted[0], tmp_path)
    (run,) = train(open_competition(other, "tiny"))
    path = run.fold(1).path / "oof.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path, index=False)
    with pytest.raises(FoldwiseError, match="fold 1: expected each of 10 ids once; got 1 missing"):
        Run(run.folder, run.recipe, 0, run.folds, run.classes, run.record).oof()


def test_missing_images_stop_before_anything_is_trained(workspace: Workspace) -> None:
    shutil.rmtree(workspace.raw("tiny") / "images")
    with pytest.raises(DataError, match=r"42 of 42 ids have no image, e.g. .*https://example.org"):
        submit(open_competition(workspace, "tiny"))
    assert not list(workspace.runs.rglob("run.json"))


def test_a_truncated_image_stops_before_anything_is_trained(workspace: Workspace) -> None:
    path = workspace.raw("tiny") / "images" / f"{ids('train', 30)[3]}.png"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ImageError, match="1 of 42 images are missing or unreadable"):
        submit(open_competition(workspace, "tiny"))
    assert not list(workspace.runs.rglob("run.json"))


def test_errors_of_check_stop_a_submit(workspace: Workspace) -> None:
    toml = workspace.competition("tiny") / "competition.toml"
    edit(toml, "n = 3\nseed = 1\n\n[submit]", "n = 7\nseed = 1\n\n[submit]")
    with pytest.raises(DataError, match="7 folds need at least as many groups, got 6; lower n"):
        submit(open_competition(workspace, "tiny"))
    assert not list(workspace.runs.rglob("run.json"))


def test_a_missing_weights_file_leaves_no_half_made_fold(workspace: Workspace) -> None:
    with pytest.raises(WeightsError, match=r"expected a weights file at /no/where.pth"):
        train(open_competition(workspace, "tiny"), Selection(overrides=("weights=/no/where.pth",)))
    assert not list(workspace.runs.rglob("done.json"))
    assert not list(workspace.runs.rglob("*.safetensors"))
    assert not list((workspace.data / "tiny").glob("cache/*"))  # said before images are decoded


def test_a_diverged_training_is_said(workspace: Workspace) -> None:
    with pytest.raises(RunError, match=r"the training loss became NaN in epoch \d; lower lr"):
        overrides = ["stage.0.lr=1e6", "stage.0.epochs=5", "optimizer=sgd", "precision=fp32"]
        train(open_competition(workspace, "tiny"), Selection(overrides=tuple(overrides)))
