"""What a board should say: the gain of averaging folds, and an interval for another sample."""

import numpy as np
import pytest

from foldwise.data.competition import load_data
from foldwise.scoring.forecast import averaging_gain, expected
from foldwise.scoring.metrics import Score
from foldwise.spec.metric import Metric
from foldwise.workspace import Workspace


def draws(seed: int, rows: int, columns: int, folds: int) -> np.ndarray:
    """Predictions (folds, rows, columns) of models that differ."""
    raw = np.random.default_rng(seed).gamma(0.7, size=(folds, rows, columns)) + 1e-3
    return raw / raw.sum(axis=2, keepdims=True)


def test_the_gain_is_what_averaging_gains_where_labels_come_from_the_mean() -> None:
    parts = draws(1, 200_000, 3, 4)
    mean = parts.mean(axis=0)
    sums = mean.cumsum(axis=1)
    labels = (np.random.default_rng(2).random((len(mean), 1)) > sums).sum(axis=1).clip(max=2)
    rows = np.arange(len(mean))
    gained = -np.log(parts[:, rows, labels]).mean() + np.log(mean[rows, labels]).mean()
    gain = averaging_gain(mean, np.log(parts).mean(axis=0), multi=False)
    assert gained > 0.1
    assert gain == pytest.approx(gained, rel=0.03)


def test_with_many_labels_the_gain_is_a_mean_over_cells() -> None:
    parts = draws(3, 50, 2, 3)
    one = averaging_gain(parts.mean(axis=0), np.log(parts).mean(axis=0), multi=False)
    logs = np.stack([np.log(parts).mean(axis=0), np.log(1 - parts).mean(axis=0)])
    assert averaging_gain(parts.mean(axis=0), logs, multi=True) == pytest.approx(one)
    assert averaging_gain(parts[0], np.log(parts[0]), multi=False) == pytest.approx(0)


def test_the_interval_has_room_for_a_test_set_of_that_size(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    train, test = data.train, data.test  # 30 rows and 12, both of 6 sites
    own = Score(0.5, 0.4, 0.6)
    told = expected(own, 0.05, train, test, Metric())
    assert told.value == pytest.approx(0.45)
    assert (told.low, told.high) == pytest.approx((0.45 - 0.1 * 2**0.5, 0.45 + 0.1 * 2**0.5))
    for table in (train, test):
        table.frame["group"] = None
    told = expected(own, 0.05, train, test, Metric())
    assert told.high == pytest.approx(0.45 + 0.1 * (1 + 30 / 12) ** 0.5)
    assert expected(Score(0.02, 0.0, 0.04), 0.01, train, test, Metric()).low == 0
    nothing = test.where(np.zeros(len(test), bool))
    assert expected(own, 0.05, train, nothing, Metric()) == Score(0.5)
    assert expected(Score(0.7), 0.0, train, test, Metric(name="hook")) == Score(0.7)
