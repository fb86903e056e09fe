"""Trials: everything runs once, briefly, and leaves no run; rates are those that training finds."""

import json
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.commands import status, trials
from foldwise.commands.catalogue import catalogue
from foldwise.commands.planning import Selection, Session
from foldwise.commands.train import train
from foldwise.config.recipe import SizedRecipe
from foldwise.data.opened import open_competition
from foldwise.errors import Interrupted, SpecError
from foldwise.jobs import fold_inputs
from foldwise.kinds.events import BatchDone, EpochDone, Event, FoldDone, FoldStarted
from foldwise.workspace import Workspace
from tiny import edit, fold_job, tree, write_tiny

PRIOR = 'model = "prior"\n'
STAGES = """
schedule = {name = "sgdr", cycles = 3, cycle_mult = 2}
lr = 1e-3

[[stage]]
epochs = 9
schedule = {name = "constant", warmup = 2}
lr = "find"
batch_size = 4
"""


@pytest.fixture(autouse=True)
def trial_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where trials put what they throw away."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def with_recipe(workspace: Workspace, name: str, text: str) -> None:
    (workspace.competition("tiny") / "recipes" / f"{name}.toml").write_text(text)


def test_a_fast_trial_trains_and_predicts_and_leaves_no_run(
    workspace: Workspace, trial_folder: Path
) -> None:
    events: list[Event] = []
    (row,) = trials.fast(
        open_competition(workspace, "tiny"),
        Selection(overrides=("precision=fp32",)),
        session=Session(observe=events.append),
    )
    assert isinstance(events[0], FoldStarted)
    assert isinstance(events[-1], FoldDone)
    (epoch,) = [event for event in events if isinstance(event, EpochDone)]
    assert row["images_per_second"] == pytest.approx(epoch.images_per_second, abs=0.1)
    expected = {
        "recipe": "tiny",
        "fold": 0,
        "stages": 1,
        "batches": 2,
        "validation_rows": 10,
        "test_rows": 12,
        "precision": "fp32",
    }
    assert {key: row[key] for key in expected} == expected
    assert row["seconds"] > 0
    assert tree(workspace.runs) == {}
    assert list(trial_folder.glob("foldwise-*")) == []
    assert status.compare(open_competition(workspace, "tiny")) == []
    assert catalogue(workspace)[0]["state"] == "data"


def test_every_recipe_stage_and_callback_has_its_turn(workspace: Workspace) -> None:
    recipe = workspace.competition("tiny") / "recipes" / "tiny.toml"
    edit(recipe, "epochs = 1\nlr = 3e-3", STAGES)
    edit(recipe, "batch_size = 8", "batch_size = 8\nswa = 9\nseeds = [3, 4]")
    with_recipe(workspace, "prior", PRIOR)
    events: list[Event] = []
    rows = trials.fast(
        open_competition(workspace, "tiny"),
        Selection(("tiny", "prior"), folds=(2,)),
        session=Session(observe=events.append),
    )
    assert [(row["recipe"], row["stages"], row["batches"]) for row in rows] == [
        ("tiny", 2, 7),
        ("prior", 0, 0),
    ]
    assert rows[1]["images_per_second"] is None
    assert {event.fold for event in events} == {2}
    assert sum(isinstance(event, FoldDone) for event in events) == 2  # one seed of each recipe
    with pytest.raises(SpecError, match="folds are numbered 0 to 2, got 3"):
        trials.fast(open_competition(workspace, "tiny"), Selection(folds=(3,)))


def test_a_short_recipe_is_a_valid_one() -> None:
    recipe = SizedRecipe.model_validate(
        {
            "name": "r",
            "model": "test_resnet",
            "image_size": 32,
            "swa": 5,
            "seeds": [7, 8],
            "stage": [
                {
                    "schedule": {"name": "sgdr", "cycles": 3, "cycle_length": 2},
                    "epochs": 6,
                    "lr": 1,
                },
                {"schedule": {"name": "flat_cos", "warmup": 3}, "epochs": 4, "lr": 1e-3},
            ],
        }
    )
    short = recipe.short()
    assert SizedRecipe.model_validate(short.model_dump(mode="json")) == short
    assert [stage.length for stage in short.stage] == [1, 1]
    assert (short.swa, short.seeds, short.compile) == (2, (7,), False)
    assert short.cache_sizes == recipe.cache_sizes
    assert recipe.model_copy(update={"compile": True}).short().compile is True


