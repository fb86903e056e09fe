"""The metrics' rules on arrays: a value of each row, or a function of how often rows count."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from foldwise.config.metric import Metric
from foldwise.errors import PredictionError, SpecError

# how often each row counts (b, n) -> b values: all ones give the score, a bootstrap's counts the
# scores of its samples; NaN where there is none
Weighted = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Answers:
    """What a rule scores: truth and predictions of the same rows and classes.

    hot: 0 or 1, (n, C). probs: (n, C). multi: rows may have many labels. weights: of the columns,
    (C,); None where all count alike.
    """

    hot: np.ndarray
    probs: np.ndarray
    multi: bool
    weights: Sequence[float] | None = None

    def named(self, threshold: float) -> np.ndarray:
        """1 for the classes that are named, else 0, uint8 (n, C): with many labels those at or
        above the threshold, else the most probable one, of equal ones the first."""
        if self.multi:
            return (self.probs >= threshold).astype(np.uint8)
        return np.eye(self.hot.shape[1], dtype=np.uint8)[self.probs.argmax(axis=1)]


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
    chosen = probs[np.arange(len(codes)), codes]
    if rescale:
        sums = probs.sum(axis=1)
        if not (sums > 0).all():
            raise PredictionError(
                f"log loss: {int((~(sums > 0)).sum())} rows sum to 0 and cannot be rescaled"
            )
        chosen = chosen / sums
    return -np.log(np.clip(chosen, clip, 1 - clip))


def column_log_losses(
    hot: np.ndarray,
    probs: np.ndarray,
    clip: float = 1e-15,
    weights: Sequence[float] | None = None,
) -> np.ndarray:
    """The mean over classes of the binary log loss of each row, float64 (n,): multi-label.

    hot: 0 or 1, (n, C). probs: (n, C), clipped to [clip, 1 - clip]. weights: of classes.
    """
    probs = np.clip(np.asarray(probs, dtype=np.float64), clip, 1 - clip)
    cells = -np.log(np.where(hot == 1, probs, 1 - probs))
    return np.average(cells, axis=1, weights=weights)


def average_precisions(hot: np.ndarray, ranked: np.ndarray, k: int) -> np.ndarray:
    """The average precision at k of each row, float64 (n,); their mean is MAP@k.

    Kaggle's rule (evaluation page of hotel-id-2021-fgvc8, read 2026-11-22): the precision at each
    rank up to k that holds a true class not seen before, summed and divided by min(k, number of
    true classes). A row without a true class scores 0.

    hot: 0 or 1, (n, C). ranked: (n, C), the higher the earlier; 0 for classes not named.
    """
    hits = _first_hits(hot, ranked, k)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    possible = np.minimum(hot.sum(axis=1), k)
    return (precision * hits).sum(axis=1) / np.maximum(possible, 1)


def top_k_errors(hot: np.ndarray, ranked: np.ndarray, k: int) -> np.ndarray:
    """The share of each row's true classes that are not among its first k, float64 (n,).

    ILSVRC's rule (that of 2014 as quoted at stats.stackexchange.com/questions/129395, read
    2026-11-22): for each true label the smallest of the 0/1 distances to the k answers, averaged.
    With one label it is 0 or 1. A row without a true class has no error.

    hot and ranked: as in `average_precisions`.
    """
    missed = hot.sum(axis=1) - _first_hits(hot, ranked, k).sum(axis=1)
    return missed / np.maximum(hot.sum(axis=1), 1)


def _first_hits(hot: np.ndarray, ranked: np.ndarray, k: int) -> np.ndarray:
    """1 where the class at a rank is named and true, (n, min(k, C)); ties in class order."""
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(hot * (ranked > 0), order, axis=1)


def log_loss(metric: Metric, answers: Answers) -> np.ndarray:
    """`log_losses`, or with many labels `column_log_losses`."""
    if answers.multi:
        return column_log_losses(answers.hot, answers.probs, metric.clip, answers.weights)
    return log_losses(answers.hot.argmax(axis=1), answers.probs, metric.clip, metric.rescale)


def accuracy(metric: Metric, answers: Answers) -> np.ndarray:
    """1 for each right row; with many labels the share of right cells at the threshold, as
    fastai's accuracy_multi counts them."""
    if not answers.multi:
        right = answers.probs.argmax(axis=1) == answers.hot.argmax(axis=1)
        return right.astype(np.float64)
    right = (answers.probs >= metric.threshold) == (answers.hot == 1)
    return np.average(right, axis=1, weights=answers.weights)


def top_k_error(metric: Metric, answers: Answers) -> np.ndarray:
    """`top_k_errors` at the metric's k."""
    return top_k_errors(answers.hot, answers.probs, metric.k)


def mean_average_precision(metric: Metric, answers: Answers) -> np.ndarray:
    """`average_precisions` at the metric's k."""
    return average_precisions(answers.hot, answers.probs, metric.k)


def auc(metric: Metric, answers: Answers) -> Weighted:
    """The mean over columns of the area under the ROC curve.

    It is the chance that a positive row ranks above a negative one, ties counting one half
    (Fawcett 2006, "An introduction to ROC analysis", Pattern Recognition Letters 27(8)), as in
    scikit-learn. A column with rows of one kind only has none and is left out.
    """

    def of(positive: np.ndarray, every: np.ndarray) -> np.ndarray:
        above = np.cumsum(positive, axis=1) - positive / 2  # (b, ranks), best rank first
        negative = every - positive
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return _ratio((negative * above).sum(axis=1), pairs)

    return _mean_of_ranked_columns(answers, of)


