"""What holds for every metric: types, orders, weights of columns, bad input, intervals."""

import logging
import math
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from foldwise.config.loading import parse
from foldwise.data.competition import load_data
from foldwise.errors import PredictionError, SpecError
from foldwise.kinds.columns import columns_of
from foldwise.kinds.metric import METRICS, Metric
from foldwise.kinds.settings import Strict
from foldwise.metrics.intervals import bootstrap_interval, resampled_interval
from foldwise.metrics.scoring import score
from foldwise.workspace import Workspace
from planted import answers, value_of
from tiny import edit, metric_of

CLASSES = ("zebra", "10", "ant", "a b", "bee")  # neither sorted as text nor as numbers
WEIGHTS = {"ant": 0.5, "bee": 3, "10": 2, "zebra": 1, "a b": 0}  # in no order either
N = 90
MACRO: dict[str, dict[str, Any]] = {
    "f1": {"average": "macro", "beta": 2},
    "precision": {"average": "macro"},
    "recall": {"average": "macro"},
}
COUNTED = [
    {"name": name, "average": average}
    for name in ("f1", "precision", "recall")
    for average in ("micro", "macro", "weighted", "samples")
]
SETTINGS = [
    {"name": "log_loss"},
    {"name": "accuracy"},
    {"name": "top_k_error", "k": 2},
    {"name": "auc"},
    {"name": "average_precision"},
    {"name": "kappa"},
    {"name": "map", "k": 3},
    *COUNTED,
]
CASES = [
    (s, multi) for s in SETTINGS for multi in (False, True) if not (multi and s["name"] == "kappa")
]
every = pytest.mark.parametrize(
    ("settings", "multi"),
    CASES,
    ids=[f"{' '.join(map(str, s.values()))}{' of many' * multi}" for s, multi in CASES],
)
kinds = pytest.mark.parametrize("multi", [False, True], ids=["one label", "many labels"])


class Scored(Strict):
    """A table with a metric in it."""

    metric: Annotated[Metric, METRICS]


def table(multi: bool, seed: int = 0, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Truth that lacks the third class, and predictions that lean to it, (n, 5) each."""
    rng = np.random.default_rng(seed)
    if multi:
        hot = (rng.random((n, 5)) < 0.4).astype(np.int64)
        hot[:, 2] = 0
        return hot, np.clip(rng.random((n, 5)) * 0.7 + hot * 0.3, 0, 1)
    hot = np.eye(5, dtype=np.int64)[rng.choice([0, 1, 3, 4], n)]
    probs = rng.dirichlet(np.ones(5), n) + hot * 0.2
    return hot, probs / probs.sum(axis=1, keepdims=True)


def frames(
    hot: np.ndarray, probs: np.ndarray, multi: bool, classes: tuple[str, ...] = CLASSES
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Truth, and predictions in the reverse order of rows."""
    ids = [f"{i:03d}" for i in range(len(hot))]
    truth = pd.DataFrame(hot.astype(np.uint8), columns=columns_of(classes))
    if not multi:
        codes = hot.argmax(axis=1).tolist()
        truth = pd.DataFrame({"label": pd.Categorical.from_codes(codes, list(classes))})
    said = pd.DataFrame(probs, columns=columns_of(classes))
    truth.insert(0, "id", ids)
    said.insert(0, "id", ids)
    return truth, said.iloc[::-1].reset_index(drop=True)


@every
def test_float32_and_float64_predictions_score_the_same(
    settings: dict[str, Any], multi: bool
) -> None:
    metric = metric_of(**settings)
    hot, probs = table(multi)
    double = score(metric, *frames(hot, probs, multi), interval=False).value
    single = score(metric, *frames(hot, probs.astype(np.float32), multi), interval=False).value
    assert single == pytest.approx(double, abs=1e-6)


@every
def test_another_order_of_classes_changes_no_score(settings: dict[str, Any], multi: bool) -> None:
    metric = metric_of(**settings)
    hot, probs = table(multi)
    value = score(metric, *frames(hot, probs, multi), interval=False).value
    turned = [3, 0, 4, 2, 1]
    names = tuple(CLASSES[c] for c in turned)
    other = score(metric, *frames(hot[:, turned], probs[:, turned], multi, names), interval=False)
    assert (other.value == pytest.approx(value)) == (metric.name != "kappa")


@every
def test_arrays_score_as_frames_do_whatever_their_type(
    settings: dict[str, Any], multi: bool
) -> None:
    metric = metric_of(**settings)
    hot, probs = table(multi)
    expected = score(metric, *frames(hot, probs, multi), interval=False).value
    for kind in (np.int64, np.uint8, bool):
        assert value_of(metric, hot.astype(kind), probs, multi) == pytest.approx(expected)
    rows = metric.rule(answers(metric, hot, probs, multi))
    if isinstance(rows, np.ndarray):
        assert rows.shape == (N,)
        assert rows.mean() == pytest.approx(expected)


@every
def test_every_metric_has_an_interval_that_is_the_same_each_time(
    settings: dict[str, Any], multi: bool
) -> None:
    metric = metric_of(**settings)
    truth, said = frames(*table(multi), multi)
    found = score(metric, truth, said)
    assert found == score(metric, truth, said)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    grouped = truth.assign(group=[f"g{i % 9}" for i in range(N)])
    by_group = score(metric, grouped, said)
    assert by_group.value == found.value
    assert (by_group.low, by_group.high) != (found.low, found.high)


@every
def test_a_bootstrap_sample_scores_as_its_rows_would(settings: dict[str, Any], multi: bool) -> None:
    metric = metric_of(**settings)
    hot, probs = table(multi)
    probs = probs.round(2)  # with ties
    seen: list[float] = []
    rng = np.random.default_rng(0)
    for _ in range(20):  # as `resampled_interval` draws
        rows = rng.integers(0, N, N)
        seen.append(value_of(metric, hot[rows], probs[rows], multi))
    low, high = np.quantile(seen, [0.025, 0.975])
    result = metric.rule(answers(metric, hot, probs, multi))
    found = (
        bootstrap_interval(result, samples=20)
        if isinstance(result, np.ndarray)
        else resampled_interval(result, N, samples=20)
    )
    assert found == pytest.approx((low, high))


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "auc"},
        {"name": "average_precision"},
        {"name": "kappa"},
        {"name": "f1", "average": "macro"},
    ],
    ids=lambda s: s["name"],
)
def test_an_interval_is_as_wide_as_fresh_samples_spread(settings: dict[str, Any]) -> None:
    metric = metric_of(**settings)
    fresh = [value_of(metric, *table(False, seed, 300), False) for seed in range(200)]
    widths = []
    for seed in range(5):
        found = score(metric, *frames(*table(False, seed, 300), False))
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(fresh), rel=0.2)


