"""The chain never sees the fold that it is applied to, and a flattering fit is told apart."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldwise.ensembling.chain import Chain, apply_chain, as_record
from foldwise.ensembling.crossfit import (
    MEMBER_TEMPERATURE,
    CrossFit,
    crossfit,
    parts_of,
    simplest,
    slots_of,
)
from foldwise.ensembling.goal import fold_costs, within_noise
from foldwise.kinds.blending import BLENDINGS, Stack
from foldwise.kinds.goal import Goal
from foldwise.kinds.metric import METRICS
from planted import MANY, ONE, dealt, drawn, flipped, goal, softmax

METHODS = [name for name in BLENDINGS.known if name != "auto"]

TAGS = {"shape": "tags", "none": "nothing"}
CASES = [
    *(("log loss", method) for method in METHODS),
    *((kind, method) for kind in ("tags", "kappa") for method in ("mean", "climb")),
]


def problem(kind: str, rows: int = 240) -> tuple[Stack, Goal]:
    """Three members of different sharpness, and labels that follow them, for a kind of metric."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, rows, 3))
    truth = 1.5 * scores[0] + scores[1]
    sharp = scores * np.array([6, 1, 0.5])[:, None, None]
    if kind == "tags":
        hot = flipped(1 / (1 + np.exp(1 - truth)), rng)
        target = goal(hot, {"name": "f1", "average": "samples"}, multi=True, **TAGS)
        return Stack(1 / (1 + np.exp(2 - sharp)), MANY), target
    hot = drawn(softmax(truth), rng)
    settings: dict[str, Any] = {"log loss": {}, "kappa": {"metric": {"name": "kappa"}}}[kind]
    shape = {"shape": "label"} if kind == "kappa" else {}
    return Stack(softmax(sharp), ONE), goal(hot, **settings, **shape)


def without(target: Goal, folds: np.ndarray, fold: int) -> Goal:
    """The goal with every label of a fold replaced by another one."""
    hot = target.marks.copy()
    hot[folds == fold] = np.roll(hot[folds == fold], 1, axis=1)
    settings = {"metric": METRICS.dump(target.metric), "multi": not target.task.sums_to_one}
    shape = target.format.settings.model_dump()
    return goal(hot, **settings, **shape)


def crossfit_by(
    stack: Stack, target: Goal, folds: np.ndarray, method: str, slots: Sequence[Any] = ()
) -> CrossFit:
    """What `crossfit` gives for the method of this name."""
    return crossfit(stack, target, folds, BLENDINGS.parse(method), slots)


def form(chain: Chain) -> tuple[bool, list[str]]:
    """Whether the members have temperatures, and the names of the steps."""
    return chain.temperatures is not None, [step.step for step in chain.steps]


def text(chain: Chain) -> str:
    return json.dumps(as_record(chain), sort_keys=True)


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_the_truth_of_a_fold_changes_nothing_of_its_own_predictions(kind: str, method: str) -> None:
    stack, target = problem(kind, 120)
    folds = dealt(120, 3)
    fit = crossfit_by(stack, target, folds, method, slots_of(target))
    other = crossfit_by(stack, without(target, folds, 2), folds, method, slots_of(target))
    rows = folds == 2
    assert text(other.nested[2]) == text(fit.nested[2])
    if form(other.chain) == form(fit.chain):
        assert text(other.by_fold[2]) == text(fit.by_fold[2])
        assert (other.oof(stack, folds)[rows] == fit.oof(stack, folds)[rows]).all()
    alone = other.decided_apart(stack, folds)[rows]
    assert (alone == fit.decided_apart(stack, folds)[rows]).all()
    assert (other.before(stack, folds)[rows] == fit.before(stack, folds)[rows]).all()
    if slots_of(target) and kind == "log loss":
        assert text(other.by_fold[1]) != text(fit.by_fold[1])
        assert text(other.chain) != text(fit.chain)


