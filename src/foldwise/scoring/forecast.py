"""What a board should say of a blend, from its OOF score: the test set is other rows, more models.

An OOF row is predicted by the models of one fold, a test row by those of all folds, averaged; and
a board has a sample of its own.
"""

import numpy as np

from foldwise.data.labels import LabelTable
from foldwise.data.predictions import TINY
from foldwise.scoring.metrics import Score
from foldwise.spec.metric import Metric

NORMAL = 1.959964  # standard errors of a 95 % interval, to a side


def averaging_gain(mean: np.ndarray, mean_log: np.ndarray, multi: bool) -> float:
    """By how much, in nats, averaging the folds' predictions should lower the log loss.

    The expectation, if the mean is right, of one fold's loss less the mean's: the generalised
    Jensen-Shannon divergence of the folds' predictions (Lin, Divergence measures based on the
    Shannon entropy, 1991), a mean over rows, with many labels over cells. It needs no labels.

    mean: the folds' mean (n, C). mean_log: of their logarithms, (n, C); with many labels
    (2, n, C), of p and of 1 - p.
    """
    sides = np.stack([mean, 1 - mean]) if multi else mean[None]
    logs = mean_log if multi else mean_log[None]
    divergence = (sides * (np.log(np.clip(sides, TINY, 1)) - logs)).sum(axis=0)  # (n, C)
    return float(divergence.mean() if multi else divergence.sum(axis=1).mean())


def expected(own: Score, gain: float, train: LabelTable, test: LabelTable, metric: Metric) -> Score:
    """The score that a board of all test rows should show, and where it lies in 95 of 100 cases.

    The OOF score less the gain of averaging; its standard error and that of a test set of this
    size add up as variances do. Rows are counted, or groups where both tables have them.
    """
    if own.low is None or own.high is None or not len(test):
        return Score(own.value)
    error = (
        (own.high - own.low) / (2 * NORMAL) * (1 + _size(train, test) / _size(test, train)) ** 0.5
    )
    value = own.value - gain
    low, high = value - NORMAL * error, value + NORMAL * error
    return Score(value, max(low, 0.0) if metric.name == "log_loss" else low, high)


def _size(table: LabelTable, other: LabelTable) -> int:
    """The number of groups of a table, of rows where one of the two has no groups."""
    if table.frame["group"].notna().all() and other.frame["group"].notna().all():
        return int(table.frame["group"].nunique())
    return len(table)