def test_a_trial_has_a_few_batches_of_drawn_rows(tmp_path: Path) -> None:
    from foldwise.training.trial import TRIAL_BATCHES, few

    workspace = write_tiny(tmp_path, 60, 40)
    settings = ["batch_size=2", "stage.0.batch_size=4"]
    train(open_competition(workspace, "tiny"), Selection(overrides=tuple(settings), folds=()))
    inputs = fold_inputs(fold_job(workspace, 1))
    short = few(inputs)
    fold = inputs.folds.of(short.train.frame["id"])
    assert TRIAL_BATCHES == 3
    assert [int((fold == 1).sum()), int((fold != 1).sum()), len(short.test)] == [12] * 3
    ids = list(short.train.frame["id"])
    assert ids != list(inputs.train.frame["id"][: len(ids)])
    assert ids == list(few(inputs).train.frame["id"])
    assert len(few(few(inputs)).train) == 24


@pytest.mark.parametrize("kind", [signal.SIGINT, None], ids=["saved", "elsewhere"])
def test_an_interrupted_trial_promises_nothing(
    workspace: Workspace, trial_folder: Path, kind: signal.Signals | None
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, BatchDone) and kind is not None:
            signal.raise_signal(kind)
        if isinstance(event, FoldDone):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="stopped; nothing of the trial was kept"):
        trials.fast(open_competition(workspace, "tiny"), session=Session(observe=interrupt))
    assert list(trial_folder.glob("foldwise-*")) == []


def test_the_rate_found_is_the_one_that_training_finds(
    workspace: Workspace, trial_folder: Path
) -> None:
    settings: Sequence[str] = ["precision=fp32", "seeds=[5]"]
    (row,) = trials.find_lr(
        open_competition(workspace, "tiny"), Selection(overrides=tuple(settings), folds=(1,))
    )
    assert tree(workspace.runs).keys() == {"tiny/lr-tiny.csv"}
    assert list(trial_folder.glob("foldwise-*")) == []
    assert (row["recipe"], row["fold"], row["precision"]) == ("tiny", 1, "fp32")
    (run,) = train(
        open_competition(workspace, "tiny"),
        Selection(overrides=(*settings, "stage.0.lr=find"), folds=(1,)),
    )
    found: dict[str, Any] = json.loads((run.fold(1).path / "lr-0.json").read_text())
    assert {name: row[name] for name in ("valley", "steep", "minimum/10")} == found["suggestions"]
    curve = pd.read_csv(row["curve"])
    assert list(curve.columns) == ["rate", "loss"]
    assert np.array_equal(curve["rate"], found["rates"])
    assert np.array_equal(curve["loss"], found["losses"])


def test_a_model_that_is_not_trained_has_no_rate_and_no_sheet(workspace: Workspace) -> None:
    with_recipe(workspace, "prior", PRIOR)
    said = r"needs a recipe .*, and recipe prior has none .*name another one with --recipe"
    with pytest.raises(SpecError, match=f"^--find-lr {said}"):
        trials.find_lr(open_competition(workspace, "tiny"), Selection(("prior",)))
    with pytest.raises(SpecError, match=f"^--show-batch {said}"):
        trials.show_batch(open_competition(workspace, "tiny"), Selection(("prior",)))
    assert tree(workspace.runs) == {}


@pytest.mark.slow
def test_a_sheet_of_training_images_is_saved_and_nothing_is_trained(
    workspace: Workspace, trial_folder: Path
) -> None:
    (row,) = trials.show_batch(
        open_competition(workspace, "tiny"), Selection(overrides=("seeds=[5]",), folds=(1,))
    )
    path = workspace.runs / "tiny" / "batch-tiny.png"
    assert row == {"recipe": "tiny", "fold": 1, "images": 20, "sheet": str(path)}
    before = tree(workspace.runs)
    assert before.keys() == {"tiny/batch-tiny.png"}
    assert list(trial_folder.glob("foldwise-*")) == []
    trials.show_batch(
        open_competition(workspace, "tiny"), Selection(overrides=("seeds=[5]",), folds=(1,))
    )
    assert tree(workspace.runs) == before
    trials.show_batch(
        open_competition(workspace, "tiny"), Selection(overrides=("seeds=[6]",), folds=(1,))
    )
    assert tree(workspace.runs) != before


@pytest.mark.slow
def test_the_place_of_a_sheet_is_printed(workspace: Workspace) -> None:
    words = ["train", "tiny", "--show-batch", "--fold", "2", "--root", str(workspace.root)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    sheet = workspace.runs / "tiny" / "batch-tiny.png"
    assert result.stdout.replace("\n", "") == (
        f"20 augmented training images of tiny fold 2: {sheet}"
    )
