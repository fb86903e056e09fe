"""What a board should say of a blend, from its OOF score: the test set is other rows, more models.

An OOF row is predicted by the models of one fold, a test row by those of all folds, averaged; and
a board has a sample of its own.
"""

import numpy as np

from foldwise.data.labels import LabelTable
from foldwise.data.predictions import TINY
from foldwise.scoring.calibrate import FLATTEST, SHARPEST, tempered
from foldwise.scoring.metrics import Score
from foldwise.spec.metric import Metric

NORMAL = 1.959964  # standard errors of a 95 % interval, to a side


def averaging_gain(
    mean: np.ndarray, mean_log: np.ndarray, multi: bool, right: float | None = None
) -> float:
    """By how much, in nats, averaging the folds' predictions should lower the log loss.

    The expectation of one fold's loss less the mean's, a mean over rows, with many labels over
    cells; no label of these rows is needed. Were labels drawn from the mean, it would be the
    generalised Jensen-Shannon divergence of the folds' predictions (Lin, Divergence measures based
    on the Shannon entropy, 1991). But a mean of models that disagree is less sure than it is right;
    so labels are drawn from the mean at the temperature where its confidence is `right`.

    mean: the folds' mean (n, C). mean_log: of their logarithms, (n, C); with many labels
    (2, n, C), of p and of 1 - p. right: the share of OOF rows (cells) whose most probable class
    (side) is the label; None: the mean as it is.
    """
    if not len(mean):
        return 0.0
    drawn = mean if right is None else tempered(mean, _temperature(mean, right, multi), multi)
    sides, logs = (mean, mean_log)
    if multi:
        sides, drawn = (np.stack([each, 1 - each]) for each in (mean, drawn))
    lost = (drawn * (np.log(np.clip(sides, TINY, 1)) - logs)).sum(axis=0 if multi else 1)
    return float(lost.mean())


def right_share(hot: np.ndarray, probs: np.ndarray, multi: bool) -> float:
    """The share of rows (n, C) whose most probable class is theirs; with many labels of cells."""
    if multi:
        return float(((probs >= 0.5) == (hot == 1)).mean())
    return float(hot[np.arange(len(hot)), probs.argmax(axis=1)].mean())


def _temperature(probs: np.ndarray, right: float, multi: bool) -> float:
    """The temperature at which the mean confidence of probabilities (n, C) is `right`."""
    from scipy.optimize import brentq

    def excess(log_temperature: float) -> float:
        at = tempered(probs, float(np.exp(log_temperature)), multi)
        return float((np.maximum(at, 1 - at) if multi else at.max(axis=1)).mean()) - right

    low, high = np.log(SHARPEST), np.log(FLATTEST)
    if excess(low) <= 0:
        return SHARPEST
    return FLATTEST if excess(high) >= 0 else float(np.exp(brentq(excess, low, high, xtol=1e-3)))


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
    least, most = metric.range
    low, high = max(value - NORMAL * error, least), min(value + NORMAL * error, most)
    return Score(min(max(value, least), most), low, high)


def _size(table: LabelTable, other: LabelTable) -> int:
    """The number of groups of a table, of rows where one of the two has no groups."""
    if table.frame["group"].notna().all() and other.frame["group"].notna().all():
        return int(table.frame["group"].nunique())
    return len(table)
