"""Every metric equals scikit-learn's where it has one, else a table worked by hand."""

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from foldwise.errors import PredictionError
from foldwise.kinds.metric import METRICS, Metric
from foldwise.kinds.shape import SHAPES, SubmissionFormat
from foldwise.metrics.listed import average_precisions, top_k_errors
from foldwise.metrics.probabilities import column_log_losses
from foldwise.metrics.scoring import score
from foldwise.store.predictions import predictions_frame
from foldwise.tasks import MultiClass, MultiLabel
from tiny import metric_of

CLASSES = ("zebra", "10", "ant", "a b", "bee")  # neither sorted as text nor as numbers
N = 60
SEEDS = range(4)
DTYPES = (np.float32, np.float64)
AVERAGES = ("micro", "macro", "weighted", "samples")


def ids(n: int) -> list[str]:
    return [f"{i:03d}" for i in range(n)]


def single(codes: np.ndarray, classes: tuple[str, ...] = CLASSES) -> pd.DataFrame:
    """Truth with one label per row."""
    label = pd.Categorical.from_codes(codes.tolist(), categories=list(classes))
    return pd.DataFrame({"id": ids(len(codes)), "label": label})


def many(hot: np.ndarray, classes: tuple[str, ...] = CLASSES) -> pd.DataFrame:
    """Truth with any number of labels per row."""
    frame = pd.DataFrame(hot.astype(np.uint8), columns=list(classes))
    frame.insert(0, "id", ids(len(hot)))
    return frame


def said(probs: np.ndarray, classes: tuple[str, ...] = CLASSES) -> pd.DataFrame:
    """Predictions of the same rows in reverse order, in the dtype of probs."""
    frame = pd.DataFrame(probs, columns=list(classes))
    frame.insert(0, "id", ids(len(probs)))
    return frame.iloc[::-1].reset_index(drop=True)


def average_precision(hot: np.ndarray, scores: np.ndarray) -> float:
    """scikit-learn's, of numbers that it tells apart as we do."""
    return float(sk.average_precision_score(hot, scores.astype(np.float64)))


def value(metric: Metric, truth: pd.DataFrame, predictions: pd.DataFrame) -> float:
    return score(metric, truth, predictions, interval=False).value


@pytest.fixture(params=[(seed, dtype) for seed in SEEDS for dtype in DTYPES], ids=str)
def one(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n,) that lack the third class, and probabilities (n, C) that sum to 1."""
    seed, dtype = request.param
    rng = np.random.default_rng(seed)
    codes = rng.choice([0, 1, 3, 4], N)
    probs = rng.dirichlet(np.ones(5), N) + np.eye(5)[codes] * 0.3
    return codes, (probs / probs.sum(axis=1, keepdims=True)).astype(dtype)


@pytest.fixture(params=[(seed, dtype) for seed in SEEDS for dtype in DTYPES], ids=str)
def several(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Labels (n, C) that lack the third class, some rows without any, and probabilities."""
    seed, dtype = request.param
    rng = np.random.default_rng(100 + seed)
    hot = (rng.random((N, 5)) < 0.3).astype(np.int64)
    hot[:, 2], hot[:3] = 0, 0
    probs = np.clip(rng.random((N, 5)) * 0.7 + hot * 0.3, 0, 1)
    probs[0] = 0.1  # a row that is right to name nothing
    return hot, probs.astype(dtype)


def test_accuracy(one: tuple[np.ndarray, np.ndarray]) -> None:
    codes, probs = one
    expected = sk.accuracy_score(codes, probs.argmax(axis=1))
    assert value(metric_of("accuracy"), single(codes), said(probs)) == pytest.approx(expected)


def test_auc_is_the_mean_over_classes_that_have_rows_of_both_kinds(
    one: tuple[np.ndarray, np.ndarray], several: tuple[np.ndarray, np.ndarray]
) -> None:
    for truth, hot, probs in (
        (single(one[0]), np.eye(5, dtype=int)[one[0]], one[1]),
        (many(several[0]), *several),
    ):
        usable = [0, 1, 3, 4]
        expected = sk.roc_auc_score(hot[:, usable], probs[:, usable], average="macro")
        assert value(metric_of("auc"), truth, said(probs)) == pytest.approx(expected)


