"""Metrics of numbers: how far predictions are from the truth."""

from typing import ClassVar, Literal

import numpy as np

from foldwise.arrays import Array
from foldwise.kinds.answer import Answer
from foldwise.kinds.metric import Answers, Metric, Weighted


class NumberMetric(Metric):
    """The mean over columns of an error in each; lower is better."""

    better: ClassVar[Literal["higher", "lower"]] = "lower"
    reads: ClassVar[Answer] = "numbers"

    @property
    def range(self) -> tuple[float, float]:
        """From 0 up."""
        return 0.0, float("inf")


class Rmse(NumberMetric):
    """The root mean squared error; of several columns their mean (MCRMSE)."""

    name: Literal["rmse"] = "rmse"

    @property
    def title(self) -> str:
        """As people write it."""
        return "RMSE"

    def rule(self, answers: Answers) -> Weighted:
        """The roots of weighted means of squares, averaged over columns."""
        squares = (answers.targets.values - answers.block) ** 2

        def at(times: Array) -> Array:
            means = (times @ squares) / times.sum(axis=1, keepdims=True)  # (b, C)
            return np.asarray(np.sqrt(means).mean(axis=1))

        return at

    def class_values(self, answers: Answers) -> list[float | None]:
        """The error of each column."""
        squares = (answers.targets.values - answers.block) ** 2
        return [float(value) for value in np.sqrt(squares.mean(axis=0))]


class Mae(NumberMetric):
    """The mean absolute error; of several columns their mean."""

    name: Literal["mae"] = "mae"

    @property
    def title(self) -> str:
        """As people write it."""
        return "MAE"

    def rule(self, answers: Answers) -> Array:
        """The absolute error of each row, the mean over columns."""
        return np.asarray(np.abs(answers.targets.values - answers.block).mean(axis=1))

    def class_values(self, answers: Answers) -> list[float | None]:
        """The error of each column."""
        errors = np.abs(answers.targets.values - answers.block)
        return [float(value) for value in errors.mean(axis=0)]