@pytest.mark.parametrize("kind", ["log loss", "tags"])
def test_a_folds_chain_is_the_one_fitted_where_that_fold_is_not_there_at_all(kind: str) -> None:
    stack, target = problem(kind)
    folds = dealt(240, 4)
    fit = crossfit_by(stack, target, folds, "weights", slots_of(target))
    kept = folds != 3
    fewer = Stack(np.asarray(stack.probs)[:, kept], stack.task)
    part = goal(
        target.marks[kept],
        METRICS.dump(target.metric),
        stack.task is MANY,
        **target.format.settings.model_dump(),
    )
    alone = crossfit_by(fewer, part, folds[kept], "weights", slots_of(target))
    assert text(alone.chain) == text(fit.nested[3])


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_a_chain_written_as_json_and_read_again_does_the_same(kind: str, method: str) -> None:
    stack, target = problem(kind, 120)
    chain = crossfit_by(stack, target, dealt(120, 3), method, slots_of(target)).chain
    again = Chain.model_validate(json.loads(json.dumps(as_record(chain))))
    assert again == chain
    made = apply_chain(again, stack, slice(None))
    assert (made == apply_chain(chain, stack, slice(None))).all()
    assert made.shape == (120, 3)
    if stack.task.sums_to_one:
        assert made.sum(axis=1) == pytest.approx(np.ones(120))


def test_what_a_step_gains_is_in_the_cross_fitted_score() -> None:
    stack, target = problem("log loss", 900)
    folds, rows = dealt(900, 5), np.arange(900)
    fit = crossfit_by(stack, target, folds, "mean", slots_of(target))
    assert {trial.step for trial in fit.trials} == {MEMBER_TEMPERATURE, "temperature", "clip"}
    kept = {trial.step for trial in fit.trials if trial.kept}
    assert MEMBER_TEMPERATURE in kept
    assert fit.chain.temperatures is not None
    assert fit.chain.temperatures[0] == pytest.approx(5, rel=0.3)  # 6 where it was alone
    assert len(fit.chain.steps) == len(kept - {MEMBER_TEMPERATURE})
    own = next(trial.gain for trial in fit.trials if trial.step == MEMBER_TEMPERATURE)
    plain = crossfit_by(Stack(stack.probs, ONE), target, folds, "mean", ())
    assert (plain.oof(stack, folds) == fit.before(stack, folds)).all()
    before, after = (target.cost(p(stack, folds), rows) for p in (fit.before, fit.oof))
    assert 0 < own < before - after + 0.05
    assert after < before - 0.1
    assert after == pytest.approx(target.cost(fit.in_sample(stack, folds), rows), abs=0.02)


def test_a_step_that_gains_nothing_is_dropped_and_leaves_every_bit_as_it_is() -> None:
    rng = np.random.default_rng(1)
    probs = rng.dirichlet(np.ones(3), size=(1, 3000))
    target = goal(drawn(probs[0], rng))
    stack, folds = Stack(probs, ONE), dealt(3000, 5)
    fit = crossfit_by(stack, target, folds, "mean", slots_of(target))
    assert [trial.kept for trial in fit.trials] == [False, False]
    assert all(trial.gain <= 1e-6 for trial in fit.trials)
    assert fit.chain.steps == ()
    blend = crossfit_by(stack, target, folds, "mean")
    assert (fit.in_sample(stack, folds) == blend.oof(stack, folds)).all()


def test_thresholds_are_one_or_one_per_class_as_the_folds_say() -> None:
    rng = np.random.default_rng(0)
    probs = rng.random((1, 900, 3))
    settings: dict[str, Any] = {"metric": {"name": "f1", "average": "macro"}, "multi": True, **TAGS}
    for planted, expected in (([0.3] * 3, "threshold"), ([0.8, 0.1, 0.5], "thresholds")):
        target = goal((probs[0] >= planted).astype(np.uint8), **settings)
        fit = crossfit_by(Stack(probs, MANY), target, dealt(900, 5), "mean", slots_of(target))
        assert [trial.step for trial in fit.trials] == ["threshold", "thresholds"]
        (step,) = fit.chain.steps
        assert step.step == expected
        assert step.thresholds == pytest.approx(planted if expected[-1] == "s" else 0.3, abs=0.02)
        oof = fit.oof(Stack(probs, MANY), dealt(900, 5))
        assert target.value(oof, np.arange(900)) > 0.97


