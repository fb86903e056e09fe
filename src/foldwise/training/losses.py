"""The losses of training: fastai's, also for targets that are shares of several classes."""

from typing import Any

import torch
from fastai.losses import BaseLoss, BCEWithLogitsLossFlat, CrossEntropyLossFlat

from foldwise.spec.recipe import Recipe


class CrossEntropy(CrossEntropyLossFlat):
    """Cross-entropy with class indices int64 (n,), or with shares of the classes float (n, C).

    Indices go fastai's own way. Shares are what mixing images makes of them.
    """

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """The loss of logits (n, C)."""
        if not targ.is_floating_point():
            return super().__call__(inp, targ, **kwargs)
        return self.func(self._contiguous(inp), self._contiguous(targ), **kwargs)


class BinaryCrossEntropy(BCEWithLogitsLossFlat):
    """Binary cross-entropy per class; smoothing moves targets 0 and 1 half of it inwards."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def __call__(self, inp: torch.Tensor, targ: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """The loss of logits (n, C) and targets in 0..1 of the same shape."""
        smoothing = self.label_smoothing
        return super().__call__(inp, targ * (1 - smoothing) + smoothing / 2, **kwargs)


def loss_of(recipe: Recipe, multi: bool) -> BaseLoss:
    """Cross-entropy, or binary cross-entropy per class where an image may have many labels."""
    if multi:
        return BinaryCrossEntropy(recipe.label_smoothing)
    return CrossEntropy(label_smoothing=recipe.label_smoothing)
