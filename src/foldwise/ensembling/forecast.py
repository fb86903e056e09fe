"""What a board should say of a blend, from its OOF score: the test set is other rows, more models.

An OOF row is predicted by the models of one fold, a test row by those of all folds, averaged; and
a board has a sample of its own.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from foldwise.arrays import Array
from foldwise.data.labels.table import LabelTable
from foldwise.ensembling.pooling import Pool
from foldwise.errors import PredictionError
from foldwise.kinds.goal import Goal
from foldwise.kinds.metric import Metric
from foldwise.kinds.task import TINY, Known
from foldwise.metrics.scoring import Score

NORMAL = 1.959964  # standard errors of a 95 % interval, to a side
DRAWS, WORK = 20, 100_000_000  # of labels: at most; cells of the table times folds times draws


def averaging_gain(pool: Pool, final: Array, weights: Sequence[float] | None = None) -> float:
    """By how much, in nats, the log loss of the folds' mean should be below that of one fold.

    The expectation of one fold's loss less the mean's, a mean over rows, with many labels over
    cells; no label of these rows is needed. Were the labels drawn from the mean as it is, it would
    be the generalised Jensen-Shannon divergence of the folds' predictions (Lin, Divergence measures
    based on the Shannon entropy, 1991).

    final: the predictions that are submitted (n, C). weights: of the columns, with many labels.
    """
    if not len(final):
        return 0.0
    task = pool.task
    gained = np.log(np.clip(task.outcomes(final), TINY, 1)) - pool.logs
    return task.expect(pool.likely(), gained, weights)


def drawn_gain(
    goal: Goal,
    oof: Array,
    pool: Pool,
    final: Array,
    folds: Iterable[Array],
    count: int,
) -> float:
    """By how much any other metric should be better for the folds' mean than for one fold.

    The mean over drawn labels of what `final` scores better than `folds`, predictions (n, C) of
    each of count folds. Draws for which the metric has no value are left out. oof: predictions of
    the goal's rows.
    """
    metric, task, likely = goal.metric, goal.task, pool.likely()
    if not len(final) or metric.hook is not None:
        return 0.0
    rng, known = (
        np.random.default_rng(0),
        Known(targets=goal.targets, block=oof, spread=pool.spread),
    )
    draws = int(np.clip(WORK // ((count + 1) * likely.size), 1, DRAWS))
    truths = [task.draw(likely, known, rng) for _ in range(draws)]

    def values(probs: Array) -> Array:
        answers, found = goal.format.settings.decide(probs), []
        for truth in truths:
            try:
                found.append(metric.value(metric.answers(task, truth, answers)))
            except PredictionError:
                found.append(np.nan)
        return np.array(found)

    gained = values(final) - np.mean([values(probs) for probs in folds], axis=0)
    gained = gained[np.isfinite(gained)] * (1 if metric.higher else -1)
    return float(gained.mean()) if len(gained) else 0.0


def units_of(table: LabelTable, train: LabelTable) -> int:
    """How much independent evidence a table is: its rows, or, where the training rows have groups,
    groups. Where the table has none, they are taken to be as large as those of train."""
    if train.frame["group"].isna().any():
        return len(table)
    if table.frame["group"].notna().all():
        return int(table.frame["group"].nunique())
    share = len(table) / len(train)
    return max(int(share > 0), round(share * train.frame["group"].nunique()))


def expected_score(
    own: Score,
    gain: float,
    metric: Metric,
    units: int,
    size: int,
    smaller: tuple[float, float] | None = None,
) -> Score:
    """The score that a board, or a part of it, should show, and where it lies in 95 of 100 cases.

    The OOF score with the gain of averaging; its standard error and that of a sample of the board's
    size add up as variances do. Both stay within the metric's range.

    own: the OOF score. units: how many rows, or groups, it comes from; size: those of the board.
    smaller: see `of_smaller`; None: the metric is a mean over rows.
    """
    shift, error = smaller or (0.0, None)
    value = own.value + (gain if metric.higher else -gain) + shift
    least, most = metric.range
    middle = min(max(value, least), most)
    if own.low is None or own.high is None or not size:
        return Score(middle)
    its = (own.high - own.low) / (2 * NORMAL)
    error = its * (units / size) ** 0.5 if error is None else error
    reach = NORMAL * (its**2 + error**2) ** 0.5
    return Score(value=middle, low=max(value - reach, least), high=min(value + reach, most))
