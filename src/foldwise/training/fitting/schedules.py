"""Learning-rate schedules of a stage, as functions of the share of its steps that is done."""

import math
from collections.abc import Callable

import numpy as np
from fastai.callback.schedule import combined_cos

from foldwise.config.stage import Stage

Schedule = Callable[[float], np.ndarray]  # share of the stage's steps -> rates (groups,)
MOMENTA = (0.95, 0.85, 0.95)  # fastai's, at the ends and at the top of one cycle
WARM = 100.0  # a warm-up begins at this part of the rate


def schedules(stage: Stage, rates: np.ndarray) -> dict[str, Callable[[float], object]]:
    """What fastai's ParamScheduler takes: `lr`, and for one cycle also `mom`.

    rates: the highest rate of each layer group, (groups,).
    """
    shape = SHAPES[stage.schedule](stage, rates)
    if stage.warmup:
        shape = warmed(shape, stage.warmup / stage.length, rates)
    if stage.schedule == "one_cycle":
        return {"lr": shape, "mom": combined_cos(stage.start, *MOMENTA)}
    return {"lr": shape}


def one_cycle(stage: Stage, rates: np.ndarray) -> Schedule:
    """Up by half a cosine from rates/div, then down to rates/div_final: fastai's fit_one_cycle."""
    return combined_cos(stage.start, rates / stage.div, rates, rates / stage.div_final)


def flat_cos(stage: Stage, rates: np.ndarray) -> Schedule:
    """Constant, then down by half a cosine: fastai's fit_flat_cos. pct_start: where that begins."""
    return combined_cos(stage.start, rates, rates, rates / stage.div_final)


def constant(stage: Stage, rates: np.ndarray) -> Schedule:
    """The same rates throughout."""
    return lambda done: rates


def sgdr(stage: Stage, rates: np.ndarray) -> Schedule:
    """Half a cosine from rates to 0, again and again, each cycle longer by cycle_mult.

    Loshchilov & Hutter 2017 (arXiv:1608.03983). fastai's fit_sgdr is the same but for a cycle_mult
    of 1, which it divides by zero for, and for the first batch of a cycle, where rounding leaves
    it at the end of the one before.
    """
    ends = np.cumsum(stage.cycle_epochs)

    def at(done: float) -> np.ndarray:
        epoch = min(done * stage.length + 1e-6, stage.length)
        cycle = min(int(np.searchsorted(ends, epoch, side="right")), len(ends) - 1)
        begin = ends[cycle] - stage.cycle_epochs[cycle]
        share = (epoch - begin) / stage.cycle_epochs[cycle]
        return rates * (1 + math.cos(math.pi * share)) / 2

    return at


def warmed(shape: Schedule, share: float, rates: np.ndarray) -> Schedule:
    """A straight line up to the rates for a share of the steps, then the schedule."""

    def at(done: float) -> np.ndarray:
        if done < share:
            return rates * (1 / WARM + (1 - 1 / WARM) * done / share)
        return shape((done - share) / (1 - share))

    return at


SHAPES = {"one_cycle": one_cycle, "flat_cos": flat_cos, "constant": constant, "sgdr": sgdr}
