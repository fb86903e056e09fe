"""Bootstrap intervals of a mean loss, over rows or over whole groups."""

import numpy as np


def bootstrap_interval(
    losses: np.ndarray,
    groups: np.ndarray | None = None,
    level: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of the mean loss over resampled rows, or over resampled groups.

    Groups (sites, patients) are drawn whole with replacement, because the rows of one are no
    independent evidence; the mean is over the drawn rows (Efron and Tibshirani, An Introduction
    to the Bootstrap, 1993, chapters 8 and 13).

    losses: (n,). groups: (n,) or None.
    """
    rng = np.random.default_rng(seed)
    member = np.arange(len(losses))
    if groups is not None:
        _, member = np.unique(groups.astype(str), return_inverse=True)
    sums, counts = np.bincount(member, losses), np.bincount(member)
    means = np.empty(samples)
    for i in range(samples):
        drawn = rng.integers(0, len(sums), len(sums))
        means[i] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
