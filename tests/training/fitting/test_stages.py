"""Stages do what their names say: groups, rates, frozen norms, batch sizes, fastai's fine_tune."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from torch import nn

from foldwise import Competition
from foldwise.config.recipe import SizedRecipe
from foldwise.store.files import read_json
from foldwise.training.fitting import stages
from foldwise.training.fitting.activations import Meaning
from foldwise.training.fitting.stages import Place, Trainable, learner_of, train_stages
from foldwise.training.fitting.streams import EpochStreams, seed_block
from foldwise.training.models.building import build_model
from foldwise.training.models.groups import layer_groups
from foldwise.workspace import Workspace
from weights import assert_same_weights

Settled = {"precision": "fp32", "batch_size": 8, "compile": False, "loss": "cross_entropy"}


@pytest.fixture
def competition(workspace: Workspace) -> Competition:
    return Competition.load("tiny", workspace.root)


def recipe_of(*table: dict[str, Any], **settings: Any) -> SizedRecipe:
    return SizedRecipe.model_validate(
        {
            "name": "r",
            "model": "test_resnet",
            "weights": "none",
            "image_size": 32,
            "augment": {"hflip": True},
            "stage": table,
            **settings,
        }
    ).settle(Settled)


def blank(recipe: SizedRecipe) -> nn.Module:
    """The recipe's model with the same random weights every time."""
    with seed_block(0, "test"):
        return build_model(recipe, 3, 1)


def block_of(competition: Competition, recipe: SizedRecipe) -> Callable[[int], Any]:
    return lambda number: competition.datablock(fold=0, recipe=recipe, stage=number)


def trained(
    competition: Competition, recipe: SizedRecipe, *watchers: Callback
) -> tuple[nn.Module, list[dict[str, float]]]:
    """A model after all stages, and the history. watchers: more callbacks."""
    model, make = blank(recipe), stages.learner_of

    def watched(*arguments: Any) -> Any:
        learner = make(*arguments)
        learner.add_cbs(watchers)
        return learner

    stages.learner_of, before = watched, make
    try:
        with seed_block(0, 0, "init"):
            report = train_stages(
                Trainable(model=model, block_of=block_of(competition, recipe), recipe=recipe),
                Place("r", 0, 0, 3),
                lambda event: None,
            )[1]
    finally:
        stages.learner_of = before
    return model, report.history


class Watch(Callback):
    """Keeps the rates, momenta and weight decay of every group, and the batch's size and shape."""

    order, run_valid = 61, False  # after the schedule

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def before_batch(self) -> None:
        hypers = self.learn.opt.hypers
        self.seen.append(
            {
                "lr": [float(h["lr"]) for h in hypers],
                "wd": hypers[-1]["wd"],
                "shape": tuple(self.learn.xb[0].shape),
            }
        )


def test_rates_sizes_and_decay_of_each_stage_reach_its_steps(competition: Competition) -> None:
    watch = Watch()
    recipe = recipe_of(
        {"epochs": 1, "lr": [1e-5, 1e-3], "schedule": "constant", "groups": "stage"},
        {
            "epochs": 1,
            "lr": 1e-4,
            "schedule": "constant",
            "image_size": 24,
            "batch_size": 5,
            "weight_decay": 0.3,
        },
    )
    trained(competition, recipe, watch)
    first, second = watch.seen[0], watch.seen[-1]
    assert first["lr"] == pytest.approx(list(1e-5 * 100 ** (np.arange(6) / 5)))
    assert second["lr"] == [1e-4] * 3
    assert (first["wd"], second["wd"]) == (0.01, 0.3)
    assert (first["shape"], second["shape"]) == ((8, 1, 32, 32), (5, 1, 24, 24))
    assert [len(entry["lr"]) for entry in watch.seen] == [6] * 2 + [3] * 4  # 20 rows


def changed(before: nn.Module, after: nn.Module) -> set[str]:
    """The parameters and buffers that differ."""
    old = before.state_dict()
    return {name for name, value in after.state_dict().items() if not torch.equal(old[name], value)}


