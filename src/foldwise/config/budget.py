"""Budget: a recipe fitted to a time, by its epochs first, then its image sizes, then its folds."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldwise.errors import SpecError
from foldwise.kinds.settings import Strict

if TYPE_CHECKING:
    from foldwise.config.recipe import SettledRecipe
    from foldwise.config.stage import Stage

LONGEST_STRETCH = 4  # times the recipe's epochs; a longer budget is not used up
ENOUGH, LEAST = 0.5, 0.25  # shares of the recipe's epochs
FACTORS = (1.0, 0.75, 0.5)  # of the image sizes' sides
SIDE = 24  # pixels: no smaller side,
GRIDS = (8, 14, 16, 28, 32, 64)  # pixels: sides are multiples of the first that the model takes
KEPT = 0.96  # share of the time left that is planned for: no two epochs take the same
LONGEST = 366 * 24 * 3600.0  # seconds

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def seconds_of(text: str) -> float:
    """The seconds of a time such as `30m`, `2h`, `1h30m`, `90s`. Raises: ValueError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"a budget is a time such as 30m, 2h or 1h30m, got {text!r}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"a budget must be longer than nothing and at most a year, got {text!r}")
    return seconds


def share_of(text: str, count: int) -> str:
    """A time's equal share for each of `count` recipes, as a time. Raises: SpecError: no time."""
    try:
        return f"{seconds_of(text) / count:g}s" if count > 1 else text
    except ValueError as error:
        raise SpecError(str(error)) from None


@dataclass(frozen=True)
class Costs:
    """What the parts of a fold's training take, in seconds, measured on this measures."""

    step: tuple[float, ...]  # a training batch, by stage
    start: tuple[float, ...]  # what a stage's first batch takes beside that
    check: tuple[float, ...]  # all validation images at an epoch's end, by stage
    save: float  # a checkpoint
    predict: float  # all validation and test images with all views
    fixed: float  # the model and its data

    def fold(self, recipe: "SettledRecipe", batches: Sequence[int]) -> float:
        """The seconds of a fold. batches: an epoch's training batches, by stage."""
        total = self.fixed + self.predict
        for i, stage in enumerate(recipe.stage):
            epoch = batches[i] * self.step[i] + self.check[i] + self.save
            search = 100 * self.step[i] if stage.lr == "find" else 0.0  # the finder's batches
            total += self.start[i] + search + stage.length * epoch
        return total


@dataclass(frozen=True)
class Measures:
    """What is measured while a recipe is fitted to a time.

    costs_of: measures a recipe's costs; asked once per size. left: gives the seconds that are left.
    takes: whether a recipe's model takes its image sizes; those that it does not are left out.
    """

    costs_of: Callable[["SettledRecipe"], Costs]
    left: Callable[[], float]
    takes: Callable[["SettledRecipe"], bool] = lambda recipe: True


class BudgetPlan(Strict):
    """What keeps a recipe to its time.

    stage: the settings of its stages as plain values. folds: the numbers of those to train.
    seconds: of one run, about.
    """

    stage: tuple[dict[str, object], ...]
    swa: int
    folds: tuple[int, ...]
    seconds: float


def shrunk(recipe: "SettledRecipe", factor: float, grid: int = GRIDS[0]) -> "SettledRecipe":
    """The recipe with its image sizes' sides times a factor; images are cached as before."""
    if factor == 1.0:
        return recipe

    def size(sides: tuple[int, int]) -> tuple[int, int]:
        height, width = (min(side, max(SIDE, grid * round(side * factor / grid))) for side in sides)
        return height, width

    stages = [
        stage.model_copy(
            update={
                "image_size": size(recipe.stage_size(stage)),
                "presize": recipe.stage_presize(stage),
            }
        )
        for stage in recipe.stage
    ]
    return recipe.model_copy(update={"stage": tuple(stages)})


def sizes_that_go(
    recipe: "SettledRecipe", takes: Callable[["SettledRecipe"], bool]
) -> dict[float, "SettledRecipe"]:
    """The recipe at each of FACTORS at which its model takes all image sizes, by factor.

    takes: whether it does.
    """
    found = {}
    for factor in FACTORS:
        tried = (shrunk(recipe, factor, grid) for grid in GRIDS)
        smaller = recipe if factor == 1.0 else next(filter(takes, tried), None)
        if smaller is not None:
            found[factor] = smaller
    return found


