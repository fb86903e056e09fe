"""The losses kept on the device are the ones that fastai's Recorder computes."""

import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import nn

from foldwise.training.meters import on_device


class Watch(Callback):
    """Keeps what the Recorder logs."""

    order = 60

    def before_fit(self) -> None:
        self.logs: list[list[float]] = []

    def after_epoch(self) -> None:
        self.logs.append([float(value) for value in self.learn.recorder.log[1:3]])


def logged(kept_on_device: bool) -> tuple[list[list[float]], list[float]]:
    """The losses per epoch, and the smoothed loss after every batch."""
    torch.manual_seed(0)
    rows = [(torch.randn(4), torch.randn(1)) for _ in range(26)]
    parts = [DataLoader(part, bs=4, num_workers=0) for part in (rows[:16], rows[16:])]
    learner = Learner(DataLoaders(*parts), nn.Linear(4, 1), nn.MSELoss(), cbs=Watch())
    if kept_on_device:
        on_device(learner)
    with learner.no_bar(), learner.no_logging():
        learner.fit(3, 1e-2)
    return learner.watch.logs, [float(loss) for loss in learner.recorder.losses]


def test_they_equal_fastais_with_batches_of_unequal_size() -> None:
    ours, theirs = logged(True), logged(False)
    assert ours == theirs
    assert len(ours[0]) == 3
    assert len(ours[1]) == 12
