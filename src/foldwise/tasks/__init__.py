"""What is predicted: one class of several, any number of labels."""

from collections.abc import Sequence

import pandas as pd

from foldwise.kinds.columns import OWN, classes_of
from foldwise.kinds.task import Task
from foldwise.tasks.multiclass import LABEL, MultiClass
from foldwise.tasks.multilabel import MultiLabel

__all__ = ["MultiClass", "MultiLabel", "Task", "task_in", "task_of"]


def task_in(truth: pd.DataFrame) -> Task:
    """The task of a frame of targets (see `Task.frame`) beside columns of foldwise's own."""
    if LABEL in truth.columns:
        return MultiClass(tuple(truth[LABEL].cat.categories))
    return MultiLabel(tuple(classes_of(name for name in truth.columns if name not in OWN)))


def task_of(columns: Sequence[str], many: bool) -> Task:
    """The task of these classes. many: a row may have any number of them."""
    return (MultiLabel if many else MultiClass)(tuple(columns))
