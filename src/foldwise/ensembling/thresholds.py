"""Thresholds for labels that are named or not, and cut points for ordered classes.

Both are applied as monotone maps of probabilities: what is fitted moves to where the file's writer,
or the metric, decides anyway. So nothing else need know of them, and folds can be averaged.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.kinds.goal import Goal, some
from foldwise.kinds.step import Step
from foldwise.tasks import Task

SWEPT = np.arange(5, 96) / 100
COARSE, NEAR = SWEPT[::5], np.arange(-4, 5) / 100  # for one class: first these, then around it
MANY = 100  # classes; above, one threshold each is too much to fit
NUMBERS_SWEPT = 500_000  # numbers that a threshold per class is fitted on


def move_threshold(probs: Array, threshold: float | Array, to: float) -> Array:
    """Probabilities by the piecewise linear map of 0..1 onto itself that moves a threshold.

    p >= threshold exactly where the result is >= to. probs: (n, C). threshold: one, or (C,).
    """
    below = probs * to / threshold
    above = to + (probs - threshold) * (1 - to) / (1 - threshold)
    # rounding may lift what is just below onto the threshold
    return np.where(
        probs >= threshold, np.minimum(above, 1), np.minimum(below, np.nextafter(to, 0))
    )


def suits_labels(goal: Goal) -> bool:
    """Whether a threshold decides which labels are named, in the file or in the metric."""
    cutoffs = (goal.format.settings.cutoff, goal.metric.cutoff)
    return not goal.task.sums_to_one and any(each is not None for each in cutoffs)


class Threshold(Step):
    """One threshold for all classes, moved to where the file's writer, or the metric, decides."""

    slot: ClassVar[str] = "threshold"

    step: Literal["threshold"] = "threshold"
    thresholds: float
    to: float

    @classmethod
    def suits(cls, goal: Goal) -> bool:
        """See `suits_labels`."""
        return suits_labels(goal)

    @classmethod
    def fit(cls, probs: Array, rows: Array, goal: Goal) -> Self:
        """The best one for the metric; of equally good ones the middle one counts."""
        costs = [goal.cost(move_threshold(probs, t, goal.threshold), rows) for t in SWEPT]
        return cls(thresholds=float(SWEPT[_middle(costs)]), to=goal.threshold)

    def apply(self, probs: Array, task: Task) -> Array:
        """See `move_threshold`."""
        return move_threshold(probs, self.thresholds, self.to)


class Thresholds(Step):
    """A threshold for each class, in class order, moved likewise."""

    slot: ClassVar[str] = "threshold"

    step: Literal["thresholds"] = "thresholds"
    thresholds: tuple[float, ...]
    to: float

    @classmethod
    def suits(cls, goal: Goal) -> bool:
        """See `suits_labels`; and where labels are few enough for a threshold each."""
        return suits_labels(goal) and len(goal.task) <= MANY

    @classmethod
    def fit(cls, probs: Array, rows: Array, goal: Goal) -> Self:
        """The best ones for the metric.

        Class by class, from the one threshold that is best for all: first 0.05 apart, then 0.01.
        Of very many rows some are drawn.
        """
        drawn = some(rows, probs.shape[1], NUMBERS_SWEPT)
        probs, rows = probs[drawn], rows[drawn]
        to = goal.threshold
        found = np.full(probs.shape[1], Threshold.fit(probs, rows, goal).thresholds)
        answers = move_threshold(probs, found, to)
        for near in (False, True):
            for c in range(len(found)):
                tries = np.clip((found[c] + NEAR).round(2), SWEPT[0], SWEPT[-1]) if near else COARSE
                tries = np.unique(np.append(tries, found[c]))
                costs = []
                for threshold in tries:
                    answers[:, c] = move_threshold(probs[:, c], threshold, to)
                    costs.append(goal.cost(answers, rows))
                found[c] = tries[_middle(costs)]
                answers[:, c] = move_threshold(probs[:, c], found[c], to)
        return cls(thresholds=tuple(found.tolist()), to=to)

    def apply(self, probs: Array, task: Task) -> Array:
        """See `move_threshold`."""
        return move_threshold(probs, np.array(self.thresholds), self.to)


class Cuts(Step):
    """Cut points between which expected class numbers a row is called class 0, 1, ..., (C - 1,)."""

    step: Literal["cuts"] = "cuts"
    cuts: tuple[float, ...]

    @classmethod
    def suits(cls, goal: Goal) -> bool:
        """Where it counts how far apart classes are, and the file holds more than a ranking."""
        return goal.metric.ordered and goal.format.settings.holds != "ranking"

    @classmethod
    def fit(cls, probs: Array, rows: Array, goal: Goal) -> Self:
        """Searched from k + 1/2 (Nelder and Mead 1965, by scipy), as the metric has no gradient."""
        from scipy.optimize import minimize

        middle = np.arange(probs.shape[1] - 1) + 0.5

        def cost(cuts: Array) -> float:
            return goal.cost(cut(probs, np.sort(cuts)), rows)

        simplex = np.vstack([middle, middle + 0.3 * np.eye(len(middle))])
        found = minimize(
            cost,
            middle,
            method="Nelder-Mead",
            options={
                "initial_simplex": simplex,
                "maxfev": 100 * len(middle),
                "xatol": 1e-3,
                "fatol": 1e-6,
            },
        )
        return cls(cuts=tuple(np.sort(found.x).tolist()))

    def apply(self, probs: Array, task: Task) -> Array:
        """See `cut`."""
        return cut(probs, self.cuts)


def _middle(costs: list[float]) -> int:
    """The middle one of the places with the lowest cost."""
    lowest = np.flatnonzero(np.array(costs) == min(costs))
    return int(lowest[len(lowest) // 2])


def sweep(probs: Array, goal: Goal) -> pd.DataFrame:
    """The curve `threshold, metric, accuracy`: what one threshold for all classes would score.

    accuracy: the share of right cells. probs: (n, C), all rows of the goal.
    """
    rows, found = np.arange(len(probs)), []
    for threshold in SWEPT:
        answers = move_threshold(probs, threshold, goal.threshold)
        right = (goal.format.settings.decide(answers) >= goal.threshold) == (goal.marks == 1)
        found.append((threshold, goal.value(answers, rows), right.mean()))
    return pd.DataFrame(found, columns=["threshold", "metric", "accuracy"])


def cut(probs: Array, cuts: Sequence[float] | Array) -> Array:
    """Probabilities on two neighbouring classes, (n, C), the more probable one as the cuts say.

    The expected class number, sum of k p_k, is mapped piecewise linearly so that each cut comes to
    lie at k + 1/2, and is then shared between the two whole numbers around it. So a fold that is
    nearly undecided weighs little against the others when folds are averaged.
    """
    top = probs.shape[1] - 1
    expected = probs @ np.arange(top + 1)
    inner = np.clip(np.asarray(cuts), 1e-9, top - 1e-9)
    place = np.interp(expected, [0, *inner, top], [0, *(np.arange(top) + 0.5), top])
    lower = np.minimum(place.astype(np.int64), top - 1)
    share = place - lower
    answer, rows = np.zeros_like(probs), np.arange(len(probs))
    answer[rows, lower], answer[rows, lower + 1] = 1 - share, share
    return answer
