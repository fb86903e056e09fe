"""Competition and Recipe for notebooks: the pipeline's functions, loaded lazily."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from foldwise.commands.planning import Selection, caches_of, recipes_of, scheme_folds
from foldwise.commands.predict import predict, recipe_of
from foldwise.commands.status import read_standing
from foldwise.commands.train import train
from foldwise.config.recipe import Recipe, SettledRecipe, SizedRecipe
from foldwise.data.competition import load_data
from foldwise.data.folds import Folds
from foldwise.data.opened import OpenCompetition
from foldwise.errors import SpecError
from foldwise.kinds.loss import LOSSES
from foldwise.reporting.comparing import compare_runs
from foldwise.reporting.summary import read_run
from foldwise.workspace import Workspace

if TYPE_CHECKING:
    from fastai.data.block import DataBlock
    from fastai.data.core import DataLoaders
    from fastai.interpret import Interpretation
    from fastai.learner import Learner

    from foldwise.training.fitting.fold import FoldInputs

__all__ = ["Competition", "Recipe"]


class Competition(OpenCompetition):
    """A competition in a notebook: its frames, folds, fastai objects and results.

    >>> competition = Competition.load("digits")
    >>> competition.dataloaders(fold=0, recipe="tiny").show_batch()
    >>> learner = competition.learner("tiny", fold=0)
    >>> learner.lr_find()
    >>> competition.interpret("tiny-s0-0f8f9a8c").plot_confusion_matrix()
    """

    @classmethod
    def load(cls, name: str, root: str | Path | None = None) -> Competition:
        """A competition by name, its tables checked. Raises: FoldwiseError: see `load_data`."""
        workspace = Workspace.find(root)
        return cls(workspace=workspace, data=load_data(workspace, name))

    def __repr__(self) -> str:
        return (
            f"Competition({self.name!r}: {len(self.data.train)} training rows, "
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

    def recipe(self, name: str) -> SizedRecipe:
        """A recipe of this competition by name."""
        return recipes_of(self.folder, [name])[0]

    def folds(self, scheme: str | None = None) -> Folds:
        """The folds of a scheme (that of `[submit]` by default), made and saved once."""
        return scheme_folds(self, scheme)

    def datablock(
        self, fold: int, recipe: str | Recipe, scheme: str | None = None, stage: int = -1
    ) -> DataBlock:
        """The fastai DataBlock that training uses for a fold and stage."""

        inputs = self._inputs(fold, recipe, scheme)
        about = inputs.preprocessing
        return inputs.block(about, stage)

    def dataloaders(
        self, fold: int, recipe: str | Recipe, scheme: str | None = None, stage: int = -1
    ) -> DataLoaders:
        """The fastai DataLoaders of that block, with the batch size and device of training."""
        return self._inputs(fold, recipe, scheme).loaders(stage)

    def learner(
        self, recipe: str | Recipe, fold: int = 0, scheme: str | None = None, stage: int = 0
    ) -> Learner:
        """An untrained fastai Learner of a fold: the recipe's model with its first weights, loss,
        optimizer, layer groups and precision, as a stage has them. What it learns is yours.

        Raises: WeightsError: the weights cannot be had.
        """
        from foldwise.training.interpreting import untrained_learner

        return untrained_learner(self._inputs(fold, recipe, scheme), stage)

    def fit(
        self, recipe: str, folds: Sequence[int] | None = None, overrides: Sequence[str] = ()
    ) -> pd.DataFrame:
        """Train a recipe with all its seeds, on all folds or on some; its rows of `runs`.

        overrides: of the recipe, as "stage.0.epochs=3". What is trained is not trained again.
        """
        chosen = None if folds is None else tuple(folds)
        selection = Selection(recipes=(recipe,), overrides=tuple(overrides), folds=chosen)
        made = train(self, selection)
        rows = self.runs()
        return rows[rows["run"].isin([run.name for run in made])].reset_index(drop=True)

    def runs(self) -> pd.DataFrame:
        """The runs, the best first, a row for each; see `compare_runs` for the columns."""
        return pd.DataFrame(compare_runs(self.files.path, self.data))

    def submissions(self) -> pd.DataFrame:
        """The submissions with their scores, a row for each; see `ledger.submissions`."""
        return pd.DataFrame(read_standing(self.workspace, self.name)["submissions"])

    def oof(self, run: str) -> pd.DataFrame:
        """A run's out-of-fold predictions `id, *classes`, of the folds that are done.

        Raises: RunError: see `read_run`.
        """
        return read_run(self.files, run, self.data)[2]

    def interpret(self, run: str) -> Interpretation:
        """fastai's ClassificationInterpretation of a run's out-of-fold predictions.

        With many labels per image fastai has an Interpretation for them. Raises: see `oof`.
        """
        from foldwise.training.interpreting import interpretation

        record, folds, oof = read_run(self.files, run, self.data)
        recipe = recipe_of(self.folder, self.files.path / run)
        if not recipe.stage:
            raise _no_images_error(recipe)
        made = Folds(name=record.scheme, frame=folds, sha256=record.folds_sha256)
        return interpretation(self._with(recipe, made, record.seed, 0), oof)

    def predict(
        self, model: str, images: Sequence[str | Path], threshold: float | None = None
    ) -> pd.DataFrame:
        """What a run or a blend says of photos, see `predicting.predict`.

        images: folders, CSVs with a column of paths, image files.
        """
        return predict(self.workspace, model, [Path(each) for each in images], threshold)

    def _inputs(self, fold: int, recipe: str | Recipe, scheme: str | None) -> FoldInputs:
        """What training a fold needs; what is `auto` is settled for this device."""
        from foldwise.training.fitting.tuning import settle
        from foldwise.training.models.building import as_weights

        recipe = self.recipe(recipe) if isinstance(recipe, str) else recipe
        if not recipe.stage:
            raise _no_images_error(recipe)
        sized, folds = as_weights(recipe), self.folds(scheme)
        rows, channels = int((folds.frame["fold"] > 0).sum()), self.data.spec.images.channels
        values = settle(sized, rows, len(self.classes), channels, folds.n)
        values["loss"] = LOSSES.name_of(recipe.loss_for(self.data.task.usual_loss))
        return self._with(sized.settle(values), folds, recipe.seeds[0], fold)

    def _with(self, recipe: SettledRecipe, folds: Folds, seed: int, fold: int) -> FoldInputs:
        from foldwise.training.fitting.fold import FoldInputs

        caches, mode = tuple(caches_of(self.data, recipe)), self.data.spec.images.mode
        return FoldInputs(
            run="notebook",
            folder=self.files.path,
            recipe=recipe,
            seed=seed,
            fold=fold,
            folds=folds,
            caches=caches,
            train=self.data.train,
            test=self.data.test,
            mode=mode,
        )


def _no_images_error(recipe: Recipe) -> SpecError:
    return SpecError(
        f'recipe {recipe.name}: model = "{recipe.model}" sees no images, so it has no DataBlock; '
        "name another recipe"
    )
