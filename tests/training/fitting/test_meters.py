"""The losses kept on the device are the ones that fastai's Recorder computes."""

import fastai.callback.progress  # noqa: F401  (adds no_bar to Learner)
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from sklearn.metrics import accuracy_score
from torch import nn

from foldwise.training.fitting.meters import AccuracyMeter, on_device


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


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_accuracy_is_scikit_learns_with_batches_of_unequal_size(n_outputs: int) -> None:
    torch.manual_seed(0)
    targets = torch.randint(max(n_outputs, 2), (26,))
    rows = [(torch.randn(4), target) for target in targets]
    parts = [DataLoader(part, bs=4, num_workers=0) for part in (rows[:16], rows[16:])]
    model = nn.Linear(4, n_outputs)
    learner = Learner(
        DataLoaders(*parts),
        model,
        loss_func=lambda pred, y: pred.square().mean(),
        metrics=[AccuracyMeter()],
        cbs=Watch(),
    )
    on_device(learner)
    with learner.no_bar(), learner.no_logging():
        learner.fit(2, 1e-2)
        logits = model(torch.stack([x for x, _ in rows[16:]]))
        found = logits.argmax(dim=1) if n_outputs > 1 else (logits[:, 0] > 0).long()
        assert learner.recorder.metric_names[3] == "accuracy"
        expected = accuracy_score(targets[16:].numpy(), found.numpy())
        assert float(learner.recorder.log[3]) == pytest.approx(expected)
        assert 0 < expected < 1