@pytest.mark.parametrize("digits", [8, 1, 0])  # fewer digits, more ties
@pytest.mark.parametrize(
    ("name", "reference"), [("auc", sk.roc_auc_score), ("average_precision", average_precision)]
)
def test_equal_predictions_share_a_rank(
    several: tuple[np.ndarray, np.ndarray], name: Any, reference: Any, digits: int
) -> None:
    hot, probs = several[0], several[1].round(digits)
    expected = np.mean([reference(hot[:, c], probs[:, c]) for c in (0, 1, 3, 4)])
    assert value(metric_of(name), many(hot), said(probs)) == pytest.approx(expected)


def test_average_precision_is_the_mean_over_classes_that_have_positive_rows(
    one: tuple[np.ndarray, np.ndarray],
) -> None:
    hot, probs = np.eye(5, dtype=int)[one[0]], one[1]
    expected = np.mean([average_precision(hot[:, c], probs[:, c]) for c in (0, 1, 3, 4)])
    found = value(metric_of("average_precision"), single(one[0]), said(probs))
    assert found == pytest.approx(expected)


def test_average_precision_by_hand() -> None:
    hot = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    probs = np.array([[0.9, 0.4], [0.8, 0.3], [0.7, 0.2], [0.6, 0.2]])
    # first column: found at ranks 1 and 3; second: both found at the last rank, which they share
    expected = ((1 / 2) * 1 + (1 / 2) * (2 / 3) + 2 / 4) / 2
    classes = ("b", "a")
    found = value(metric_of("average_precision"), many(hot, classes), said(probs, classes))
    assert found == pytest.approx(expected)


def test_average_precision_without_a_positive_row_is_refused() -> None:
    probs = np.random.default_rng(0).random((3, 5))
    with pytest.raises(PredictionError, match="average precision needs a class with positive rows"):
        score(metric_of("average_precision"), many(np.zeros((3, 5))), said(probs))


def test_auc_of_two_classes_is_that_of_either() -> None:
    rng = np.random.default_rng(0)
    codes, p = rng.integers(0, 2, N), rng.random(N)
    truth, predictions = single(codes, ("no", "yes")), said(np.c_[1 - p, p], ("no", "yes"))
    expected = sk.roc_auc_score(codes, p)
    assert value(metric_of("auc"), truth, predictions) == pytest.approx(expected)


def test_auc_without_a_usable_class_is_refused() -> None:
    probs = np.random.default_rng(0).random((3, 5))
    for truth in (single(np.ones(3, int)), many(np.ones((3, 5))), many(np.zeros((3, 5)))):
        with pytest.raises(PredictionError, match="a class with both positive and neg") as caught:
            score(metric_of("auc"), truth, said(probs))
        assert "\n" not in str(caught.value)


def test_kappa_is_quadratic_in_class_order(one: tuple[np.ndarray, np.ndarray]) -> None:
    codes, probs = one
    expected = sk.cohen_kappa_score(codes, probs.argmax(axis=1), weights="quadratic")
    assert value(metric_of("kappa"), single(codes), said(probs)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("codes", "answers", "expected"),
    [
        ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], 1.0),
        ([2, 2, 2], [2, 2, 2], 1.0),  # scikit-learn has no value for a single class
        ([0, 4], [4, 0], -1.0),
        ([0, 0], [3, 3], 0.0),
        # observed 1 + 0 + 1 = 2 of 3 rows; expected by chance (0 1 1 1 0 1 4 1 0) / 3 = 3
        ([0, 1, 2], [1, 1, 1], 0.0),
        ([0, 1, 2], [0, 1, 1], 1 - 1 / 3),
    ],
)
def test_kappa_by_hand(codes: list[int], answers: list[int], expected: float) -> None:
    probs = np.eye(5)[answers]
    found = value(metric_of("kappa"), single(np.array(codes)), said(probs))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("beta", [1.0, 2.0, 0.5])
