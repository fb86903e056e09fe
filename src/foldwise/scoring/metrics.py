"""Metrics on frames aligned by id, by the platforms' published rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.predictions import align
from foldwise.errors import PredictionError, SpecError
from foldwise.scoring.intervals import bootstrap_interval
from foldwise.spec.competition import Metric


@dataclass(frozen=True)
class Score:
    """A metric's value with its 95 % bootstrap interval (None where there is none)."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.value:.5f}"
        return f"{self.value:.5f} (95 % interval {self.low:.5f} to {self.high:.5f})"


def log_losses(
    codes: np.ndarray, probs: np.ndarray, clip: float = 1e-15, rescale: bool = True
) -> np.ndarray:
    """The log loss of each row, float64 (n,).

    Kaggle's published rule (its wiki's "Multi Class Log Loss", read 2026-11-22): each row is
    divided by its sum, then p becomes max(min(p, 1 - clip), clip); the loss is -ln of the true
    class's p. A uniform row over C classes scores ln C.

    codes: (n,) class numbers in class order. probs: (n, C).
    """
    probs = np.asarray(probs, dtype=np.float64)
    if rescale:
        sums = probs.sum(axis=1, keepdims=True)
        if not (sums > 0).all():
            raise PredictionError(
                f"log loss: {int((sums <= 0).sum())} rows sum to 0 and cannot be rescaled"
            )
        probs = probs / sums
    chosen = np.clip(probs[np.arange(len(codes)), codes], clip, 1 - clip)
    return -np.log(chosen)


def score(
    metric: Metric,
    truth: pd.DataFrame,
    predictions: pd.DataFrame,
    hook: Callable[..., Any] | None = None,
    interval: bool = True,
) -> Score:
    """The competition's metric; lower is better for log loss.

    truth: `id, label` (Categorical in class order), and `group` where rows belong together: the
    interval then resamples groups. predictions: `id, *classes`; rows are matched by id.

    Raises: PredictionError: ids differ. SpecError: the metric is a hook that does not exist.
    """
    predictions = align(predictions, truth["id"], "predictions to score")
    classes = list(truth["label"].cat.categories)
    if metric.name == "hook":
        if hook is None:
            raise SpecError('[metric] name = "hook" needs score(truth, predictions) in adapter.py')
        return Score(float(hook(truth, predictions)))
    codes = truth["label"].cat.codes.to_numpy(dtype=np.int64)
    losses = log_losses(codes, predictions[classes].to_numpy(), metric.clip, metric.rescale)
    if not interval:
        return Score(float(losses.mean()))
    groups = truth["group"] if "group" in truth.columns and truth["group"].notna().all() else None
    low, high = bootstrap_interval(losses, None if groups is None else groups.to_numpy())
    return Score(float(losses.mean()), low, high)
