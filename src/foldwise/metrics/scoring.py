"""Metrics on frames aligned by id, by the platforms' published rules."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.errors import PredictionError, SpecError, examples
from foldwise.kinds.columns import columns_of
from foldwise.kinds.metric import METRICS, Answers, Metric, Scorer, Weighted
from foldwise.metrics.intervals import Samples, bootstrap_interval, resample, resampled_interval
from foldwise.store.predictions import align, check_predictions
from foldwise.tasks import Task, task_in

log = logging.getLogger(__name__)

WHAT = "predictions to score"
BOOTSTRAP_SAMPLES = (200, 1000)  # bootstrap samples of what is no mean over rows: fewest, most
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


def score(
    metric: Metric,
    truth: pd.DataFrame,
    predictions: pd.DataFrame,
    hook: Scorer | None = None,
    interval: bool = True,
) -> Score:
    """The competition's metric; `metric.higher` says which way is better.

    truth: `id`, then `label` (Categorical in class order) or one 0/1 column per class; and `group`
    where rows belong together: the interval then resamples groups. predictions: `id, *classes` as
    `SubmissionFormat.decide` gives them; rows are matched by id.
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
        given = _align(task_in(truth), predictions, truth["id"])
        return Score(float(hook(truth, given)))
    result, answers, groups = _measure(metric, truth, predictions, warn=interval)
    rows = len(answers.targets)
    value = metric.score_of(result, rows)
    if not interval:
        return Score(value)
    if isinstance(result, np.ndarray):
        low, high = bootstrap_interval(result, groups)
    else:
        samples = int(np.clip(WORK // answers.block.size, *BOOTSTRAP_SAMPLES))
        low, high = resampled_interval(result, rows, groups, samples=samples)
    return Score(value=value, low=low, high=high)


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
    result, answers, groups = _measure(metric, truth, predictions, warn=False)
    if isinstance(result, np.ndarray):
        return None
    rows = len(answers.targets)
    samples = int(np.clip(WORK // answers.block.size, *BOOTSTRAP_SAMPLES)) // 2
    units = rows if groups is None else len(np.unique(groups))
    whole = metric.score_of(result, rows)

    @cache  # halves of a board are often alike
    def of(size: int) -> tuple[float, float]:
        small = Samples(count=samples, size=size)
        same = resample(result, rows, groups, small)
        if size < units:
            parts = resample(result, rows, groups, replace(small, replace=False))
            shift = np.nanmean(parts) - whole
        else:
            large = resample(result, rows, groups, Samples(count=samples))
            shift = np.nanmean(same) - np.nanmean(large)
        return float(shift), float(np.nanstd(same, ddof=1))

    return [of(size) for size in sizes]


def _measure(
    metric: Metric, truth: pd.DataFrame, predictions: pd.DataFrame, warn: bool
) -> tuple[Array | Weighted, Answers, Array | None]:
    """What the metric's rule gives, what it scored, and groups, if all rows have one."""
    task = task_in(truth)
    rows = _align(task, predictions, truth["id"])
    block = rows[columns_of(task.columns)].to_numpy()
    answers = metric.answers(task, task.targets(truth), block)
    metric.check(answers, rows["id"], WHAT)
    result = metric.rule(answers)
    if warn:
        _warn_of_constants(metric, block, task.columns)
    grouped = "group" in truth.columns and truth["group"].notna().all()
    return result, answers, truth["group"].to_numpy() if grouped else None


def _align(task: Task, predictions: pd.DataFrame, ids: "pd.Series[str]") -> pd.DataFrame:
    """Predictions in the order of ids. Raises: PredictionError: they are none of the task's."""
    rows = align(check_predictions(predictions, task.columns, WHAT), ids, WHAT)
    block = rows[columns_of(task.columns)].to_numpy()
    unfit = task.unfit(block)
    if unfit.any():
        first = ", ".join(f"{value:g}" for value in block[unfit][0][:3])
        raise PredictionError(
            f"{WHAT}: {unfit.sum()} of {len(rows)} rows hold numbers that are no predictions of a "
            f"{task.name} task, e.g. id {examples(rows.loc[unfit, 'id'], 1)}: {first}; give "
            "probabilities of 0 to 1"
        )
    return rows


def _warn_of_constants(metric: Metric, probs: Array, classes: Sequence[str]) -> None:
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
