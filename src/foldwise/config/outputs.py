"""What a model's outputs mean: it follows from the recipe and the competition's task."""

from collections.abc import Sequence
from typing import Literal

from foldwise.config.baselines import LINEAR
from foldwise.config.recipe import Recipe
from foldwise.errors import SpecError, nearest

# softmax: logits of classes of which one is right. sigmoids: of labels, any number of them right.
# one_sigmoid: the logit of the second of two classes. scaled_sigmoids: logits of classes, each for
# itself; their sigmoids are divided by their sum.
Outputs = Literal["softmax", "sigmoids", "one_sigmoid", "scaled_sigmoids"]


def outputs_of(recipe: Recipe, classes: Sequence[str], multi: bool) -> Outputs:
    """What the outputs of a recipe's model mean. multi: an image may have many labels.

    Raises: SpecError: the recipe asks for what the task has not: a loss, targets, a class.
    """
    if isinstance(recipe.class_weights, dict):
        for name in recipe.class_weights:
            if name not in classes:
                raise SpecError(
                    f"recipe {recipe.name}: class_weights names {name!r}, which is no class"
                    f"{nearest(name, list(classes))}"
                )
    if multi:
        _check_many(recipe)
        return "sigmoids"
    if recipe.model == LINEAR or recipe.loss in ("bce", "mae"):
        if len(classes) == 2:
            return "one_sigmoid"
        if recipe.loss == "bce":
            return "scaled_sigmoids"
    return "softmax"


def n_outputs(outputs: Outputs, n_classes: int) -> int:
    """How many outputs a model has for so many classes."""
    return 1 if outputs == "one_sigmoid" else n_classes


def _check_many(recipe: Recipe) -> None:
    """Raises: SpecError: the recipe needs one label per image."""
    unfit = {
        f'loss = "{recipe.loss}"': (recipe.loss in ("cross_entropy", "mae"), 'loss = "bce"'),
        "ordinal": (recipe.ordinal is not None, "no ordinal"),
        # a rare tag brings its company along: no draw of rows makes all tags equally likely
        'sampling = "balanced"': (recipe.sampling == "balanced", 'class_weights = "balanced"'),
    }
    for key, (asked, instead) in unfit.items():
        if asked:
            raise SpecError(
                f"recipe {recipe.name}: {key} needs one label per image, and here an image may "
                f"have many; use {instead}"
            )
