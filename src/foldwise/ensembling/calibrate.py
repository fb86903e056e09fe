"""Calibration: temperature and clipping bounds for log loss, and how far off confidences are."""

from collections.abc import Callable, Sequence
from typing import Literal, Self

import numpy as np

from foldwise.arrays import Array
from foldwise.kinds.goal import Goal, some
from foldwise.kinds.step import Step
from foldwise.kinds.targets import Targets
from foldwise.tasks import Task

NUMBERS_FITTED = 300_000  # numbers that a temperature is fitted on, and ten times as many bounds
SHARPEST, FLATTEST = 0.05, 20.0  # temperatures tried
# clipping bounds tried, as distances from 0 and from 1
BOUNDS = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7e-3, 0.01, 0.02, 0.03, 0.05)
CONFIDENCE_BINS = 15  # of confidence, as in Guo et al. 2017


class Temperature(Step):
    """Probabilities at the temperature that has the lowest log loss.

    of_each, of_mean: the temperatures of each fold and of their mean, where test rows are averaged
    over folds; see `pooling.for_the_mean`.
    """

    step: Literal["temperature"] = "temperature"
    temperature: float
    of_each: float | None = None
    of_mean: float | None = None

    @classmethod
    def suits(cls, goal: Goal) -> bool:
        """Where probabilities themselves are scored."""
        return goal.log_loss

    @classmethod
    def fit(cls, probs: Array, rows: Array, goal: Goal) -> Self:
        """To half a percent. Of very many rows some are drawn: it is one number."""
        drawn = some(rows, probs.shape[1], NUMBERS_FITTED)
        rows = rows[drawn]
        return cls(temperature=_lowest(goal.task, probs[drawn], lambda at: goal.cost(at, rows)))

    def apply(self, probs: Array, task: Task) -> Array:
        """See `Task.at_temperature`."""
        return task.at_temperature(probs, self.temperature)


class Clip(Step):
    """Probabilities within the bounds that have the lowest log loss."""

    step: Literal["clip"] = "clip"
    low: float
    high: float

    @classmethod
    def suits(cls, goal: Goal) -> bool:
        """Where probabilities themselves are scored."""
        return goal.log_loss

    @classmethod
    def fit(cls, probs: Array, rows: Array, goal: Goal) -> Self:
        """The lower bound first, then the upper one.

        Where rows sum to 1 the lower bound alone: it bounds the largest probability as well. Of
        very many rows some are drawn.
        """
        drawn = some(rows, probs.shape[1], 10 * NUMBERS_FITTED)
        probs, rows = probs[drawn], rows[drawn]

        def cost(clip: Self) -> float:
            return goal.cost(clip.apply(probs, goal.task), rows)

        best = min((cls(low=bound, high=1.0) for bound in BOUNDS), key=cost)
        if goal.task.sums_to_one:
            return best
        return min((cls(low=best.low, high=1 - bound) for bound in BOUNDS), key=cost)

    def apply(self, probs: Array, task: Task) -> Array:
        """Rows of one label sum to 1 again afterwards."""
        return task.normalise(np.clip(probs, self.low, self.high))


def best_temperature(
    task: Task, targets: Targets, probs: Array, weights: Sequence[float] | None = None
) -> float:
    """The same of predictions (n, C), whatever the metric is; 1 of numbers, which have none.

    weights: of the columns.
    """
    if not task.probabilities:
        return 1.0
    rows = some(np.arange(len(targets)), probs.shape[1], NUMBERS_FITTED)
    known = targets[rows]
    return _lowest(task, probs[rows], lambda at: task.log_loss(task.likelihood(known, at), weights))


def _lowest(task: Task, probs: Array, cost: Callable[[Array], float]) -> float:
    """The temperature at which probabilities (n, C) cost least."""
    from scipy.optimize import minimize_scalar

    scores = task.to_scores(probs)
    best = minimize_scalar(
        lambda log: cost(task.from_scores(scores / np.exp(log))),
        bounds=(np.log(SHARPEST), np.log(FLATTEST)),
        method="bounded",
        options={"xatol": 5e-3},
    )
    return float(np.exp(best.x))


def reliability(task: Task, targets: Targets, probs: Array) -> list[dict[str, float]]:
    """The reliability curve: `confidence, accuracy, count` of each of 15 equal bins that has rows.

    Of every decision, see `Task.decisions` (Guo et al. 2017, section 2). probs: (n, C).
    """
    confidence, right = task.decisions(targets, probs)
    number = np.minimum((confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    counts = np.bincount(number, minlength=CONFIDENCE_BINS)
    sums = (
        np.bincount(number, confidence, CONFIDENCE_BINS),
        np.bincount(number, right, CONFIDENCE_BINS),
    )
    return [
        {
            "confidence": float(sums[0][b] / counts[b]),
            "accuracy": float(sums[1][b] / counts[b]),
            "count": int(counts[b]),
        }
        for b in np.flatnonzero(counts)
    ]


def calibration_error(curve: Sequence[dict[str, float]]) -> float:
    """The expected calibration error of a reliability curve: the mean gap between confidence and
    accuracy, weighted by the bins' counts (Guo et al. 2017, equation 3)."""
    gaps = [abs(b["accuracy"] - b["confidence"]) * b["count"] for b in curve]
    return sum(gaps) / sum(b["count"] for b in curve)