def test_f_beta_with_one_label(
    one: tuple[np.ndarray, np.ndarray], average: Any, beta: float
) -> None:
    codes, probs = one
    metric = metric_of("f1", average=average, beta=beta)
    answers = probs.argmax(axis=1)
    if average == "samples":
        expected = sk.accuracy_score(codes, answers)
    else:
        expected = sk.fbeta_score(codes, answers, beta=beta, average=average, zero_division=0)
    assert value(metric, single(codes), said(probs)) == pytest.approx(expected)


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("beta", [1.0, 2.0, 0.5])
def test_f_beta_with_many_labels(
    several: tuple[np.ndarray, np.ndarray], average: Any, beta: float
) -> None:
    hot, probs = several
    answers = (probs >= 0.5).astype(int)
    metric = metric_of("f1", average=average, beta=beta)
    occur = np.arange(5) if average == "samples" else np.flatnonzero((hot | answers).any(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scikit-learn warns of scores that it makes up
        expected = sk.fbeta_score(
            hot[:, occur],
            answers[:, occur],
            beta=beta,
            average=average,
            zero_division=1.0 if average == "samples" else 0.0,
        )
    assert value(metric, many(hot), said(probs)) == pytest.approx(expected)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize(
    ("name", "reference"), [("precision", sk.precision_score), ("recall", sk.recall_score)]
)
def test_precision_and_recall_with_one_label(
    one: tuple[np.ndarray, np.ndarray], name: Any, reference: Any, average: Any
) -> None:
    codes, probs = one
    expected = reference(codes, probs.argmax(axis=1), average=average, zero_division=0)
    metric = metric_of(name, average=average)
    assert value(metric, single(codes), said(probs)) == pytest.approx(expected)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
@pytest.mark.parametrize(
    ("name", "reference"), [("precision", sk.precision_score), ("recall", sk.recall_score)]
)
def test_precision_and_recall_with_many_labels(
    several: tuple[np.ndarray, np.ndarray], name: Any, reference: Any, average: Any
) -> None:
    metric = metric_of(name, average=average)
    hot, probs = several
    answers = (probs >= 0.5).astype(int)
    occur = np.flatnonzero((hot | answers).any(axis=0))
    expected = reference(hot[:, occur], answers[:, occur], average=average, zero_division=0)
    assert value(metric, many(hot), said(probs)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "reference"), [("precision", sk.precision_score), ("recall", sk.recall_score)]
)
def test_precision_and_recall_of_each_row(
    several: tuple[np.ndarray, np.ndarray], name: Any, reference: Any
) -> None:
    hot, probs = several
    answers = (probs >= 0.5).astype(int)
    rows = [
        float(not (true.any() or said_.any())) or reference(true, said_, zero_division=0)
        for true, said_ in zip(hot, answers, strict=True)
    ]
    assert rows[0] == 1  # nothing rightly answered with nothing
    found = value(metric_of(name, average="samples"), many(hot), said(probs))
    assert found == pytest.approx(np.mean(rows))


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_f1_where_a_single_class_occurs_is_that_classs_own(average: Any) -> None:
    hot, answers = np.zeros((6, 5)), np.zeros((6, 5))
    hot[:3, 1], answers[:1, 1] = 1, 1
    found = value(metric_of("f1", average=average), many(hot), said(answers))
    assert found == pytest.approx(2 / (1 + 3))  # right 1, named 1, true 3; not the 4 of 6 rows
    alone = ("x",)
    found = value(
        metric_of("f1", average=average), many(hot[:, 1:2], alone), said(answers[:, 1:2], alone)
    )
    assert found == pytest.approx(0.5)


@pytest.mark.parametrize("average", AVERAGES)
def test_f1_of_nothing_rightly_answered_with_nothing_is_one(average: Any) -> None:
    nothing = np.zeros((4, 5))
    assert value(metric_of("f1", average=average), many(nothing), said(nothing)) == 1
    wrong = nothing.copy()
    wrong[:, 0] = 1
    assert value(metric_of("f1", average=average), many(nothing), said(wrong)) == 0


def test_the_f2_of_each_row_by_hand() -> None:
    rows = {  # true labels, answered labels: 5 right / (4 true + answered)
        ("11000", "11000"): 1.0,
        ("11000", "10000"): 5 / 9,
        ("10000", "11100"): 5 / 7,
        ("10000", "01000"): 0.0,
        ("11110", "01111"): 15 / 20,
        ("10000", "00000"): 0.0,
        ("00000", "00100"): 0.0,
        ("00000", "00000"): 1.0,
    }
    hot, answers = (np.array([[int(c) for c in pair[side]] for pair in rows]) for side in (0, 1))
    metric = metric_of("f1", average="samples", beta=2)
    found = score(metric, many(hot), said(answers.astype(float)))
    assert found.value == pytest.approx(np.mean(list(rows.values())))
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    for row, expected in enumerate(rows.values()):
        alone = value(metric, many(hot[[row]]), said(answers[[row]].astype(float)))
        assert alone == pytest.approx(expected)


def test_log_loss_with_one_label(one: tuple[np.ndarray, np.ndarray]) -> None:
    codes, probs = one
    exact = probs.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    expected = sk.log_loss(codes, exact, labels=range(5))
    assert value(metric_of(), single(codes), said(probs)) == pytest.approx(expected, rel=1e-12)
    unscaled = value(metric_of(rescale=False), single(codes), said(probs))
    assert unscaled == pytest.approx(expected, rel=1e-6)


def test_log_loss_with_many_labels_is_the_mean_of_binary_log_losses(
    several: tuple[np.ndarray, np.ndarray],
) -> None:
    hot, probs = several
    exact = probs.astype(np.float64)
    expected = np.mean([sk.log_loss(hot[:, c], exact[:, c], labels=[0, 1]) for c in range(5)])
    assert value(metric_of(), many(hot), said(probs)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_certain_error_costs_what_the_clip_says(dtype: type) -> None:
    hot, wrong = np.eye(5, dtype=int), np.roll(np.eye(5), 1, axis=1).astype(dtype)
    assert value(metric_of(), single(np.arange(5)), said(wrong)) == pytest.approx(34.5388, abs=1e-4)
    assert value(metric_of(clip=1e-7), single(np.arange(5)), said(wrong)) == pytest.approx(
        -math.log(1e-7)
    )
    # 2 of 5 cells of a row are wrong; the other three cost nothing
    assert column_log_losses(hot, wrong) == pytest.approx(np.full(5, 2 / 5 * 34.5388), abs=1e-3)
    assert column_log_losses(hot, hot.astype(dtype)).max() < 1e-14


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.9])
def test_a_class_is_named_from_the_threshold_on(
    several: tuple[np.ndarray, np.ndarray], threshold: float
) -> None:
    hot, probs = several
    answers = (probs >= threshold).astype(int)
    found = value(metric_of("accuracy", threshold=threshold), many(hot), said(probs))
    assert found == pytest.approx(sk.accuracy_score(hot.ravel(), answers.ravel()))
    for name, reference in (("f1", sk.f1_score), ("recall", sk.recall_score)):
        metric = metric_of(name, threshold=threshold)
        expected = reference(hot, answers, average="micro", zero_division=0)
        assert value(metric, many(hot), said(probs)) == pytest.approx(expected)
    exact = many(np.ones((1, 5))), said(np.full((1, 5), threshold))
    assert value(metric_of("accuracy", threshold=threshold), *exact) == 1


