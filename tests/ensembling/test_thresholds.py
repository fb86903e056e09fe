"""Planted thresholds and cut points are found; applied, they decide as they should."""

import numpy as np
import pytest

from foldwise.ensembling.crossfit import slots_of
from foldwise.ensembling.thresholds import (
    MANY,
    Cuts,
    Threshold,
    Thresholds,
    move_threshold,
    sweep,
)
from planted import goal

TAGS = {"shape": "tags", "none": "nothing"}
F1 = {"name": "f1", "average": "macro"}
GRADES = goal(np.eye(3, dtype=np.uint8), {"name": "kappa"}, shape="label").task


@pytest.mark.parametrize("to", [0.2, 0.5, 0.8])
def test_a_moved_threshold_decides_as_the_threshold_does_to_the_last_bit(to: float) -> None:
    rng = np.random.default_rng(0)
    for threshold in (0.05, 0.1, 0.3, 0.47, 0.7, 0.95):
        near = [np.nextafter(threshold, 0), threshold, np.nextafter(threshold, 1)]
        probs = np.concatenate([near, [0, 1], rng.random(500)])
        made = move_threshold(probs, threshold, to)
        assert ((made >= to) == (probs >= threshold)).all()
        assert ((made >= 0) & (made <= 1)).all()
        order = np.argsort(probs, kind="stable")
        assert (np.diff(made[order]) >= 0).all()  # monotone
        assert move_threshold(np.array([0.0, 1.0]), threshold, to).tolist() == [0, 1]


def test_a_planted_threshold_for_all_classes_is_found() -> None:
    rng = np.random.default_rng(0)
    probs = rng.random((400, 3))
    target = goal((probs >= 0.3).astype(np.uint8), {"name": "f1"}, multi=True, **TAGS)
    found = Threshold.fit(probs, np.arange(400), target)
    assert (found.thresholds, found.to) == (pytest.approx(0.3, abs=0.011), 0.5)
    made = found.apply(probs, target.task)
    assert target.value(made, np.arange(400)) > target.value(probs, np.arange(400))


def test_planted_thresholds_of_each_class_are_found_rare_classes_too() -> None:
    rng = np.random.default_rng(0)
    probs = rng.random((1500, 3))
    probs[:, 2] = rng.random(1500) ** 6 * 0.3  # rare, and never sure
    planted = np.array([0.62, 0.35, 0.2])
    hot = (probs >= planted).astype(np.uint8)
    assert 20 < hot[:, 2].sum() < 150
    target, rows = goal(hot, F1, multi=True, **TAGS), np.arange(1500)
    found = Thresholds.fit(probs, rows, target)
    assert found.thresholds == pytest.approx(planted, abs=0.02)
    value = target.value(found.apply(probs, target.task), rows)
    one = Threshold.fit(probs, rows, target)
    assert value > 0.98 > target.value(one.apply(probs, target.task), rows)


def test_a_flat_stretch_of_thresholds_is_taken_in_its_middle() -> None:
    probs = np.repeat([0.2, 0.8], 50)[:, None]
    target = goal(np.repeat([[0], [1]], 50, axis=0), {"name": "f1"}, multi=True, **TAGS)
    assert Threshold.fit(probs, np.arange(100), target).thresholds == pytest.approx(0.5, abs=0.02)


def test_rows_where_nothing_passes_have_no_label_or_the_most_probable_one() -> None:
    probs = np.array([[0.1, 0.3], [0.6, 0.2]])
    made = move_threshold(probs, np.array([0.5, 0.4]), 0.5)
    silent = goal(np.eye(2), {"name": "f1"}, multi=True, **TAGS)
    assert silent.format.settings.decide(made).tolist() == [[0, 0], [1, 0]]
    one = goal(np.eye(2), {"name": "f1"}, multi=True, shape="tags")
    assert one.format.settings.decide(made).tolist() == [[0, 1], [1, 0]]


