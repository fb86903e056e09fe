"""Metrics of the first classes of a ranking of each row's own."""

from typing import ClassVar, Literal

import numpy as np

from foldwise.arrays import Array
from foldwise.kinds.answer import Answer
from foldwise.kinds.bounds import Count
from foldwise.kinds.metric import Answers, Metric


class MeanAveragePrecision(Metric):
    """MAP@k: the mean over rows of the average precision of the k most probable classes."""

    reads: ClassVar[Answer] = "ranking"

    name: Literal["map"] = "map"
    k: Count = 5  # How many classes of a row are looked at, the most probable first. Example: 3

    @property
    def title(self) -> str:
        """With its k."""
        return f"MAP@{self.k}"

    def rule(self, answers: Answers) -> Array:
        """`average_precisions` at k."""
        return average_precisions(answers.marks, answers.block, self.k)


class TopKError(Metric):
    """The share of rows whose class is not among the k most probable ones."""

    better: ClassVar[Literal["higher", "lower"]] = "lower"
    reads: ClassVar[Answer] = "ranking"

    name: Literal["top_k_error"] = "top_k_error"
    k: Count = 5  # How many classes of a row are looked at, the most probable first. Example: 3

    @property
    def title(self) -> str:
        """With its k."""
        return f"top-{self.k} error"

    def rule(self, answers: Answers) -> Array:
        """`top_k_errors` at k."""
        return top_k_errors(answers.marks, answers.block, self.k)


def average_precisions(hot: Array, ranked: Array, k: int) -> Array:
    """The average precision at k of each row, float64 (n,); their mean is MAP@k.

    Kaggle's rule (evaluation page of hotel-id-2021-fgvc8, read 2026-11-22): the precision at each
    rank up to k that holds a true class not seen before, summed and divided by min(k, number of
    true classes). A row without a true class scores 0.

    hot: 0 or 1, (n, C). ranked: (n, C), the higher the earlier; 0 for classes not named.
    """
    hits = _first_hits(hot, ranked, k)
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    possible = np.minimum(hot.sum(axis=1), k)
    return np.asarray((precision * hits).sum(axis=1) / np.maximum(possible, 1))


def top_k_errors(hot: Array, ranked: Array, k: int) -> Array:
    """The share of each row's true classes that are not among its first k, float64 (n,).

    ILSVRC's rule (that of 2014 as quoted at stats.stackexchange.com/questions/129395, read
    2026-11-22): for each true label the smallest of the 0/1 distances to the k answers, averaged.
    With one label it is 0 or 1. A row without a true class has no error.

    hot and ranked: as in `average_precisions`.
    """
    missed = hot.sum(axis=1) - _first_hits(hot, ranked, k).sum(axis=1)
    return np.asarray(missed / np.maximum(hot.sum(axis=1), 1))


def _first_hits(hot: Array, ranked: Array, k: int) -> Array:
    """1 where the class at a rank is named and true, (n, min(k, C)); ties in class order."""
    order = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(hot * (ranked > 0), order, axis=1)