@pytest.mark.parametrize("k", [1, 2, 4, 5, 9])
def test_top_k_error(one: tuple[np.ndarray, np.ndarray], k: int) -> None:
    codes, probs = one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn finds k = 5 of 5 classes pointless
        expected = 1 - sk.top_k_accuracy_score(codes, probs, k=k, labels=range(5))
    found = value(metric_of("top_k_error", k=k), single(codes), said(probs))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("true", "ranking", "k", "expected"),
    [
        ([3], [0, 3], 1, 1),
        ([3], [0, 3], 2, 0),
        ([3], [0, 1], 5, 1),  # the class is not named
        ([0, 2, 4], [0, 1, 2, 3, 4], 2, 2 / 3),
        ([0, 2, 4], [4, 2, 0], 2, 1 / 3),
        ([], [0], 1, 0),
    ],
)
def test_top_k_error_by_hand(true: list[int], ranking: list[int], k: int, expected: float) -> None:
    hot, ranked = np.zeros((1, 5), dtype=int), np.zeros((1, 5))
    hot[0, true] = 1
    ranked[0, ranking] = 1 / np.arange(1, len(ranking) + 1)
    assert top_k_errors(hot, ranked, k)[0] == pytest.approx(expected)
    metric = metric_of("top_k_error", k=k)
    assert value(metric, many(hot), said(ranked)) == pytest.approx(expected)
    even = value(metric, many(hot), said(np.full((1, 5), 0.2)))  # equal: the first k classes
    assert even == pytest.approx(np.mean([c >= k for c in true]) if true else 0)


