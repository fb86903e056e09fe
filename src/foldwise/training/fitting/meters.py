"""fastai's running losses and accuracy, kept on the device: no batch waits for the host."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.learner import AvgLoss, AvgSmoothLoss, Learner, Metric, find_bs

from foldwise.store.predictions import predictions_frame
from foldwise.training.fitting.activations import Meaning


class SmoothLoss(AvgSmoothLoss):
    """The exponentially smoothed training loss, as fastai's; `value` is a tensor on the device.

    fastai copies every batch's loss to the CPU, for which a GPU has to finish the batch first.
    """

    val: torch.Tensor

    def accumulate(self, learn: Learner) -> None:
        """Add a training batch's loss."""
        self.count += 1
        loss = learn.loss.detach().as_subclass(torch.Tensor).mean()
        self.val = torch.lerp(loss, self.val.to(loss.device, non_blocking=True), self.beta)


class MeanLoss(AvgLoss):
    """The mean validation loss per image, as fastai's; `value` is a tensor on the device."""

    def accumulate(self, learn: Learner) -> None:
        """Add a validation batch's loss."""
        images = find_bs(learn.yb)
        self.total += learn.loss.detach().as_subclass(torch.Tensor).mean() * images
        self.count += images


def on_device(learner: Learner) -> None:
    """Put these meters into a Learner's Recorder."""
    learner.recorder.smooth_loss = SmoothLoss(beta=learner.recorder.smooth_loss.beta)
    learner.recorder.loss = MeanLoss()


class ValidationScore(Callback):
    """The competition's metric on the validation part, from what an epoch's validation predicts.

    score: of predictions `id, *classes`; None has no value. Without TTA, so it is not a fold's own.
    """

    run_train = False

    def __init__(self, score: Callable[[pd.DataFrame], float | None] | None, meaning: Meaning):
        self.score, self.meaning = score, meaning
        self.parts: list[torch.Tensor] = []

    def before_validate(self) -> None:
        """Begin anew."""
        self.parts.clear()

    def after_batch(self) -> None:
        """Keep a batch's logits on the device."""
        if self.score is not None:
            self.parts.append(self.learn.pred.detach().as_subclass(torch.Tensor))

    def value(self) -> float | None:
        """The metric of the last validation; None where it cannot be had."""
        if self.score is None or not self.parts:
            return None
        probs = self.meaning.activate(torch.cat(self.parts).float().cpu().double()).numpy()
        self.parts.clear()
        if not np.isfinite(probs).all():
            return None
        ids = self.learn.dls.valid.dataset.items["id"]
        return self.score(predictions_frame(ids, probs, self.learn.dls.vocab))


class AccuracyMeter(Metric):
    """The share of validation images whose most probable class is right, kept on the device.

    For one label per image; a single output is the logit of the second of two classes. Of shares
    (n, C) the largest is right.
    """

    total: torch.Tensor | float

    @property
    def name(self) -> str:
        """The key in a history."""
        return "accuracy"

    def reset(self) -> None:
        """Begin anew."""
        self.total, self.count = 0.0, 0

    def accumulate(self, learn: Learner) -> None:
        """Add a validation batch."""
        logits, targets = (x.as_subclass(torch.Tensor) for x in (learn.pred.detach(), learn.y))
        found = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(dim=1)
        right = targets.argmax(dim=1) if targets.is_floating_point() else targets
        self.total += (found == right).sum()
        self.count += len(targets)

    @property
    def value(self) -> torch.Tensor | float:
        """The share; a tensor on the device."""
        return self.total / self.count
