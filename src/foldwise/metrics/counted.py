"""Metrics of what is named and what is not: accuracy, F-beta, precision, recall."""

from typing import ClassVar, Literal

import numpy as np
from pydantic import model_validator

from foldwise.arrays import Array
from foldwise.kinds.answer import Answer
from foldwise.kinds.bounds import Amount, Inside
from foldwise.kinds.metric import METRICS, Answers, Weighted
from foldwise.metrics.columns import ColumnMetric, column_mean, column_value


class Named(ColumnMetric):
    """A metric of the classes that are named."""

    reads: ClassVar[Answer] = "labels"

    # With many labels: the probability from which on a class is named. Example: 0.4
    threshold: Inside = 0.5

    @property
    def cutoff(self) -> float | None:
        """The threshold."""
        return self.threshold


class Accuracy(Named):
    """The share of right rows; with many labels of right cells (fastai's accuracy_multi)."""

    of_one_label: ClassVar[bool] = False

    name: Literal["accuracy"] = "accuracy"

    def rule(self, answers: Answers) -> Array:
        """1 for each right row; with many labels the share of right cells at the threshold."""
        if answers.task.sums_to_one:
            right = answers.block.argmax(axis=1) == answers.targets.values
            return np.asarray(right, dtype=np.float64)
        right = (answers.block >= self.threshold) == (answers.marks == 1)
        return np.average(right, axis=1, weights=answers.weights)


class Counted(Named):
    """A rate of three counts: rightly named, true, and named.

    micro: of all cells together; macro: the mean over classes that occur in truth or answers;
    weighted: the same, weighted by their rows; samples: the mean over rows. Nothing rightly
    answered with nothing scores 1; any other 0 / 0 is 0.
    """

    # Of all cells together (`micro`), the mean over classes (`macro`), that weighted by their rows
    # (`weighted`), or the mean over rows (`samples`). Example: "macro"
    average: Literal["micro", "macro", "weighted", "samples"] = "micro"

    @model_validator(mode="after")
    def _mean_over_columns(self) -> "Counted":
        if self.weights and self.average != "macro":
            raise ValueError(
                f'[metric] weights: {METRICS.name_of(self)} with average = "{self.average}" is no '
                "mean over columns; remove them, or choose log_loss, accuracy, auc, "
                'average_precision, or average = "macro"'
            )
        return self

    @property
    def plain_title(self) -> str:
        """The average, then the rate."""
        average = {"samples": "per-row"}.get(self.average, self.average)
        return f"{average} {self.rate_title}"

    @property
    def rate_title(self) -> str:
        """The rate's name for people."""
        return METRICS.name_of(self)

    def rate(self, hits: Array, true: Array, named: Array) -> Array:
        """The rate where something is true or named."""
        raise NotImplementedError

    def rule(self, answers: Answers) -> Array | Weighted:
        """See the class."""
        named = answers.name_classes(self.threshold)
        hits = answers.marks & named
        if self.average == "samples":
            sums = (table.sum(axis=1, dtype=np.float64) for table in (hits, answers.marks, named))
            return np.nan_to_num(self._known_rate(*sums), nan=1.0)
        tables = [table.astype(np.float32) for table in (hits, answers.marks, named)]

        def at(times: Array) -> Array:
            single = times.astype(np.float32)  # its whole numbers are exact up to 16 million rows
            counts = [(single @ table).astype(np.float64) for table in tables]  # each (b, C)
            if self.average == "micro":
                return np.nan_to_num(self._known_rate(*(c.sum(axis=1) for c in counts)), nan=1.0)
            rates = self._known_rate(*counts)
            if self.average == "macro":
                return np.nan_to_num(column_mean(rates, answers.weights), nan=1.0)
            value = column_mean(rates, counts[1])
            return np.where(np.isnan(value), counts[2].sum(axis=1) == 0, value)

        return at

    def class_values(self, answers: Answers) -> list[float | None]:
        """The rate of each class; None where it neither occurs nor is named."""
        alone = self.model_copy(update={"average": "macro", "weights": {}})
        columns = zip(answers.marks.T, answers.name_classes(self.threshold).T, strict=True)
        return [
            column_value(alone, hot, named) if hot.any() or named.any() else None
            for hot, named in columns
        ]

    def _known_rate(self, hits: Array, true: Array, named: Array) -> Array:
        """The rate; NaN where there was nothing."""
        return np.where(true + named == 0, np.nan, self.rate(hits, true, named))


class FBeta(Counted):
    """F1, or another F-beta: the weighted harmonic mean of precision and recall.

    (1 + beta²) tp / (beta² true + named) (scikit-learn's fbeta_score, its documentation read
    2026-11-22).
    """

    name: Literal["f1"] = "f1"
    beta: Amount = 1.0  # How much recall counts against precision; 2 makes it F2. Example: 2.0

    @property
    def rate_title(self) -> str:
        """With its beta."""
        return f"F{self.beta:g}"

    def rate(self, hits: Array, true: Array, named: Array) -> Array:
        """See the class."""
        weight = self.beta**2
        return (1 + weight) * hits / _or_one(weight * true + named)


class Precision(Counted):
    """Precision: the share of the predicted labels that are right."""

    name: Literal["precision"] = "precision"

    def rate(self, hits: Array, true: Array, named: Array) -> Array:
        """See the class."""
        return hits / _or_one(named)


class Recall(Counted):
    """Recall: the share of the true labels that are predicted."""

    name: Literal["recall"] = "recall"

    def rate(self, hits: Array, true: Array, named: Array) -> Array:
        """See the class."""
        return hits / _or_one(true)


def _or_one(whole: Array) -> Array:
    """The numbers, 1 for each 0: whatever is divided by it is 0 itself."""
    return np.where(whole == 0, 1, whole)
