"""Goal: what a fit improves, the metric of what a file would say of out-of-fold rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from foldwise.config.competition import named_from
from foldwise.data.competition import CompetitionData
from foldwise.errors import PredictionError
from foldwise.kinds.metric import Metric
from foldwise.kinds.shape import SubmissionFormat
from foldwise.kinds.targets import Targets
from foldwise.metrics.intervals import paired_interval
from foldwise.store.predictions import predictions_frame
from foldwise.tasks import Task

FEWEST = 3  # folds; below that nothing is said of noise


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
    hook: Callable[..., Any] | None = None

    @cached_property
    def marks(self) -> np.ndarray:
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

    def value(self, probs: np.ndarray, rows: np.ndarray) -> float:
        """The metric of predictions (rows, C) of these rows."""
        answers = self.format.settings.decide(probs)
        if self.hook is not None:
            truth = self.truth.iloc[rows].reset_index(drop=True)
            frame = predictions_frame(truth["id"], answers, self.format.classes)
            return float(self.hook(truth, frame))
        return self.metric.value(self.metric.answers(self.task, self.targets[rows], answers))

    def cost(self, probs: np.ndarray, rows: np.ndarray) -> float:
        """The metric turned so that lower is better."""
        value = self.value(probs, rows)
        return -value if self.metric.higher else value


def goal_of(data: CompetitionData, ids: Iterable[str]) -> Goal:
    """The goal of a competition for its training rows with these ids, in their order."""
    position = pd.Index(data.train.frame["id"]).get_indexer(pd.Index(list(ids)))
    assert (position >= 0).all()
    truth = data.train.frame.iloc[position].reset_index(drop=True)
    metric, task = data.spec.metric, data.task
    hook = data.hooks[metric.hook] if metric.hook else None
    return Goal(
        task=task,
        truth=truth,
        targets=task.targets(truth),
        metric=metric,
        format=data.format,
        hook=hook,
    )


def fold_costs(goal: Goal, probs: np.ndarray, rows: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """The cost of each fold's rows, (folds,); NaN where the metric has none, as AUC of one class.

    probs: (rows, C). folds: the fold of each of the rows.
    """
    costs = []
    for fold in np.unique(folds):
        held = folds == fold
        try:
            costs.append(goal.cost(probs[held], rows[held]))
        except PredictionError:
            costs.append(np.nan)
    return np.array(costs)


def within_noise(costs: np.ndarray, best: np.ndarray) -> bool:
    """True where costs per fold are above the best ones, (folds,) each, by no more than one
    standard error of their paired differences; fewer than three folds tell nothing.

    The rule for taking the simpler of two fits (Breiman, Friedman, Olshen and Stone 1984,
    "Classification and Regression Trees", section 3.4.3, the 1 SE rule). A 95 % interval would be
    right for a claim, but is wrong for a choice: over five folds it would take a method that is
    worse in every one of them.
    """
    differences = (costs - best)[np.isfinite(costs - best)]
    if len(differences) < FEWEST:
        return True
    mean, error, _, _ = paired_interval(differences)
    return mean <= error


def some(rows: np.ndarray, each: int, most: int) -> np.ndarray:
    """Positions in rows, all, or so many drawn at random that they hold `most` numbers at most.

    each: how many numbers a row has. The same call draws the same positions.
    """
    count = max(most // each, 100)
    if len(rows) <= count:
        return np.arange(len(rows))
    return np.sort(np.random.default_rng(0).choice(len(rows), count, replace=False))
