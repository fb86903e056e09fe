"""Blending: how the predictions of several members become one, as a kind; and their stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from foldwise.arrays import Array, RowIndex
from foldwise.errors import SpecError
from foldwise.kinds.family import Family, Kind
from foldwise.kinds.goal import Goal
from foldwise.kinds.task import Task

Fitted = Mapping[str, object]  # plain values, which blend.json holds


class Blocks(Protocol):
    """Predictions (n, C) of several members."""

    def __len__(self) -> int:
        """The number of members."""
        ...

    def __getitem__(self, member: int, /) -> Array:
        """Those of a member."""
        ...


@dataclass(frozen=True)
class Stack:
    """The members' probabilities of the same rows.

    probs: per member (n, C), as one array (M, n, C) or read when asked for.
    temperatures: the members' own, where they have been fitted.
    """

    probs: Blocks
    task: Task
    temperatures: Sequence[float] | None = None

    def __len__(self) -> int:
        return len(self.probs)

    def of(self, member: int, rows: RowIndex) -> Array:
        """A member's probabilities of some rows, (rows, C)."""
        probs = np.asarray(self.probs[member][rows])
        if self.temperatures is None:
            return probs
        return self.task.at_temperature(probs, self.temperatures[member])


class Blending(Kind):
    """A way to blend. A subclass has `apply`, and `fit` where there is something to fit.

    tempers: members' own temperatures would change what it can give. of_probabilities: it works on
    their logarithms, and so on no other numbers.
    """

    tempers: ClassVar[bool] = True
    of_probabilities: ClassVar[bool] = False

    method: str

    def candidates(self, members: int, task: Task) -> "list[Blending]":
        """The methods of which the best one is taken: itself alone, unless it is a choice.

        Raises: SpecError: it is not for the task's predictions.
        """
        if self.of_probabilities and not task.probabilities:
            raise SpecError(
                f'blend = "{BLENDINGS.name_of(self)}" is of probabilities, and the task is '
                f'{task.name}; choose "mean", "weights" or "climb"'
            )
        return [self]

    def fit(self, stack: Stack, rows: Array, goal: Goal) -> Fitted:
        """What the method learns of some rows, as plain values. rows: their numbers."""
        return {}

    def apply(self, fitted: Fitted, stack: Stack, rows: RowIndex) -> Array:
        """The blend of some rows, (rows, C), which the task then normalises."""
        raise NotImplementedError(f"{type(self).__name__} needs apply(fitted, stack, rows)")


BLENDINGS = Family(
    base=Blending,
    key="method",
    package="foldwise.ensembling",
    known={  # from the simplest to the least simple; which run is the best is a fit as well
        "mean": "methods:Mean",
        "geometric": "methods:GeometricMean",
        "rank": "methods:Rank",
        "single": "methods:Single",
        "weights": "methods:Weights",
        "climb": "methods:Climb",
        "stack": "methods:Stacked",
        "auto": "methods:Auto",
    },
    called="blend method",
    default="mean",
)
