"""Log loss by the published rule, on rows matched by id."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss as sklearn_log_loss

from foldwise.errors import PredictionError, SpecError
from foldwise.metrics.intervals import bootstrap_interval
from foldwise.metrics.probabilities import log_losses
from foldwise.metrics.scoring import Score, of_smaller, score
from foldwise.store.predictions import predictions_frame
from tiny import metric_of

CLASSES = ("z", "a", "10")


def truth(labels: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame({"id": [f"{i:03d}" for i in range(len(labels))]})
    frame["label"] = pd.Categorical(labels, categories=list(CLASSES))
    return frame


@pytest.mark.parametrize("n_classes", [2, 8, 99, 120])
def test_uniform_rows_score_the_logarithm_of_the_number_of_classes(n_classes: int) -> None:
    probs = np.full((7, n_classes), 1 / n_classes)
    assert log_losses(np.zeros(7, int), probs).mean() == pytest.approx(math.log(n_classes))


def test_the_truth_scores_about_zero_and_a_certain_error_34_5() -> None:
    probs = np.eye(3)
    assert log_losses(np.arange(3), probs).max() < 1e-14
    assert log_losses(np.array([1]), probs[:1])[0] == pytest.approx(34.5388, abs=1e-4)


def test_a_hand_worked_table() -> None:
    probs = np.array([[0.5, 0.25, 0.25], [2.0, 1.0, 1.0]])  # the second row sums to 4
    assert log_losses(np.array([0, 1]), probs) == pytest.approx([math.log(2), math.log(4)])
    unscaled = log_losses(np.array([0, 1]), probs / [[1], [8]], rescale=False)
    assert unscaled == pytest.approx([math.log(2), math.log(8)])


def test_it_equals_scikit_learns_where_both_are_defined() -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 200)
    codes = rng.integers(0, 3, 200)
    expected = sklearn_log_loss(codes, probs, labels=[0, 1, 2])
    assert log_losses(codes, probs).mean() == pytest.approx(expected, rel=1e-12)


def test_permuting_rows_changes_no_score() -> None:
    frame = truth(["z", "a", "10", "a", "z"])
    probs = np.random.default_rng(1).dirichlet(np.ones(3), 5)
    predictions = predictions_frame(frame["id"], probs, CLASSES)
    one = score(metric_of(), frame, predictions)
    assert score(metric_of(), frame, predictions.iloc[::-1]).value == one.value
    shuffled = frame.iloc[[2, 0, 1, 4, 3]]
    assert score(metric_of(), shuffled, predictions).value == pytest.approx(one.value)


def test_other_ids_are_refused() -> None:
    frame = truth(["z", "a"])
    predictions = predictions_frame(["000", "x"], np.full((2, 3), 1 / 3), CLASSES)
    with pytest.raises(PredictionError, match=r"1 missing \('001'\), 1 unknown \('x'\)"):
        score(metric_of(), frame, predictions)


def test_a_row_of_zeros_is_refused() -> None:
    with pytest.raises(PredictionError, match="1 rows sum to 0 and cannot be rescaled"):
        log_losses(np.array([0]), np.zeros((1, 3)))


def test_a_hook_gives_the_score_or_is_missed() -> None:
    frame = truth(["z", "a"])
    predictions = predictions_frame(frame["id"], np.full((2, 3), 1 / 3), CLASSES)
    metric = metric_of("hook")
    assert score(metric, frame, predictions, lambda t, p: len(t) + len(p)).value == 4
    with pytest.raises(SpecError, match=r"needs score\(truth, predictions\) in adapter.py"):
        score(metric, frame, predictions)


def test_the_interval_covers_the_mean_and_is_wider_over_groups() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 30)
    losses = rng.normal(1, 0.3, 20)[groups] + rng.normal(0, 0.1, 600)
    low, high = bootstrap_interval(losses)
    group_low, group_high = bootstrap_interval(losses, groups)
    assert low < losses.mean() < high
    assert group_high - group_low > 3 * (high - low)
    # the standard error of a mean of 20 independent groups is about 0.3 / sqrt(20)
    assert group_high - group_low == pytest.approx(2 * 1.96 * 0.3 / math.sqrt(20), rel=0.3)


def test_the_score_uses_groups_where_there_are_any() -> None:
    labels = ["z", "a", "10"] * 30
    frame = truth(labels)
    predictions = predictions_frame(
        frame["id"], np.random.default_rng(0).dirichlet(np.ones(3), 90), CLASSES
    )
    plain = score(metric_of(), frame, predictions)
    grouped = score(
        metric_of(), frame.assign(group=[f"g{i // 30}" for i in range(90)]), predictions
    )
    assert plain.value == grouped.value
    assert (plain.low, plain.high) != (grouped.low, grouped.high)
    assert "95 % interval" in str(plain)
    assert str(Score(1.0)) == "1.00000"


def test_a_mean_over_rows_has_the_same_level_at_every_size() -> None:
    labels = truth(["z", "a", "10"] * 20)
    said = predictions_frame(labels["id"], np.full((60, 3), 1 / 3), CLASSES)
    assert of_smaller(metric_of(), labels, said, [10]) is None
    assert of_smaller(metric_of("hook"), labels, said, [10]) is None


def test_what_a_smaller_table_would_score_is_that_of_random_parts_of_a_larger_one() -> None:
    rng = np.random.default_rng(0)
    many = 20_000
    codes = rng.choice(3, many, p=[0.85, 0.12, 0.03])  # of 40 rows the last class is often in none
    answer = np.where(rng.random(many) < 0.7, codes, rng.integers(0, 3, many))
    labels = truth([CLASSES[code] for code in codes])
    metric, said = metric_of("f1", average="macro"), np.eye(3)[answer]

    def scored(rows: np.ndarray) -> float:
        part = labels.iloc[rows].reset_index(drop=True)
        frame = predictions_frame(part["id"], said[rows], CLASSES)
        return score(metric, part, frame, interval=False).value

    known = np.arange(1000)
    part, frame = labels.iloc[known], predictions_frame(labels["id"][known], said[known], CLASSES)
    found = of_smaller(metric, part, frame, [1000, 40])
    assert found is not None
    (same, error), (lower, larger) = found
    smaller = [scored(rng.choice(many, 40, replace=False)) for _ in range(300)]
    assert same == pytest.approx(0, abs=0.002)
    assert lower < -0.02
    assert lower == pytest.approx(np.mean(smaller) - scored(np.arange(many)), abs=0.02)
    assert larger == pytest.approx(np.std(smaller), rel=0.2)
    assert error < larger / 3


def test_what_is_no_probability_is_not_scored() -> None:
    truth = pd.DataFrame({"id": ["1", "2"], "label": pd.Categorical(["b", "a"])})
    said = pd.DataFrame({"id": ["1", "2"], "a": [0.5, 1.25], "b": [0.5, 0.0]})
    with pytest.raises(PredictionError, match=r"1 of 2 rows .* multi-class task, e.g. id '2'"):
        score(metric_of(), truth, said)
