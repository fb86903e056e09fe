"""One fold, whole: train, save the weights, predict validation and test, write the marker last."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from fastai.data.core import DataLoaders

from foldwise.arrays import Array
from foldwise.config.baselines import PRIOR
from foldwise.config.recipe import SettledRecipe
from foldwise.data.folds import Folds
from foldwise.data.images.cache import ImageCache, of_size
from foldwise.data.labels.table import LabelTable
from foldwise.kinds.events import FoldDone, FoldStarted, Observer
from foldwise.store.files import hold_lock, sha256_file
from foldwise.store.frames import write_parquet
from foldwise.store.layout import FoldFolder
from foldwise.store.predictions import open_writer, read_predictions
from foldwise.store.run_records import FoldRecord, write_history
from foldwise.training.fitting.activations import Meaning
from foldwise.training.fitting.pseudo import with_pseudo
from foldwise.training.fitting.report import Report
from foldwise.training.fitting.run import versions
from foldwise.training.fitting.stages import Place, train_stages
from foldwise.training.fitting.streams import seed_block
from foldwise.training.loading.batches import FoldSplitter, FrameBlock, datablock, dataloaders
from foldwise.training.loading.showing import augmented_images
from foldwise.training.maps import worst_maps
from foldwise.training.models.baselines import Prior, prior_of
from foldwise.training.models.building import (
    Preprocessing,
    build_model,
    load_trained,
    preprocessing_of,
    save_weights,
)
from foldwise.training.predict import predict
from foldwise.training.speed.machine import forget_gpu_memory, gpu_memory, peak_memory
from foldwise.training.speed.precision import determinism, device

# a part of the data, its ids, and per batch the probabilities: with TTA, and of the plain view
PartPredictions = tuple[str, "pd.Series[str]", Iterator[tuple[Array, Array]]]


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
        FoldRecord(
            fold=inputs.fold,
            seconds=round(seconds, 2),
            sha256={path.name: sha256_file(path) for path in files.files()},
            versions=versions(),
            **told,
        ).write(files.record)
        observe(FoldDone(inputs.run, inputs.fold, seconds))


def _train_and_write(inputs: FoldInputs, observe: Observer) -> dict[str, Any]:
    """Everything of a fold but its record; returns what that says of the training."""
    recipe, on = inputs.recipe, device()
    if recipe.compile:
        torch.compiler.reset()  # it keeps no more than a few models of one class, then gives up
    preprocessing = inputs.preprocessing
    if recipe.model == PRIOR:
        _write_prior(inputs, preprocessing, observe)
        return _peak_memory()
    model = build_model(recipe, preprocessing.n_outputs, len(inputs.mode))
    model = model.to(on).to(memory_format=torch.channels_last)
    dls, report, stopped = train_stages(
        model,
        partial(inputs.block, preprocessing),
        recipe,
        Place(inputs.run, inputs.seed, inputs.fold, inputs.folds.n, inputs.folder, inputs.score),
        observe,
        preprocessing.meaning,
    )
    save_weights(inputs.files.weights, model, preprocessing)
    parts = _predict_parts(inputs, model, dls, preprocessing.meaning)
    write_fold_predictions(inputs.files, inputs.train.classes, parts)
    write_history(inputs.files.history, report.history)
    _write_shown(inputs, model, dls, preprocessing, report)
    # of an early stop the images that it validates on decide: so it is said
    early = {} if stopped is None else {"stopped_early_after_epoch": stopped}
    return {**_speeds(report), **early, **_peak_memory()}


def _speeds(report: Report) -> dict[str, Any]:
    """Images per second, the mean weighted by time; and what each epoch took."""
    total = sum(epoch["seconds"] for epoch in report.epochs)
    images = sum(epoch["images_per_second"] * epoch["seconds"] for epoch in report.epochs)
    epochs = [{key: round(value, 3) for key, value in epoch.items()} for epoch in report.epochs]
    return {"images_per_second": round(images / total, 1), "epochs": epochs} if total else {}


def _peak_memory() -> dict[str, int]:
    """Bytes of memory that the fold took at most; on the CPU with all that came before it."""
    found = {"memory_bytes": peak_memory(), "device_memory_bytes": gpu_memory()}
    return {key: value for key, value in found.items() if value is not None}


def _write_shown(
    inputs: FoldInputs,
    model: torch.nn.Module,
    dls: DataLoaders,
    about: Preprocessing,
    report: Report,
) -> None:
    """Write what reports alone look at. Nothing of it takes part in what the fold predicts."""
    files = inputs.files
    oof = read_predictions(files.oof, inputs.train.classes)
    tables = {
        files.rates: report.rates(),
        files.augmented: augmented_images(dls, inputs.train, about, inputs.seed, inputs.fold),
        files.maps: worst_maps(model, dls, inputs.train, oof),
    }
    for path, table in tables.items():
        if table is not None:
            write_parquet(path, table)


def _write_prior(inputs: FoldInputs, preprocessing: Preprocessing, observe: Observer) -> None:
    """Everything of a prior's fold but its record; no image is looked at."""
    observe(FoldStarted(inputs.run, inputs.fold, inputs.folds.n, 0, 0))
    prior = prior_of(inputs.train, inputs.folds, inputs.fold)
    save_weights(inputs.files.weights, prior, preprocessing)
    write_fold_predictions(inputs.files, inputs.train.classes, _of_prior(inputs, prior))
    write_history(inputs.files.history, [])


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


def _predict_parts(
    inputs: FoldInputs, model: torch.nn.Module, dls: DataLoaders, meaning: Meaning
) -> Iterator[PartPredictions]:
    """A trained model's predictions of both parts."""
    recipe = inputs.recipe
    for part, loader in (("oof", dls.valid), ("test", dls.test_dl(inputs.test.frame))):
        batches = predict(
            model, loader, recipe.tta, recipe.precision, device(), meaning, recipe.tta_shift
        )
        yield part, loader.dataset.items["id"], batches


def _of_prior(inputs: FoldInputs, prior: Prior) -> Iterator[PartPredictions]:
    """A prior's predictions of both parts."""
    ids = inputs.train.frame["id"]
    for part, own in (
        ("oof", ids[inputs.folds.of(ids) == inputs.fold]),
        ("test", inputs.test.frame["id"]),
    ):
        yield part, own, prior.batches(len(own))


def predict_again(inputs: FoldInputs, folder: Path) -> None:
    """Make the fold's predictions anew from its weights file, into another folder."""
    model, preprocessing = load_trained(inputs.files.weights)
    if isinstance(model, Prior):
        parts = _of_prior(inputs, model)
    else:
        model = model.to(device()).to(memory_format=torch.channels_last)
        size = inputs.recipe.stage_batch(inputs.recipe.stage[-1])  # as after training
        dls = dataloaders(inputs.block(preprocessing), size, device())
        parts = _predict_parts(inputs, model, dls, preprocessing.meaning)
    write_fold_predictions(FoldFolder(folder), inputs.train.classes, parts)
