"""A training that is stopped anywhere goes on from its checkpoint and ends with the same bytes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foldwise.commands import train as training
from foldwise.commands.planning import Selection, Session
from foldwise.data.opened import open_competition
from foldwise.errors import Interrupted, RunError
from foldwise.kinds.events import BatchDone, Event
from foldwise.store.files import sha256_file
from foldwise.training.fitting import checkpoint
from foldwise.workspace import Workspace
from tiny import only_run, write_tiny

FILES = (
    "weights.safetensors",
    "oof.parquet",
    "test.parquet",
    "history.json",
    "rates.parquet",
    "augmented.parquet",
    "maps.parquet",
)
# four batches of 5 rows in an epoch
COMMON = ["batch_size=5", "drop_rate=0.3", "mixup=0.4", "augment.rotate=20"]
SCHEDULES = {
    "one_cycle": ["stage.0.epochs=3"],
    "flat_cos": ["stage.0.epochs=3", "stage.0.schedule=flat_cos"],
    "warmed": ["stage.0.epochs=3", "stage.0.schedule=constant", "stage.0.schedule.warmup=1.5"],
    "ema": ["stage.0.epochs=3", "ema=0.9"],
    "swa": ["stage.0.epochs=3", "swa=2"],
    "accumulated": ["stage.0.epochs=3", "accumulate=3", "clip=1.0"],
    "fp32": ["stage.0.epochs=3", "precision=fp32"],
    "sgd": ["stage.0.epochs=3", "optimizer=sgd", "sampling=balanced", "class_weights=balanced"],
    "momentum": ["stage.0.epochs=3", "optimizer=sgd", "momentum=0.9"],
}


class Stop(Exception):
    """Ends a training from its observer."""


def train(workspace: Workspace, settings: list[str], stop_after: int | None = None) -> None:
    def observe(event: Event) -> None:
        if isinstance(event, BatchDone) and event.done == stop_after:
            raise Stop("here")

    training.train(
        open_competition(workspace, "tiny"),
        Selection(overrides=tuple(settings), folds=(0,)),
        session=Session(observe=observe),
    )


def hashes(workspace: Workspace) -> dict[str, str]:
    folder = only_run(workspace) / "fold0"
    return {name: sha256_file(folder / name) for name in FILES}


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_ends_with_the_same_bytes_wherever_it_was_stopped(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [*COMMON, *SCHEDULES[name]]
    whole, stopped = write_tiny(tmp_path / "whole"), write_tiny(tmp_path / "stopped")
    train(whole, settings)
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)  # within epochs, too
    # the first batch, within an epoch, its last batch, the first of the next, the last of all
    for stop in (1, 3, 4, 5, 12):
        with pytest.raises(Stop):
            train(stopped, settings, stop)
    train(stopped, settings)
    assert hashes(stopped) == hashes(whole)


def test_stages_that_are_done_are_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = ["stage.0.train=head", "stage.0.norm=frozen"]
    sgdr = '{name = "sgdr", cycles = 2, cycle_mult = 2}'
    text = f"\n[[stage]]\nlr = 1e-3\nschedule = {sgdr}\nimage_size = 24\n"
    workspaces = [write_tiny(tmp_path / part) for part in ("whole", "stopped")]
    for workspace in workspaces:
        path = workspace.competition("tiny") / "recipes" / "tiny.toml"
        path.write_text(path.read_text() + text)
    train(workspaces[0], [*COMMON, *stages])
    events: list[int] = []
    with pytest.raises(Stop):
        train(workspaces[1], [*COMMON, *stages], 9)  # one epoch of stage 1, one of 2, one batch

    def observe(event: Event) -> None:
        if isinstance(event, BatchDone):
            events.append(event.done)

    training.train(
        open_competition(workspaces[1], "tiny"),
        Selection(overrides=(*COMMON, *stages), folds=(0,)),
        session=Session(observe=observe),
    )
    assert events == list(range(9, 17))
    assert hashes(workspaces[1]) == hashes(workspaces[0])


def test_a_fold_that_was_stopped_while_predicting_only_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foldwise.training.fitting import fold

    workspace = write_tiny(tmp_path)
    settings = [*COMMON, "ema=0.9"]
    with monkeypatch.context() as patch:
        patch.setattr(fold, "save_weights", lambda *a: (_ for _ in ()).throw(Stop("here")))
        with pytest.raises(Stop):
            train(workspace, settings)
    events: list[Event] = []
    training.train(
        open_competition(workspace, "tiny"),
        Selection(overrides=tuple(settings), folds=(0,)),
        session=Session(observe=events.append),
    )
    assert events
    assert not any(isinstance(event, BatchDone) for event in events)
    whole = write_tiny(tmp_path / "whole")
    train(whole, settings)
    assert hashes(workspace) == hashes(whole)


KILLED = """
import os, signal, sys
from foldwise.commands.planning import Selection, Session
from foldwise.commands.train import train
from foldwise.data.opened import open_competition
from foldwise.training.fitting import checkpoint
from foldwise.workspace import Workspace

