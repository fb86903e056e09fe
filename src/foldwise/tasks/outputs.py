"""What a model's outputs mean: it follows from the recipe and the competition's task."""

from collections.abc import Iterator

from foldwise.config.recipe import Recipe
from foldwise.errors import SpecError, nearest
from foldwise.kinds.loss import LOSSES, Outputs
from foldwise.kinds.task import Task


def outputs_of(recipe: Recipe, task: Task) -> Outputs:
    """What the outputs of a recipe's model mean.

    Raises: SpecError: the recipe asks for what the task has not: a loss, targets, a class.
    """
    if isinstance(recipe.class_weights, dict):
        for name in recipe.class_weights:
            if name not in task.columns:
                raise SpecError(
                    f"recipe {recipe.name}: class_weights names {name!r}, which is no class"
                    f"{nearest(name, list(task.columns))}"
                )
    loss = recipe.loss_for(task.usual_loss)
    outputs = task.outputs(loss)
    unfit = [*_unfit(recipe, task)]
    if outputs is None:
        unfit.append((f'loss = "{LOSSES.name_of(loss)}"', f'loss = "{task.usual_loss}"'))
    for key, instead in unfit:
        raise SpecError(f"recipe {recipe.name}: {key} {task.unfit_because}; use {instead}")
    assert outputs is not None
    alone = recipe.model.one_output and task.sums_to_one and len(task) == 2
    return "one_sigmoid" if alone else outputs


def n_outputs(outputs: Outputs, columns: int) -> int:
    """How many outputs a model has for so many classes or numbers."""
    return 1 if outputs == "one_sigmoid" else columns


def _unfit(recipe: Recipe, task: Task) -> Iterator[tuple[str, str]]:
    """What of a recipe does not fit the task, and what to use instead."""
    if not task.sums_to_one:
        if recipe.ordinal is not None:
            yield "ordinal", "no ordinal"
        if recipe.sampling == "balanced":
            # a rare tag brings its company along: no draw of rows makes all tags equally likely
            yield 'sampling = "balanced"', 'class_weights = "balanced"'
    if not task.probabilities:
        if recipe.class_weights is not None:
            yield "class_weights", "[labels] weight"
        if recipe.label_smoothing:
            yield "label_smoothing", "none"
        if recipe.pseudo is not None:
            yield "[pseudo]", "none"
