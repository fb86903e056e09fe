"""Calibration: temperature and clipping bounds for log loss, and how far off confidences are."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from foldwise.arrays import Array
from foldwise.kinds.goal import Goal, some
from foldwise.kinds.targets import Targets
from foldwise.tasks import Task

NUMBERS_FITTED = 300_000  # numbers that a temperature is fitted on, and ten times as many bounds
SHARPEST, FLATTEST = 0.05, 20.0  # temperatures tried
# clipping bounds tried, as distances from 0 and from 1
BOUNDS = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7e-3, 0.01, 0.02, 0.03, 0.05)
CONFIDENCE_BINS = 15  # of confidence, as in Guo et al. 2017
Fitted = dict[str, Any]


def suits_probabilities(goal: Goal) -> bool:
    """Whether probabilities themselves are scored."""
    return goal.log_loss


def fit_temperature(probs: Array, rows: Array, goal: Goal) -> Fitted:
    """`temperature`: the one with the lowest log loss, to half a percent.

    probs: (rows, C). Of very many rows some are drawn: it is one number.
    """
    drawn = some(rows, probs.shape[1], NUMBERS_FITTED)
    rows = rows[drawn]
    return {"temperature": _lowest(goal.task, probs[drawn], lambda at: goal.cost(at, rows))}


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


def at_temperature(fitted: Fitted, probs: Array, task: Task) -> Array:
    """Probabilities at the temperature that `fit_temperature` gave."""
    return task.at_temperature(probs, fitted["temperature"])


def fit_clip(probs: Array, rows: Array, goal: Goal) -> Fitted:
    """`low` and `high`: the bounds with the lowest log loss, low first, then high.

    Where rows sum to 1 the lower bound alone: it bounds the largest probability as well.
    probs: (rows, C). Of very many rows some are drawn.
    """
    drawn = some(rows, probs.shape[1], 10 * NUMBERS_FITTED)
    probs, rows = probs[drawn], rows[drawn]
    fitted = {"low": 0.0, "high": 1.0}
    for key in ("low",) if goal.task.sums_to_one else ("low", "high"):
        tries = [{**fitted, key: b if key == "low" else 1 - b} for b in BOUNDS]
        fitted = min(tries, key=lambda f: goal.cost(clip(f, probs, goal.task), rows))
    return fitted


def clip(fitted: Fitted, probs: Array, task: Task) -> Array:
    """Probabilities within the bounds; rows of one label sum to 1 again afterwards."""
    return task.normalise(np.clip(probs, fitted["low"], fitted["high"]))


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