@pytest.mark.parametrize("norm", ["train", "frozen"])
def test_a_frozen_norm_leaves_the_bodys_bytes_alone(competition: Competition, norm: str) -> None:
    recipe = recipe_of({"epochs": 1, "lr": 1e-2, "train": "head", "norm": norm})
    after = trained(competition, recipe)[0]
    names = changed(blank(recipe), after)
    body = {name for name in names if not name.startswith("fc")}
    assert {"fc.weight", "fc.bias"} <= names
    if norm == "frozen":
        assert body == set()
    else:
        assert {"bn1.weight", "bn1.running_mean"} <= body
        assert "conv1.0.weight" not in body


def test_the_last_groups_alone_are_trained(competition: Competition) -> None:
    recipe = recipe_of({"epochs": 1, "lr": 1e-2, "train": 2, "groups": "stage", "norm": "frozen"})
    names = changed(blank(recipe), trained(competition, recipe)[0])
    assert {name.split(".")[0] for name in names} == {"layer4", "fc"}


def test_fastais_fine_tune_is_two_stages_with_the_same_steps(competition: Competition) -> None:
    recipe = recipe_of(
        {
            "epochs": 1,
            "lr": [2e-4, 2e-3],
            "spread": "head",
            "train": "head",
            "schedule": {"pct_start": 0.99},
        },
        {"epochs": 2, "lr": [1e-5, 1e-3], "schedule": {"pct_start": 0.3, "div": 5}},
    )
    watch = Watch()
    ours = trained(competition, recipe, watch)[0]

    class ByFit(EpochStreams):
        """The streams of the stage that a fit stands for."""

        def __init__(self) -> None:
            super().__init__(0, 0, -1)

        def before_fit(self) -> None:
            self.place = (0, 0, self.place[2] + 1)

    theirs, again = blank(recipe), Watch()
    with seed_block(0, 0, "init"):
        dls = block_of(competition, recipe)(0).dataloaders(bs=8, val_bs=16)
        learner = learner_of(theirs, dls, recipe, Meaning("softmax"))
        learner.splitter = lambda model: layer_groups(model, "fastai")
        learner.add_cbs([again, ByFit()])
        with learner.no_logging():
            learner.fine_tune(2, base_lr=2e-3, freeze_epochs=1)
    rates = [np.array([entry["lr"] for entry in seen.seen]) for seen in (watch, again)]
    assert rates[0] == pytest.approx(rates[1])
    assert_same_weights(ours, theirs, rtol=1e-6, atol=1e-7)


def test_a_rate_that_is_found_is_written_and_read_again(
    competition: Competition, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of({"epochs": 1, "lr": "find", "find": "steep", "schedule": "constant"})
    watch, events = Watch(), []
    make = stages.learner_of

    def watched(*arguments: Any) -> Any:
        learner = make(*arguments)
        learner.add_cb(watch)
        return learner

    monkeypatch.setattr(stages, "learner_of", watched)
    place = Place("r", 0, 0, 3, tmp_path)
    model = blank(recipe)
    with seed_block(0, 0, "init"):
        _, report, _ = train_stages(
            Trainable(model=model, block_of=block_of(competition, recipe), recipe=recipe),
            place,
            events.append,
        )
    found = read_json(tmp_path / "lr-0.json")
    assert set(found["suggestions"]) == {"valley", "steep", "minimum/10"}
    assert watch.seen[-1]["lr"] == [found["suggestions"]["steep"]] * 3
    assert len(found["rates"]) == len(found["losses"]) > 20
    assert found["rates"] == sorted(found["rates"])
    assert len(report.history) == 1  # the trial is no epoch
    assert report.rates()["batch"].tolist() == [1, 2]  # nor are its batches any
    assert sum(type(event).__name__ == "BatchDone" for event in events) == 2
    monkeypatch.setattr(stages, "find_rate", lambda *a: pytest.fail("searched again"))
    (tmp_path / "checkpoint.pt").unlink()
    again = blank(recipe)
    with seed_block(0, 0, "init"):
        train_stages(
            Trainable(model=again, block_of=block_of(competition, recipe), recipe=recipe),
            place,
            lambda event: None,
        )
    assert changed(model, again) == set()
