"""What the verbs share: what a command is about, its recipes, image caches, folds, and the plan."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foldwise.config.adapter import kinds_of
from foldwise.config.competition import repeated_name
from foldwise.config.recipe import Recipe, SizedRecipe, load_recipe, recorded_recipe
from foldwise.data.competition import CompetitionData, digests, image_caches
from foldwise.data.folds import Folds, load_folds
from foldwise.data.images.cache import ImageCache
from foldwise.data.images.decoding import Progress
from foldwise.data.images.resizing import Resizing
from foldwise.data.opened import OpenCompetition
from foldwise.errors import FoldwiseError, SpecError, nearest
from foldwise.executors import Execute, run_here
from foldwise.kinds.blending import BLENDINGS, Blending
from foldwise.kinds.events import Observer
from foldwise.store.layout import CompetitionRuns, RunFolder, data_of
from foldwise.store.run_records import RunRecord
from foldwise.tasks.outputs import outputs_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """What of a competition a command is about.

    recipes: by name; without any, those of `[submit]`. overrides: of each recipe, as
    "stage.0.epochs=3". folds: these alone; None: all. scheme: of the folds, by name; None: that of
    `[submit]`.
    """

    recipes: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    folds: tuple[int, ...] | None = None
    scheme: str | None = None

    def recipes_in(self, competition: OpenCompetition) -> tuple[str, ...]:
        """The names of the recipes."""
        return self.recipes or competition.spec.submit.recipes


@dataclass(frozen=True)
class Session:
    """Who follows a command while it works, and what its jobs run on.

    observe: takes the events of trainings. progress: of decoding images. execute: runs the jobs,
    see `executor`. track: follow trainings in W&B too.
    """

    observe: Observer = lambda event: None
    progress: Progress | None = None
    execute: Execute = run_here
    track: bool = False


SUBMITTED = Selection()  # what `submit` uses
QUIET = Session()  # nobody follows


@dataclass(frozen=True)
class Plan:
    """What a command trains: each recipe with its image caches, and the folds of all."""

    recipes: tuple[tuple[SizedRecipe, list[ImageCache]], ...]
    folds: Folds


def make_plan(
    competition: OpenCompetition, selection: Selection, progress: Progress | None = None
) -> Plan:
    """What to train, with everything made and checked that can be before a training begins.

    Recipes with the same sizes have the same cache. Raises: FoldwiseError: see the rooms.
    """
    data = competition.data
    recipes = recipes_of(competition.folder, selection.recipes_in(competition), selection.overrides)
    for recipe in recipes:
        outputs_of(recipe, data.task)  # what does not fit the task is said now
    for what, count in data.counts.items():
        log.info("%s: %d %s", competition.name, count, what)
    _need_weights(competition, recipes)
    # before the folds: the caches tell which images may be copies
    made = [(recipe, caches_of(data, recipe, progress)) for recipe in recipes]
    folds = scheme_folds(competition, selection.scheme, progress)
    for fold in selection.folds or ():
        if not 0 <= fold < folds.n:
            raise SpecError(f"folds are numbered 0 to {folds.n - 1}, got {fold}")
    return Plan(recipes=tuple(made), folds=folds)


def blending_of(competition: OpenCompetition, name: str) -> Blending:
    """The blend method of this name, the competition's own included. Raises: SpecError: none."""
    try:
        return BLENDINGS.parse(name, kinds_of(competition.folder))
    except ValueError as error:
        raise SpecError(str(error)) from None


def recipes_of(
    folder: Path,
    names: Sequence[str],
    overrides: Sequence[str] = (),
    runs: CompetitionRuns | None = None,
) -> list[SizedRecipe]:
    """A competition's recipes; `auto` sizes and interpolation are those of their weights.

    runs: the competition's; where one of them was trained by the recipe, they are what it recorded,
    and nobody asks timm.
    Raises: SpecError: a recipe is named twice; or see `load_recipe` and `as_weights`.
    """
    if wrong := repeated_name(names):
        raise SpecError(wrong)
    recipes = [load_recipe(folder, name, overrides) for name in names]
    return [_with_sizes(recipe, folder, runs) for recipe in recipes]


def _with_sizes(recipe: Recipe, folder: Path, runs: CompetitionRuns | None) -> SizedRecipe:
    if recipe.weights == "none" and recipe.image_size != "auto":
        return recipe.with_sizes((0, 0), "bilinear")
    if runs is not None and recipe.weights == "auto":  # a file could be another one by now
        for run in runs.runs():
            if run.name.startswith(f"{recipe.name}-s") and run.finished():
                known = _as_recorded(recipe, folder, run)
                if known is not None:
                    return known
    from foldwise.training.models.building import as_weights  # loads torch

    return as_weights(recipe)


def _as_recorded(recipe: Recipe, folder: Path, run: RunFolder) -> SizedRecipe | None:
    """The recipe as a run recorded it; None where the run is of other settings."""
    try:
        recorded = recorded_recipe(folder, RunRecord.read(run.record).recipe, run.name)
        size = recorded.image_size
        sides = (size, size) if isinstance(size, int) else size
        known = recipe.with_sizes(sides, recorded.interpolation)
    except FoldwiseError:  # of another version, or of sizes that do not go with these
        return None
    return known if known.model_dump() == recorded.model_dump() else None


def caches_of(
    data: CompetitionData, recipe: SizedRecipe, progress: Progress | None = None
) -> list[ImageCache]:
    """The image caches of a recipe's stages, see `image_caches`; recipes of one size share them."""
    return image_caches(data, recipe.cache_sizes, Resizing.of(recipe), progress)


def scheme_folds(
    competition: OpenCompetition, scheme: str | None = None, progress: Progress | None = None
) -> Folds:
    """The folds of a scheme, by default the one that `submit` uses; made and saved once.

    Raises: SpecError: no such scheme. FoldError: see `load_folds`. ImageError: copies are to be
            kept together, and images are missing or unreadable.
    """
    data = competition.data
    scheme = scheme or data.spec.submit.folds
    if scheme not in data.spec.folds:
        raise SpecError(f"no fold scheme is called {scheme!r}{nearest(scheme, [*data.spec.folds])}")
    folder = data_of(competition.workspace, data.spec.name).folds.path
    definition = data.spec.folds[scheme]
    same = digests(data, progress) if definition.duplicates else None
    return load_folds(data.train, scheme, definition, folder, same)


def is_begun(competition: OpenCompetition, recipe: str) -> bool:
    """Whether any fold of a recipe of this name is done; without one there is much to train."""
    return competition.files.trained(recipe)


def _need_weights(competition: OpenCompetition, recipes: Sequence[SizedRecipe]) -> None:
    """Ask for the recipes' weights files, and whether their models take what the recipes say of
    sizes, drop path and the head: an error now, not after much decoding."""
    new = [recipe for recipe in recipes if not is_begun(competition, recipe.name)]
    if not new:
        return
    from foldwise.training.methods.base import method_of

    for recipe in new:
        method_of(recipe).need(recipe)
