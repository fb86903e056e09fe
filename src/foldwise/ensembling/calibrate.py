"""Calibration: temperature and clipping bounds for log loss, and how far off confidences are."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from foldwise.ensembling.goal import Goal, some
from foldwise.store.predictions import TINY

MOST = 300_000  # numbers that a temperature is fitted on, and ten times as many bounds
SHARPEST, FLATTEST = 0.05, 20.0  # temperatures tried
# clipping bounds tried, as distances from 0 and from 1
BOUNDS = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7e-3, 0.01, 0.02, 0.03, 0.05)
BINS = 15  # of confidence, as in Guo et al. 2017
Fitted = dict[str, Any]


def tempered(probs: np.ndarray, temperature: float, multi: bool) -> np.ndarray:
    """Probabilities at a temperature: above 1 flatter, below 1 sharper; the order of a row stays.

    p^(1/T), renormalised, which is softmax(logits / T); with many labels sigmoid(logit / T) of
    each (Guo et al. 2017, "On Calibration of Modern Neural Networks", ICML; read 2026-11-22).

    probs: (n, C).
    """
    return linked(scores(probs, multi) / temperature, multi)


def scores(probs: np.ndarray, multi: bool) -> np.ndarray:
    """Log-probabilities, or with many labels logits, bounded so that 0 has one too."""
    logs = np.log(np.clip(probs, TINY, None))
    return logs - np.log(np.clip(1 - probs, TINY, None)) if multi else logs


def linked(scores: np.ndarray, multi: bool) -> np.ndarray:
    """Probabilities of scores (n, C): softmax, or with many labels the sigmoid of each."""
    from scipy.special import expit

    if multi:
        return expit(scores)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(probs: np.ndarray, rows: np.ndarray, goal: Goal) -> Fitted:
    """`temperature`: the one with the lowest log loss, to half a percent.

    probs: (rows, C). Of very many rows some are drawn: it is one number.
    """
    drawn = some(rows, probs.shape[1], MOST)
    rows = rows[drawn]
    return {"temperature": _lowest(lambda at: goal.cost(at, rows), probs[drawn], goal.multi)}


def best_temperature(
    hot: np.ndarray, probs: np.ndarray, multi: bool, weights: Sequence[float] | None = None
) -> float:
    """The same of probabilities (n, C), whatever the metric is. hot: 0 or 1, (n, C)."""
    rows = some(np.arange(len(hot)), probs.shape[1], MOST)
    hot = hot[rows]

    def loss(at: np.ndarray) -> float:
        given = np.log(np.clip(np.where(hot == 1, at, 1 - at) if multi else at[hot == 1], TINY, 1))
        return -float(np.average(given.mean(axis=0), weights=weights)) if multi else -given.mean()

    return _lowest(loss, probs[rows], multi)


def _lowest(cost: Callable[[np.ndarray], float], probs: np.ndarray, multi: bool) -> float:
    """The temperature at which probabilities (n, C) cost least."""
    from scipy.optimize import minimize_scalar

    found = scores(probs, multi)
    best = minimize_scalar(
        lambda log: cost(linked(found / np.exp(log), multi)),
        bounds=(np.log(SHARPEST), np.log(FLATTEST)),
        method="bounded",
        options={"xatol": 5e-3},
    )
    return float(np.exp(best.x))


def at_temperature(fitted: Fitted, probs: np.ndarray, multi: bool) -> np.ndarray:
    """`tempered` by what `fit_temperature` gave."""
    return tempered(probs, fitted["temperature"], multi)


def fit_clip(probs: np.ndarray, rows: np.ndarray, goal: Goal) -> Fitted:
    """`low` and `high`: the bounds with the lowest log loss, low first, then high.

    Where rows sum to 1 the lower bound alone: it bounds the largest probability as well.
    probs: (rows, C). Of very many rows some are drawn.
    """
    drawn = some(rows, probs.shape[1], 10 * MOST)
    probs, rows = probs[drawn], rows[drawn]
    fitted = {"low": 0.0, "high": 1.0}
    for key in ("low", "high") if goal.multi else ("low",):
        tries = [{**fitted, key: b if key == "low" else 1 - b} for b in BOUNDS]
        fitted = min(tries, key=lambda f: goal.cost(clipped(f, probs, goal.multi), rows))
    return fitted


def clipped(fitted: Fitted, probs: np.ndarray, multi: bool) -> np.ndarray:
    """Probabilities within the bounds; rows of one label sum to 1 again afterwards."""
    inside = np.clip(probs, fitted["low"], fitted["high"])
    return inside if multi else inside / inside.sum(axis=1, keepdims=True)


def reliability(hot: np.ndarray, probs: np.ndarray, multi: bool) -> list[dict[str, float]]:
    """The reliability curve: `confidence, accuracy, count` of each of 15 equal bins that has rows.

    Of the most probable class of each row, and of whether it is right; with many labels of every
    cell, and of whether the row has the label (Guo et al. 2017, section 2).

    hot: 0 or 1, (n, C). probs: (n, C).
    """
    if multi:
        confidence, right = probs.ravel(), (hot == 1).ravel()
    else:
        rows, best = np.arange(len(probs)), probs.argmax(axis=1)
        confidence, right = probs[rows, best], hot[rows, best] == 1
    number = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(number, minlength=BINS)
    sums = np.bincount(number, confidence, BINS), np.bincount(number, right, BINS)
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
