"""One fold, whole: train, save the weights, predict validation and test, write the marker last."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from fastai.data.core import DataLoaders

from foldwise.data.cache import ImageCache, sized
from foldwise.data.folds import Folds
from foldwise.data.labels import LabelTable
from foldwise.data.predictions import writing
from foldwise.spec.recipe import Recipe
from foldwise.storage import locked, sha256_file, write_json
from foldwise.training.batches import FrameBlock, datablock, dataloaders
from foldwise.training.events import FoldDone, Observer
from foldwise.training.models import (
    Preprocessing,
    build_model,
    load_trained,
    preprocessing_of,
    save_weights,
)
from foldwise.training.precision import determinism, device
from foldwise.training.predict import predict
from foldwise.training.stages import Place, train_stages
from foldwise.training.streams import seeded

FILES = ("weights.safetensors", "oof.parquet", "oof_plain.parquet", "test.parquet",
         "test_plain.parquet", "history.json")  # fmt: skip


@dataclass(frozen=True)
class FoldInputs:
    """Everything that training a fold needs, already checked."""

    run: str  # the run's name, for events
    folder: Path  # the fold's own
    recipe: Recipe  # settled: no value of it is `auto`
    seed: int
    fold: int
    folds: Folds
    caches: tuple[ImageCache, ...]  # one per size of recipe.cache_sizes
    train: LabelTable
    test: LabelTable
    mode: str

    def block(self, preprocessing: Preprocessing, stage: int = -1) -> FrameBlock:
        """The fold's DataBlock at a stage."""
        size = self.recipe.stage_presize(self.recipe.stage[stage])
        return datablock(
            sized(self.caches, size),
            self.train.frame,
            self.folds,
            self.fold,
            self.recipe,
            preprocessing,
            stage,
        )


def train_fold(inputs: FoldInputs, observe: Observer) -> None:
    """Train one fold and write FILES and done.json into its folder; a done fold is left alone.

    Raises: WeightsError, SpecError: see `build_model`. StorageError: the disk is full.
    """
    marker = inputs.folder / "done.json"
    with locked(inputs.folder / ".lock", f"{inputs.run} fold {inputs.fold}", wait=False):
        if marker.is_file():
            return
        begun = time.perf_counter()
        with determinism(inputs.recipe.deterministic), seeded(inputs.seed, inputs.fold, "init"):
            _train_and_write(inputs, observe)
        seconds = time.perf_counter() - begun
        hashes = {name: sha256_file(inputs.folder / name) for name in FILES}
        write_json(marker, {"fold": inputs.fold, "seconds": round(seconds, 2), "sha256": hashes})
        observe(FoldDone(inputs.run, inputs.fold, seconds))


def _train_and_write(inputs: FoldInputs, observe: Observer) -> None:
    """Everything of a fold but its marker."""
    recipe, on = inputs.recipe, device()
    if recipe.compile:
        torch.compiler.reset()  # it keeps no more than a few models of one class, then gives up
    preprocessing = preprocessing_of(recipe, inputs.train.classes, inputs.mode, inputs.train.multi)
    model = build_model(recipe, len(inputs.train.classes), len(inputs.mode))
    model = model.to(on).to(memory_format=torch.channels_last)
    dls, history = train_stages(
        model,
        partial(inputs.block, preprocessing),
        recipe,
        Place(inputs.run, inputs.seed, inputs.fold, inputs.folds.n),
        observe,
        inputs.train.multi,
    )
    save_weights(inputs.folder / "weights.safetensors", model, preprocessing)
    write_fold_predictions(inputs, inputs.folder, model, dls)
    write_json(inputs.folder / "history.json", history)


def write_fold_predictions(
    inputs: FoldInputs, folder: Path, model: torch.nn.Module, dls: DataLoaders
) -> None:
    """Write the predictions of the fold's validation part and of the test set, batch by batch.

    `oof` and `test` are the mean over the recipe's TTA views, `oof_plain` and `test_plain` the
    plain view alone, from the same pass over the data.
    """
    recipe, table = inputs.recipe, inputs.train
    for part, loader in (("oof", dls.valid), ("test", dls.test_dl(inputs.test.frame))):
        ids, done = loader.dataset.items["id"], 0
        batches = predict(model, loader, recipe.tta, recipe.precision, device(), table.multi)
        with (
            writing(folder / f"{part}.parquet", table.classes) as add,
            writing(folder / f"{part}_plain.parquet", table.classes) as add_plain,
        ):
            for mean, plain in batches:
                rows = ids.iloc[done : done + len(mean)]
                add(rows, mean)
                add_plain(rows, plain)
                done += len(mean)


def predict_again(inputs: FoldInputs, folder: Path) -> None:
    """Make the fold's predictions anew from its weights file, into another folder."""
    model, preprocessing = load_trained(inputs.folder / "weights.safetensors")
    model = model.to(device()).to(memory_format=torch.channels_last)
    dls = dataloaders(inputs.block(preprocessing), inputs.recipe.batch, device())
    write_fold_predictions(inputs, folder, model, dls)