def with_lengths(recipe: "SettledRecipe", lengths: Sequence[int]) -> "SettledRecipe":
    """The recipe with other numbers of epochs, each one that its stage's schedule can have."""
    stages = [stage.with_epochs(n) for stage, n in zip(recipe.stage, lengths, strict=True)]
    swa = min(recipe.swa, sum(lengths))
    return recipe.model_copy(update={"stage": tuple(stages), "swa": swa})


def fit_budget(
    recipe: "SettledRecipe",
    batches: Sequence[int],
    folds: Sequence[int],
    runs: int,
    measures: Measures,
) -> BudgetPlan:
    """The plan that keeps `runs` runs of a recipe (its seeds) to the time that is left.

    Tried in turn, until one has enough epochs: all folds with at least half of the recipe's
    epochs, at its image sizes, at 3/4 and at 1/2 of their sides; all folds with a quarter of the
    epochs at 1/2; then ever fewer folds with half of the epochs, at each of the sizes. Epochs of
    all stages grow and shrink alike, to four times the recipe's at most.

    Raises: SpecError: one fold with a quarter of the epochs does not fit either.
    """
    measured: dict[float, Costs] = {}
    sizes = sizes_that_go(recipe, measures.takes)
    tried = [(len(folds), factor, ENOUGH) for factor in sizes]
    tried.append((len(folds), min(sizes), LEAST))
    tried += [(n, factor, ENOUGH) for n in range(len(folds) - 1, 0, -1) for factor in sizes]
    tried.append((1, min(sizes), LEAST))
    wanted = sum(stage.length for stage in recipe.stage)
    for number, factor, enough in tried:
        smaller = sizes[factor]
        if factor not in measured:
            measured[factor] = measures.costs_of(smaller)
        costs, share = measured[factor], KEPT * measures.left() / (runs * number)
        found = _longest(smaller, costs, batches, share)
        if found is not None and sum(stage.length for stage in found.stage) >= enough * wanted:
            return BudgetPlan(
                stage=tuple(stage.model_dump(mode="json") for stage in found.stage),
                swa=found.swa,
                folds=tuple(folds[:number]),
                seconds=round(number * costs.fold(found, batches), 1),
            )
    least = with_lengths(smaller, [math.ceil(LEAST * stage.length) for stage in recipe.stage])
    size = {0.5: "half", 0.75: "3/4 of", 1.0: "all of"}[min(sizes)]
    needed = runs * costs.fold(least, batches)
    raise SpecError(
        f"the budget of {recipe.name} is too short: one fold with a quarter of its {wanted} epochs "
        f"at {size} its image size takes about {_time(needed)}, and "
        f"{_time(max(measures.left(), 0))} are left; give it more, or take a smaller model"
    )


def _time(seconds: float) -> str:
    """A time for people, in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _options(stage: "Stage") -> list[int]:
    """The numbers of epochs that a stage can have, up to MOST times its own."""
    return stage.schedule.lengths(LONGEST_STRETCH * stage.length)


def _longest(
    recipe: "SettledRecipe", costs: Costs, batches: Sequence[int], seconds: float
) -> "SettledRecipe | None":
    """The recipe with the most epochs whose fold keeps to the seconds; None if none does."""
    options = [_options(stage) for stage in recipe.stage]
    shares = sorted(
        {n / s.length for s, own in zip(recipe.stage, options, strict=True) for n in own}
    )

    def lengths_at(share: float) -> list[int]:
        return [
            max((n for n in own if n <= share * s.length + 1e-9), default=own[0])
            for s, own in zip(recipe.stage, options, strict=True)
        ]

    def fits(lengths: Sequence[int]) -> bool:
        return costs.fold(with_lengths(recipe, lengths), batches) <= seconds

    fitting = [share for share in shares if fits(lengths_at(share))]
    if not fitting:
        return None
    lengths = lengths_at(fitting[-1])
    for i in reversed(range(len(lengths))):  # what is left goes to the last stages
        longer = [n for n in options[i] if n > lengths[i]]
        if longer and fits([*lengths[:i], longer[0], *lengths[i + 1 :]]):
            lengths[i] = longer[0]
    return with_lengths(recipe, lengths)
