"""Goal: what a fit improves, the metric of what a file would say of some rows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.kinds.metric import Metric, Scorer
from foldwise.kinds.shape import Shape, SubmissionFormat
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import Task

HALF = 0.5  # the probability from which on a class is named, where nothing says another


@dataclass(frozen=True)
class Goal:
    """The truth of some rows, and the metric of answers to them.

    truth: the frame of a LabelTable, one row for each. The functions take `rows`, numbers of some
    of these rows, and predictions of just these, (rows, C).
    """

    task: Task
    truth: pd.DataFrame
    targets: Targets
    metric: Metric
    format: SubmissionFormat
    hook: Scorer | None = None

    @cached_property
    def marks(self) -> Array:
        """1 where a row has a class, uint8 (n, C)."""
        return self.task.marks(self.targets)

    @cached_property
    def column_weights(self) -> tuple[float, ...] | None:
        """The weights of the columns; None where all count alike, or rows are one decision."""
        return None if self.task.sums_to_one else self.metric.column_weights(self.task)

    @property
    def log_loss(self) -> bool:
        """True where the metric is the log loss of probabilities that the file holds."""
        return self.metric.logarithmic and self.format.settings.holds == "probabilities"

    @property
    def threshold(self) -> float:
        """See `named_from`."""
        return named_from(self.format.settings, self.metric)

    def value(self, probs: Array, rows: Array) -> float:
        """The metric of predictions (rows, C) of these rows."""
        answers = self.format.settings.decide(probs)
        if self.hook is not None:
            truth = self.truth.iloc[rows].reset_index(drop=True)
            frame = self.format.frame_of(truth["id"], answers)
            return float(self.hook(truth, frame))
        return self.metric.value(self.metric.answers(self.task, self.targets[rows], answers))

    def cost(self, probs: Array, rows: Array) -> float:
        """The metric turned so that lower is better."""
        value = self.value(probs, rows)
        return -value if self.metric.higher else value


def named_from(shape: Shape, metric: Metric) -> float:
    """The probability from which on a class counts as named, by the file or by the metric."""
    return next((each for each in (shape.cutoff, metric.cutoff) if each is not None), HALF)


def some(rows: Array, each: int, most: int) -> Array:
    """Positions in rows, all, or so many drawn at random that they hold `most` numbers at most.

    each: how many numbers a row has. The same call draws the same positions.
    """
    count = max(most // each, 100)
    if len(rows) <= count:
        return np.arange(len(rows))
    return np.sort(np.random.default_rng(0).choice(len(rows), count, replace=False))
