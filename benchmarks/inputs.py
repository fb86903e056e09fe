"""What the benchmarks are fed: generated photos, foldwise's cache of them, black images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import wildlife_photos
from foldwise.config.competition import CompetitionSpec
from foldwise.config.recipe import SizedRecipe
from foldwise.data.images.building import build_caches
from foldwise.data.images.cache import ImageCache
from foldwise.data.images.resizing import Resizing
from foldwise.data.images.sources import ImageSources
from foldwise.data.labels.table import LabelTable
from foldwise.tasks import MultiClass

PHOTOS, SIZE, BATCH = 600, (350, 300), 32
RECIPE = {
    "name": "bench",
    "model": "resnet34",
    "weights": "none",
    "image_size": 224,
    "presize": 256,
    "batch_size": BATCH,
    "compile": False,
    "stage": [{"epochs": 1, "lr": 1e-3}],
    # fastai's aug_transforms(224, min_scale=0.75)
    "augment": {
        "hflip": True,
        "rotate": {"degrees": 10, "p": 0.75},
        "zoom": {"factor": [1.0, 1.1], "p": 0.75},
        "warp": {"magnitude": 0.2, "p": 0.75},
        "crop": [0.75, 1.0],
        "brightness": {"amount": 0.2, "p": 0.75},
        "contrast": {"amount": 0.2, "p": 0.75},
    },
}


def generated(folder: Path) -> Path:
    """A folder of generated photos of about 350 by 300 pixels."""
    tables = wildlife_photos.make_tables(0, train_rows=PHOTOS, test_rows=8)
    wildlife_photos.write_photos(tables, folder / "photos", 0, size=SIZE)
    return folder / "photos" / "raw" / "train_features"


def table_of(files: list[Path], labels: list[str]) -> LabelTable:
    """The files as a label table whose paths are their names."""
    frame = pd.DataFrame(
        {
            "id": [f"{i}" for i in range(len(files))],
            "path": [file.name for file in files],
            "group": None,
        }
    )
    classes = sorted(set(labels))
    frame["label"] = pd.Categorical(labels, categories=classes)
    return LabelTable(frame, frame.astype(str), MultiClass(tuple(classes)))


def cache_of(
    folder: Path, table: LabelTable, photos: Path, size: tuple[int, int] = (256, 256)
) -> ImageCache:
    """foldwise's cache of the photos, built below folder."""
    return caches_of(folder, table, photos, [size])[0]


def caches_of(
    folder: Path, table: LabelTable, photos: Path, sizes: Sequence[tuple[int, int]]
) -> list[ImageCache]:
    """foldwise's caches of the photos, one per size, built below folder."""
    (folder / "own").mkdir(exist_ok=True)
    raw = folder / "own" / photos.name
    if not raw.exists():
        raw.symlink_to(photos)
    spec = CompetitionSpec.model_validate(
        {
            "name": "bench",
            "title": "bench",
            "platform": "local",
            "holdout": {},
            "labels": {"format": "folder", "roots": ["."]},
            "submit": {"recipes": ["bench"]},
            "folds": {"default": {"kind": "stratified"}},
        }
    )
    hashes = pd.Series(table.frame["path"].to_numpy(), index=table.frame["id"])
    sources = ImageSources(spec=spec, table=table, raw=raw, hashes=hashes)
    return build_caches(sources, list(sizes), Resizing(shape="squash"))


def invented(folder: Path, rows: int, settings: dict[str, object], noise: bool = False):
    """foldwise's side over so many black images, in a sparse file that takes no disk; or over
    images of noise."""
    import sides

    recipe = SizedRecipe.model_validate({**RECIPE, **settings})
    height, width = recipe.cache_sizes[0]
    pixels = folder / f"{'noise' if noise else 'black'}-{rows}-{height}.u8"
    with pixels.open("wb") as handle:
        if noise:
            handle.write(np.random.default_rng(0).bytes(rows * height * width * 3))
        handle.truncate(rows * height * width * 3)
    images = np.memmap(pixels, np.uint8, "r", shape=(rows, height, width, 3))
    ids = [str(i) for i in range(rows)]
    frame = pd.DataFrame({"id": ids, "label": pd.Categorical([str(i % 8) for i in range(rows)])})
    cache = ImageCache(folder, pd.Index(ids, dtype=str), images)
    return sides.Own(cache, frame, recipe, (rows - 64) // recipe.batch_size)
