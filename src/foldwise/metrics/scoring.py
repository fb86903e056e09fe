"""Metrics on frames aligned by id, by the platforms' published rules."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from foldwise.errors import SpecError, examples
from foldwise.kinds.columns import OWN, classes_of, columns_of
from foldwise.kinds.metric import METRICS, Answers, Metric, Weighted
from foldwise.metrics.intervals import bootstrap_interval, resampled, resampled_interval
from foldwise.store.predictions import align, check_predictions

log = logging.getLogger(__name__)

WHAT = "predictions to score"
SAMPLES = (200, 1000)  # bootstrap samples of what is no mean over rows: fewest, most
WORK = 200_000_000  # fewer than the most where samples times cells of the table exceed this


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


def metric_value(
    metric: Metric,
    hot: np.ndarray,
    probs: np.ndarray,
    multi: bool,
    classes: Sequence[str] = (),
) -> float:
    """The metric on arrays, without an interval; what a blender calls many times.

    hot: 0 or 1, whole numbers (n, C), rows and classes as in probs (n, C). multi: rows may have
    many labels. classes: in class order; only a metric with `weights` needs them.

    Raises: PredictionError: it has no value. SpecError: the weights do not fit the classes.
    """
    return metric.value(_answers(metric, hot, probs, multi, classes))


def row_values(
    metric: Metric,
    hot: np.ndarray,
    probs: np.ndarray,
    multi: bool,
    classes: Sequence[str] = (),
) -> np.ndarray | None:
    """The values (n,) whose mean is the metric; None where it is no mean over rows.

    Arguments and errors: see `metric_value`.
    """
    result = metric.rule(_answers(metric, hot, probs, multi, classes))
    return result if isinstance(result, np.ndarray) else None


def score(
    metric: Metric,
    truth: pd.DataFrame,
    predictions: pd.DataFrame,
    hook: Callable[..., Any] | None = None,
    interval: bool = True,
) -> Score:
    """The competition's metric; `metric.higher` says which way is better.

    truth: `id`, then `label` (Categorical in class order) or one 0/1 column per class; and `group`
    where rows belong together: the interval then resamples groups. predictions: `id, *classes` as
    `SubmissionFormat.decided` gives them; rows are matched by id.
    interval: by 2000 bootstrap samples for means over rows; for other metrics by 1000, where the
    table is large by fewer, 200 at least. A hook has none. Without it nothing is warned of either.

    Raises: PredictionError: ids or classes differ, a number is no probability, rows do not sum to
            1 and the metric does not rescale them, or there is no value.
            SpecError: the metric is a hook that does not exist, or its weights do not fit.
    """
    if metric.hook is not None:
        if hook is None:
            name = METRICS.name_of(metric)
            raise SpecError(
                f'[metric] name = "{name}" needs {metric.hook}(truth, predictions) in adapter.py'
            )
        classes = _classes_of(truth)
        predictions = align(check_predictions(predictions, classes, WHAT), truth["id"], WHAT)
        return Score(float(hook(truth, predictions)))
    result, hot, groups = _measured(metric, truth, predictions, warn=interval)
    value = metric.score_of(result, len(hot))
    if not interval:
        return Score(value)
    if isinstance(result, np.ndarray):
        return Score(value, *bootstrap_interval(result, groups))
    samples = int(np.clip(WORK // hot.size, *SAMPLES))
    return Score(value, *resampled_interval(result, len(hot), groups, samples=samples))


def of_smaller(
    metric: Metric, truth: pd.DataFrame, predictions: pd.DataFrame, sizes: Sequence[int]
) -> list[tuple[float, float]] | None:
    """How a table of each of some sizes (groups, or rows) would score: the difference to this one
    in the mean, and the standard error. None where both follow from this one's interval.

    A macro F1 of a hundred classes is lower on a hundred rows than on a thousand of their kind. The
    errors are those of bootstrap samples of that many rows or groups (m out of n: Bickel, Götze
    and van Zwet 1997, Statistica Sinica 7(1)), the differences those of samples
    without replacement, as a board is one; of larger tables bootstrap samples have to do.
    Arguments: see `score`.
    """
    if metric.hook is not None:
        return None
    result, hot, groups = _measured(metric, truth, predictions, warn=False)
    if isinstance(result, np.ndarray):
        return None
    rows, samples = len(hot), int(np.clip(WORK // hot.size, *SAMPLES)) // 2
    units = rows if groups is None else len(np.unique(groups))
    whole = metric.score_of(result, rows)

    @cache  # halves of a board are often alike
    def of(size: int) -> tuple[float, float]:
        same = resampled(result, rows, groups, samples, size=size)
        if size < units:
            parts = resampled(result, rows, groups, samples, size=size, replace=False)
            shift = np.nanmean(parts) - whole
        else:
            shift = np.nanmean(same) - np.nanmean(resampled(result, rows, groups, samples))
        return float(shift), float(np.nanstd(same, ddof=1))

    return [of(size) for size in sizes]


def _classes_of(truth: pd.DataFrame) -> list[str]:
    """The classes of a truth, in class order."""
    if "label" in truth.columns:
        return list(truth["label"].cat.categories)
    return classes_of([c for c in truth.columns if c not in OWN])


def _measured(
    metric: Metric, truth: pd.DataFrame, predictions: pd.DataFrame, warn: bool
) -> tuple[np.ndarray | Weighted, np.ndarray, np.ndarray | None]:
    """What the metric's rule gives, the labels as 0 or 1, (n, C), and groups, if all have one."""
    classes, multi = _classes_of(truth), "label" not in truth.columns
    predictions = align(check_predictions(predictions, classes, WHAT), truth["id"], WHAT)
    probs = predictions[columns_of(classes)].to_numpy()
    if multi:
        hot = truth[columns_of(classes)].to_numpy(dtype=np.uint8)
    else:
        hot = np.eye(len(classes), dtype=np.uint8)[truth["label"].cat.codes]
    answers = _answers(metric, hot, probs, multi, classes)
    metric.check(answers, predictions["id"], WHAT)
    result = metric.rule(answers)
    if warn:
        _warn_of_constants(metric, probs, classes)
    grouped = "group" in truth.columns and truth["group"].notna().all()
    return result, hot, truth["group"].to_numpy() if grouped else None


def _answers(
    metric: Metric, hot: np.ndarray, probs: np.ndarray, multi: bool, classes: Sequence[str]
) -> Answers:
    """What the metric's rule scores."""
    return Answers(hot, probs, multi, metric.column_weights(classes, multi))


def _warn_of_constants(metric: Metric, probs: np.ndarray, classes: Sequence[str]) -> None:
    """Warn of columns that rank no row above another."""
    if metric.of_constants is None:
        return
    constant = [name for name, column in zip(classes, probs.T, strict=True) if not np.ptp(column)]
    if constant:
        log.warning(
            "%s: %d of %d classes have one prediction for all rows (%s); the %s of such a "
            "class is %s",
            WHAT,
            len(constant),
            len(classes),
            examples(constant),
            metric.title,
            metric.of_constants,
        )
