"""Metrics on frames aligned by id, by the platforms' published rules."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from foldwise.config.metric import Metric
from foldwise.errors import PredictionError, SpecError, examples
from foldwise.kinds.columns import OWN, classes_of, columns_of
from foldwise.metrics import rules
from foldwise.metrics.intervals import bootstrap_interval, resampled, resampled_interval
from foldwise.metrics.rules import Answers, Weighted
from foldwise.store.predictions import align, check_predictions

log = logging.getLogger(__name__)

WHAT = "predictions to score"
SUM_TOLERANCE = 1e-5  # rows may sum to 1 within this where they are not rescaled
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


# Each gives a value per row, whose mean is the score, or a function of how often each row counts.
METRICS: dict[str, Callable[[Metric, Answers], np.ndarray | Weighted]] = {
    "log_loss": rules.log_loss,
    "accuracy": rules.accuracy,
    "top_k_error": rules.top_k_error,
    "auc": rules.auc,
    "average_precision": rules.average_precision,
    "kappa": rules.kappa,
    "f1": rules.counted,
    "precision": rules.counted,
    "recall": rules.counted,
    "map": rules.mean_average_precision,
}
RANKED = ("auc", "average_precision")  # only the order within a column counts
COUNTED = ("f1", "precision", "recall")  # of classes that are named or not


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
    return _value(metric, _result(metric, hot, probs, multi, classes), len(hot))


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
    result = _result(metric, hot, probs, multi, classes)
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
    if metric.name == "hook" and hook is None:
        raise SpecError('[metric] name = "hook" needs score(truth, predictions) in adapter.py')
    if metric.name == "hook" and hook is not None:
        classes = _classes_of(truth)
        predictions = align(check_predictions(predictions, classes, WHAT), truth["id"], WHAT)
        return Score(float(hook(truth, predictions)))
    result, hot, groups = _measured(metric, truth, predictions, warn=interval)
    value = _value(metric, result, len(hot))
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
    if metric.name == "hook":
        return None
    result, hot, groups = _measured(metric, truth, predictions, warn=False)
    if isinstance(result, np.ndarray):
        return None
    rows, samples = len(hot), int(np.clip(WORK // hot.size, *SAMPLES)) // 2
    units = rows if groups is None else len(np.unique(groups))
    whole = _value(metric, result, rows)

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
    _check_sums(metric, predictions["id"], probs, multi)
    result = _result(metric, hot, probs, multi, classes)
    if warn:
        _warn_of_constants(metric, probs, classes)
    grouped = "group" in truth.columns and truth["group"].notna().all()
    return result, hot, truth["group"].to_numpy() if grouped else None


def _result(
    metric: Metric, hot: np.ndarray, probs: np.ndarray, multi: bool, classes: Sequence[str]
) -> np.ndarray | Weighted:
    """What the metric's rule gives."""
    weights = metric.column_weights(classes, multi)
    return METRICS[metric.name](metric, Answers(hot, probs, multi, weights))


def _value(metric: Metric, result: np.ndarray | Weighted, rows: int) -> float:
    """The score itself. Raises: PredictionError: there is none."""
    if isinstance(result, np.ndarray):
        return float(result.mean())
    value = float(result(np.ones((1, rows)))[0])
    if np.isnan(value):
        kinds = "both positive and negative" if metric.name == "auc" else "positive"
        raise PredictionError(
            f"{metric.title} needs a class with {kinds} rows, there is none among {rows} rows"
        )
    return value


def _check_sums(metric: Metric, ids: "pd.Series[str]", probs: np.ndarray, multi: bool) -> None:
    """Raises: PredictionError: log loss takes the rows as they are, and they do not sum to 1.

    With `rescale` any sum above 0 will do, as on Kaggle.
    """
    if metric.name != "log_loss" or metric.rescale or multi:
        return
    sums = probs.sum(axis=1, dtype=np.float64)
    off = np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
    if len(off):
        raise PredictionError(
            f"{WHAT}: every row should sum to 1 within {SUM_TOLERANCE:g}, since [metric] rescale "
            f"is false; {len(off)} of {len(sums)} do not, e.g. id {ids.iloc[off[0]]!r} sums to "
            f"{sums[off[0]]:.9g}; divide each row by its sum"
        )


def _warn_of_constants(metric: Metric, probs: np.ndarray, classes: Sequence[str]) -> None:
    """Warn of columns that rank no row above another."""
    constant = [name for name, column in zip(classes, probs.T, strict=True) if not np.ptp(column)]
    if metric.name in RANKED and constant:
        chance = "0.5" if metric.name == "auc" else "the share of its positive rows"
        log.warning(
            "%s: %d of %d classes have one prediction for all rows (%s); the %s of such a "
            "class is %s",
            WHAT,
            len(constant),
            len(classes),
            examples(constant),
            metric.title,
            chance,
        )
