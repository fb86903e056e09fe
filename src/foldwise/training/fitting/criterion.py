"""A recipe's loss as fastai calls it: of class numbers, shares of several classes, many labels."""

from typing import Protocol, cast

import torch

from foldwise.config.recipe import SettledRecipe
from foldwise.training.fitting.activations import Meaning
from foldwise.training.fitting.formulas import reduce


class _Formula(Protocol):
    """A kind's formula with those settings that the kind says it takes."""

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, /, **settings: object
    ) -> torch.Tensor: ...


class ClassLoss:
    """The loss of logits (n, outputs), in fp32 as they are; what fastai asks of a loss function.

    Targets are class numbers int64 (n,), or shares of the classes float (n, C), which mixing
    images makes of them; with many labels 0 to 1 for each label. Label smoothing moves targets
    towards 1/C, with many labels towards 1/2.

    weights: of the classes, float32 (C,). A row's loss counts as much as its class weighs (as its
    shares say), and the sum is divided by the number of rows: a row's gradient does not depend on
    its company. With many labels they weigh the positives. Weights of rows, which the batches of
    a training part may bring as their third part, count in the same way, and beside these.
    """

    def __init__(
        self, recipe: SettledRecipe, meaning: Meaning, weights: torch.Tensor | None = None
    ) -> None:
        self.meaning, self.weights = meaning, weights
        self.outputs = outputs = meaning.outputs
        self.smoothing, self.ordinal = recipe.label_smoothing, recipe.ordinal
        self.formula = cast(_Formula, recipe.loss.formula(outputs))
        self.takes_numbers = (
            recipe.loss.takes_numbers and outputs == "softmax" and self.ordinal is None
        )
        self.reduction = "mean"

    def __call__(
        self, inp: torch.Tensor, targ: torch.Tensor, row_weights: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The mean loss; with reduction "none" that of each row (n,). row_weights: float32 (n,)."""
        logits, targets = inp.as_subclass(torch.Tensor), targ.as_subclass(torch.Tensor)
        if not targets.is_floating_point():
            targets = targets.long()
        by_row = row_weights
        settings: dict[str, object] = {}
        if self.weights is not None:
            self.weights = self.weights.to(logits.device)
            if self.outputs == "sigmoids":
                settings["pos_weight"] = self.weights
            else:
                by_class = self._row_weights(targets, self.weights)
                by_row = by_class if row_weights is None else by_class * row_weights
        if self.takes_numbers:
            settings["label_smoothing"] = self.smoothing  # torch's own, of class numbers too
        else:
            targets = self._shares(targets, logits.shape[1])
        if by_row is None and self.reduction != "none":
            return self.formula(logits, targets, reduction=self.reduction, **settings)
        rows = self.formula(logits, targets, reduction="none", **settings)
        rows = rows.mean(dim=1) if rows.ndim > 1 else rows
        return reduce(rows if by_row is None else rows * by_row, self.reduction)

    def activation(self, x: torch.Tensor) -> torch.Tensor:
        """The predictions (n, C) of logits."""
        return self.meaning.activate(x)

    def decodes(self, x: torch.Tensor) -> torch.Tensor:
        """The class numbers (n,) of probabilities; with many labels True where a label is; numbers
        themselves."""
        if self.outputs == "numbers":
            return x
        return x > 0.5 if self.outputs == "sigmoids" else x.argmax(dim=-1)

    def _row_weights(self, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return targets @ weights if targets.is_floating_point() else weights[targets]

    def _shares(self, targets: torch.Tensor, n: int) -> torch.Tensor:
        """Targets as float (n, outputs), ordinal and smoothed where the recipe says so; numbers
        standardised."""
        if self.outputs == "numbers":
            return self.meaning.standardise(targets)
        if self.outputs == "sigmoids":
            return smooth(targets, self.smoothing, 2)
        n = 2 if self.outputs == "one_sigmoid" else n
        if not targets.is_floating_point() or self.ordinal is not None:
            table = ordinal_shares(n, self.ordinal, targets.device)
            targets = targets @ table if targets.is_floating_point() else table[targets]
        shares = smooth(targets, self.smoothing, n)
        return shares[:, 1:] if self.outputs == "one_sigmoid" else shares


def loss_of(
    recipe: SettledRecipe, meaning: Meaning, weights: torch.Tensor | None = None
) -> ClassLoss:
    """The recipe's loss for outputs of this meaning. weights: see `balance.class_weights`."""
    return ClassLoss(recipe, meaning, weights)


def ordinal_shares(n: int, ordinal: float | None, on: torch.device) -> torch.Tensor:
    """The target of each of n classes, as shares of all of them: float32 (n, n).

    ordinal: how far a class reaches; row i is the softmax of -|i - j| / ordinal over j, in class
    order (SORD, Diaz and Marathe, CVPR 2019, with the distance of ranks). Classes that
    lie close then cost less, as they do by kappa. None: a row is its class alone.
    """
    if ordinal is None:
        return torch.eye(n, device=on)
    ranks = torch.arange(n, device=on, dtype=torch.float32)
    return (-(ranks[:, None] - ranks).abs() / ordinal).softmax(dim=1)


def smooth(targets: torch.Tensor, smoothing: float, n: int) -> torch.Tensor:
    """Targets with this share of them replaced by 1/n (Szegedy et al. 2016, arXiv:1512.00567)."""
    return targets * (1 - smoothing) + smoothing / n if smoothing else targets
