"""What outputs mean follows from recipe and task; what does not fit is said before training."""

from typing import Any

import pytest

from foldwise.config.recipe import Recipe, SizedRecipe
from foldwise.errors import SpecError
from foldwise.tasks import MultiClass, MultiLabel, Regression
from foldwise.tasks.outputs import n_outputs, outputs_of
from foldwise.training.fitting.schedules import Constant, OneCycle

TWO, THREE = ("zebra", "ant"), ("zebra", "10", "ant")


def recipe(**keys: Any) -> Recipe:
    table = {
        "name": "r",
        "model": "resnet18",
        "image_size": 32,
        "stage": [{"epochs": 1, "lr": 1e-3}],
        **keys,
    }
    return Recipe.model_validate(table)


@pytest.mark.parametrize(
    ("keys", "two", "three", "many"),
    [
        ({}, "softmax", "softmax", "sigmoids"),
        ({"loss": "cross_entropy"}, "softmax", "softmax", None),
        ({"loss": "bce"}, "one_sigmoid", "scaled_sigmoids", "sigmoids"),
        ({"loss": "focal"}, "softmax", "softmax", "sigmoids"),
        ({"loss": "mae"}, "one_sigmoid", "softmax", None),
        ({"model": "linear"}, "one_sigmoid", "softmax", "sigmoids"),
        ({"model": "linear", "loss": "focal"}, "one_sigmoid", "softmax", "sigmoids"),
        ({"model": "linear", "loss": "bce"}, "one_sigmoid", "scaled_sigmoids", "sigmoids"),
        ({"model": "prior", "stage": []}, "softmax", "softmax", "sigmoids"),
    ],
)
def test_outputs_by_loss_and_task(
    keys: dict[str, Any], two: str, three: str, many: str | None
) -> None:
    assert outputs_of(recipe(**keys), MultiClass(TWO)) == two
    assert outputs_of(recipe(**keys), MultiClass(THREE)) == three
    if many:
        assert outputs_of(recipe(**keys), MultiLabel(THREE)) == many
    else:
        with pytest.raises(SpecError, match="needs one label per image"):
            outputs_of(recipe(**keys), MultiLabel(THREE))


def test_only_one_sigmoid_stands_for_two_classes() -> None:
    assert n_outputs("one_sigmoid", 2) == 1
    assert [n_outputs(each, 7) for each in ("softmax", "sigmoids", "scaled_sigmoids")] == [7] * 3


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"loss": "mae"}, r'recipe r: loss = "mae" needs one label .* many; use loss = "bce"'),
        ({"ordinal": 1}, "recipe r: ordinal needs one label per image, .*; use no ordinal"),
        ({"sampling": "balanced"}, 'recipe r: sampling = "balanced" .* use class_weights = "bal'),
    ],
)
def test_what_needs_one_label_per_image_is_said(keys: dict[str, Any], message: str) -> None:
    outputs_of(recipe(**keys), MultiClass(THREE))
    with pytest.raises(SpecError, match=message) as caught:
        outputs_of(recipe(**keys), MultiLabel(THREE))
    assert "\n" not in str(caught.value)


def test_a_weight_for_no_class_gets_the_nearest_name() -> None:
    weighed = recipe(class_weights={"zebra": 2, "annt": 0.5})
    message = "recipe r: class_weights names 'annt', which is no class; did you mean 'ant'"
    for task in (MultiClass(THREE), MultiLabel(THREE)):
        with pytest.raises(SpecError, match=message):
            outputs_of(weighed, task)
    assert outputs_of(recipe(class_weights={"zebra": 2}), MultiClass(THREE)) == "softmax"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"loss": "hinge"}, "no loss is called 'hinge'"),
        ({"loss": {"name": "focal", "gamma": -1}}, "focal"),
        ({"class_weights": "ballanced"}, "class_weights"),
        ({"class_weights": {"ant": 0}}, "class_weights"),
        ({"sampling": "rare"}, "sampling"),
        ({"ordinal": 0}, "ordinal"),
        ({"optimizer": "lamb"}, "optimizer"),
        ({"stage": []}, "stage must be a list of at least one stage, got none"),
        ({"model": "linear", "stage": []}, "stage must be a list of at least one stage, got none"),
        ({"model": "prior"}, 'model = "prior" takes no stage, but batch_size, budget'),
        ({"model": "linear", "weights": "auto"}, '"linear" takes no weights, but .*; remove what'),
        ({"model": "linear", "drop_rate": 0.5}, '"linear" takes no drop_rate, but accumulate, '),
        (
            {"model": "linear", "head": "fastai"},
            '"linear" takes no head, but .*, or name a model of timm',
        ),
        (
            {"model": "prior", "stage": [], "drop_path": 0.1},
            '"prior" takes no drop_path, but batch_size',
        ),
        (
            {
                "model": "linear",
                "stage": [{"epochs": 1, "lr": 1}, {"epochs": 1, "lr": 1, "image_size": 16}],
            },
            r"one image_size in all stages, got \[\[32, 32\], \[16, 16\]\]; it has one weight",
        ),
    ],
)
def test_a_mistake_in_these_keys_is_said(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**keys)


def test_baselines_bring_their_own_defaults_and_yield_to_what_is_written() -> None:
    linear = recipe(model="linear")
    assert (linear.weights, linear.optimizer, linear.weight_decay) == ("none", "sgd", 0)
    assert linear.stage[0].schedule == Constant()
    written = recipe(
        model="linear",
        optimizer="adam",
        weight_decay=0.1,
        stage=[{"epochs": 1, "lr": 1, "schedule": "one_cycle"}],
    )
    assert (written.optimizer, written.weight_decay) == ("adam", 0.1)
    assert written.stage[0].schedule == OneCycle()
    prior = SizedRecipe.model_validate({"name": "p", "model": "prior"})
    assert (prior.stage, prior.cache_sizes, prior.weights) == ((), (), "none")
    assert SizedRecipe.model_validate(prior.model_dump(mode="json")) == prior
    assert recipe().optimizer == "adam"


def test_numbers_have_a_loss_of_their_own_and_no_other() -> None:
    numbers = Regression(("height",))
    assert outputs_of(recipe(), numbers) == outputs_of(recipe(loss="mse"), numbers) == "numbers"
    for keys, message in (
        ({"loss": "bce"}, r'loss = "bce" is of classes, and here numbers .* use loss = "mse"'),
        ({"class_weights": "balanced"}, "class_weights is of classes"),
        ({"label_smoothing": 0.1}, "label_smoothing is of classes"),
        ({"sampling": "balanced"}, 'sampling = "balanced" is of classes'),
    ):
        with pytest.raises(SpecError, match=message):
            outputs_of(recipe(**keys), numbers)
    for task in (MultiClass(THREE), MultiClass(TWO), MultiLabel(THREE)):
        with pytest.raises(SpecError, match=r'loss = "mse" .*; use loss = "'):
            outputs_of(recipe(loss="mse"), task)
