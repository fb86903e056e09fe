"""What a board should say: the gain of averaging folds, and an interval for another sample."""

import numpy as np
import pytest

from foldwise.data.competition import load_data
from foldwise.scoring.forecast import averaging_gain, expected, right_share
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


def test_a_mean_that_is_less_sure_than_right_gains_less() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, 40_000)
    rows = np.arange(len(truth))
    evidence = rng.normal(0, 1.5, (5, len(truth), 3))  # each model has noise of its own
    evidence[:, rows, truth] += 2.25  # by which its softmax is calibrated
    parts = np.exp(evidence) / np.exp(evidence).sum(axis=2, keepdims=True)
    mean, logs = parts.mean(axis=0), np.log(parts).mean(axis=0)
    hot = np.eye(3)[truth]
    right = np.mean([right_share(hot, part, False) for part in parts])
    assert right == pytest.approx(parts.max(axis=2).mean(), abs=0.01)
    gained = -logs[rows, truth].mean() + np.log(mean[rows, truth]).mean()
    plain = averaging_gain(mean, logs, multi=False)
    told = averaging_gain(mean, logs, False, float(right))
    assert plain > 1.3 * gained
    assert gained < told < 0.85 * plain


def test_a_share_is_right_by_row_or_by_cell() -> None:
    hot = np.array([[1, 0], [0, 1]])
    assert right_share(hot, np.array([[0.6, 0.4], [0.7, 0.3]]), multi=False) == 0.5
    assert right_share(hot, np.array([[0.6, 0.4], [0.7, 0.6]]), multi=True) == 0.75
    nothing = np.empty((0, 2))
    assert averaging_gain(nothing, nothing, False, 0.5) == 0


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
    every = expected(Score(0.1, -0.2, 0.4), 0.0, train, test, Metric(name="accuracy"))
    assert (every.low, every.high) == (0.0, pytest.approx(0.1 + 0.3 * (1 + 30 / 12) ** 0.5))
    assert expected(Score(0.95, 0.8, 1.0), 0.0, train, test, Metric(name="f1")).high == 1
    assert expected(Score(-0.9, -1, -0.5), 0.0, train, test, Metric(name="kappa")).low == -1
    assert expected(Score(0.02, 0.0, 0.04), 0.03, train, test, Metric()).value == 0
    nothing = test.where(np.zeros(len(test), bool))
    assert expected(own, 0.05, train, nothing, Metric()) == Score(0.5)
    assert expected(Score(0.7), 0.0, train, test, Metric(name="hook")) == Score(0.7)
