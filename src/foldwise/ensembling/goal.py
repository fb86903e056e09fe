"""The goal of a competition, and what noise is in costs per fold."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.data.competition import CompetitionData
from foldwise.errors import PredictionError
from foldwise.kinds.goal import Goal
from foldwise.metrics.intervals import paired_interval

FEWEST_FOLDS = 3  # folds; below that nothing is said of noise


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


def fold_costs(goal: Goal, probs: Array, rows: Array, folds: Array) -> Array:
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


def within_noise(costs: Array, best: Array) -> bool:
    """True where costs per fold are above the best ones, (folds,) each, by no more than one
    standard error of their paired differences; fewer than three folds tell nothing.

    The rule for taking the simpler of two fits (Breiman, Friedman, Olshen and Stone 1984,
    "Classification and Regression Trees", section 3.4.3, the 1 SE rule). A 95 % interval would be
    right for a claim, but is wrong for a choice: over five folds it would take a method that is
    worse in every one of them.
    """
    differences = (costs - best)[np.isfinite(costs - best)]
    if len(differences) < FEWEST_FOLDS:
        return True
    mean, error, _, _ = paired_interval(differences)
    return mean <= error
