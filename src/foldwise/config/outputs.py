"""What a model's outputs mean: it follows from the recipe and the competition's task."""

from collections.abc import Sequence

from foldwise.config.baselines import LINEAR
from foldwise.config.recipe import Recipe
from foldwise.errors import SpecError, nearest
from foldwise.kinds.loss import LOSSES, Outputs


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
    loss = recipe.loss_for(multi)
    if multi:
        _check_many(recipe)
        if loss.of_labels is None:
            raise _needs_one_label(recipe, f'loss = "{LOSSES.name_of(loss)}"', 'loss = "bce"')
        return loss.of_labels
    if len(classes) > 2:
        return loss.of_classes
    return "one_sigmoid" if recipe.model == LINEAR else loss.of_two


def n_outputs(outputs: Outputs, n_classes: int) -> int:
    """How many outputs a model has for so many classes."""
    return 1 if outputs == "one_sigmoid" else n_classes


def _check_many(recipe: Recipe) -> None:
    """Raises: SpecError: the recipe needs one label per image."""
    unfit = {
        "ordinal": (recipe.ordinal is not None, "no ordinal"),
        # a rare tag brings its company along: no draw of rows makes all tags equally likely
        'sampling = "balanced"': (recipe.sampling == "balanced", 'class_weights = "balanced"'),
    }
    for key, (asked, instead) in unfit.items():
        if asked:
            raise _needs_one_label(recipe, key, instead)


def _needs_one_label(recipe: Recipe, key: str, instead: str) -> SpecError:
    return SpecError(
        f"recipe {recipe.name}: {key} needs one label per image, and here an image may have many; "
        f"use {instead}"
    )
