"""The chain, a blend and what comes after it, fitted on the folds but one, applied to that one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np

from foldwise.arrays import Array
from foldwise.data.grouped import balanced_groups, deal
from foldwise.ensembling.calibrate import Temperature
from foldwise.ensembling.chain import Chain, apply_chain
from foldwise.ensembling.goal import FEWEST_FOLDS, fold_costs, within_noise
from foldwise.kinds.blending import Blending, Stack
from foldwise.kinds.goal import Goal
from foldwise.kinds.step import STEPS, Step

MEMBER_TEMPERATURE = "temperature of each member"
SMALLEST_GAIN = 1e-6  # a smaller gain is none: boards show five or six digits
PARTS_SEED = 0  # of the halves that `parts_of` makes


def slots_of(goal: Goal) -> tuple[tuple[str, ...], ...]:
    """The steps worth trying after a blend: of each tuple one, or none, the simpler one first."""
    slots: dict[str, list[str]] = {}
    for name, step in STEPS.every().items():
        if step.suits(goal):
            slots.setdefault(step.slot or name, []).append(name)
    return tuple(tuple(names) for names in slots.values())


@dataclass(frozen=True)
class Trial:
    """A step that was tried, by its name, and whether it is kept.

    gain: of the metric, better is above 0.
    """

    step: str
    kept: bool
    gain: float


@dataclass(frozen=True)
class Form:
    """What a chain is made of, before any value is fitted; and how that was decided.

    own: whether each member has its own temperature. steps: the names of those kept, in order.
    trials: of each step that was tried.
    """

    own: bool = False
    steps: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class CrossFit:
    """A chain fitted on all folds, and one of the same form per fold, fitted on the others.

    blends: the chains per fold without any calibration or step. nested: the chains per fold, each
    of the form that the others decide. trials: of the form; see `Form`.
    """

    chain: Chain
    by_fold: tuple[Chain, ...]
    blends: tuple[Chain, ...]
    nested: tuple[Chain, ...]
    trials: tuple[Trial, ...]

    def oof(self, stack: Stack, folds: Array) -> Array:
        """The cross-fitted predictions (n, C): each row by values that never saw its fold."""
        return _fold_by_fold(self.by_fold, stack, folds)

    def before(self, stack: Stack, folds: Array) -> Array:
        """The same of the blend alone."""
        return _fold_by_fold(self.blends, stack, folds)

    def without_steps(self, stack: Stack, folds: Array) -> Array:
        """The same of the chains without their steps, members' own temperatures included."""
        return _fold_by_fold([chain.with_steps() for chain in self.by_fold], stack, folds)

    def decided_apart(self, stack: Stack, folds: Array) -> Array:
        """The same of chains whose form did not see the fold either."""
        return _fold_by_fold(self.nested, stack, folds)

    def in_sample(self, stack: Stack, folds: Array) -> Array:
        """Predictions (n, C) by the chain that was fitted on all of these rows: too good."""
        return _fold_by_fold([self.chain] * len(self.by_fold), stack, folds)


def crossfit(
    stack: Stack,
    goal: Goal,
    folds: Array,
    method: Blending,
    slots: Sequence[Sequence[str]] = (),
) -> CrossFit:
    """A method's chain, fitted on all folds and on all but each.

    Which steps are kept is decided once, by all folds, so that what is scored has the form of what
    is submitted: the blend is fitted on all folds but one and applied to that one, so are the steps
    to what it gives, and a step is kept where their cross-fitted cost is lower with it than
    without, beyond noise (of two steps the simpler one, likewise). The values of a chain that is
    applied to a fold are fitted on the others alone; `nested` tells what it costs to decide the
    form without that fold too. With two folds there are no steps: one training fold cannot be
    cross-fitted (see `parts_of`).

    folds: the fold of each row, (n,), 0 to K - 1. slots: as `slots_of` gives them.
    """
    count = int(folds.max()) + 1
    fitter = _Fitter(stack, goal, folds, method, slots if count >= FEWEST_FOLDS else ())
    whole: frozenset[int] = frozenset()
    others = [frozenset([fold]) for fold in range(count)]
    form = fitter.form(whole)
    chain = fitter.chain(whole, form)
    by_fold, nested = [], []
    for left in others:
        by_fold.append(fitter.chain(left, form))
        nested.append(fitter.chain(left, fitter.form(left)))
    blends = tuple(fitter.blend(left, False) for left in others)
    return CrossFit(
        chain=chain,
        by_fold=tuple(by_fold),
        blends=blends,
        nested=tuple(nested),
        trials=form.trials,
    )


def parts_of(goal: Goal, folds: Array) -> Array:
    """The parts that a chain is cross-fitted over, (n,), 0 to K - 1: the folds themselves.

    Where there are fewer than three, each is split in two, stratified, groups whole: a chain's few
    values can be fitted on half of a fold's rows, where its model could not.
    """
    if folds.max() + 1 >= FEWEST_FOLDS:
        return folds
    parts, strata = np.empty_like(folds), goal.task.strata(goal.targets)
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        groups = goal.truth["group"].iloc[rows] if "group" in goal.truth else None
        if groups is None or groups.isna().any() or groups.nunique() < 2:
            half = deal(strata[rows], np.arange(len(rows)), 2, PARTS_SEED)
        else:
            half = balanced_groups(strata[rows], groups.to_numpy(dtype=str), 2, PARTS_SEED)
        parts[rows] = 2 * fold + half
    return parts


