"""Early stop ends a training on request, is recorded, and says what it does to the score."""

import logging
import math

import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import nn

from foldwise.training.fitting.optim import Adam
from foldwise.training.fitting.stopping import EarlyStop


class Losses(Callback):
    """Puts given validation losses, epoch by epoch, into the Recorder's log."""

    order = 55  # after the Recorder's own

    def __init__(self, losses: list[float]) -> None:
        self.likelihood, self.epochs = iter(losses), 0

    def after_epoch(self) -> None:
        self.epochs += 1
        self.learn.recorder.log[2] = next(self.likelihood)


def run(stop: EarlyStop, losses: list[float], epochs: list[int]) -> int:
    """How many epochs were trained, in as many fits as there are stages."""
    torch.manual_seed(0)
    rows = [(torch.randn(4), torch.randn(1)) for _ in range(8)]
    dls = DataLoaders(*(DataLoader(rows, bs=4, num_workers=0) for _ in range(2)))
    given = Losses(losses)
    learner = Learner(dls, nn.Linear(4, 1), nn.MSELoss(), opt_func=Adam, cbs=[given, stop])
    for count in epochs:
        with learner.no_bar(), learner.no_logging():
            learner.fit(count, 1e-2)
    return given.epochs


def stopper(patience: int, *epochs: int) -> EarlyStop:
    return EarlyStop(patience, epochs, "tiny-s0 fold 1")


def test_training_ends_after_so_many_epochs_without_a_better_loss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = stopper(2, 9)
    with caplog.at_level(logging.WARNING):
        assert run(stop, [3, 2, 2.5, 1, 1, 1, 0, 0, 0], [9]) == 6
    assert stop.stopped == 6
    (message,) = caplog.messages
    assert "tiny-s0 fold 1: stopped early after epoch 6 of 9, 2 without a better" in message
    assert "their score is somewhat too good" in message


def test_a_loss_that_falls_or_the_last_epoch_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    falling = stopper(1, 4)
    assert run(falling, [4, 3, 2, 1], [4]) == 4
    last = stopper(2, 4)
    assert run(last, [1, 0, 1, 1], [4]) == 4  # the epoch is the last one anyway
    assert falling.stopped is last.stopped is None
    assert caplog.messages == []


def test_a_nan_is_no_better_loss() -> None:
    stop = stopper(2, 9)
    assert run(stop, [1, math.nan, math.nan, 0], [9]) == 3


def test_each_stage_begins_anew_and_a_stop_ends_them_all() -> None:
    assert run(stopper(2, 2, 4), [1, 2, 9, 8, 7, 6], [2, 4]) == 6
    stop = stopper(2, 4, 3, 3)
    assert run(stop, [1, 2, 2, 0], [4, 3, 3]) == 3
    assert stop.stopped == 3


def test_it_goes_on_from_its_saved_state() -> None:
    first = stopper(3, 9)
    run(first, [2, 1, 1, 1], [4])
    second = stopper(3, 9)
    second.load_state_dict(first.state_dict())
    assert run(second, [1.5, 0, 0], [5]) == 1
    assert second.stopped == 5
    third = stopper(3, 9)
    third.load_state_dict(second.state_dict())  # saved after the epoch that ended training
    assert run(third, [0], [4]) == 0
