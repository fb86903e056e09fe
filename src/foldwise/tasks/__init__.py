"""What is predicted: one class of several, any number of labels, numbers."""

from collections.abc import Sequence

import pandas as pd

from foldwise.kinds.answer import Target
from foldwise.kinds.columns import OWN_COLUMNS, classes_of
from foldwise.kinds.task import Task
from foldwise.tasks.multiclass import LABEL, MultiClass
from foldwise.tasks.multilabel import MultiLabel
from foldwise.tasks.regression import Regression

__all__ = ["MultiClass", "MultiLabel", "Regression", "Task", "task_in", "task_of"]


TASKS: dict[Target, type[Task]] = {
    "class": MultiClass,
    "labels": MultiLabel,
    "numbers": Regression,
}


def task_in(truth: pd.DataFrame) -> Task:
    """The task of a frame of targets (see `Task.frame`) beside columns of foldwise's own."""
    if LABEL in truth.columns:
        return MultiClass(tuple(truth[LABEL].cat.categories))
    columns = [name for name in truth.columns if name not in OWN_COLUMNS]
    numbers = any(pd.api.types.is_float_dtype(truth[name]) for name in columns)
    return task_of(classes_of(columns), "numbers" if numbers else "labels")


def task_of(columns: Sequence[str], target: Target) -> Task:
    """The task whose targets are of a kind, with these columns."""
    return TASKS[target](tuple(columns))
