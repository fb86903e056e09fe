"""The chain, a blend and the steps after it, fitted on the folds but one and applied to that one.

A chain is plain data: `method` and what it `fitted`, the members' own `temperatures` or None, and
`steps`, each a `step` by name with what it fitted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from foldwise.scoring import calibrate, thresholds
from foldwise.scoring.goal import FEWEST, Goal, fold_costs, within_noise
from foldwise.scoring.methods import METHODS, Rows, Stack, blended

Chain = dict[str, Any]
Trials = tuple[dict[str, Any], ...]
OWN = "temperature of each member"
LEAST = 1e-6  # a smaller gain is none: boards show five or six digits


@dataclass(frozen=True)
class Step:
    """Something fitted on probabilities (rows, C) of rows of a goal, and applied to others."""

    fit: Callable[[np.ndarray, np.ndarray, Goal], dict[str, Any]]
    apply: Callable[[dict[str, Any], np.ndarray, bool], np.ndarray]


STEPS: dict[str, Step] = {
    "temperature": Step(calibrate.fit_temperature, calibrate.at_temperature),
    "clip": Step(calibrate.fit_clip, calibrate.clipped),
    "threshold": Step(thresholds.fit_threshold, thresholds.apply_thresholds),
    "thresholds": Step(thresholds.fit_thresholds, thresholds.apply_thresholds),
    "cuts": Step(thresholds.fit_cuts, thresholds.apply_cuts),
}
NAMED = ("accuracy", "f1", "precision", "recall")  # metrics of what is named and what not


def slots_of(goal: Goal) -> tuple[tuple[str, ...], ...]:
    """The steps worth trying after a blend: of each tuple one, or none, the simpler one first.

    For log loss a temperature and clipping bounds; for labels that are named or not one threshold
    or one per class; for kappa cut points.
    """
    shape, metric = goal.format.settings.shape, goal.metric.name
    if goal.log_loss:
        return ("temperature",), ("clip",)
    if goal.multi and (shape == "tags" or metric in NAMED):
        several = len(goal.format.classes) <= thresholds.MANY
        return (("threshold", "thresholds")[: 1 + several],)
    if metric == "kappa" and shape in ("label", "wide"):
        return (("cuts",),)
    return ()


@dataclass(frozen=True)
class CrossFit:
    """A chain fitted on all folds, and one per fold fitted on the others.

    blends: the chains per fold without any calibration or step. trials: of the chain for all
    folds, each step that was tried: `step, kept, gain` (of the metric, better is above 0).
    """

    chain: Chain
    by_fold: tuple[Chain, ...]
    blends: tuple[Chain, ...]
    trials: Trials

    def oof(self, stack: Stack, folds: np.ndarray) -> np.ndarray:
        """The cross-fitted predictions (n, C): each row by the chain that never saw its fold."""
        return _fold_by_fold(self.by_fold, stack, folds)

    def before(self, stack: Stack, folds: np.ndarray) -> np.ndarray:
        """The same of the blend alone."""
        return _fold_by_fold(self.blends, stack, folds)

    def in_sample(self, stack: Stack, folds: np.ndarray) -> np.ndarray:
        """Predictions (n, C) by the chain that was fitted on all of these rows: too good."""
        return _fold_by_fold([self.chain] * len(self.by_fold), stack, folds)


def apply_chain(chain: Chain, stack: Stack, rows: Rows) -> np.ndarray:
    """A chain's predictions of some rows, (rows, C).

    The rows should be predicted by one model per member, as those of a fold are.
    """
    stack = replace(stack, temperatures=chain["temperatures"])
    probs = blended(chain["method"], chain["fitted"], stack, rows)
    for step in chain["steps"]:
        probs = STEPS[step["step"]].apply(step, probs, stack.multi)
    return probs


def crossfit(
    stack: Stack, goal: Goal, folds: np.ndarray, method: str, slots: Sequence[Sequence[str]] = ()
) -> CrossFit:
    """A method's chain, fitted on all folds and on all but each.

    Whether a step is kept, and which one of its slot, is part of the fit, and is decided by the
    training folds alone: within them the blend is fitted on all but one and applied to that one, so
    are the steps to what it gives, and a step is kept where their cross-fitted cost is lower with
    it than without, beyond noise (of two steps the simpler one, likewise). What is
    kept is then fitted on all training folds. The fold that a chain is applied to has no part in
    any of it. With two folds there are no steps: one training fold cannot be cross-fitted.

    folds: the fold of each row, (n,), 0 to K - 1. slots: as `slots_of` gives them.
    """
    count = int(folds.max()) + 1
    fitter = _Fitter(stack, goal, folds, method, slots if count >= FEWEST else ())
    chain, trials = fitter.chain(frozenset())
    others = [frozenset([fold]) for fold in range(count)]
    by_fold = tuple(fitter.chain(left)[0] for left in others)
    return CrossFit(chain, by_fold, tuple(fitter.blend(left, False) for left in others), trials)


class _Fitter:
    """Fits chains without some folds; what several of them need is fitted once."""

    def __init__(
        self,
        stack: Stack,
        goal: Goal,
        folds: np.ndarray,
        method: str,
        slots: Sequence[Sequence[str]],
    ) -> None:
        self.stack, self.goal, self.folds = stack, goal, folds
        self.method, self.slots = method, slots
        self.own = METHODS[method].tempers and goal.log_loss and len(stack) > 1
        self.blend = cache(self._blend)
        self.temperatures = cache(self._temperatures)

    def chain(self, left: frozenset[int]) -> tuple[Chain, Trials]:
        """The chain fitted without some folds, and the steps that were tried for it."""
        if not self.slots:
            return self.blend(left, False), ()
        rows = self._rows(left)
        folds, tempers = self.folds[rows], False
        steps, trials, probs = _steps(self._inner(left, False), rows, folds, self.goal, self.slots)
        if self.own:
            others = _steps(self._inner(left, True), rows, folds, self.goal, self.slots)
            tempers = _better(others[2], probs, rows, folds, self.goal)
            gain = self.goal.cost(probs, rows) - self.goal.cost(others[2], rows)
            if tempers:
                steps, trials, _ = others
            trials = [{"step": OWN, "kept": tempers, "gain": gain}, *trials]
        return {**self.blend(left, tempers), "steps": steps}, tuple(trials)

    def _rows(self, left: frozenset[int]) -> np.ndarray:
        return np.flatnonzero(~np.isin(self.folds, [*left]))

    def _temperatures(self, left: frozenset[int]) -> list[float]:
        """The members' own temperatures."""
        rows = self._rows(left)
        fits = (calibrate.fit_temperature(self.stack.of(m, rows), rows, self.goal)
                for m in range(len(self.stack)))  # fmt: skip
        return [fitted["temperature"] for fitted in fits]

    def _blend(self, left: frozenset[int], tempers: bool) -> Chain:
        """The blend as a chain without steps."""
        found = self.temperatures(left) if tempers else None
        stack = replace(self.stack, temperatures=found)
        fitted = METHODS[self.method].fit(stack, self._rows(left), self.goal)
        return {"method": self.method, "fitted": fitted, "temperatures": found, "steps": []}

    def _inner(self, left: frozenset[int], tempers: bool) -> np.ndarray:
        """The blend of the rows, (rows, C), each fold's fitted without that one too."""
        rows = self._rows(left)
        probs = np.empty((len(rows), len(self.goal.format.classes)))
        for fold in np.unique(self.folds[rows]).tolist():
            held = self.folds[rows] == fold
            probs[held] = apply_chain(self.blend(left | {fold}, tempers), self.stack, rows[held])
        return probs