def test_accuracy_with_many_labels_counts_cells() -> None:
    hot = np.array([[1, 0, 0, 0, 0], [1, 1, 0, 0, 1], [0, 0, 0, 0, 0]])
    probs = np.array([[0.5, 0.4, 0, 0, 0], [0.6, 0.4, 0.9, 0, 0.7], [0.5, 0.5, 0.5, 0.5, 0.5]])
    found = value(metric_of("accuracy"), many(hot), said(probs))
    assert found == pytest.approx((5 + 3 + 0) / 15)


@pytest.mark.parametrize(
    ("true", "ranking", "k", "expected"),
    [
        ([0], [0, 1, 2, 3, 4], 5, 1),
        ([1], [0, 1, 2, 3, 4], 5, 1 / 2),
        ([4], [0, 1, 2, 3, 4], 5, 1 / 5),
        ([4], [0, 1, 2, 3, 4], 4, 0),
        ([4], [0, 1, 2, 3, 4], 9, 1 / 5),
        ([2], [4, 2], 5, 1 / 2),
        ([2], [4], 5, 0),  # the class is not named
        ([0, 2, 4], [0, 1, 2, 3, 4], 5, (1 + 2 / 3 + 3 / 5) / 3),
        ([0, 2, 4], [0, 1, 2, 3, 4], 2, 1 / 2),
        ([0, 2, 4], [4, 0, 2], 3, 1),
        ([0, 2, 4], [1, 0], 5, (1 / 2) / 3),
        ([0, 1, 2, 3, 4], [3], 1, 1),
        ([], [0, 1], 5, 0),
    ],
)
def test_map_at_k_by_hand(true: list[int], ranking: list[int], k: int, expected: float) -> None:
    hot, ranked = np.zeros((1, 5), dtype=int), np.zeros((1, 5))
    hot[0, true] = 1
    ranked[0, ranking] = 1 / np.arange(1, len(ranking) + 1)
    assert average_precisions(hot, ranked, k)[0] == pytest.approx(expected)
    assert value(metric_of("map", k=k), many(hot), said(ranked)) == pytest.approx(expected)
    if len(true) == 1:
        found = value(metric_of("map", k=k), single(np.array(true)), said(ranked))
        assert found == pytest.approx(expected)


def average_precision_at(true: set[int], ranking: list[int], k: int) -> float:
    """Kaggle's rule, written as its evaluation page reads."""
    hits, total = 0, 0.0
    for rank, name in enumerate(ranking[:k], start=1):
        if name in true:
            hits += 1
            total += hits / rank
    return total / min(len(true), k) if true else 0.0


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_map_at_k_of_random_tables(several: tuple[np.ndarray, np.ndarray], k: int) -> None:
    hot, probs = several
    rankings = np.argsort(-probs, axis=1, kind="stable").tolist()
    rows = [
        average_precision_at(set(np.flatnonzero(row)), ranking, k)
        for row, ranking in zip(hot, rankings, strict=True)
    ]
    assert value(metric_of("map", k=k), many(hot), said(probs)) == pytest.approx(np.mean(rows))


