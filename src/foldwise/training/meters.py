"""fastai's running losses and accuracy, kept on the device: no batch waits for the host."""

import torch
from fastai.learner import AvgLoss, AvgSmoothLoss, Learner, Metric, find_bs


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


class Accuracy(Metric):
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