def test_groups_are_drawn_whole_for_what_is_no_mean_over_rows() -> None:
    hot, probs = (
        np.repeat([[1, 0], [0, 1]], 50, axis=0),
        np.repeat([[1.0, 0], [0, 1.0]], 50, axis=0),
    )
    probs[:10] = probs[50:60] = [0.5, 0.5]
    truth, said = frames(hot, probs, True, ("b", "a"))
    truth["group"] = np.arange(100) % 2
    # both groups are alike, so that every sample of two is as good as the whole
    truth["group"] = truth["group"].astype(str)
    found = score(metric_of("f1", average="macro"), truth, said)
    assert (found.low, found.high) == (pytest.approx(found.value), pytest.approx(found.value))


def test_samples_without_a_value_are_left_out_and_few_counts_are_held_at_a_time() -> None:
    shapes: list[tuple[int, int]] = []

    def value(times: np.ndarray) -> np.ndarray:
        shapes.append(times.shape)
        assert (times.sum(axis=1) == 300_000).all()
        return np.where(times[:, 0] == 0, np.nan, times[:, 0])

    low, high = resampled_interval(value, 300_000, samples=10)
    assert [shape for shape, _ in shapes] == [3, 3, 3, 1]
    assert 1 <= low <= high


def column(metric: str, hot: np.ndarray, probs: np.ndarray) -> float:
    """scikit-learn's value of one column."""
    answers = probs >= 0.5
    found: dict[str, Any] = {
        "log_loss": lambda: sk.log_loss(hot, probs, labels=[0, 1]),
        "accuracy": lambda: sk.accuracy_score(hot, answers),
        "auc": lambda: sk.roc_auc_score(hot, probs),
        "average_precision": lambda: sk.average_precision_score(hot, probs),
        "f1": lambda: sk.fbeta_score(hot, answers, beta=2, zero_division=0),
        "precision": lambda: sk.precision_score(hot, answers, zero_division=0),
        "recall": lambda: sk.recall_score(hot, answers, zero_division=0),
    }
    return float(found[metric]())


@pytest.mark.parametrize(
    "name", ["log_loss", "accuracy", "auc", "average_precision", "f1", "precision", "recall"]
)
@pytest.mark.parametrize("seed", range(3))
def test_columns_can_be_weighted_by_class(name: Any, seed: int) -> None:
    metric = metric_of(name, weights=WEIGHTS, **MACRO.get(name, {}))
    hot, probs = table(True, seed)
    # no positive row of the third class: no AUC and no average precision, any other value
    kept = [0, 1, 3, 4] if name in ("auc", "average_precision") else range(5)
    values = [column(name, hot[:, c], probs[:, c]) for c in kept]
    expected = np.average(values, weights=[WEIGHTS[CLASSES[c]] for c in kept])
    assert value_of(metric, hot, probs, True, CLASSES) == pytest.approx(expected)
    found = score(metric, *frames(hot, probs, True))
    assert found.value == pytest.approx(expected)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    alike = metric_of(name, weights=dict.fromkeys(CLASSES, 7.0), **MACRO.get(name, {}))
    bare = metric_of(name, **MACRO.get(name, {}))
    assert value_of(alike, hot, probs, True, CLASSES) == pytest.approx(
        value_of(bare, hot, probs, True)
    )


