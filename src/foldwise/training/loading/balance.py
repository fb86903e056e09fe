"""Classes of unequal size: their weights in the loss, and draws in which all are equally likely."""

import random
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from foldwise.arrays import Array


def class_counts(targets: torch.Tensor, n_classes: int) -> Array:
    """How many rows have each class, float64 (C,); targets: int64 (n,), or 0 and 1 (n, C)."""
    if targets.ndim == 2:
        return targets.sum(dim=0, dtype=torch.float64).numpy()
    return np.bincount(targets.numpy(), minlength=n_classes).astype(np.float64)


def class_weights(
    wanted: str | Mapping[str, float] | None, classes: Sequence[str], targets: torch.Tensor
) -> torch.Tensor | None:
    """The weight of each class in the loss, float32 (C,); None: they weigh the same.

    targets: those of the training part, int64 (n,), or 0 and 1 (n, C) where an image may have
    many labels. `balanced` is scikit-learn's n / (C * count), C the number of classes that the
    training part has: the weights of its rows are 1 in the mean. With many labels it is the
    weight of a label's positives, negatives / positives, so that both weigh the same. A class that
    no row has weighs 1, as one that a table does not name does.
    """
    if wanted is None:
        return None
    if isinstance(wanted, Mapping):
        return torch.tensor([wanted.get(name, 1.0) for name in classes], dtype=torch.float32)
    counts, n = class_counts(targets, len(classes)), len(targets)
    weights = np.ones(len(classes))
    if targets.ndim == 2:
        some = (counts > 0) & (counts < n)
        weights[some] = (n - counts[some]) / counts[some]
    else:
        some = counts > 0
        weights[some] = n / (some.sum() * counts[some])
    return torch.from_numpy(weights).float()


def balanced_draws(codes: Array, rng: random.Random) -> list[int]:
    """As many positions as there are codes int64 (n,), with replacement: the class first, then one
    of its rows, each with equal chances."""
    order = np.argsort(codes, kind="stable")
    _, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
    draws = np.random.default_rng(rng.getrandbits(64))
    chosen = draws.integers(len(counts), size=len(codes))
    positions: list[int] = order[starts[chosen] + draws.integers(counts[chosen])].tolist()
    return positions
