"""Blends match rows by id, sum to one and refuse what does not belong together."""

import numpy as np
import pytest

from foldwise.data.predictions import predictions_frame
from foldwise.errors import PredictionError
from foldwise.scoring.blend import blend, blend_test

CLASSES = ("z", "a")
ONE = predictions_frame(["1", "2"], np.array([[0.9, 0.1], [0.5, 0.5]]), CLASSES)
TWO = predictions_frame(["2", "1"], np.array([[0.2, 0.8], [0.4, 0.6]]), CLASSES)


def test_the_arithmetic_mean_is_of_rows_with_the_same_id() -> None:
    made = blend([ONE, TWO], "mean")
    assert list(made["id"]) == ["1", "2"]
    assert made["z"].tolist() == pytest.approx([0.65, 0.35])


def test_the_geometric_mean_is_renormalised_and_no_zero_vetoes() -> None:
    made = blend([ONE, TWO], "geometric")
    raw = np.sqrt([0.9 * 0.4, 0.1 * 0.6])
    assert made[["z", "a"]].to_numpy()[0] == pytest.approx(raw / raw.sum())
    zero = predictions_frame(["1", "2"], np.array([[0.0, 1.0], [0.0, 1.0]]), CLASSES)
    vetoed = blend([ONE, zero], "geometric")
    assert (vetoed["z"] > 0).all()
    assert vetoed[["z", "a"]].sum(axis=1).tolist() == pytest.approx([1, 1])


def test_test_predictions_are_blended_within_folds_then_averaged() -> None:
    made = blend_test([[ONE, TWO], [TWO, ONE]], "geometric")
    within = blend([ONE, TWO], "geometric")
    assert made["z"].tolist() == pytest.approx(within["z"].tolist())
    other = blend_test([[ONE, ONE], [TWO, TWO]], "mean")
    assert other["z"].tolist() == pytest.approx([0.65, 0.35])


def test_members_of_other_classes_or_ids_are_refused() -> None:
    swapped = ONE[["id", "a", "z"]]
    with pytest.raises(PredictionError, match="the same classes in order"):
        blend([ONE, swapped], "mean")
    with pytest.raises(PredictionError, match="1 are missing"):
        blend([ONE, TWO[:1]], "mean")
