"""What a board should say: the gain of averaging folds, and an interval for another sample."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from foldwise.data.competition import load_data
from foldwise.ensembling.forecast import averaging_gain, drawn_gain, expected_score, units_of
from foldwise.ensembling.pooling import Pool
from foldwise.kinds.goal import Goal
from foldwise.kinds.metric import Metric
from foldwise.kinds.shape import SHAPES
from foldwise.kinds.targets import Targets
from foldwise.metrics.scoring import Score
from foldwise.shapes.formats import submission_format
from foldwise.tasks import MultiClass, MultiLabel, Task
from foldwise.workspace import Workspace
from tiny import metric_of

CLASSES = ("a", "b", "c")


def draws(seed: int, rows: int, columns: int, folds: int) -> np.ndarray:
    """Predictions (folds, rows, columns) of models that differ."""
    raw = np.random.default_rng(seed).gamma(0.7, size=(folds, rows, columns)) + 1e-3
    return raw / raw.sum(axis=2, keepdims=True)


ONE, MANY = MultiClass(CLASSES), MultiLabel(CLASSES)
OOF = np.empty((0, 3))  # no number of these is looked at
FREE = Targets(np.array([[0, 0, 0], [1, 1, 1]]))  # rows with any number of labels


def aim(metric: Metric, shape: str, task: Task = ONE, like: Targets = FREE) -> Goal:
    """A goal of three classes; like: its rows' targets."""
    settings = SHAPES.parse(shape)
    spec = SimpleNamespace(submission=settings)
    form = submission_format(None, spec, ["1"], task)  # type: ignore[arg-type]
    return Goal(task=task, truth=pd.DataFrame(), targets=like, metric=metric, format=form)


def pooled(task: Task, likely: np.ndarray, logs: np.ndarray | None = None) -> Pool:
    """A pool whose labels have these probabilities."""
    logs = likely if logs is None else logs
    return Pool(task=task, blend=likely, of_each=1.0, of_mean=1.0, answers=likely, logs=logs)


def test_the_gain_is_what_averaging_gains_where_labels_are_those_that_are_likely() -> None:
    parts = draws(1, 200_000, 3, 4)
    mean = parts.mean(axis=0)
    likely = mean**1.5 / (mean**1.5).sum(axis=1, keepdims=True)
    ends = likely.cumsum(axis=1)
    labels = (np.random.default_rng(2).random((len(mean), 1)) > ends).sum(axis=1).clip(max=2)
    rows = np.arange(len(mean))
    gained = -np.log(parts[:, rows, labels]).mean() + np.log(likely[rows, labels]).mean()
    gain = averaging_gain(pooled(ONE, likely, np.log(parts).mean(axis=0)), likely)
    assert gained > 0.1
    assert gain == pytest.approx(gained, rel=0.03)


def test_with_many_labels_the_gain_is_a_mean_over_cells() -> None:
    parts = draws(3, 50, 2, 3)
    mean, logs = parts.mean(axis=0), np.log(parts).mean(axis=0)
    one = averaging_gain(pooled(ONE, mean, logs), mean)
    sides = np.stack([logs, np.log(1 - parts).mean(axis=0)])
    assert averaging_gain(pooled(MANY, mean, sides), mean) == pytest.approx(one)
    alone = pooled(ONE, parts[0], np.log(parts[0]))
    assert averaging_gain(alone, parts[0]) == pytest.approx(0)
    first = averaging_gain(pooled(MANY, mean[:, :1], sides[:, :, :1]), mean[:, :1])
    assert averaging_gain(pooled(MANY, mean, sides), mean, (1, 0)) == pytest.approx(first)
    nothing = np.empty((0, 2))
    assert averaging_gain(pooled(ONE, nothing), nothing) == 0


def test_the_gain_of_another_metric_is_that_of_drawn_labels() -> None:
    parts = draws(5, 20_000, 3, 4)
    mean = parts.mean(axis=0)
    rows = np.arange(len(mean))
    single = np.mean([mean[rows, part.argmax(axis=1)].mean() for part in parts])
    right = mean.max(axis=1).mean() - single
    goal, pool = aim(metric_of("accuracy"), "label"), pooled(ONE, mean)
    assert right > 0.05
    gain = drawn_gain(goal, OOF, pool, mean, iter(parts), len(parts))
    assert gain == pytest.approx(right, abs=0.004)
    error = metric_of("top_k_error", k=1)  # lower is better: a gain is above 0 all the same
    gain = drawn_gain(aim(error, "top"), OOF, pool, mean, iter(parts), len(parts))
    assert gain == pytest.approx(right, abs=0.004)
    hook = aim(metric_of("hook"), "label")
    assert drawn_gain(hook, OOF, pool, mean, iter(parts), len(parts)) == 0


