"""Mixup and CutMix: training images and their targets mixed in pairs, on the batch's device."""

import torch
import torch.nn.functional as F
from fastai.callback.core import Callback
from scipy.special import betaincinv

from foldwise.training.loading.draws import Streams
from foldwise.training.speed.precision import send


class Mixing(Callback):
    """Mixes each training image with another one of its batch, and its target in the same shares.

    mixup (Zhang et al. 2018, arXiv:1710.09412) averages two images; CutMix (Yun et al. 2019,
    arXiv:1905.04899) puts a box of one into the other. Shares and boxes are drawn per image; with
    both set, each batch takes one of the two with equal chance. Targets become float (n, C). Rows'
    weights, where a batch has them, are mixed in the same shares.

    mixup, cutmix: alpha of the Beta(alpha, alpha) that shares are drawn from; 0: never.
    """

    order = 5  # before autocast begins
    run_valid = False

    def __init__(self, mixup: float, cutmix: float, n_classes: int) -> None:
        self.mixup, self.cutmix, self.n_classes = mixup, cutmix, n_classes
        self.streams = Streams(["mix"])

    def before_batch(self) -> None:
        """Mix the batch."""
        images, targets, *weights = (
            part.as_subclass(torch.Tensor) for part in (*self.learn.xb, *self.learn.yb)
        )
        if not targets.is_floating_point():
            targets = F.one_hot(targets, self.n_classes).to(images.dtype)
        images, *others = self.mix(images, targets, *weights)
        self.learn.xb, self.learn.yb = (images,), tuple(others)

    def mix(self, images: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images (n, c, h, w) and whatever belongs to them, targets (n, C) and weights (n,), say.

        Each with its share of its partner's.
        """
        n, on = len(images), images.device
        # drawn whether used or not: the stream does not depend on the settings
        generator = self.streams.generators["mix"]
        partner = send(torch.randperm(n, generator=generator), on)
        switch, u = (torch.rand(k, generator=generator) for k in ((1,), (3, n)))
        if self.cutmix and (not self.mixup or switch < 0.5):
            height, width = images.shape[2:]
            edges = boxes(shares(u[0], self.cutmix), u[1], u[2], (height, width))
            top, bottom, left, right = send(edges, on)
            rows, columns = within(top, bottom, height), within(left, right, width)
            inside = rows[:, None, :, None] & columns[:, None, None, :]
            kept = 1 - (bottom - top) * (right - left) / (height * width)
            made = torch.where(inside, images[partner], images)
        else:
            kept = send(shares(u[0], self.mixup).to(images.dtype), on)
            made = torch.lerp(images[partner], images, kept[:, None, None, None])
        by_row = (kept.reshape(-1, *[1] * (other.ndim - 1)) for other in others)
        return made, *(
            torch.lerp(other[partner], other, share)
            for other, share in zip(others, by_row, strict=True)
        )


def shares(u: torch.Tensor, alpha: float) -> torch.Tensor:
    """Uniform draws as draws from Beta(alpha, alpha): by its quantiles, one draw for each."""
    return torch.from_numpy(betaincinv(alpha, alpha, u.double().numpy()))


def boxes(
    kept: torch.Tensor, x: torch.Tensor, y: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """Top, bottom, left and right of boxes in pixels, (4, n): CutMix's rule.

    A box has the image's aspect and 1 - kept of its area; its middle lies anywhere, and what
    would lie outside is cut off, so its area may be less.
    """
    edges = []
    for u, side in zip((y, x), size, strict=True):
        length = ((1 - kept).sqrt() * side).round()
        start = (u * side).floor() - (length / 2).floor()
        edges += [start.clamp(min=0).long(), (start + length).clamp(max=side).long()]
    return torch.stack(edges)


def within(start: torch.Tensor, end: torch.Tensor, n: int) -> torch.Tensor:
    """Whether each of n positions lies from start to before end: (len(start), n)."""
    at = torch.arange(n, device=start.device)
    return (at >= start[:, None]) & (at < end[:, None])
