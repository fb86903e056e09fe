"""Blend methods find the weights that made-up truth was drawn from, and keep what they promise."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from foldwise.config.competition import Submit
from foldwise.ensembling.methods import blend_rows
from foldwise.kinds.blending import BLENDINGS, Stack
from foldwise.kinds.goal import Goal
from planted import MANY, ONE, drawn, flipped, goal, softmax

METHODS = [name for name in BLENDINGS.known if name != "auto"]

ALL = slice(None)
BEST = (0.6, 0.0, 0.3, 0.1)  # the weights of the mixture that labels are drawn from


def blend_of(method: str, *given: Any) -> np.ndarray:
    """The blend by a method of this name."""
    return blend_rows(BLENDINGS.parse(method), *given)


def fit(method: str, stack: np.ndarray, target: Goal) -> dict[str, Any]:
    return BLENDINGS.parse(method).fit(Stack(stack, target.task), np.arange(stack.shape[1]), target)


@pytest.fixture(scope="module")
def mixture() -> tuple[np.ndarray, np.ndarray]:
    """Four members' probabilities (4, 4000, 5), and labels drawn from their mixture."""
    rng = np.random.default_rng(0)
    stack = rng.dirichlet(np.full(5, 0.5), size=(len(BEST), 4000))
    return stack, drawn(np.tensordot(BEST, stack, 1), rng)


def test_the_mean_is_numpys_to_the_last_bit(mixture: tuple[np.ndarray, np.ndarray]) -> None:
    stack, _ = mixture
    mean = stack.mean(axis=0)
    assert (BLENDINGS.parse("mean").apply({}, Stack(stack, ONE), ALL) == mean).all()
    rows = np.array([7, 3, 3999])
    made = blend_of("mean", {}, Stack(stack, ONE), rows)
    assert (made == (mean / mean.sum(axis=1, keepdims=True))[rows]).all()
    assert (blend_of("mean", {}, Stack(stack, MANY), ALL) == mean).all()  # nothing is divided


def test_the_geometric_mean_is_renormalised_and_no_zero_vetoes() -> None:
    stack = np.array([[[0.9, 0.1], [0.0, 1.0]], [[0.4, 0.6], [0.5, 0.5]]])
    made = blend_of("geometric", {}, Stack(stack, ONE), ALL)
    raw = np.sqrt([0.9 * 0.4, 0.1 * 0.6])
    assert made[0] == pytest.approx(raw / raw.sum())
    assert 0 < made[1, 0] < 1e-6
    assert made.sum(axis=1) == pytest.approx([1, 1])
    many = blend_of("geometric", {}, Stack(stack, MANY), ALL)
    assert many[0] == pytest.approx(raw)


def test_rows_stand_in_the_order_of_their_mean_ranks() -> None:
    rng = np.random.default_rng(0)
    stack = rng.random((3, 50, 2))
    stack[1, :10] = 0.5  # ties
    ranks = sum(rankdata(member, axis=0) for member in stack)
    bent = np.stack([stack[0] ** 7, stack[1], np.sqrt(stack[2])])  # the ranks are the same
    for each in (stack, bent):
        made = blend_of("rank", {}, Stack(each, MANY), ALL)
        assert (rankdata(made, axis=0) == rankdata(ranks, axis=0)).all()


def test_ranks_are_put_back_on_the_members_scale() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random((2, 40)) ** 3
    stack = np.stack([1 - positive, positive], axis=2)  # two classes, (2, 40, 2)
    made = BLENDINGS.parse("rank").apply({}, Stack(stack, ONE), ALL)
    assert made.sum(axis=1) == pytest.approx(np.ones(40))  # before they are renormalised
    alone = BLENDINGS.parse("rank").apply({}, Stack(stack[:1], ONE), ALL)
    assert alone == pytest.approx(stack[0])


@pytest.mark.parametrize("method", ["weights", "climb"])
def test_the_weights_of_a_mixture_are_found(
    mixture: tuple[np.ndarray, np.ndarray], method: str
) -> None:
    stack, hot = mixture
    found = fit(method, stack, goal(hot))["weights"]
    assert found == pytest.approx(BEST, abs=0.06)
    assert sum(found) == pytest.approx(1)
    if method == "weights":
        assert found[1] < 0.02


def test_weights_of_a_multi_label_mixture_are_found_and_columns_can_weigh() -> None:
    rng = np.random.default_rng(0)
    stack = rng.beta(0.5, 0.5, size=(3, 3000, 4))
    truths = np.stack([stack[0, :, 0], stack[0, :, 1], stack[2, :, 2], stack[2, :, 3]], axis=1)
    hot = flipped(truths, rng)
    assert fit("weights", stack, goal(hot, multi=True))["weights"][1] < 0.03
    names = goal(hot, multi=True).format.classes
    only = dict(zip(names, [1.0, 1.0, 0.0, 0.0], strict=True))
    first = fit("weights", stack, goal(hot, {"weights": only}, multi=True))["weights"]
    assert first == pytest.approx([1, 0, 0], abs=0.05)