@pytest.mark.parametrize("name", ["f1", "precision", "recall", "auc", "average_precision"])
def test_a_weight_of_0_for_the_other_class_scores_one_of_two(name: Any) -> None:
    rng = np.random.default_rng(0)
    true, p = rng.integers(0, 2, N), rng.random(N)
    metric = metric_of(name, weights={"yes": 1, "no": 0}, **MACRO.get(name, {}))
    truth, said = frames(np.c_[true, 1 - true], np.c_[p, 1 - p], False, ("yes", "no"))
    assert score(metric, truth, said).value == pytest.approx(column(name, true, p))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "kappa", "weights": {"a": 1}},
            'weights belongs to name = "log_loss" or "accuracy" or "auc" or "average_precision" or '
            '"f1" or "precision" or "recall", not to "kappa"',
        ),
        ({"name": "map", "weights": {"a": 1}}, 'not to "map"'),
        ({"name": "f1", "k": 3}, 'k belongs to name = "top_k_error" or "map", not to "f1"'),
        ({"name": "recall", "beta": 2}, 'beta belongs to name = "f1", not to "recall"'),
        ({"higher_is_better": True}, 'belongs to name = "hook", not to "log_loss"'),
        ({"name": "f1", "averag": "macro"}, "unknown key 'metric.averag'; did you mean 'average'"),
        ({"name": "f1", "weights": {"a": 1}}, 'f1 with average = "micro" is no mean over columns'),
        (
            {"name": "recall", "average": "samples", "weights": {"a": 1}},
            'recall with average = "samples" is no mean over columns',
        ),
        ({"name": "auc", "weights": {"a": 0, "b": 0}}, "one of them above 0, got 0.0, 0.0"),
        ({"name": "auc", "weights": {"a": 2, "b": -1}}, "weights.b: input should be greater"),
        ({"name": "auc", "weights": {"a": math.inf}}, "weights.a: input should be a finite number"),
        ({"name": "auc", "weights": {"a": math.nan}}, "weights.a: input should be a finite number"),
        ({"name": "acuracy"}, "no metric is called 'acuracy'; did you mean 'accuracy'?"),
        ({"name": "accuracy", "threshold": 1.0}, "threshold"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_the_spec(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        parse(Scored, {"metric": settings}, "competition.toml")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "multi", "weights", "message"),
    [
        ("auc", True, {**WEIGHTS, "aunt": 1}, "name a class 'aunt'; did you mean 'ant'?"),
        (
            "auc",
            True,
            {"ant": 1, "10": 1, "zebra": 0},
            "expected one for each of 5 classes, 2 have none: 'a b', 'bee'; write 0 for what",
        ),
        ("log_loss", False, WEIGHTS, "log_loss is a mean over columns only where an image may"),
        ("accuracy", False, WEIGHTS, "accuracy is a mean over columns only where an image may"),
    ],
)
def test_weights_that_do_not_fit_the_classes_are_refused(
    name: Any, multi: bool, weights: dict[str, float], message: str
) -> None:
    truth, said = frames(*table(multi), multi)
    with pytest.raises(SpecError) as caught:
        score(metric_of(name, weights=weights), truth, said)
    assert message in str(caught.value)


def test_kappa_of_many_labels_is_refused() -> None:
    with pytest.raises(SpecError, match='"kappa" needs one label per image; choose f1 or accuracy'):
        score(metric_of("kappa"), *frames(*table(True), True))


@kinds
def test_swapped_lacking_and_unknown_columns_are_refused(multi: bool) -> None:
    truth, said = frames(*table(multi), multi)
    swapped = said[["id", "10", "zebra", "ant", "a b", "bee"]]
    for wrong, got in (
        (swapped, "'id', '10', 'zebra', …"),
        (said.drop(columns="zebra"), "'id', '10', 'ant', …"),
        (said.rename(columns={"zebra": "horse"}), "'id', 'horse', '10', …"),
    ):
        with pytest.raises(PredictionError) as caught:
            score(metric_of(), truth, wrong)
        assert str(caught.value) == (
            "predictions to score: expected the columns 'id', 'zebra', '10', … in class order, "
            f"got {got}"
        )