def _steps(
    probs: np.ndarray,
    rows: np.ndarray,
    folds: np.ndarray,
    goal: Goal,
    slots: Sequence[Sequence[str]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], np.ndarray]:
    """The steps to keep, what was tried, and the cross-fitted probabilities with those kept.

    probs: the cross-fitted blend (rows, C). folds: the fold of each of these rows.
    """
    steps, trials, before = [], [], goal.cost(probs, rows)
    for slot in slots:
        tried = {name: _tried(STEPS[name], probs, rows, folds, goal) for name in slot}
        costs = {name: goal.cost(answers, rows) for name, answers in tried.items()}
        by_fold = {name: fold_costs(goal, tried[name], rows, folds) for name in slot}
        name = simplest(costs, by_fold)
        kept = _better(tried[name], probs, rows, folds, goal)
        trials += [
            {"step": each, "kept": kept and each == name, "gain": before - costs[each]}
            for each in slot
        ]
        if kept:
            steps.append({"step": name, **STEPS[name].fit(probs, rows, goal)})
            probs, before = tried[name], costs[name]
    return steps, trials, probs


def _better(
    probs: np.ndarray, than: np.ndarray, rows: np.ndarray, folds: np.ndarray, goal: Goal
) -> bool:
    """Whether predictions (rows, C) have a lower cost than others, beyond the noise of the folds;
    of two folds none is known."""
    if goal.cost(probs, rows) >= goal.cost(than, rows) - LEAST:
        return False
    own, its = (fold_costs(goal, each, rows, folds) for each in (probs, than))
    return len(own) < FEWEST or not within_noise(its, own)


def _tried(
    step: Step, probs: np.ndarray, rows: np.ndarray, folds: np.ndarray, goal: Goal
) -> np.ndarray:
    """What a step makes of each fold's rows, (rows, C), fitted on the others."""
    answers = np.empty_like(probs)
    for fold in np.unique(folds):
        held = folds == fold
        fitted = step.fit(probs[~held], rows[~held], goal)
        answers[held] = step.apply(fitted, probs[held], goal.multi)
    return answers


def simplest(costs: dict[str, float], by_fold: dict[str, np.ndarray]) -> str:
    """The first of the names, from simple to less simple, that is within noise of the best.

    costs, by_fold: of each name, of all rows together and per fold.
    """
    best = min(costs, key=lambda name: costs[name])
    return next(n for n in costs if n == best or within_noise(by_fold[n], by_fold[best]))


def _fold_by_fold(chains: Sequence[Chain], stack: Stack, folds: np.ndarray) -> np.ndarray:
    """Predictions (n, C) of all rows, those of each fold by its chain."""
    parts = [np.flatnonzero(folds == fold) for fold in range(len(chains))]
    made = [apply_chain(c, stack, rows) for c, rows in zip(chains, parts, strict=True)]
    return np.concatenate(made)[np.argsort(np.concatenate(parts))]
