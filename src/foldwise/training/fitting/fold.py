"""One fold, whole: train, save the weights, predict validation and test, write the marker last."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from fastai.data.core import DataLoaders

from foldwise.config.recipe import SettledRecipe
from foldwise.data.folds import Folds
from foldwise.data.images.cache import ImageCache, of_size
from foldwise.data.labels.table import LabelTable
from foldwise.kinds.events import FoldDone, Observer
from foldwise.store.files import hold_lock, sha256_file
from foldwise.store.layout import FoldFolder
from foldwise.store.predictions import open_writer
from foldwise.store.run_records import FoldRecord, write_history
from foldwise.training.applying import load_predictor
from foldwise.training.fitting.pseudo import with_pseudo
from foldwise.training.fitting.run import versions
from foldwise.training.fitting.streams import seed_block
from foldwise.training.loading.batches import (
    FoldSplitter,
    FrameBlock,
    datablock,
    stage_loaders,
)
from foldwise.training.methods.base import PartPredictions, method_of
from foldwise.training.models.building import Preprocessing, preprocessing_of, save_weights
from foldwise.training.speed.machine import forget_gpu_memory, gpu_memory, peak_memory
from foldwise.training.speed.precision import determinism


@dataclass(frozen=True)
class FoldInputs:
    """Everything that training a fold needs, already checked."""

    run: str  # the run's name, for events
    folder: Path  # the fold's own
    recipe: SettledRecipe  # settled: no value of it is `auto`
    seed: int
    fold: int
    folds: Folds
    caches: tuple[ImageCache, ...]  # one per size of recipe.cache_sizes
    train: LabelTable
    test: LabelTable
    mode: str
    score: Callable[[pd.DataFrame], float | None] | None = None  # the metric, told after epochs

    @property
    def files(self) -> FoldFolder:
        """The fold's files."""
        return FoldFolder(self.folder)

    def taught(self) -> "FoldInputs":
        """The inputs with the fold's pseudo-labels among the training rows, if the recipe wants."""
        if self.recipe.pseudo is None:
            return self
        train, folds = with_pseudo(
            self.train, self.test, self.folds, self.fold, self.recipe.pseudo, self.files.pseudo
        )
        return replace(self, train=train, folds=folds)

    @property
    def preprocessing(self) -> Preprocessing:
        """What the fold's weights expect of an image, and what their outputs mean."""
        task, of = self.train.task, self.folds.of(self.train.frame["id"])
        trained = self.train.targets[(of != self.fold) & (of >= 0)]
        about = preprocessing_of(self.recipe, task, self.mode)
        return about.with_scaling(task.scaling(trained))

    def block(self, preprocessing: Preprocessing, stage: int = -1) -> FrameBlock:
        """The fold's DataBlock at a stage."""
        size = self.recipe.stage_presize(self.recipe.stage[stage])
        return datablock(
            of_size(self.caches, size),
            self.train.frame,
            FoldSplitter(self.folds, self.fold),
            self.recipe,
            preprocessing,
            stage,
        )

    def loaders(self, stage: int = -1) -> DataLoaders:
        """The fold's DataLoaders at a stage, as training has them."""
        return stage_loaders(self.block(self.preprocessing, stage), self.recipe, stage)


def train_fold(inputs: FoldInputs, observe: Observer) -> None:
    """Train one fold and write its files and record into its folder; a done fold is left alone.

    Beside them go tables that reports show and nothing else needs: the rates used, augmented
    training images, activation maps. A fold that was stopped goes on from its checkpoint, which
    stays there when it is done. `seconds` in its record are then those of the last session alone.
    Raises: WeightsError, SpecError: see `build_model`. StorageError: the disk is full.
            Interrupted: by Ctrl-C, after saving.
    """
    files = inputs.files
    with hold_lock(files.lock, f"{inputs.run} fold {inputs.fold}", wait=False):
        if files.finished:
            return
        begun = time.perf_counter()
        forget_gpu_memory()
        with determinism(inputs.recipe.deterministic), seed_block(inputs.seed, inputs.fold, "init"):
            told = _train_and_write(inputs.taught(), observe)
        seconds = time.perf_counter() - begun
        record = {
            "fold": inputs.fold,
            "seconds": round(seconds, 2),
            "sha256": {path.name: sha256_file(path) for path in files.files()},
            "versions": versions(),
            **told,
        }
        FoldRecord.model_validate(record).write(files.record)
        observe(FoldDone(run=inputs.run, fold=inputs.fold, seconds=seconds))


def _train_and_write(inputs: FoldInputs, observe: Observer) -> dict[str, object]:
    """Everything of a fold but its record; returns what that says of the training."""
    if inputs.recipe.compile:
        torch.compiler.reset()  # it keeps no more than a few models of one class, then gives up
    about, files = inputs.preprocessing, inputs.files
    fitted = method_of(inputs.recipe).fit(inputs, about, observe)
    save_weights(files.weights, fitted.model, about)
    write_fold_predictions(files, inputs.train.classes, fitted.predictor.parts(inputs))
    write_history(files.history, fitted.history)
    fitted.show()
    return {**fitted.told, **_peak_memory()}


def _peak_memory() -> dict[str, int]:
    """Bytes of memory that the fold took at most; on the CPU with all that came before it."""
    found = {"memory_bytes": peak_memory(), "device_memory_bytes": gpu_memory()}
    return {key: value for key, value in found.items() if value is not None}


def write_fold_predictions(
    folder: FoldFolder, classes: Sequence[str], parts: Iterable[PartPredictions]
) -> None:
    """Write the predictions of the fold's validation part and of the test set, batch by batch.

    `oof` and `test` are the mean over the recipe's TTA views, `oof_plain` and `test_plain` the
    plain view alone, from the same pass over the data.
    """
    for part, ids, batches in parts:
        done = 0
        with (
            open_writer(folder.predictions(part, False), classes) as add,
            open_writer(folder.predictions(part, True), classes) as add_plain,
        ):
            for mean, plain in batches:
                rows = ids.iloc[done : done + len(mean)]
                add(rows, mean)
                add_plain(rows, plain)
                done += len(mean)


def predict_again(inputs: FoldInputs, folder: Path) -> None:
    """Make the fold's predictions anew from its weights file, into another folder."""
    predictor, _ = load_predictor(inputs.files, inputs.recipe)
    write_fold_predictions(FoldFolder(folder), inputs.train.classes, predictor.parts(inputs))
