"""The mean of the folds' models: its temperature without a label, and what a chain makes of it."""

from collections.abc import Sequence

import numpy as np
import pytest

from foldwise.ensembling.calibrate import Clip, Temperature, best_temperature
from foldwise.ensembling.chain import Chain
from foldwise.ensembling.members import Member
from foldwise.ensembling.pooling import average_folds, final, for_the_mean, pool_of
from foldwise.ensembling.thresholds import Threshold
from foldwise.kinds.blending import BLENDINGS
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import Known
from foldwise.tasks import MultiClass, MultiLabel, Task

PLAIN = Chain(method=BLENDINGS.parse("mean"), fitted={}, temperatures=None, steps=())
FOLDS = 4
CLASSES = ("a", "b", "c")
ONE, MANY = MultiClass(CLASSES), MultiLabel(CLASSES)


def models(
    rows: int, task: Task, sharp: float, noise: float = 1.5, seed: int = 0
) -> tuple[Targets, np.ndarray]:
    """Targets of rows and predictions (FOLDS + 1, rows, 3) of models that differ by noise of their
    own and are `sharp` times too sure, or too little below 1, of what is left."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 2, (rows, 3))
    free = Known(Targets(np.array([[0, 0, 0], [1, 1, 1]])), np.empty((2, 3)))
    targets = task.draw(task.from_scores(signal), free, rng)
    seen = signal + rng.normal(0, noise, (FOLDS + 1, rows, 3))
    return targets, np.stack([task.from_scores(sharp * each) for each in seen])


def members(tests: Sequence[np.ndarray]) -> list[Member]:
    """One member whose folds give these test predictions."""
    return [Member("a", "a", lambda: tests[0], lambda fold: tests[fold], {})]


@pytest.mark.parametrize("task", [ONE, MANY], ids=lambda task: task.name)
@pytest.mark.parametrize("sharp", [0.5, 1.0, 2.5])
def test_the_temperature_of_the_mean_is_found_without_its_labels(task: Task, sharp: float) -> None:
    targets, probs = models(20_000, task, sharp)
    known, test = slice(0, 10_000), slice(10_000, None)
    single = best_temperature(task, targets[known], probs[FOLDS][known])
    pool = pool_of(task, PLAIN, FOLDS, members(probs[:FOLDS, test]), single)
    assert pool.of_each == max(single, 1)
    best = best_temperature(task, targets[test], pool.blend)
    assert pool.of_mean == pytest.approx(best, rel=0.03)
    assert pool.of_mean < 0.9 * min(single, 1)  # what fits the members is too timid for the mean


def test_rows_unlike_those_of_oof_move_it_within_bounds() -> None:
    _, probs = models(5000, ONE, 1.0)
    sure = members(np.repeat(probs[:1], FOLDS, axis=0))  # folds that agree
    assert pool_of(ONE, PLAIN, FOLDS, sure, 1.8).of_mean == pytest.approx(1, abs=0.01)
    assert pool_of(ONE, PLAIN, FOLDS, sure, 0.6).of_mean == pytest.approx(0.6, abs=0.01)
    odd = members(probs[:FOLDS, np.argsort(probs[:FOLDS].mean(axis=0).max(axis=1))[:500]])
    assert pool_of(ONE, PLAIN, FOLDS, odd, 1.0).of_mean == pytest.approx(FOLDS**-0.5)


def test_a_column_that_does_not_count_has_no_part_in_it() -> None:
    _, probs = models(5000, MANY, 2.0, noise=0.8)
    tests = probs[:FOLDS].copy()
    tests[:, :, 2] = tests[0, :, 2]  # here alone the folds agree
    found = pool_of(MANY, PLAIN, FOLDS, members(tests), 1.7, (1, 1, 0)).of_mean
    alone = pool_of(MANY, PLAIN, FOLDS, members(tests[:, :, :2]), 1.7).of_mean
    assert found == pytest.approx(alone, rel=1e-3)
    assert pool_of(MANY, PLAIN, FOLDS, members(tests), 1.7).of_mean != pytest.approx(alone, 0.02)


def test_without_steps_the_mean_is_submitted_as_it_is() -> None:
    _, probs = models(50, ONE, 1.0)
    pool = pool_of(ONE, PLAIN, FOLDS, members(probs), 1.3)
    chain = for_the_mean(PLAIN, pool)
    assert chain == PLAIN
    np.testing.assert_allclose(final(chain, pool), probs[:FOLDS].mean(axis=0))
    np.testing.assert_allclose(average_folds(ONE, chain, FOLDS, members(probs)), pool.answers)


def test_temperature_and_bounds_change_the_mean() -> None:
    _, probs = models(50, ONE, 1.0)
    steps = Temperature(temperature=1.3), Clip(low=0.1, high=1.0)
    pool = pool_of(ONE, PLAIN.with_steps(steps), FOLDS, members(probs), 1.3)
    chain = for_the_mean(PLAIN.with_steps(steps), pool)
    own = Temperature(temperature=1.3, of_each=1.3, of_mean=pool.of_mean)
    assert chain.steps == (own, steps[1])
    flat = ONE.at_temperature(probs[:FOLDS].reshape(-1, 3), 1.3).reshape(FOLDS, -1, 3).mean(axis=0)
    at = np.clip(ONE.at_temperature(flat, pool.of_mean), 0.1, 1)
    wanted = at / at.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(final(chain, pool), wanted)
    np.testing.assert_allclose(average_folds(ONE, chain, FOLDS, members(probs)), wanted)
    other = average_folds(ONE, chain, FOLDS, members(probs[:, :5]))  # as for photos
    np.testing.assert_allclose(other, wanted[:5])


def test_a_chain_of_an_earlier_version_goes_on_as_it_was() -> None:
    _, probs = models(50, ONE, 1.0)
    chain = PLAIN.with_steps([Temperature(temperature=1.3)])
    each = ONE.at_temperature(probs[:FOLDS].reshape(-1, 3), 1.3).reshape(FOLDS, -1, 3)
    found = average_folds(ONE, chain, FOLDS, members(probs))
    np.testing.assert_allclose(found, each.mean(axis=0))


def test_thresholds_move_each_fold_before_the_mean() -> None:
    _, probs = models(50, MANY, 1.0)
    steps = [Threshold(thresholds=0.25, to=0.5)]
    pool = pool_of(MANY, PLAIN.with_steps(steps), FOLDS, members(probs), 1.0)
    chain = for_the_mean(PLAIN.with_steps(steps), pool)
    moved = np.where(probs >= 0.25, 0.5 + (probs - 0.25) * 0.5 / 0.75, probs * 2)
    np.testing.assert_allclose(final(chain, pool), moved[:FOLDS].mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(average_folds(MANY, chain, FOLDS, members(probs)), pool.answers)


def test_no_test_rows_are_no_trouble() -> None:
    pool = pool_of(ONE, PLAIN, FOLDS, members(np.empty((FOLDS, 0, 3))), 1.4)
    assert (pool.of_each, pool.of_mean) == (1.4, 1)
    assert final(PLAIN, pool).shape == (0, 3)
