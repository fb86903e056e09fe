"""Intervals: bootstrap over rows or whole groups, and Student's t over folds."""

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


def paired_interval(
    differences: np.ndarray, level: float = 0.95
) -> tuple[float, float, float, float]:
    """The mean of paired differences, its standard error, and both ends of Student's t interval.

    mean ± t(k - 1) * s / sqrt(k) over k folds, as in the k-fold cross-validated paired t test
    (Dietterich 1998, "Approximate Statistical Tests for Comparing Supervised Classification
    Learning Algorithms", Neural Computation 10(7); read 2026-11-22). The training parts of folds
    overlap, so the interval is somewhat too narrow: there the test found differences that do not
    exist somewhat too often.

    differences: (k,), at least two.
    """
    from scipy.special import stdtrit  # the inverse of the t distribution, lighter than scipy.stats

    count = len(differences)
    mean = float(np.mean(differences))
    error = float(np.std(differences, ddof=1) / np.sqrt(count))
    reach = float(stdtrit(count - 1, (1 + level) / 2)) * error
    return mean, error, mean - reach, mean + reach
