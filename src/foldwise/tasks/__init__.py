"""What is predicted: one class of several, any number of labels."""

from collections.abc import Sequence

from foldwise.kinds.task import Task
from foldwise.tasks.multiclass import MultiClass
from foldwise.tasks.multilabel import MultiLabel

__all__ = ["MultiClass", "MultiLabel", "Task", "task_of"]


def task_of(columns: Sequence[str], many: bool) -> Task:
    """The task of these classes. many: a row may have any number of them."""
    return (MultiLabel if many else MultiClass)(tuple(columns))
