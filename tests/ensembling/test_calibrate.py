"""Temperatures and bounds that were planted are found; calibration errors are those by hand."""

import numpy as np
import pytest

from foldwise.ensembling.calibrate import (
    Clip,
    Temperature,
    calibration_error,
    reliability,
)
from foldwise.kinds.targets import Targets
from foldwise.tasks import MultiClass, MultiLabel
from planted import drawn, flipped, goal, softmax

ROWS = np.arange(4000)
ONE, MANY = MultiClass(("a", "b", "c", "d")), MultiLabel(("a", "b", "c"))


@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_the_temperature_of_sharpened_predictions_is_recovered(planted: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 4)) * 2
    target = goal(drawn(softmax(scores), rng))
    sharpened = softmax(scores * planted)
    found = Temperature.fit(sharpened, ROWS, target).temperature
    assert found == pytest.approx(planted, rel=0.06)
    assert ONE.at_temperature(sharpened, planted) == pytest.approx(softmax(scores))


def test_the_temperature_of_many_labels_is_of_each_logit() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 3)) * 2
    probs = 1 / (1 + np.exp(-scores))
    target = goal(flipped(probs, rng), multi=True)
    sharpened = 1 / (1 + np.exp(-scores * 3))
    assert Temperature.fit(sharpened, ROWS, target).temperature == pytest.approx(3, rel=0.06)
    assert MANY.at_temperature(sharpened, 3) == pytest.approx(probs)


def test_certain_rows_and_zeros_stay_finite_at_any_temperature() -> None:
    certain = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    for temperature in (0.05, 1.0, 20.0):
        made = ONE.at_temperature(certain, temperature)
        assert np.isfinite(made).all()
        assert made.sum(axis=1) == pytest.approx([1, 1])
        assert (made.argmax(axis=1) == [0, 0]).all()
        assert np.isfinite(MANY.at_temperature(certain, temperature)).all()


def test_bounds_are_found_where_one_label_in_fifty_is_wrong() -> None:
    rng = np.random.default_rng(0)
    hot = drawn(np.full((4000, 2), 0.5), rng)
    sure = np.where(hot == 1, 1.0, 0.0)
    sure[rng.choice(4000, 80, replace=False)] = [[0.5, 0.5]] * 80
    sure[:80] = 1 - sure[:80]  # confidently wrong
    target = goal(hot)
    found = Clip.fit(sure, ROWS, target)
    made = found.apply(sure, ONE)
    assert made.sum(axis=1) == pytest.approx(np.ones(4000))
    assert made.min() == pytest.approx(0.02, abs=0.004)  # what 80 in 4000 deserve
    assert target.cost(made, ROWS) < target.cost(sure, ROWS) / 5


def test_bounds_are_left_open_where_none_helps() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(3, 0.3), 4000)
    target = goal(drawn(probs, rng))
    found = Clip.fit(probs, ROWS, target)
    assert found.low <= 1e-3
    assert found.high == 1


def test_many_labels_have_an_upper_bound_too() -> None:
    rng = np.random.default_rng(0)
    hot = (rng.random((4000, 2)) < 0.5).astype(np.uint8)
    sure = np.where(hot == 1, 1.0, 0.0)
    sure[:40] = np.where(hot[:40] == 1, 0.0, 1.0)
    missing = np.flatnonzero(hot[40:, 0] == 0)[:200] + 40
    sure[missing, 0] = 1  # ones are wrong more often than noughts
    found = Clip.fit(sure, ROWS, goal(hot, multi=True))
    assert found.low == pytest.approx(0.01, abs=0.004)
    assert found.high == pytest.approx(0.95, abs=0.001)
    made = Clip(low=0.1, high=0.8).apply(np.array([[0.0, 0.5, 1.0]]), MANY)
    assert made.tolist() == [[0.1, 0.5, 0.8]]  # each label for itself


def test_a_reliability_curve_and_its_error_are_those_by_hand() -> None:
    probs = np.array([[0.95, 0.05], [0.97, 0.03], [0.62, 0.38], [0.36, 0.64]])
    hot = np.array([[1, 0], [0, 1], [1, 0], [0, 1]])
    low, high = reliability(ONE, Targets(hot.argmax(axis=1)), probs)
    assert low == pytest.approx({"confidence": 0.63, "accuracy": 1.0, "count": 2})
    assert high == pytest.approx({"confidence": 0.96, "accuracy": 0.5, "count": 2})
    assert calibration_error([low, high]) == pytest.approx((0.37 + 0.46) / 2)
    cells = reliability(MANY, Targets(hot), probs)
    assert sum(b["count"] for b in cells) == 8
    assert cells[-1] == pytest.approx(high)
    assert cells[0] == pytest.approx({"confidence": 0.04, "accuracy": 0.5, "count": 2})


def test_the_error_of_calibrated_predictions_is_small_and_of_sharpened_ones_is_not() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20000, 4))
    targets = Targets(drawn(softmax(scores), rng).argmax(axis=1))
    assert calibration_error(reliability(ONE, targets, softmax(scores))) < 0.01
    assert calibration_error(reliability(ONE, targets, softmax(3 * scores))) > 0.2
