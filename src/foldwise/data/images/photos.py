"""Photos from anywhere: found in folders and CSVs, decoded once as models saw their images."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.config.recipe import SettledRecipe
from foldwise.data.images.decoding import Decoded, Progress, decode, each_image
from foldwise.data.images.levels import Levels
from foldwise.data.images.packed import decode_pixels, encode_pixels
from foldwise.data.images.resizing import Resizing
from foldwise.data.labels.table import LabelTable
from foldwise.errors import DataError, examples
from foldwise.kinds.reader import ImageReader
from foldwise.store.files import need_space
from foldwise.store.layout import CacheFolder
from foldwise.store.run_records import RunRecord
from foldwise.tables.listing import example, images_below, is_image, readable
from foldwise.tables.text import read_table
from foldwise.tasks import MultiClass

log = logging.getLogger(__name__)

PATH_COLUMNS = ("path", "image", "file", "filename")  # where a CSV names its images, in this order


@dataclass(frozen=True)
class Preparation:
    """How a model's pixels come from a photo, as in the cache that it was trained with."""

    size: tuple[int, int]  # height and width in pixels
    side: int  # the longest side that the photo is decoded for
    resizing: Resizing
    recompressed: bool
    levels: Levels | None = None  # of photos with more than 8 bits a channel

    def at(self, photo: Decoded) -> Array:
        """The photo's pixels, uint8 (height, width, channels)."""
        pixels = self.resizing.fit(photo.image, self.size)
        return (
            decode_pixels(encode_pixels(np.ascontiguousarray(pixels)))
            if self.recompressed
            else pixels
        )


def look_of(recipe: SettledRecipe, record: RunRecord) -> Preparation | None:
    """How a recipe's last stage sees photos; None for one that sees none.

    record: the run's, for the names of its caches and the levels of its images.
    """
    size = recipe.final_presize
    if size is None:
        return None
    own = f"{size[0]}x{size[1]}-"
    recompressed = any(
        name.startswith(own) and CacheFolder(Path(name)).recompressed for name in record.caches
    )
    return Preparation(
        size=size,
        side=max(max(each) for each in recipe.cache_sizes),
        resizing=Resizing.of(recipe),
        recompressed=recompressed,
        levels=Levels.of(record.levels),
    )


def photos_of(
    sources: Sequence[Path], readers: Sequence[ImageReader] = ()
) -> tuple[list[str], list[Path]]:
    """The names and files of all photos of folders, CSVs and image files, in order.

    Names are text that can be written: see `readable`.

    A folder gives the images below it to any depth, sorted, each once; a CSV those that its column
    `path`, `image`, `file` or `filename`, else its first one, names, relative to the CSV, by these
    names.
    Raises: DataError: a source is none of these or is not there, or there is no photo at all.
    """
    names: list[str] = []
    files: list[Path] = []
    for source in sources:
        if source.is_dir():
            found = _below(source, readers)
            names += map(str, found)
        elif source.suffix.lower() == ".csv" and source.is_file():
            table = read_table(source)
            column = next(
                (name for name in PATH_COLUMNS if name in table.columns), table.columns[0]
            )
            found = [source.parent / name for name in table[column]]
            names += list(table[column])
        elif is_image(source.name, readers) and source.exists():
            found = [source]
            names.append(str(source))
        else:
            what = "is no folder, CSV or image" if source.exists() else "is not there"
            raise DataError(
                f"expected folders, CSVs of paths or image files, e.g. photos/, but "
                f"{readable(str(source))} {what}"
            )
        files += found
    if not files:
        where = examples(readable(str(source)) for source in sources)
        raise DataError(f"no images (.jpg, .png, ...) in {where}; name a folder that holds some")
    return [readable(name) for name in names], files


def _below(folder: Path, readers: Sequence[ImageReader]) -> list[Path]:
    """The photos below a folder, each once, however many links lead to it."""
    found, others = images_below(folder, ".", readers)
    if others:
        log.info(
            "%s: %d left out that are no photos, e.g. %s",
            readable(str(folder)),
            len(others),
            example(others),
        )
    by_file: dict[str, str] = {}
    for name in sorted(found, key=lambda name: (folder / name).is_symlink()):
        by_file.setdefault(os.path.realpath(folder / name), name)
    return [folder / name for name in sorted(by_file.values())]


def decode_photos(
    files: Sequence[Path],
    mode: str,
    looks: Sequence[Preparation],
    folder: Path,
    progress: Progress | None = None,
    readers: Sequence[ImageReader] = (),
) -> tuple[dict[Preparation, Path], dict[int, str]]:
    """Each look's pixels as a .npy file in folder, uint8 (n, height, width, channels); and why
    photos could not be read, by their number: their pixels are 0.

    Raises: StorageError: the disk is too full.
    """
    shapes = {look: (len(files), *look.size, len(mode)) for look in looks}
    need_space(folder, sum(int(np.prod(shape)) for shape in shapes.values()), "decoding photos")
    paths = {look: folder / f"{number}.npy" for number, look in enumerate(shapes)}
    arrays = {
        look: np.lib.format.open_memmap(paths[look], "w+", np.uint8, shape)
        for look, shape in shapes.items()
    }

    def work(row: int) -> None:
        seen: dict[tuple[int, Levels | None], Decoded] = {}
        for look, array in arrays.items():
            how = look.side, look.levels
            if how not in seen:
                seen[how] = decode(files[row], mode, *how, readers)
            array[row] = look.at(seen[how])

    failures = each_image(work, range(len(files)), _number_rows(len(files)), progress)
    for array in arrays.values():
        array.flush()
    return paths, {int(number): why for number, why in failures.items()}


def _number_rows(count: int) -> LabelTable:
    """Rows whose ids are their numbers: names of photos may stand there twice."""
    frame = pd.DataFrame({"id": [str(number) for number in range(count)]})
    return LabelTable(frame=frame, source=frame, task=MultiClass(()))