def test_the_sweep_is_the_metric_and_the_accuracy_at_every_threshold() -> None:
    rng = np.random.default_rng(0)
    probs = rng.random((200, 4))
    hot = (rng.random((200, 4)) < probs).astype(np.uint8)
    target = goal(
        hot, {"name": "f1", "average": "samples", "beta": 2}, multi=True, threshold=0.8, **TAGS
    )
    curve = sweep(probs, target)
    assert list(curve.columns) == ["threshold", "metric", "accuracy"]
    assert (curve["threshold"].iloc[0], curve["threshold"].iloc[-1], len(curve)) == (0.05, 0.95, 91)
    for threshold in (0.05, 0.35, 0.8):
        (row,) = curve[curve["threshold"] == threshold].itertuples()
        named = (probs >= threshold).astype(float)
        assert row.accuracy == pytest.approx((named == hot).mean())
        assert row.metric == pytest.approx(target.value(named, np.arange(200)))


def test_steps_follow_the_metric_and_the_shape() -> None:
    one, two = np.eye(3, dtype=np.uint8), np.ones((3, 2), dtype=np.uint8)
    many = np.ones((2, MANY + 1), dtype=np.uint8)
    assert slots_of(goal(one)) == (("temperature",), ("clip",))
    assert slots_of(goal(two, multi=True)) == (("temperature",), ("clip",))
    assert slots_of(goal(one, shape="label")) == ()  # log loss of labels: no probability to mend
    assert slots_of(goal(one, {"name": "accuracy"}, shape="label")) == ()
    assert slots_of(goal(one, {"name": "kappa"}, shape="label")) == (("cuts",),)
    assert slots_of(goal(two, F1, multi=True, **TAGS)) == (("threshold", "thresholds"),)
    assert slots_of(goal(many, F1, multi=True, **TAGS)) == (("threshold",),)
    assert slots_of(goal(two, {"name": "accuracy"}, multi=True)) == (("threshold", "thresholds"),)
    assert slots_of(goal(two, {"name": "auc"}, multi=True)) == ()


def graded(rng: np.random.Generator, rows: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers 0 to 4, mostly 0, and probabilities (rows, 5) as of a timid regression."""
    codes = rng.choice(5, rows, p=[0.5, 0.1, 0.2, 0.1, 0.1])
    guess = 1.2 + 0.4 * codes + rng.normal(0, 0.25, rows)  # drawn to the middle
    powers = np.exp(-((np.arange(5) - guess[:, None]) ** 2))
    return codes, powers / powers.sum(axis=1, keepdims=True)


def test_cut_points_improve_kappa_on_rows_that_they_were_not_fitted_on() -> None:
    codes, probs = graded(np.random.default_rng(0))
    target = goal(np.eye(5, dtype=np.uint8)[codes], {"name": "kappa"}, shape="label")
    train, other = np.arange(1000), np.arange(1000, 1500)
    found = Cuts.fit(probs[train], train, target)
    assert (np.diff(found.cuts) > 0).all()
    before = target.value(probs[other], other)
    after = target.value(found.apply(probs[other], target.task), other)
    assert after > before + 0.2
    assert after > 0.8


def test_cut_points_call_a_row_by_where_its_expected_class_lies() -> None:
    cuts = Cuts(cuts=(0.2, 1.9))
    expected = np.array([0.0, 0.19, 0.21, 1.0, 1.89, 1.91, 2.0])
    probs = np.stack([1 - expected / 2, np.zeros(7), expected / 2], axis=1)
    made = cuts.apply(probs, GRADES)
    assert made.argmax(axis=1).tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert made.sum(axis=1) == pytest.approx(np.ones(7))
    assert ((made >= 0) & (made <= 1)).all()


def test_of_several_folds_the_undecided_one_weighs_least() -> None:
    cuts = Cuts(cuts=(0.5, 1.5))
    folds = [np.array([[1 - e / 2, 0, e / 2]]) for e in (0.55, 0.1, 0.55)]  # 1, 0 and 1, just so
    mean = np.mean([cuts.apply(fold, GRADES) for fold in folds], axis=0)
    assert mean.argmax() == 0
