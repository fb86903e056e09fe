"""Step: what changes predictions after they are blended, as a kind whose settings are fitted."""

from typing import ClassVar, Self

from foldwise.arrays import Array
from foldwise.kinds.family import Family, Kind
from foldwise.kinds.goal import Goal
from foldwise.kinds.task import Task


class Step(Kind):
    """Something fitted on predictions (rows, C) of rows of a goal, and applied to others.

    Its settings are what was fitted. slot: of the steps of one slot one is kept at most; without
    one it is by itself.
    """

    slot: ClassVar[str] = ""

    step: str

    @classmethod
    def suits(cls, goal: Goal) -> bool:
        """Whether the step is worth trying for a goal."""
        raise NotImplementedError(f"{cls.__name__} needs a class method suits(goal)")

    @classmethod
    def fit(cls, probs: Array, rows: Array, goal: Goal) -> Self:
        """The step that is best for some rows. rows: their numbers; probs: (rows, C)."""
        raise NotImplementedError(f"{cls.__name__} needs a class method fit(probs, rows, goal)")

    def apply(self, probs: Array, task: Task) -> Array:
        """What the step makes of predictions, (rows, C)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method apply(probs, task)")


STEPS = Family(
    base=Step,
    key="step",
    package="foldwise.ensembling",
    known={  # in the order in which they are applied; of a slot the simplest first
        "temperature": "calibrate:Temperature",
        "clip": "calibrate:Clip",
        "threshold": "thresholds:Threshold",
        "thresholds": "thresholds:Thresholds",
        "cuts": "thresholds:Cuts",
    },
    called="step of a chain",
)
