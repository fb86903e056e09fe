"""What a model sees: training images as the pipeline has changed them, as files and as a sheet."""

import io
import random
import textwrap
from pathlib import Path

import pandas as pd
import torch
from fastai.data.core import DataLoaders, TfmdDL
from PIL import Image

from foldwise.arrays import Array
from foldwise.data.labels.table import LabelTable
from foldwise.store.files import replace_file
from foldwise.training.loading.augment import Augmenter
from foldwise.training.loading.draws import stream
from foldwise.training.models.building import Preprocessing

IMAGES, QUALITY = 24, 90  # shown; of their JPEGs
COLUMNS, SIDE = 6, 2.0  # of the sheet, and inches of an image's side there
LABEL_WIDTH = 24  # characters of a line of labels


def draw_batch(
    dls: DataLoaders, *place: int | str
) -> tuple[TfmdDL, list[int], tuple[torch.Tensor, torch.Tensor]]:
    """A loader of a few training rows, their positions in the training part, and their batch.

    The batch comes through the whole pipeline, from streams that belong to the place alone. Images
    are as before mixing, which belongs to the training step.
    """
    loader = dls.train.new(bs=min(IMAGES, len(dls.train_ds)))
    _begin(loader, *place)
    loader.randomize()
    positions = list(loader.get_idxs())[: loader.bs]
    _begin(loader, *place)
    return loader, positions, loader.one_batch()


def _begin(loader: TfmdDL, *place: int | str) -> None:
    """Set a loader's own streams to their beginnings."""
    loader.rng = random.Random(stream(*place, "shown"))
    for transform in loader.after_batch.fs:
        if isinstance(transform, Augmenter):
            transform.streams.begin(lambda name: stream(*place, "shown", name))


def augmented_images(
    dls: DataLoaders, table: LabelTable, about: Preprocessing, *place: int | str
) -> pd.DataFrame:
    """Augmented training images `id, label, image`: JPEGs in RGB, as large as the model sees them.

    label: many labels are joined by spaces. Transparency is laid over white. A row may be there
    twice where classes are drawn equally often.
    """
    _, positions, (images, _) = draw_batch(dls, *place)
    ids = dls.train_ds.items["id"].iloc[positions]
    labels = dict(zip(table.frame["id"], table.labels(), strict=True))
    mean, std = (torch.tensor(values)[:, None, None] for values in (about.mean, about.std))
    pixels = images.as_subclass(torch.Tensor).float().cpu() * std + mean
    levels = (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return pd.DataFrame(
        {
            "id": [*ids],
            "label": [labels[id] for id in ids],
            "image": [as_jpeg(each) for each in levels],
        }
    )


def as_jpeg(levels: Array) -> bytes:
    """Pixels uint8 (h, w, channels), grey, RGB or RGBA, as a JPEG in RGB."""
    image = Image.fromarray(levels.squeeze(2) if levels.shape[2] == 1 else levels)
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    packed = io.BytesIO()
    image.convert("RGB").save(packed, "JPEG", quality=QUALITY)
    return packed.getvalue()


def save_sheet(dls: DataLoaders, path: Path, *place: int | str) -> int:
    """Save a PNG of augmented training images under their labels; returns how many there are.

    It is fastai's show_batch. matplotlib's global state is left alone.
    """
    from matplotlib.figure import Figure

    loader, positions, batch = draw_batch(dls, *place)
    rows = -(-len(positions) // COLUMNS)
    figure = Figure((COLUMNS * SIDE, rows * SIDE * 1.15), layout="constrained")
    axes = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    loader.show_batch(batch, IMAGES, axes, cmap="gray", vmin=0, vmax=255)
    for axis in axes:
        axis.set_axis_off()
        labels = axis.get_title().replace(";", "; ")  # many labels; lines break between them
        axis.set_title(textwrap.fill(labels, LABEL_WIDTH), fontsize=9)
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    return len(positions)