def test_a_flattering_blend_of_noise_is_told_apart_by_its_cross_fitted_score() -> None:
    rng = np.random.default_rng(0)
    rows = 60
    good = rng.dirichlet(np.full(3, 0.6), rows)
    noise = softmax(rng.normal(size=(40, rows, 3)) * 2)
    stack = Stack(np.concatenate([good[None], noise]), ONE)
    target, folds, every = goal(drawn(good, rng)), dealt(rows, 5), np.arange(rows)
    costs, by_fold = {}, {}
    assert METHODS
    for method in METHODS:
        fit = crossfit_by(stack, target, folds, method)
        oof = fit.oof(stack, folds)
        costs[method] = target.cost(oof, every)
        by_fold[method] = fold_costs(target, oof, every, folds)
        flattered = target.cost(fit.in_sample(stack, folds), every)
        assert flattered <= costs[method] + 1e-9
        if method == "stack":
            assert flattered < target.cost(good, every) / 2  # better than any single member
    assert costs["stack"] > costs["single"] + 0.2
    assert simplest(costs, by_fold) == "single"


@pytest.mark.parametrize(("kind", "method"), CASES)
def test_what_is_scored_has_the_form_of_what_is_submitted(kind: str, method: str) -> None:
    stack, target = problem(kind, 120)
    fit = crossfit_by(stack, target, dealt(120, 4), method, slots_of(target))
    assert [form(chain) for chain in fit.by_fold] == [form(fit.chain)] * 4


def test_deciding_apart_may_keep_other_steps_in_a_fold() -> None:
    forms = set()
    for seed in range(8):  # so little is to be gained that the folds do not agree
        rng = np.random.default_rng(seed)
        probs = rng.dirichlet(np.ones(3), size=(1, 150))
        target = goal(drawn(ONE.at_temperature(probs[0], 0.9), rng))
        folds, stack = dealt(150, 5), Stack(probs, ONE)
        fit = crossfit_by(stack, target, folds, "mean", slots_of(target))
        differ = {str(form(chain)) for chain in fit.nested} != {str(form(fit.chain))}
        same = (fit.decided_apart(stack, folds) == fit.oof(stack, folds)).all()
        assert differ != same
        forms.add(differ)
    assert forms == {True, False}


def test_two_folds_are_too_few_for_steps_and_are_split_in_halves() -> None:
    stack, target = problem("log loss")
    folds = dealt(240, 2)
    fit = crossfit_by(stack, target, folds, "weights", slots_of(target))
    assert (fit.chain.steps, fit.trials) == ((), ())
    assert len(fit.by_fold) == 2
    parts = parts_of(target, folds)
    assert (parts // 2 == folds).all()
    halves = target.marks[folds == 1], target.marks[parts == 3]
    assert halves[1].sum(axis=0) == pytest.approx(halves[0].sum(axis=0) / 2, abs=1)
    fit = crossfit_by(stack, target, parts, "weights", slots_of(target))
    assert [trial.step for trial in fit.trials] == [MEMBER_TEMPERATURE, "temperature", "clip"]


def test_halves_of_a_fold_keep_groups_whole_and_three_folds_stay_as_they_are() -> None:
    _, target = problem("log loss")
    groups = np.repeat([f"site {n}" for n in range(24)], 10)
    whole = replace(target, truth=target.truth.assign(group=groups))
    folds = np.repeat(np.arange(24) % 2, 10)
    parts = parts_of(whole, folds)
    assert len(np.unique(parts)) == 4
    assert (pd.Series(parts).groupby(groups).nunique() == 1).all()
    three = dealt(240, 3)
    assert parts_of(target, three) is three


def test_the_simplest_within_noise_of_the_best_is_taken() -> None:
    best = np.array([0.30, 0.50, 0.40, 0.45])
    near = best + np.array([0.02, -0.01, 0.01, -0.01])
    worse = best + np.array([0.1, 0.3, -0.1, 0.2])  # a t test would not tell it from the best
    by_fold = {"worse": worse, "near": near, "best": best}
    costs = {name: values.mean() for name, values in by_fold.items()}
    assert simplest(costs, by_fold) == "near"
    assert not within_noise(worse, best)
    assert within_noise(worse[:2], best[:2])  # two folds tell nothing
    unknown = np.array([np.nan, 0.62, 0.49, 0.56])
    assert not within_noise(unknown, best)  # a fold without a score is left out
    with_nan = np.array([np.nan, np.nan, 0.6, 0.6])
    assert within_noise(with_nan, best)


def test_a_fold_without_a_positive_row_has_no_cost() -> None:
    hot = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], dtype=np.uint8)
    target = goal(hot, {"name": "auc"})
    costs = fold_costs(target, hot * 0.8 + 0.1, np.arange(4), np.array([0, 0, 1, 1]))
    assert costs[0] == -1
    assert np.isnan(costs[1])
