"""Areas under curves: only the order of rows within a column counts."""

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np

from foldwise.arrays import Array
from foldwise.kinds.answer import Answer
from foldwise.kinds.metric import Answers, Weighted
from foldwise.metrics.columns import ColumnMetric, column_mean, ratio


class Auc(ColumnMetric):
    """The area under the ROC curve; the mean over classes.

    It is the chance that a positive row ranks above a negative one, ties counting one half
    (Fawcett 2006, "An introduction to ROC analysis", Pattern Recognition Letters 27(8)), as in
    scikit-learn. A column with rows of one kind only has none and is left out.
    """

    reads: ClassVar[Answer] = "ranking"
    needed: ClassVar[str] = "both positive and negative"
    of_constants: ClassVar[str | None] = "0.5"

    name: Literal["auc"] = "auc"

    @property
    def plain_title(self) -> str:
        """Which of the areas it is."""
        return "ROC AUC"

    def rule(self, answers: Answers) -> Weighted:
        """See the class."""

        def of(positive: Array, every: Array) -> Array:
            above = np.cumsum(positive, axis=1) - positive / 2  # (b, ranks), best rank first
            negative = every - positive
            pairs = positive.sum(axis=1) * negative.sum(axis=1)
            return ratio((negative * above).sum(axis=1), pairs)

        return _mean_of_ranked_columns(answers, of)


class AveragePrecision(ColumnMetric):
    """The average precision; the mean over classes.

    It is the sum of (R_n - R_{n-1}) P_n, with P_n and R_n the precision and recall at the n-th
    threshold, without interpolation (scikit-learn's average_precision_score, its documentation read
    2026-11-22). A column without a positive row has none and is left out. Of two classes both are
    columns: to score one of them alone, give the other the weight 0.
    """

    reads: ClassVar[Answer] = "ranking"
    of_constants: ClassVar[str | None] = "the share of its positive rows"

    name: Literal["average_precision"] = "average_precision"

    def rule(self, answers: Answers) -> Weighted:
        """See the class."""

        def of(positive: Array, every: Array) -> Array:
            found, named = np.cumsum(positive, axis=1), np.cumsum(every, axis=1)
            precision = found / np.maximum(named, 1)  # nothing is found where nothing is named
            return ratio((positive * precision).sum(axis=1), found[:, -1])

        return _mean_of_ranked_columns(answers, of)


def _mean_of_ranked_columns(answers: Answers, of: Callable[[Array, Array], Array]) -> Weighted:
    """The mean over columns of what `of` makes of how often positive rows, and rows at all, count
    at each of a column's ranks, both (b, ranks), most probable first."""
    columns = zip(answers.marks.T, answers.block.T, strict=True)
    ranked = [_by_rank(hot == 1, scores) for hot, scores in columns]

    def at(times: Array) -> Array:
        return column_mean(np.stack([of(*c(times)) for c in ranked], axis=1), answers.weights)

    return at


def _by_rank(hot: Array, scores: Array) -> Callable[[Array], tuple[Array, Array]]:
    """A function of how often each row counts that sums positive rows, and all, by rank.

    Equal scores share a rank; so do neighbours without a positive row, between which neither
    metric tells.
    """
    order = np.argsort(-scores)  # the order of equal scores does not matter
    hot = hot[order]
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) != 0])
    some = np.logical_or.reduceat(hot, starts)
    starts = starts[some | np.r_[True, some[:-1]]]
    found = np.add.reduceat(hot, starts, dtype=np.int64)
    some = found > 0
    first, order_found = (np.cumsum(found) - found)[some], order[hot]

    def summed(times: Array) -> tuple[Array, Array]:
        every = np.add.reduceat(np.take(times, order, axis=1), starts, axis=1)
        positive = np.zeros_like(every)
        if len(first):
            rows = np.take(times, order_found, axis=1)
            positive[:, some] = np.add.reduceat(rows, first, axis=1)
        return positive, every

    return summed