def answered(multi: bool, **settings: Any) -> SubmissionFormat:
    """A format with one answer column for the rows of `ids(N)`."""
    made = SHAPES.parse(settings)
    frame = made.blank_rows(ids(N), CLASSES, ["id", "y"], "id")
    task = MultiLabel(CLASSES) if multi else MultiClass(CLASSES)
    return SubmissionFormat(frame, "id", ("y",), tuple(ids(N)), task, made)


def test_what_the_file_will_say_is_scored_not_the_probabilities(
    several: tuple[np.ndarray, np.ndarray],
) -> None:
    hot, probs = several
    frame = predictions_frame(ids(N), probs, CLASSES)
    metric = metric_of("f1", average="samples", beta=2)
    decided = answered(True, shape="tags", threshold=0.2, none="").decide(frame)
    expected = sk.fbeta_score(
        hot, (probs >= 0.2).astype(int), beta=2, average="samples", zero_division=1.0
    )
    assert value(metric, many(hot), decided) == pytest.approx(expected)
    assert value(metric, many(hot), frame) != pytest.approx(expected)


def test_a_decision_changes_no_accuracy_and_cuts_a_ranking_to_k(
    one: tuple[np.ndarray, np.ndarray],
) -> None:
    codes, probs = one
    truth, frame = single(codes), predictions_frame(ids(N), probs, CLASSES)
    label = answered(False, shape="label").decide(frame)
    for metric in (metric_of("accuracy"), metric_of("kappa"), metric_of("f1")):
        assert value(metric, truth, label) == value(metric, truth, frame)
    top = answered(False, shape="top", k=2).decide(frame)
    assert value(metric_of("map", k=5), truth, top) == pytest.approx(
        value(metric_of("map", k=2), truth, frame)
    )
    ranks = np.sort(top[list(CLASSES)].to_numpy(), axis=1)[:, ::-1]
    assert (ranks == [1, 1 / 2, 0, 0, 0]).all()  # no class is named twice


@pytest.mark.parametrize(
    ("metric", "higher", "title"),
    [
        (metric_of(), False, "log loss"),
        (metric_of("accuracy"), True, "accuracy"),
        (metric_of("auc"), True, "ROC AUC"),
        (metric_of("kappa"), True, "quadratic weighted kappa"),
        (metric_of("f1"), True, "micro F1"),
        (metric_of("f1", average="macro", beta=0.5), True, "macro F0.5"),
        (metric_of("f1", average="samples", beta=2), True, "per-row F2"),
        (metric_of("map"), True, "MAP@5"),
        (metric_of("map", k=3), True, "MAP@3"),
        (metric_of("top_k_error"), False, "top-5 error"),
        (metric_of("average_precision"), True, "average precision"),
        (metric_of("precision", average="samples"), True, "per-row precision"),
        (metric_of("recall", average="weighted"), True, "weighted recall"),
        (metric_of("auc", weights={"a": 1}), True, "ROC AUC, columns weighted"),
        (metric_of("hook"), False, "hook"),
        (metric_of("hook", higher_is_better=True), True, "hook"),
    ],
)
def test_a_metric_knows_its_direction_and_its_name(
    metric: Metric, higher: bool, title: str
) -> None:
    assert (metric.higher, metric.title) == (higher, title)


@pytest.mark.parametrize(
    "name",
    [name for name, kind in METRICS.every().items() if kind.reads != "numbers" and name != "hook"],
)
def test_the_truth_scores_best_whatever_the_metric(name: str) -> None:
    settings = {"k": 2} if name in ("map", "top_k_error") else {}
    metric, rng = metric_of(name, **settings), np.random.default_rng(0)
    codes = rng.integers(0, 5, N)
    best = value(metric, single(codes), said(np.eye(5)[codes]))
    assert best == pytest.approx(1 if metric.higher else 0)
    for _ in range(3):
        other = value(metric, single(codes), said(rng.dirichlet(np.ones(5), N)))
        assert other < best if metric.higher else other > best
