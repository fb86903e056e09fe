"""Intervals: bootstrap over rows or whole groups, and Student's t over folds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foldwise.arrays import Array

COUNTS_IN_MEMORY = 1_000_000  # counts held at a time: 8 MB


@dataclass(frozen=True)
class Samples:
    """How samples of rows, or of groups, are drawn.

    count: of samples. size: how many rows, or groups, each has; by default as many as there are.
    replace: whether one may be in a sample more than once.
    """

    count: int
    seed: int = 0
    size: int | None = None
    replace: bool = True


def bootstrap_interval(
    losses: Array,
    groups: Array | None = None,
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
    member = _members(len(losses), groups)
    sums, counts = np.bincount(member, losses), np.bincount(member)

    def mean(times: Array) -> Array:
        return (times @ sums) / (times @ counts)

    return resampled_interval(mean, len(sums), None, level, samples, seed)


def resampled_interval(
    value: Callable[[Array], Array],
    rows: int,
    groups: Array | None = None,
    level: float = 0.95,
    samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The same interval of a value that is no mean over rows: it is computed anew for each sample.

    See `resample`.
    """
    values = resample(value, rows, groups, Samples(count=samples, seed=seed))
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resample(
    value: Callable[[Array], Array],
    rows: int,
    groups: Array | None,
    samples: Samples,
) -> Array:
    """A value of each of so many samples, (samples,); NaN where a sample has none.

    value: of how often each row counts, (b, rows) -> (b,). groups: (rows,) or None; they are drawn
    whole.
    """
    rng = np.random.default_rng(samples.seed)
    member = _members(rows, groups)
    count = int(member.max()) + 1
    held = max(1, COUNTS_IN_MEMORY // rows)
    values = []
    size = samples.size or count
    for start in range(0, samples.count, held):
        times = np.empty((min(held, samples.count - start), count))
        for row in times:
            again = samples.replace
            chosen = rng.integers(0, count, size) if again else rng.permutation(count)[:size]
            row[:] = np.bincount(chosen, minlength=count)
        values.append(value(times if groups is None else np.take(times, member, axis=1)))
    return np.concatenate(values)


def _members(rows: int, groups: Array | None) -> Array:
    """The number of each row's group, from 0; without groups each row is one."""
    if groups is None:
        return np.arange(rows)
    member: Array = np.unique(groups.astype(str), return_inverse=True)[1]
    return member


def paired_interval(differences: Array, level: float = 0.95) -> tuple[float, float, float, float]:
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
