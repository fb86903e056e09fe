"""A trained fold as it predicts: its validation part, its test set, and photos."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from fastai.data.core import DataLoaders
from fastai.data.transforms import IntToFloatTensor
from fastai.vision.core import TensorImage
from torch import nn

from foldwise.arrays import Array
from foldwise.config.recipe import SettledRecipe
from foldwise.store.layout import FoldFolder
from foldwise.store.predictions import open_writer
from foldwise.training.loading.augment import NormalizeInPlace, Resampling
from foldwise.training.loading.batches import DEPTH, ahead, stage_loaders
from foldwise.training.methods.base import Batches, PartPredictions, Predictor, method_of
from foldwise.training.models.building import Preprocessing, bring_to_device, load_trained
from foldwise.training.predict import predict
from foldwise.training.speed.precision import CPU, device, resolve, send

if TYPE_CHECKING:
    from foldwise.training.fitting.fold import FoldInputs


class NetworkPredictor:
    """A network with what its outputs mean. dls: of a fold's last stage, where they are there."""

    def __init__(
        self, model: nn.Module, about: Preprocessing, dls: DataLoaders | None = None
    ) -> None:
        self.model = bring_to_device(model)
        self.about, self.dls = about, dls

    def parts(self, inputs: "FoldInputs") -> Iterator[PartPredictions]:
        """The predictions of the fold's validation part and of the test set."""
        recipe = inputs.recipe
        dls = self.dls
        if dls is None:
            dls = stage_loaders(inputs.block(self.about), recipe)  # as after training
        for part, loader in (("oof", dls.valid), ("test", dls.test_dl(inputs.test.frame))):
            yield part, loader.dataset.items["id"], self.predict(loader, recipe, recipe.precision)

    def photos(self, recipe: SettledRecipe, pixels: Path | int) -> Batches:
        """The predictions of photos, see `Predictor.photos`."""
        assert isinstance(pixels, Path)
        on = device()
        size = 2 * recipe.stage_batch(recipe.stage[-1])  # as fastai's validation batches
        images = ahead(_batches(np.load(pixels, mmap_mode="r"), self.about, size, on), DEPTH)
        return self.predict(images, recipe, _precision(recipe, on))

    def predict(
        self, batches: Iterable[Sequence[torch.Tensor]], recipe: SettledRecipe, precision: str
    ) -> Batches:
        """The predictions of batches of images, by the recipe's views; see `predict.predict`."""
        meaning, shift = self.about.meaning, recipe.tta_shift
        return predict(self.model, batches, recipe.tta, precision, meaning, shift)


def load_predictor(fold: FoldFolder, recipe: SettledRecipe) -> tuple[Predictor, tuple[str, ...]]:
    """A trained fold as it predicts, from its weights file, and its classes.

    recipe: the one that it was trained by. Raises: WeightsError: see `load_trained`.
    """
    method = method_of(recipe)
    model, about = load_trained(fold.weights, method)
    return method.predictor(model, about), about.classes


def predict_photos(fold: Path, recipe: SettledRecipe, pixels: Path | int, target: Path) -> None:
    """Write the predictions of a fold's model as parquet, `id, *classes`; ids are row numbers.

    recipe: a settled one. pixels: see `Predictor.photos`. The mean over the recipe's TTA views.
    Raises: WeightsError: see `load_trained`.
    """
    done, (predictor, classes) = 0, load_predictor(FoldFolder(fold), recipe)
    with open_writer(target, classes) as add:
        for mean, _ in predictor.photos(recipe, pixels):
            add(map(str, range(done, done + len(mean))), mean)
            done += len(mean)


def _precision(recipe: SettledRecipe, on: torch.device) -> str:
    """The recipe's, where this device computes with it; else the device's own."""
    return recipe.precision if (recipe.precision, on) != ("fp16", CPU) else resolve("auto", on)


def _batches(
    pixels: Array, about: Preprocessing, size: int, on: torch.device
) -> Iterator[tuple[torch.Tensor]]:
    """Batches of images as the model wants them, through the transforms of a validation batch."""
    normal = NormalizeInPlace.from_stats(about.mean, about.std, cuda=on.type == "cuda")
    for start in range(0, len(pixels), size):
        stored = send(torch.from_numpy(np.array(pixels[start : start + size])), on)
        images = TensorImage(stored.permute(0, 3, 1, 2))
        for step in (Resampling(about.image_size), IntToFloatTensor(), normal):
            images = step(images, split_idx=1)
        yield (images,)
