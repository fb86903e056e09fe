"""Two models to compare others with: one linear layer, and the shares of the classes."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from foldwise.config.recipe import SettledRecipe
from foldwise.data.folds import Folds
from foldwise.data.labels.table import LabelTable
from foldwise.training.loading.balance import class_counts
from foldwise.training.methods.base import Batches, PartPredictions

if TYPE_CHECKING:
    from foldwise.training.fitting.fold import FoldInputs

ROWS = 1024  # of a prior's predictions at a time


class Linear(nn.Module):
    """One linear layer on the flattened pixels, its weights drawn from a normal distribution.

    The sum over the pixels is divided by the square root of their number. Values in 0..1 then give
    logits below 1 with weights of N(0, 1), and a learning rate means the same at every image size.
    """

    features_are_pixels = True  # maps of where it looked are of the images themselves

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(n_inputs, n_outputs)
        self.scale = n_inputs**-0.5
        nn.init.normal_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def get_classifier(self) -> nn.Linear:
        """The layer: all of the model is its head."""
        return self.head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (b, outputs) of images (b, c, h, w)."""
        logits: torch.Tensor = self.head(images.flatten(1) * self.scale)
        return logits


def linear_of(size: tuple[int, int], channels: int, n_outputs: int) -> Linear:
    """The layer for images of a size, (height, width)."""
    return Linear(size[0] * size[1] * channels, n_outputs)


class Prior(nn.Module):
    """The shares of the classes in a training part, whatever the image.

    shares: float64 (C,). many: an image may have many labels; each share is one label's own.
    """

    shares: torch.Tensor

    def __init__(self, shares: torch.Tensor, many: bool) -> None:
        super().__init__()
        self.many = many
        self.register_buffer("shares", shares)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (b, C) whose softmax, with many labels whose sigmoid, is the shares."""
        logits = self.shares.logit() if self.many else self.shares.log()
        return logits.float().expand(len(images), -1)

    def batches(self, n: int) -> Batches:
        """The probabilities of n rows as `predict` gives them, but to the last digit."""
        shares = self.shares.double().cpu().numpy()
        for start in range(0, n, ROWS):
            probs = np.tile(shares, (min(ROWS, n - start), 1))
            yield probs, probs

    def parts(self, inputs: "FoldInputs") -> Iterator[PartPredictions]:
        """The predictions of the fold's validation part and of the test set."""
        ids = inputs.train.frame["id"]
        for part, own in (
            ("oof", ids[inputs.folds.of(ids) == inputs.fold]),
            ("test", inputs.test.frame["id"]),
        ):
            yield part, own, self.batches(len(own))

    def photos(self, recipe: SettledRecipe, pixels: Path | int) -> Batches:
        """The predictions of so many photos."""
        assert isinstance(pixels, int)
        return self.batches(pixels)


def prior_of(table: LabelTable, folds: Folds, fold: int) -> Prior:
    """The prior of a fold's training part: the rows of all other folds."""
    of = folds.of(table.frame["id"])
    targets = torch.from_numpy(table.targets.values[(of != fold) & (of >= 0)])
    shares = class_counts(targets, len(table.classes)) / len(targets)
    return Prior(torch.from_numpy(shares), not table.task.sums_to_one)
