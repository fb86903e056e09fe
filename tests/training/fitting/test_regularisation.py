"""What a recipe's regularisation does to a run's files: weights, history, predictions, record."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from foldwise.commands.planning import Selection, Session
from foldwise.commands.train import train
from foldwise.data.opened import open_competition
from foldwise.errors import SpecError
from foldwise.kinds.events import BatchDone, Event
from foldwise.store.files import sha256_file
from foldwise.training.fitting.run import Run
from foldwise.training.models.weights import load_state
from foldwise.workspace import Workspace
from tiny import CLASSES, write_tiny

SETTINGS = ["precision=fp32", "compile=false", "stage.0.epochs=4", "stage.0.schedule=constant"]
STAGE = "\n[[stage]]\nepochs = 2\nlr = 1e-2\nimage_size = 24\n"


class Stop(Exception):
    """Ends a training from its observer."""


def trained(workspace: Workspace, *settings: str, stop: int | None = None) -> Run:
    """A run of fold 0. stop: the batch after which it is left."""

    def observe(event: Event) -> None:
        if isinstance(event, BatchDone) and event.done == stop:
            raise Stop("here")  # fastai reads the first argument

    return train(
        open_competition(workspace, "tiny"),
        Selection(overrides=(*SETTINGS, *settings), folds=(0,)),
        session=Session(observe=observe),
    )[0]


def plain_loss(run: Run) -> float:
    """The log loss of the fold's validation part without TTA, from its predictions file."""
    oof = pd.read_parquet(run.fold(0).path / "oof_plain.parquet").set_index("id")
    raw = run.folder.parents[2] / "data" / "tiny" / "raw" / "train_labels.csv"
    truth = pd.read_csv(raw, dtype={"id": str}).set_index("id").loc[oof.index, list(CLASSES)]
    return -float(np.log(oof.to_numpy()[truth.to_numpy() == 1]).mean())


def history(run: Run) -> list[dict[str, float]]:
    return json.loads((run.fold(0).path / "history.json").read_text())


@pytest.mark.parametrize("setting", ["ema=0.9", "swa=2"])
def test_the_averaged_weights_are_validated_saved_and_predicted_with(
    tmp_path: Path, setting: str
) -> None:
    fast = "stage.0.lr=0.05"
    plain = trained(write_tiny(tmp_path / "plain"), fast)
    run = trained(write_tiny(tmp_path / "averaged"), fast, setting)
    assert history(run)[-1]["valid_loss"] == pytest.approx(plain_loss(run), rel=1e-4)
    assert plain_loss(run) != pytest.approx(plain_loss(plain), rel=1e-2)
    states = [load_state(each.fold(0).path / "weights.safetensors") for each in (plain, run)]
    assert not torch.allclose(states[0]["fc.weight"], states[1]["fc.weight"], atol=1e-3)
    assert [e["train_loss"] for e in history(run)] == [e["train_loss"] for e in history(plain)]


@pytest.mark.parametrize("setting", ["ema=0.9", "swa=4"])
def test_an_average_over_two_stages_goes_on_where_it_was_stopped(
    tmp_path: Path, setting: str
) -> None:
    whole, stopped = write_tiny(tmp_path / "whole"), write_tiny(tmp_path / "stopped")
    for workspace in (whole, stopped):
        path = workspace.competition("tiny") / "recipes" / "tiny.toml"
        path.write_text(path.read_text() + STAGE)
    settings = (setting, "stage.1.lr=find")
    # the end of the first stage, then within the second: 2 batches in each of 4 + 2 epochs
    for stop in (8, 9):
        with pytest.raises(Stop):
            trained(stopped, *settings, stop=stop)
    hashes = [
        sha256_file(trained(workspace, *settings).fold(0).path / "weights.safetensors")
        for workspace in (whole, stopped)
    ]
    assert hashes[0] == hashes[1]


def test_an_early_stop_is_recorded_and_said(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run = trained(workspace, "early_stop=1", "stage.0.epochs=40", "stage.0.lr=0.1")
    done = json.loads((run.fold(0).path / "done.json").read_text())
    epoch = done["stopped_early_after_epoch"]
    losses = [entry["valid_loss"] for entry in history(run)]
    assert len(losses) == epoch < 40
    assert losses[-1] >= min(losses[:-1])
    assert losses[-2] == min(losses[:-1])
    said = [message for message in caplog.messages if "stopped early" in message]
    assert said == [message for message in said if f"{run.name} fold 0: stopped" in message]
    assert len(said) == 1


def test_a_fold_that_was_not_stopped_early_has_no_such_record(workspace: Workspace) -> None:
    run = trained(workspace, "early_stop=4")
    assert "stopped_early_after_epoch" not in json.loads(
        (run.fold(0).path / "done.json").read_text()
    )
    assert len(history(run)) == 4


@pytest.mark.parametrize("setting", ["drop_path=0.5", "accumulate=2", "clip=0.001"])
def test_each_of_them_changes_the_training(tmp_path: Path, setting: str) -> None:
    states = []
    for name, settings in (("plain", []), ("set", [setting])):
        run = trained(write_tiny(tmp_path / name), *settings)
        states.append(load_state(run.fold(0).path / "weights.safetensors")["fc.weight"])
    assert not torch.allclose(*states, atol=1e-5)


def test_a_model_without_drop_path_is_said_before_images_are_decoded(workspace: Workspace) -> None:
    with pytest.raises(SpecError, match=r"drop_path = 0.1 needs .* vgg11 has none"):
        trained(workspace, "model=vgg11", "drop_path=0.1")
    assert not (workspace.data / "tiny" / "cache").exists()
