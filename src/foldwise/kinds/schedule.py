"""Schedules: how the learning rates of a stage change over its epochs."""

from collections.abc import Callable

from foldwise.arrays import Array
from foldwise.kinds.family import Family, Kind

Rates = Callable[[float], Array]  # the share of a stage's steps that is done -> (groups,)


class Schedule(Kind):
    """How a stage's learning rates change."""

    def rates(self, epochs: int, highest: Array) -> Rates:
        """The rates by the share of the stage's steps that is done.

        epochs: of the stage. highest: the highest rate of each layer group, (groups,).
        """
        raise NotImplementedError

    def momenta(self) -> Callable[[float], float] | None:
        """The momentum, likewise; None: it stays the optimizer's own."""
        return None

    def length(self, epochs: int | None) -> int:
        """The number of epochs of a stage that says `epochs`.

        Raises: ValueError: the stage should say another number, or one at all.
        """
        if epochs is None:
            raise ValueError("a stage needs epochs, e.g. epochs = 5")
        return epochs

    def lengths(self, most: int) -> list[int]:
        """The numbers of epochs that a stage with it can have, up to most; one at least."""
        return list(range(1, most + 1))

    def stretch(self, epochs: int, to: int) -> "Schedule":
        """The schedule of a stage that has another number of epochs, one of `lengths`."""
        return self

    def short(self) -> "Schedule":
        """The schedule of a stage with one epoch."""
        return self


SCHEDULES = Family(
    base=Schedule,
    key="name",
    package="foldwise.training.fitting",
    known={
        "one_cycle": "schedules:OneCycle",
        "flat_cos": "schedules:FlatCos",
        "constant": "schedules:Constant",
        "sgdr": "schedules:Sgdr",
    },
    called="schedule",
    default="one_cycle",
)
