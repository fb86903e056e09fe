"""Metric: what a score is, as a kind; and what a metric's rule scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.errors import PredictionError
from foldwise.kinds.answer import Answer
from foldwise.kinds.family import Family, Kind
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import Task

# how often each row counts (b, n) -> b values: all ones give the score, a bootstrap's counts the
# scores of its samples; NaN where there is none
Weighted = Callable[[Array], Array]
# a competition's own `score(truth, predictions)`, see `config.adapter`
Scorer = Callable[[pd.DataFrame, pd.DataFrame], float]
CLIP = 1e-15  # Kaggle's published bound of a probability in a log loss


@dataclass(frozen=True, eq=False)
class Answers:
    """What a rule scores: targets and predictions of the same rows.

    block: predictions float64 (n, C), one column for each of the task's. weights: of the columns,
    (C,); None where all count alike.
    """

    task: Task
    targets: Targets
    block: Array
    weights: Sequence[float] | None = None

    def __getitem__(self, rows: Array) -> "Answers":
        """The answers of some rows, by their numbers."""
        return replace(self, targets=self.targets[rows], block=self.block[rows])

    @cached_property
    def marks(self) -> Array:
        """1 where a row has a class, uint8 (n, C)."""
        return self.task.marks(self.targets)

    def name_classes(self, threshold: float) -> Array:
        """1 for the classes that are named, else 0, uint8 (n, C): with many labels those at or
        above the threshold, else the most probable one, of equal ones the first."""
        return self.task.name_classes(self.block, threshold)


class Metric(Kind):
    """What a competition scores by. A subclass has `rule`, and says what differs from this class.

    One of a competition's own, in its adapter.py, is found by the name that its field `name` has:

        class Brier(Metric):
            name: Literal["brier"] = "brier"
            better: ClassVar[Better] = "lower"

            def rule(self, answers: Answers) -> Array:
                return ((answers.block - answers.marks) ** 2).sum(axis=1)
    """

    better: ClassVar[Literal["higher", "lower"]] = "higher"
    reads: ClassVar[Answer] = "probabilities"
    # minus the mean logarithm of what the truth, or with many labels each cell of it, was given
    logarithmic: ClassVar[bool] = False
    ordered: ClassVar[bool] = False  # it counts how far apart class numbers are
    each_epoch: ClassVar[bool] = True  # it is quick enough to be computed after each epoch
    hook: ClassVar[Literal["score"] | None] = None  # of adapter.py, which scores instead of a rule
    needed: ClassVar[str] = "positive"  # the rows that some class needs for there to be a value
    of_constants: ClassVar[str | None] = None  # what a column scores whose predictions are all one

    def rule(self, answers: Answers) -> Array | Weighted:
        """A value of each row, float64 (n,), whose mean is the score; or a function of how often
        rows count, where the score is no mean over rows."""
        raise NotImplementedError(f"{type(self).__name__} needs a method rule(answers)")

    @property
    def higher(self) -> bool:
        """True where a higher value is better."""
        return self.better == "higher"

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest value that it can have."""
        return 0.0, 1.0

    @property
    def title(self) -> str:
        """The metric's name for people: `micro F1`, `MAP@5`."""
        return METRICS.name_of(self).replace("_", " ")

    @property
    def cutoff(self) -> float | None:
        """The probability from which on a class counts as named, where an image may have many
        labels; None: it does not ask."""
        return None

    @property
    def log_clip(self) -> float:
        """The distance to 0 and 1 that probabilities keep where a log loss is taken of them."""
        return CLIP

    def column_weights(self, task: Task) -> tuple[float, ...] | None:
        """The weights of the task's columns; None without any.

        Raises: SpecError: they do not fit the classes, or the metric is no mean over columns here.
        """
        return None

    def check(self, answers: Answers, ids: "pd.Series[str]", what: str) -> None:
        """Check numbers beyond being probabilities. ids: of the rows, what: they are, for messages.

        Raises: PredictionError: they cannot be scored.
        """

    def answers(self, task: Task, targets: Targets, block: Array) -> Answers:
        """What `rule` takes, with the metric's weights of columns. Raises: see `column_weights`."""
        return Answers(task=task, targets=targets, block=block, weights=self.column_weights(task))

    def value(self, answers: Answers) -> float:
        """The score. Raises: PredictionError: there is none."""
        return self.score_of(self.rule(answers), len(answers.targets))

    def score_of(self, result: Array | Weighted, rows: int) -> float:
        """The score that follows from what `rule` gave. Raises: PredictionError: there is none."""
        if isinstance(result, np.ndarray):
            return float(result.mean())
        value = float(result(np.ones((1, rows)))[0])
        if np.isnan(value):
            raise PredictionError(
                f"{self.title} needs a class with {self.needed} rows, there is none among "
                f"{rows} rows"
            )
        return value

    def class_values(self, answers: Answers) -> list[float | None]:
        """A value of each class: its column's where the metric takes columns apart, else the mean
        over its rows; None where there is neither."""
        result = self.rule(answers)
        if not isinstance(result, np.ndarray):
            return [None] * len(answers.task)
        return [float(result[own].mean()) if own.any() else None for own in answers.marks.T == 1]


METRICS = Family(
    base=Metric,
    key="name",
    package="foldwise.metrics",
    known={
        "log_loss": "probabilities:LogLoss",
        "accuracy": "counted:Accuracy",
        "top_k_error": "listed:TopKError",
        "auc": "ranking:Auc",
        "average_precision": "ranking:AveragePrecision",
        "kappa": "ordered:Kappa",
        "f1": "counted:FBeta",
        "precision": "counted:Precision",
        "recall": "counted:Recall",
        "map": "listed:MeanAveragePrecision",
        "rmse": "errors:Rmse",
        "mae": "errors:Mae",
        "hook": "hook:HookMetric",
    },
    called="metric",
    default="log_loss",
)
