"""Competition and Recipe for notebooks: the pipeline's functions, loaded lazily."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from foldwise.data.cache import sized
from foldwise.data.competition import CompetitionData, load_data
from foldwise.data.folds import Folds
from foldwise.errors import SpecError
from foldwise.pipeline import caches_of, recipes_of, scheme_folds
from foldwise.spec.recipe import Recipe
from foldwise.workspace import Workspace

if TYPE_CHECKING:
    from fastai.data.block import DataBlock

__all__ = ["Competition", "Recipe"]


class Competition:
    """A competition in a notebook: its frames, folds and fastai DataBlocks.

    >>> competition = Competition.load("digits")
    >>> block = competition.datablock(fold=0, recipe="tiny")
    >>> dls = block.dataloaders()
    >>> dls.show_batch()
    """

    def __init__(self, workspace: Workspace, data: CompetitionData) -> None:
        self.workspace, self.data = workspace, data

    @classmethod
    def load(cls, name: str, root: str | Path | None = None) -> Competition:
        """A competition by name, its tables checked. Raises: FoldwiseError: see `load_data`."""
        workspace = Workspace.find(root)
        return cls(workspace, load_data(workspace, name))

    def __repr__(self) -> str:
        return (
            f"Competition({self.data.spec.name!r}: {len(self.data.train)} training rows, "
            f"{len(self.data.test)} test rows, {len(self.classes)} classes)"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in class order."""
        return self.data.classes

    @property
    def train(self) -> pd.DataFrame:
        """The training rows `id, path, group, label`: the source of a DataBlock."""
        return self.data.train.frame

    @property
    def test(self) -> pd.DataFrame:
        """The test rows `id, path, group`: for `dls.test_dl`."""
        return self.data.test.frame

    def recipe(self, name: str) -> Recipe:
        """A recipe of this competition by name."""
        return recipes_of(self.workspace.competition(self.data.spec.name), [name])[0]

    def folds(self, scheme: str | None = None) -> Folds:
        """The folds of a scheme (that of `[submit]` by default), made and saved once."""
        return scheme_folds(self.workspace, self.data, scheme)

    def datablock(
        self, fold: int, recipe: str | Recipe, scheme: str | None = None, stage: int = -1
    ) -> DataBlock:
        """The fastai DataBlock that training uses for a fold and stage."""
        from foldwise.training.batches import datablock
        from foldwise.training.models import preprocessing_of

        recipe = self.recipe(recipe) if isinstance(recipe, str) else recipe
        if not recipe.stage:
            raise SpecError(
                f'recipe {recipe.name}: model = "prior" sees no images, so it has no DataBlock; '
                "name another recipe"
            )
        caches = caches_of(self.data, recipe)
        cache = sized(caches, recipe.stage_presize(recipe.stage[stage]))
        preprocessing = preprocessing_of(
            recipe, self.classes, self.data.spec.images.mode, self.data.spec.multi
        )
        return datablock(cache, self.train, self.folds(scheme), fold, recipe, preprocessing, stage)