class _Fitter:
    """Fits chains without some folds; what several of them need is fitted once."""

    def __init__(
        self,
        stack: Stack,
        goal: Goal,
        folds: Array,
        method: Blending,
        slots: Sequence[Sequence[str]],
    ) -> None:
        self.stack, self.goal, self.folds = stack, goal, folds
        self.method, self.slots = method, slots
        self.may_own = method.tempers and goal.log_loss and len(stack) > 1
        self.blend = cache(self._blend)
        self.temperatures = cache(self._temperatures)
        self.inner = lru_cache(2)(self._inner)  # with and without own temperatures: they are large

    def form(self, left: frozenset[int]) -> Form:
        """The form that all folds but some decide on."""
        if not self.slots:
            return Form()
        rows = self._rows(left)
        folds, plain = self.folds[rows], self.inner(left, False)
        steps, trials, probs = _keep_steps(plain, rows, folds, self.goal, self.slots)
        if not self.may_own:
            return Form(own=False, steps=tuple(steps), trials=tuple(trials))
        others = _keep_steps(self.inner(left, True), rows, folds, self.goal, self.slots)
        own = _better(others[2], probs, rows, folds, self.goal)
        gain = self.goal.cost(probs, rows) - self.goal.cost(others[2], rows)
        if own:
            steps, trials, _ = others
        first = Trial(step=MEMBER_TEMPERATURE, kept=own, gain=gain)
        return Form(own=own, steps=tuple(steps), trials=(first, *trials))

    def chain(self, left: frozenset[int], form: Form) -> Chain:
        """The chain of a form, its values fitted without some folds."""
        blend = self.blend(left, form.own)
        if not form.steps:
            return blend
        rows, probs, steps = self._rows(left), self.inner(left, form.own), list[Step]()
        for name in form.steps:
            kind = STEPS.load(name)
            steps.append(kind.fit(probs, rows, self.goal))
            if name != form.steps[-1]:
                probs = _try_step(kind, probs, rows, self.folds[rows], self.goal)
        return blend.with_steps(steps)

    def _rows(self, left: frozenset[int]) -> Array:
        return np.flatnonzero(~np.isin(self.folds, [*left]))

    def _temperatures(self, left: frozenset[int]) -> tuple[float, ...]:
        """The members' own temperatures."""
        rows = self._rows(left)
        fits = (
            Temperature.fit(self.stack.of(m, rows), rows, self.goal) for m in range(len(self.stack))
        )
        return tuple(fitted.temperature for fitted in fits)

    def _blend(self, left: frozenset[int], own: bool) -> Chain:
        """The blend as a chain without steps."""
        found = self.temperatures(left) if own else None
        stack = replace(self.stack, temperatures=found)
        fitted = self.method.fit(stack, self._rows(left), self.goal)
        return Chain(method=self.method, fitted={**fitted}, temperatures=found, steps=())

    def _inner(self, left: frozenset[int], own: bool) -> Array:
        """The blend of the rows, (rows, C), each fold's fitted without that one too."""
        rows = self._rows(left)
        probs = np.empty((len(rows), len(self.goal.task)))
        for fold in np.unique(self.folds[rows]).tolist():
            held = self.folds[rows] == fold
            probs[held] = apply_chain(self.blend(left | {fold}, own), self.stack, rows[held])
        return probs


def _keep_steps(
    probs: Array,
    rows: Array,
    folds: Array,
    goal: Goal,
    slots: Sequence[Sequence[str]],
) -> tuple[list[str], list[Trial], Array]:
    """The steps to keep, what was tried, and the cross-fitted probabilities with those kept.

    probs: the cross-fitted blend (rows, C). folds: the fold of each of these rows.
    """
    steps, trials, before = list[str](), list[Trial](), goal.cost(probs, rows)
    for slot in slots:
        tried = {name: _try_step(STEPS.load(name), probs, rows, folds, goal) for name in slot}
        costs = {name: goal.cost(answers, rows) for name, answers in tried.items()}
        by_fold = {name: fold_costs(goal, tried[name], rows, folds) for name in slot}
        name = simplest(costs, by_fold)
        kept = _better(tried[name], probs, rows, folds, goal)
        trials += [
            Trial(step=each, kept=kept and each == name, gain=before - costs[each]) for each in slot
        ]
        if kept:
            steps.append(name)
            probs, before = tried[name], costs[name]
    return steps, trials, probs


def _better(probs: Array, than: Array, rows: Array, folds: Array, goal: Goal) -> bool:
    """Whether predictions (rows, C) have a lower cost than others, beyond the noise of the folds;
    of two folds none is known."""
    if goal.cost(probs, rows) >= goal.cost(than, rows) - SMALLEST_GAIN:
        return False
    own, its = (fold_costs(goal, each, rows, folds) for each in (probs, than))
    return len(own) < FEWEST_FOLDS or not within_noise(its, own)


def _try_step(step: type[Step], probs: Array, rows: Array, folds: Array, goal: Goal) -> Array:
    """What a step makes of each fold's rows, (rows, C), fitted on the others."""
    answers = np.empty_like(probs)
    for fold in np.unique(folds):
        held = folds == fold
        fitted = step.fit(probs[~held], rows[~held], goal)
        answers[held] = fitted.apply(probs[held], goal.task)
    return answers


def simplest(costs: dict[str, float], by_fold: dict[str, Array]) -> str:
    """The first of the names, from simple to less simple, that is within noise of the best.

    costs, by_fold: of each name, of all rows together and per fold.
    """
    best = min(costs, key=lambda name: costs[name])
    return next(n for n in costs if n == best or within_noise(by_fold[n], by_fold[best]))


def _fold_by_fold(chains: Sequence[Chain], stack: Stack, folds: Array) -> Array:
    """Predictions (n, C) of all rows, those of each fold by its chain."""
    parts = [np.flatnonzero(folds == fold) for fold in range(len(chains))]
    made = [apply_chain(c, stack, rows) for c, rows in zip(chains, parts, strict=True)]
    return np.concatenate(made)[np.argsort(np.concatenate(parts))]
