"""A trained fold applied to photos: predicted as its validation part and test set were."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from fastai.data.transforms import IntToFloatTensor
from fastai.vision.core import TensorImage

from foldwise.arrays import Array
from foldwise.config.recipe import SettledRecipe
from foldwise.store.layout import FoldFolder
from foldwise.store.predictions import open_writer
from foldwise.training.loading.augment import NormalizeInPlace, Resampling
from foldwise.training.loading.batches import DEPTH, ahead
from foldwise.training.models.baselines import Prior
from foldwise.training.models.building import Preprocessing, load_trained
from foldwise.training.predict import predict
from foldwise.training.speed.precision import CPU, device, resolve, send


def predict_photos(fold: Path, recipe: SettledRecipe, pixels: Path | int, target: Path) -> None:
    """Write the predictions of a fold's model as parquet, `id, *classes`; ids are row numbers.

    recipe: a settled one. pixels: a .npy file, uint8 (n, height, width, channels), as the last
    stage's cache has them; for a model that sees none, n. The mean over the recipe's TTA views.
    Raises: WeightsError: see `load_trained`.
    """
    model, about = load_trained(FoldFolder(fold).weights)
    if isinstance(model, Prior):
        assert isinstance(pixels, int)
        batches = model.batches(pixels)
    else:
        assert isinstance(pixels, Path)
        on = device()
        model = model.to(on).to(memory_format=torch.channels_last)
        size = 2 * recipe.stage_batch(recipe.stage[-1])  # as fastai's validation batches
        images = ahead(_batches(np.load(pixels, mmap_mode="r"), about, size, on), DEPTH)
        batches = predict(
            model, images, recipe.tta, _precision(recipe, on), on, about.meaning, recipe.tta_shift
        )
    done = 0
    with open_writer(target, about.classes) as add:
        for mean, _ in batches:
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