@kinds
@pytest.mark.parametrize("number", [math.nan, math.inf, -0.1, 1.1])
def test_numbers_that_are_no_probabilities_are_refused(multi: bool, number: float) -> None:
    hot, probs = table(multi)
    probs[7, 3] = number
    for metric in (metric_of(), metric_of("auc"), metric_of("hook")):
        with pytest.raises(
            PredictionError, match=r"1 of 90 rows hold numbers that are (not finite|no predictions)"
        ):
            score(metric, *frames(hot, probs, multi), hook=lambda truth, said: 1.0)


def test_other_columns_of_the_truth_are_no_classes_but_a_class_may_have_such_a_name() -> None:
    labels, many = frames(*table(False), False), frames(*table(True), True)
    for truth, said in (labels, many):
        more = truth.assign(path="x.png", group=None, weight=2.0, shares=[np.ones(5)] * N)
        assert score(metric_of(), more, said) == score(metric_of(), truth, said)
    for multi, plain in ((False, labels), (True, many)):
        other = frames(*table(multi), multi, ("id", "class:id", "label", "weight", "part"))
        assert score(metric_of(), *other) == score(metric_of(), *plain)


def test_an_id_that_is_predicted_twice_is_refused() -> None:
    truth, said = frames(*table(False), False)
    said.loc[0, "id"] = "005"
    with pytest.raises(PredictionError, match=r"1 ids are predicted twice, e\.g\. '005'"):
        score(metric_of(), truth, said)


def test_rows_that_do_not_sum_to_1_are_refused_unless_the_metric_rescales_them() -> None:
    hot, probs = table(False)
    truth, said = frames(hot, probs * 0.9, False)
    strict = metric_of(rescale=False)
    with pytest.raises(PredictionError) as caught:
        score(strict, truth, said)
    assert str(caught.value) == (
        "predictions to score: every row should sum to 1 within 1e-05, since [metric] rescale is "
        "false; 90 of 90 do not, e.g. id '000' sums to 0.9; divide each row by its sum"
    )
    exact = score(strict, *frames(hot, probs, False))
    assert score(metric_of(), truth, said).value == pytest.approx(exact.value)
    single = score(strict, *frames(hot, probs.astype(np.float32), False)).value
    assert single == pytest.approx(exact.value, abs=1e-6)
    labels = table(True)  # with many labels rows need not sum to 1
    assert score(strict, *frames(*labels, True)) == score(metric_of(), *frames(*labels, True))


@pytest.mark.parametrize(
    ("name", "value", "chance"),
    [
        ("auc", 0.5, "ROC AUC of such a class is 0.5"),
        ("average_precision", 0.25, "average precision of such a class is the share of its pos"),
    ],
)
def test_constant_predictions_are_warned_of(
    name: Any, value: float, chance: str, caplog: pytest.LogCaptureFixture
) -> None:
    hot, probs = np.eye(4, dtype=int)[np.arange(40) % 4], np.tile([0.4, 0.3, 0.2, 0.1], (40, 1))
    truth, said = frames(hot, probs, False, CLASSES[:4])
    with caplog.at_level(logging.WARNING):
        assert score(metric_of(name), truth, said, interval=False).value == pytest.approx(value)
        assert score(metric_of(), truth, said).value > 0
        assert caplog.messages == []
        score(metric_of(name), truth, said)
    (message,) = caplog.messages
    assert "4 of 4 classes have one prediction for all rows ('zebra', '10', 'ant', …)" in message
    assert chance in message
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        score(metric_of(name), *frames(*table(False), False))
    assert caplog.messages == []


@pytest.mark.parametrize("classes", [2, 8, 99])
def test_uniform_predictions_score_what_theory_says(classes: int) -> None:
    hot = np.eye(classes, dtype=int)[np.arange(4 * classes) % classes]
    probs = np.full(hot.shape, 1 / classes)
    assert value_of(metric_of(), hot, probs, False) == pytest.approx(math.log(classes))
    half = np.full(hot.shape, 0.5)
    assert value_of(metric_of(), hot, half, True) == pytest.approx(math.log(2))
    assert value_of(metric_of("auc"), hot, probs, False) == 0.5
    assert value_of(metric_of("kappa"), hot, probs, False) == pytest.approx(0)
    error = value_of(metric_of("top_k_error", k=1), hot, probs, False)
    assert error == pytest.approx(1 - 1 / classes)


def test_weights_of_unknown_classes_are_said_when_the_data_are_read(workspace: Workspace) -> None:
    toml = workspace.competition("tiny") / "competition.toml"
    metric = '[metric]\nname = "auc"\nweights = {zebra = 1, "10" = 1, ants = 2}'
    edit(toml, "[folds.default]", f"{metric}\n\n[folds.default]")
    with pytest.raises(SpecError, match="weights name a class 'ants'; did you mean 'ant'"):
        load_data(workspace, "tiny")