@pytest.mark.parametrize(
    ("metric", "submission"),
    [({"name": "accuracy"}, {"shape": "label"}), ({"name": "auc"}, {}), ({"name": "kappa"}, {})],
)
@pytest.mark.parametrize("method", ["weights", "climb"])
def test_weights_for_metrics_without_a_gradient_beat_every_member_and_the_mean(
    mixture: tuple[np.ndarray, np.ndarray],
    method: str,
    metric: dict[str, Any],
    submission: dict[str, Any],
) -> None:
    stack, hot = mixture[0][:, :800], mixture[1][:800]
    target, rows = goal(hot, metric, **submission), np.arange(800)
    found = fit(method, stack, target)["weights"]
    value = target.value(np.tensordot(found, stack, 1), rows)
    others = [target.value(member, rows) for member in (*stack, stack.mean(axis=0))]
    assert value > max(others) + 0.01


def test_logistic_stacking_finds_the_weights_of_a_pool_of_logarithms() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, 4000, 4))
    stack = np.stack([softmax(member) for member in scores])
    hot = drawn(softmax(1.5 * scores[0] + 0.5 * scores[2] + [0, 0, 1, 0]), rng)
    found = fit("stack", stack, goal(hot))
    assert found["weights"] == pytest.approx([1.5, 0, 0.5], abs=0.1)
    bias = np.array(found["bias"])
    assert bias - bias[0] == pytest.approx([0, 0, 1, 0], abs=0.12)


def test_logistic_stacking_of_one_label_column_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 3000, 1))
    stack = 1 / (1 + np.exp(-scores))
    hot = flipped(1 / (1 + np.exp(-(scores[0] - 0.5))), rng)
    found = fit("stack", stack, goal(hot, multi=True))
    theirs = LogisticRegression(C=1e6).fit(scores[:, :, 0].T, hot[:, 0])
    assert found["weights"] == pytest.approx(theirs.coef_[0], abs=0.02)
    assert found["bias"] == pytest.approx(theirs.intercept_, abs=0.02)


def test_the_best_single_member_is_the_one_with_the_best_metric() -> None:
    rng = np.random.default_rng(0)
    stack = rng.dirichlet(np.ones(3), size=(4, 500))
    hot = drawn(stack[2], rng)
    found = fit("single", stack, goal(hot))
    assert found == {"weights": [0, 0, 1, 0]}
    assert blend_of("single", found, Stack(stack, ONE), ALL) == pytest.approx(stack[2])


def test_climbing_leaves_out_what_does_not_help_and_is_always_the_same() -> None:
    rng = np.random.default_rng(0)
    stack = rng.dirichlet(np.ones(3), size=(9, 300))
    target = goal(drawn(stack[:2].mean(axis=0), rng))
    found = np.array(fit("climb", stack, target)["weights"])
    assert found.sum() == pytest.approx(1)
    assert found[:2].min() > 5 * found[2:].max()
    assert found.tolist() == fit("climb", stack, target)["weights"]


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_probabilities_of_one_member_alone_or_of_many(
    method: str, count: int
) -> None:
    rng = np.random.default_rng(count)
    stack = rng.dirichlet(np.full(3, 0.3), size=(count, 60)).round(3)
    stack[:, 0] = [1, 0, 0]  # certain
    target = goal(drawn(np.full((60, 3), 1 / 3), rng))
    made = blend_of(method, fit(method, stack, target), Stack(stack, ONE), ALL)
    assert made.sum(axis=1) == pytest.approx(np.ones(60))
    assert ((made >= 0) & (made <= 1)).all()


def test_no_probability_passes_1_by_a_last_bit_of_weights_that_sum_to_1() -> None:
    certain = Stack(np.ones((2, 3, 2)), MANY)
    assert (blend_of("weights", {"weights": [0.5, 0.5000000000000002]}, certain, ALL) == 1).all()


def test_a_competition_can_name_every_method_and_give_its_settings() -> None:
    blends = [Submit(recipes=("r",), blend=word).blend for word in BLENDINGS.known]
    assert [blend.method for blend in blends] == [*BLENDINGS.known]
    assert {"auto", *METHODS} == {*BLENDINGS.known} >= {"mean", "climb", "stack"}
    climb = Submit(recipes=("r",), blend={"method": "climb", "bags": 2, "rounds": 3}).blend
    assert (climb.bags, climb.rounds) == (2, 3)
    with pytest.raises(ValidationError, match='bags belongs to method = "climb", not to "mean"'):
        Submit(recipes=("r",), blend={"method": "mean", "bags": 2})


def test_what_climbs_once_takes_one_member() -> None:
    rng = np.random.default_rng(0)
    stack = rng.dirichlet(np.ones(3), size=(3, 60))
    target = goal(drawn(stack[1], rng))
    climb = BLENDINGS.parse({"method": "climb", "bags": 1, "rounds": 1})
    found = climb.fit(Stack(stack, ONE), np.arange(60), target)
    assert sorted(found["weights"]) == [0, 0, 1]


def test_a_stack_takes_each_member_at_its_own_temperature() -> None:
    stack = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 5))
    made = blend_of("mean", {}, Stack(stack, ONE, [1.0, 3.0]), np.array([4, 0]))
    flat = ONE.at_temperature(stack[1], 3.0)
    assert made == pytest.approx(((stack[0] + flat) / 2)[[4, 0]])