def test_drawn_labels_are_as_many_as_rows_have() -> None:
    parts = np.clip(draws(7, 4000, 3, 2), 0.02, 0.98)
    likely = parts.mean(axis=0)
    metric, pool = metric_of("accuracy"), pooled(MANY, likely)
    free = drawn_gain(aim(metric, "wide", MANY), OOF, pool, likely, iter(parts), 2)
    right = [((likely >= 0.5) == (part >= 0.5)).mean() for part in parts]
    assert 0 < free < 1 - np.mean(right)
    each_has_one = aim(metric, "wide", MANY, Targets(np.eye(3, dtype=np.uint8)))
    one = drawn_gain(each_has_one, OOF, pool, likely, iter(parts), 2)
    assert one > 1.1 * free  # the mean's largest probability is right more often
    single, all_of_them = np.full((50, 3), 1e-9), Targets(np.ones((2, 3), np.uint8))
    unlikely = aim(metric, "wide", MANY, all_of_them)
    never = drawn_gain(unlikely, OOF, pooled(MANY, single), single, iter([single] * 2), 2)
    assert never == 0  # no row is drawn with three: they stay as they were drawn last


def test_draws_without_a_value_are_left_out() -> None:
    parts = draws(6, 40, 3, 2)
    rare = np.full((40, 3), 0.02)  # some draws have no positive row at all, which AUC needs
    mean, goal = parts.mean(axis=0), aim(metric_of("auc"), "wide", MANY)
    gain = drawn_gain(goal, OOF, pooled(MANY, rare), mean, iter(parts), 2)
    assert np.isfinite(gain)
    assert drawn_gain(goal, OOF, pooled(MANY, np.zeros((40, 3))), mean, iter(parts), 2) == 0


def test_the_interval_has_room_for_a_board_of_that_size() -> None:
    own, metric = Score(0.5, 0.4, 0.6), metric_of()
    told = expected_score(own, 0.05, metric, 30, 12)
    reach = 0.1 * (1 + 30 / 12) ** 0.5
    assert (told.value, told.low, told.high) == pytest.approx((0.45, 0.45 - reach, 0.45 + reach))
    half = expected_score(own, 0.05, metric, 30, 6)
    assert half.high is not None
    assert half.high == pytest.approx(0.45 + 0.1 * (1 + 30 / 6) ** 0.5)
    assert expected_score(own, 0.05, metric, 30, 0) == Score(0.45)
    assert expected_score(Score(0.7), 0.0, metric_of("hook"), 30, 12) == Score(0.7)


def test_a_board_may_have_a_level_and_an_error_of_its_own() -> None:
    own, metric = Score(0.5, 0.5 - 0.04 * 1.959964, 0.5 + 0.04 * 1.959964), metric_of("f1")
    told = expected_score(own, 0.05, metric, 30, 12, (-0.02, 0.03))
    assert told.value == pytest.approx(0.53)  # a higher score is better
    assert told.high == pytest.approx(0.53 + 0.05 * 1.959964)


def test_nothing_leaves_the_range_of_the_metric() -> None:
    def told(name: str, own: Score, gain: float = 0.0) -> Score:
        return expected_score(own, gain, metric_of(name), 30, 12)

    assert told("log_loss", Score(0.02, 0.0, 0.04), 0.01).low == 0
    assert told("log_loss", Score(0.02, 0.0, 0.04), 0.03).value == 0
    assert told("accuracy", Score(0.1, -0.2, 0.4)).low == 0
    assert told("f1", Score(0.95, 0.8, 1.0)).high == 1
    assert told("f1", Score(0.98, 0.9, 1.0), 0.1).value == 1
    assert told("kappa", Score(-0.9, -1, -0.5)).low == -1


def test_groups_count_where_the_training_rows_have_them(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    train, test = data.train, data.test  # 30 rows and 12, both of 6 sites
    assert (units_of(train, train), units_of(test, train)) == (6, 6)
    test.frame["group"] = None
    assert units_of(test, train) == 2  # as many as 12 rows are of 30 of 6 groups
    assert units_of(test.where(np.zeros(len(test), bool)), train) == 0
    train.frame["group"] = None
    assert (units_of(train, train), units_of(test, train)) == (30, 12)
