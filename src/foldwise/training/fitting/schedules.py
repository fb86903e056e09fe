"""foldwise's own schedules."""

import math
from collections.abc import Callable
from typing import Literal, Self

import numpy as np
from pydantic import model_validator

from foldwise.arrays import Array
from foldwise.kinds.bounds import EPOCHS, AmountOrNone, Count, Divisor, Inside
from foldwise.kinds.schedule import Rates, Schedule

MOMENTA = (0.95, 0.85, 0.95)  # fastai's, at the ends and at the top of one cycle
WARM = 100.0  # a warm-up begins at this part of the rate


class OneCycle(Schedule):
    """Rises by half a cosine from lr/div, then falls to lr/div_final: fastai's fit_one_cycle."""

    name: Literal["one_cycle"] = "one_cycle"
    pct_start: Inside = 0.25  # The share of the steps in which the rate rises. Example: 0.3
    div: Divisor = 25.0  # The rate begins at `lr` divided by this. Example: 10.0
    div_final: Divisor = 1e5  # The rate ends at `lr` divided by this. Example: 1e4

    def rates(self, epochs: int, highest: Array) -> Rates:
        """fastai's."""
        from fastai.callback.schedule import combined_cos

        low, end = highest / self.div, highest / self.div_final
        rates: Rates = combined_cos(self.pct_start, low, highest, end)
        return rates

    def momenta(self) -> Callable[[float], float]:
        """fastai's: low where the rate is high."""
        from fastai.callback.schedule import combined_cos

        momenta: Callable[[float], float] = combined_cos(self.pct_start, *MOMENTA)
        return momenta


class Warmed(Schedule):
    """A schedule that can begin with a straight line up to its rates."""

    # The epochs in which the rate rises from 0 in a straight line, before anything else. Example:
    # 1.0
    warmup: AmountOrNone = 0.0

    def rates(self, epochs: int, highest: Array) -> Rates:
        """The line, then the rates of `after`."""
        after = self.after(highest)
        if not self.warmup:
            return after
        share = self.warmup / epochs

        def at(done: float) -> Array:
            if done < share:
                return highest * (1 / WARM + (1 - 1 / WARM) * done / share)
            return after((done - share) / (1 - share))

        return at

    def after(self, highest: Array) -> Rates:
        """The rates after the line, by the share of what is left of the steps."""
        raise NotImplementedError

    def length(self, epochs: int | None) -> int:
        """As the stage says."""
        number = super().length(epochs)
        if self.warmup >= number:
            raise ValueError(f"warmup must be shorter than the stage, got {self.warmup} epochs")
        return number

    def stretch(self, epochs: int, to: int) -> Schedule:
        """With a warm-up that shrinks with the stage, and does not grow."""
        return self.model_copy(update={"warmup": min(self.warmup, self.warmup * to / epochs)})

    def short(self) -> Schedule:
        """With half an epoch of warm-up at most."""
        return self.model_copy(update={"warmup": min(self.warmup, 0.5)})


class FlatCos(Warmed):
    """Stays constant, then falls by half a cosine to lr/div_final: fastai's fit_flat_cos."""

    name: Literal["flat_cos"] = "flat_cos"
    pct_start: Inside = 0.75  # The share of the steps before the rate falls. Example: 0.5
    div_final: Divisor = 1e5  # The rate ends at `lr` divided by this. Example: 1e4

    def after(self, highest: Array) -> Rates:
        """fastai's."""
        from fastai.callback.schedule import combined_cos

        end = highest / self.div_final
        rates: Rates = combined_cos(self.pct_start, highest, highest, end)
        return rates


class Constant(Warmed):
    """Stays constant."""

    name: Literal["constant"] = "constant"

    def after(self, highest: Array) -> Rates:
        """The highest ones."""
        return lambda done: highest


class Sgdr(Schedule):
    """Falls by half a cosine from lr to 0 in each cycle: warm restarts.

    Loshchilov & Hutter 2017 (arXiv:1608.03983). fastai's fit_sgdr is the same but for a cycle_mult
    of 1, which it divides by zero for, and for the first batch of a cycle, where rounding leaves
    it at the end of the one before.
    """

    name: Literal["sgdr"] = "sgdr"
    # The number of cycles; they decide the stage's epochs: cycles of 1, 2 and 4 are 7. Example: 3
    cycles: Count
    cycle_length: Count = 1  # The epochs of the first cycle. Example: 2
    cycle_mult: Count = 1  # How many times as long as the one before each cycle is. Example: 2

    @model_validator(mode="after")
    def _not_endless(self) -> Self:
        if len(self.lengths(EPOCHS)) < self.cycles or self.cycle_length > EPOCHS:
            raise ValueError(
                f"a stage should have at most {EPOCHS} epochs, sgdr's cycles take more; give it "
                "fewer cycles, or a smaller cycle_mult"
            )
        return self

    def rates(self, epochs: int, highest: Array) -> Rates:
        """Each cycle's half cosine."""
        cycles = [self.cycle_length * self.cycle_mult**number for number in range(self.cycles)]
        ends = np.cumsum(cycles)

        def at(done: float) -> Array:
            epoch = min(done * epochs + 1e-6, epochs)
            cycle = min(int(np.searchsorted(ends, epoch, side="right")), len(ends) - 1)
            share = (epoch - (ends[cycle] - cycles[cycle])) / cycles[cycle]
            return highest * (1 + math.cos(math.pi * share)) / 2

        return at

    def length(self, epochs: int | None) -> int:
        """That of all cycles."""
        own = self.lengths(EPOCHS)[self.cycles - 1]
        if epochs not in (None, own):
            raise ValueError(
                f"sgdr's cycles take {own} epochs, got epochs = {epochs}; leave it out"
            )
        return own

    def lengths(self, most: int) -> list[int]:
        """Whole cycles."""
        found, cycle = [self.cycle_length], self.cycle_length
        while found[-1] + (cycle := cycle * self.cycle_mult) <= most:
            found.append(found[-1] + cycle)
        return found

    def stretch(self, epochs: int, to: int) -> Schedule:
        """With more cycles, or fewer."""
        return self.model_copy(update={"cycles": self.lengths(to).index(to) + 1})

    def short(self) -> Schedule:
        """One cycle of one epoch."""
        return self.model_copy(update={"cycles": 1, "cycle_length": 1})