checkpoint.CHECKPOINT_SECONDS = 0.0
def observe(event):
    if type(event).__name__ == "BatchDone" and event.done == int(sys.argv[3]):
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))

try:
    train(open_competition(Workspace.find(sys.argv[1]), "tiny"),
          Selection(overrides=tuple(sys.argv[4:]), folds=(0,)), session=Session(observe))
except BaseException as error:
    print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_sigkill_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    settings = [*COMMON, "stage.0.epochs=2"]
    whole, killed = write_tiny(tmp_path / "whole"), write_tiny(tmp_path / "killed")
    train(whole, settings)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(killed.root), "SIGKILL", "7", *settings],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL
    events: list[int] = []
    training.train(
        open_competition(killed, "tiny"),
        Selection(overrides=tuple(settings), folds=(0,)),
        session=Session(
            observe=lambda event: (
                events.append(event.done) if isinstance(event, BatchDone) else None
            )
        ),
    )
    assert events == [7, 8]  # the sixth batch was saved, the seventh was not yet
    assert hashes(killed) == hashes(whole)


@pytest.mark.slow
def test_ctrl_c_finishes_the_batch_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    workspace = write_tiny(tmp_path)
    settings = [*COMMON, "stage.0.epochs=2"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED.replace("CHECKPOINT_SECONDS = 0.0", "CHECKPOINT_SECONDS = 1e9"),
            str(workspace.root),
            "SIGINT",
            "6",
            *settings,
        ],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == (
        "Interrupted stopped after batch 2 of 4 in epoch 2 of stage 1; everything is saved, and "
        "the same command goes on from there"
    )
    whole = write_tiny(tmp_path / "whole")
    train(whole, settings)
    train(workspace, settings)
    assert hashes(workspace) == hashes(whole)


def test_ctrl_c_during_validation_ends_after_it(workspace: Workspace) -> None:
    def observe(event: Event) -> None:
        if isinstance(event, BatchDone) and event.done == 4:  # the epoch's last
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped after epoch 1 of 2 of stage 1"):
        training.train(
            open_competition(workspace, "tiny"),
            Selection(overrides=(*COMMON, "stage.0.epochs=2"), folds=(0,)),
            session=Session(observe=observe),
        )
    assert signal.getsignal(signal.SIGINT) is before


def test_a_damaged_checkpoint_is_said(workspace: Workspace) -> None:
    with pytest.raises(Stop):
        train(workspace, [*COMMON, "stage.0.epochs=2"], 6)
    path = only_run(workspace) / "fold0" / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"checkpoint.pt cannot be read .*; remove it, and the fold"):
        train(workspace, [*COMMON, "stage.0.epochs=2"])


def test_a_checkpoint_of_another_version_is_refused(workspace: Workspace) -> None:
    with pytest.raises(Stop):
        train(workspace, [*COMMON, "stage.0.epochs=2"], 6)
    path = only_run(workspace) / "fold0" / "checkpoint.pt"
    state = checkpoint.read_checkpoint(path)
    assert state is not None
    assert state["streams"]["own"].keys() == {"augment.hflip", "augment.rotate", "mix"}
    del state["format"]
    checkpoint.save_state(path, state)
    with pytest.raises(RunError, match=r"should have format 2, got 1: .*; remove it, and the fold"):
        train(workspace, [*COMMON, "stage.0.epochs=2"])