def average_precision(metric: Metric, answers: Answers) -> Weighted:
    """The mean over columns of the average precision, the sum of (R_n - R_{n-1}) P_n.

    P_n and R_n are precision and recall at the n-th threshold, without interpolation
    (scikit-learn's average_precision_score, its documentation read 2026-11-22). A column without
    a positive row has none and is left out. Of two classes both are columns: to score one of them
    alone, give the other the weight 0.
    """

    def of(positive: np.ndarray, every: np.ndarray) -> np.ndarray:
        found, named = np.cumsum(positive, axis=1), np.cumsum(every, axis=1)
        precision = found / np.maximum(named, 1)  # nothing is found where nothing is named
        return _ratio((positive * precision).sum(axis=1), found[:, -1])

    return _mean_of_ranked_columns(answers, of)


def _mean_of_ranked_columns(
    answers: Answers, of: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Weighted:
    """The mean over columns of what `of` makes of how often positive rows, and rows at all, count
    at each of a column's ranks, both (b, ranks), most probable first."""
    columns = zip(answers.hot.T, answers.probs.T, strict=True)
    ranked = [_by_rank(hot == 1, scores) for hot, scores in columns]

    def at(times: np.ndarray) -> np.ndarray:
        return _column_mean(np.stack([of(*c(times)) for c in ranked], axis=1), answers.weights)

    return at


def _by_rank(
    hot: np.ndarray, scores: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
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

    def summed(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        every = np.add.reduceat(np.take(times, order, axis=1), starts, axis=1)
        positive = np.zeros_like(every)
        if len(first):
            rows = np.take(times, order_found, axis=1)
            positive[:, some] = np.add.reduceat(rows, first, axis=1)
        return positive, every

    return summed


def kappa(metric: Metric, answers: Answers) -> Weighted:
    """Quadratic weighted kappa of the class numbers in class order.

    1 - sum(w O) / sum(w E) with w = (i - j)^2, O the counts of truth i and answer j, and E those
    expected by chance (Cohen 1968, as Kaggle computes it: kagglesolutions.com, "Quadratic Weighted
    Kappa", read 2026-11-22). Both sums follow from sums over rows. Where everything is one class
    and is called so, it is 1.

    Raises: SpecError: rows may have many labels.
    """
    if answers.multi:
        raise SpecError('[metric] name = "kappa" needs one label per image; choose f1 or accuracy')
    true = answers.hot.argmax(axis=1).astype(np.float64)
    said = answers.probs.argmax(axis=1).astype(np.float64)
    rows = np.stack([np.ones_like(true), (true - said) ** 2, true, said, true**2 + said**2], axis=1)

    def at(times: np.ndarray) -> np.ndarray:
        count, observed, trues, saids, squares = (times @ rows).T
        expected = count * squares - 2 * trues * saids  # count times sum(w E); whole numbers
        return np.where(expected == 0, 1.0, 1 - _ratio(count * observed, expected))

    return at


def counted(metric: Metric, answers: Answers) -> np.ndarray | Weighted:
    """F-beta, precision or recall of the classes that are named.

    F-beta is (1 + beta²) tp / (beta² true + named), precision tp / named, recall tp / true
    (scikit-learn's fbeta_score, its documentation read 2026-11-22). micro: of all cells together;
    macro: the mean over classes that occur in truth or answers; weighted: the same, weighted by
    their rows; samples: the mean over rows. Nothing rightly answered with nothing scores 1; any
    other 0 / 0 is 0.
    """
    named = answers.named(metric.threshold)
    hits = answers.hot & named
    if metric.average == "samples":
        sums = (table.sum(axis=1, dtype=np.float64) for table in (hits, answers.hot, named))
        return np.nan_to_num(_rate(metric, *sums), nan=1.0)
    tables = [table.astype(np.float32) for table in (hits, answers.hot, named)]

    def at(times: np.ndarray) -> np.ndarray:
        single = times.astype(np.float32)  # its whole numbers are exact up to 16 million rows
        counts = [(single @ table).astype(np.float64) for table in tables]  # each (b, C)
        if metric.average == "micro":
            return np.nan_to_num(_rate(metric, *(c.sum(axis=1) for c in counts)), nan=1.0)
        rates = _rate(metric, *counts)
        if metric.average == "macro":
            return np.nan_to_num(_column_mean(rates, answers.weights), nan=1.0)
        value = _column_mean(rates, counts[1])
        return np.where(np.isnan(value), counts[2].sum(axis=1) == 0, value)

    return at


def _rate(metric: Metric, hits: np.ndarray, true: np.ndarray, named: np.ndarray) -> np.ndarray:
    """F-beta, precision or recall from counts; NaN where there was nothing, 0 for any other 0/0."""
    weight = metric.beta**2
    whole = {"precision": named, "recall": true}.get(metric.name, weight * true + named)
    factor = 1 + weight if metric.name == "f1" else 1.0
    return np.where(true + named == 0, np.nan, factor * hits / np.where(whole == 0, 1, whole))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole; NaN where whole is 0."""
    return part / np.where(whole == 0, np.nan, whole)


def _column_mean(values: np.ndarray, weights: Sequence[float] | np.ndarray | None) -> np.ndarray:
    """The weighted mean over the columns of values (b, C) that are known; NaN where none counts."""
    known = ~np.isnan(values)
    share = known * (1.0 if weights is None else np.asarray(weights, dtype=np.float64))
    return _ratio((share * np.where(known, values, 0)).sum(axis=1), share.sum(axis=1))
