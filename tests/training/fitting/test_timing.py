"""A training with a budget keeps to it, by a clock that the model itself moves."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from foldwise.commands import train as training
from foldwise.commands.planning import Selection
from foldwise.commands.train import train
from foldwise.data.opened import open_competition
from foldwise.errors import RunError, SpecError
from foldwise.store.files import read_json
from foldwise.training.fitting import networks, run, timing
from foldwise.training.models import building as models
from tiny import write_tiny

RECIPE = """
model = "test_resnet"
weights = "none"
image_size = 32
batch_size = 8

[[stage]]
epochs = 3
lr = 3e-3
image_size = 24

[[stage]]
epochs = 2
lr = 1e-3
"""


class Clock:
    """Seconds that pass while a model works: as many as its images have pixels, by thousands."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.measured = 0.0, 0
        monkeypatch.setattr(networks, "build_on_device", self.build)
        for module in (run, training):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.seconds))
        monkeypatch.setattr(timing, "clock", lambda: self.seconds)
        measure = timing.measure

        def counted(*arguments: Any) -> Any:
            self.measured += 1
            return measure(*arguments)

        monkeypatch.setattr(timing, "measure", counted)

    def build(self, *arguments: Any) -> nn.Module:
        """A model that moves the clock."""
        model = models.build_on_device(*arguments)
        model.register_forward_pre_hook(self.tick)
        return model

    def tick(self, model: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        """One batch."""
        self.seconds += inputs[0].numel() / 1000 * (3 if model.training else 1)


@pytest.fixture
def workspace(tmp_path: Path) -> Any:
    made = write_tiny(tmp_path, n_train=60)
    (made.competition("tiny") / "recipes" / "tiny.toml").write_text(RECIPE)
    return made


@pytest.mark.parametrize("minutes", [60, 100])
def test_a_training_takes_its_budget_within_a_tenth(
    workspace: Any, minutes: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(monkeypatch)
    with caplog.at_level(logging.INFO):
        (made,) = train(open_competition(workspace, "tiny"), budget=f"{minutes}m")
    assert 0.9 * 60 * minutes < clock.seconds < 1.1 * 60 * minutes
    assert "tiny: 3 of 3 folds with " in caplog.text
    plan = made.record.resolved["plan"]
    history = read_json(made.fold(2).path / "history.json")
    assert len(history) == sum(stage["epochs"] for stage in plan["stage"])
    assert made.unfinished() == []
    before, clock.measured = clock.seconds, 0
    (made.fold(1).path / "done.json").unlink()
    (made.fold(1).path / "checkpoint.pt").unlink()
    (again,) = train(open_competition(workspace, "tiny"), budget=f"{minutes}m")
    assert again.folder == made.folder
    assert clock.measured == 0  # the plan is read, not made again
    assert clock.seconds - before == pytest.approx(plan["seconds"] / 3, rel=0.1)


def test_folds_that_the_budget_has_no_time_for_are_left_out_and_named(
    workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    (made,) = train(open_competition(workspace, "tiny"), budget="12m")
    assert made.planned_folds() == [0]
    assert made.unfinished() == [1, 2]
    with pytest.raises(
        RunError,
        match=r"folds 1, 2 of 3 are not trained yet.*--fold trains one "
        r"for which the budget had no time",
    ):
        made.oof()
    train(open_competition(workspace, "tiny"), Selection(folds=(2,)), budget="12m")
    assert made.unfinished() == [1]


def test_all_of_the_time_is_for_the_fold_that_is_asked_for(
    workspace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    (made,) = train(open_competition(workspace, "tiny"), Selection(folds=(1,)), budget="40m")
    assert made.planned_folds() == [1]
    assert 0.9 * 2400 < clock.seconds < 1.1 * 2400


def test_too_short_a_budget_trains_nothing(workspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    with pytest.raises(SpecError, match="the budget of tiny is too short"):
        train(open_competition(workspace, "tiny"), budget="60s")
    assert not list(workspace.runs.glob("tiny/*/run.json"))


@pytest.mark.parametrize(
    ("seconds", "per_image"),
    [
        ([9, 5, 1, 3], (1 + 3) / (2 * 8)),  # a cold start is left out
        ([9, 5, 1, 3, 50], (1 + 3) / (2 * 8)),  # no more than four
        ([9, 5], 5 / 8),
        ([21, 5], 21 / 8),  # time is short: one must do
    ],
)
def test_batches_are_timed_once_they_are_warm_or_for_want_of_time_as_they_are(
    seconds: list[int], per_image: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(timing, "clock", lambda: now)

    def batches() -> Iterator[int]:
        nonlocal now
        for took in seconds:
            now += took
            yield 8

    assert timing._per_image(batches(), 20.0) == pytest.approx(per_image)


@pytest.mark.parametrize(("ends", "step"), [([0, 7], 7), ([0, 7, 9], 2), ([0, 9, 12, 13, 14], 1)])
def test_a_step_is_timed_once_half_of_them_are_done(ends: list[float], step: float) -> None:
    timed = timing.Timed(6.0)
    timed.ends = ends
    assert timed.step == step
    assert timed.start == ends[1] - step
