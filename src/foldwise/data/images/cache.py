"""ImageCache: every image decoded once into one memory-mapped file of resized uint8 pixels."""

import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.data.images.levels import Levels
from foldwise.data.images.packed import PackedPixels
from foldwise.data.images.resizing import BILINEAR, Resizing
from foldwise.data.images.sources import ImageSources
from foldwise.errors import ImageError, examples
from foldwise.store.data_records import CacheRecord
from foldwise.store.files import hold_lock, sha256_file, sha256_json
from foldwise.store.layout import CacheFolder, CachesFolder

DECODER = "2"  # part of the cache's key: raise it when decoding, resizing or packing changes
# What is known of each row. start, bytes: where in the pixel file its bytes lie; width, height: of
# the image in full; scale: that of its decoding; crc: the CRC-32 of its bytes, written last.
ROW = np.dtype(
    [
        ("start", "<u8"),
        ("bytes", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
        ("scale", "<u4"),
        ("crc", "<u4"),
    ]
)


@dataclass(frozen=True)
class ImageCache:
    """Pixels of every id: uint8 (n, height, width, channels), memory-mapped, read-only.

    Recompressed pixels are decoded when rows of them are asked for.
    """

    folder: Path
    ids: "pd.Index[str]"
    pixels: Array | PackedPixels
    levels: Levels | None = None  # of deep images

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def channels(self) -> int:
        """The number of channels."""
        return self.pixels.shape[3]

    def rows(self, ids: "pd.Series[str]") -> Array:
        """The row of each id in `pixels`. Raises: ImageError: an id is not in the cache."""
        rows = self.ids.get_indexer(pd.Index(ids))
        if (rows < 0).any():
            lacking = ids[rows < 0]
            raise ImageError(f"{len(lacking)} ids have no cached image, e.g. {examples(lacking)}")
        return rows


def open_cache(folder: Path) -> ImageCache:
    """The finished cache in a folder; its rows are checked again where the file was touched.

    Raises: ImageError: it is not there, not finished, or damaged.
    """
    home = CacheFolder(folder)
    if not home.finished:
        raise ImageError(f"the image cache {folder} is not there; run the same command again")
    done = CacheRecord.read(home.record)
    rows, file = read_rows(home, done), home.pixels(done.packed)
    if not file.is_file() or file.stat().st_size != end_of(rows):
        raise ImageError(_damage_line(folder, f"{file.name} is missing or of another size"))
    data = np.memmap(file, np.uint8, "r")
    changed = file.stat().st_mtime_ns
    if done.modified_ns != changed:
        bad = int((~intact(data, rows)).sum())
        if bad:
            raise ImageError(_damage_line(folder, f"{bad} of {len(rows)} images have changed"))
        done.model_copy(update={"modified_ns": changed}).write(home.record)
    pixels = (
        PackedPixels(data, rows["start"], rows["bytes"], done.shape)
        if done.packed
        else data.reshape(done.shape)
    )
    return ImageCache(
        folder=folder,
        ids=pd.Index(list(done.ids), dtype=str),
        pixels=pixels,
        levels=Levels.of(done.levels),
    )


def of_size(caches: Sequence[ImageCache], size: tuple[int, int]) -> ImageCache:
    """The cache of a size (height, width) among several."""
    return next(cache for cache in caches if cache.size == size)


def read_rows(cache: CacheFolder, done: CacheRecord) -> Array:
    """What is known of each row of a finished cache, ROW (n,).

    Raises: ImageError: the file is missing or damaged.
    """
    path = cache.rows
    if not path.is_file() or sha256_file(path) != done.rows_sha256:
        raise ImageError(_damage_line(cache.path, f"{path.name} is missing or has changed"))
    return np.fromfile(path, ROW)


def finished_cache(sources: ImageSources) -> tuple[CacheFolder, CacheRecord] | None:
    """A finished cache of exactly these images, and what it says of itself; or None.

    Its size is any.
    """
    levels = sources.named_levels
    wanted = (sources.mode, sources.key, tuple(levels.pair()) if levels else None)
    for cache in sources.caches.finished():
        done = CacheRecord.read(cache.record)
        if (done.mode, done.sources, done.named_levels) == wanted:
            return cache, done
    return None


def cache_folder(
    sources: ImageSources, resizing: Resizing, size: tuple[int, int], side: int
) -> CacheFolder:
    """The folder of a cache of raw pixels; its `of_kind` is that of recompressed ones.

    side: the longest side of all sizes that were made from the same decoding: it tells the scale
    of that. Whatever the pixels hang on is in the name, and nothing else: no order of rows, and
    levels only where they give other pixels than without levels.
    """
    mode, shape, interpolation = sources.mode, resizing.shape, resizing.interpolation
    content = [DECODER, mode, list(size), side, shape, sources.key]
    content += [interpolation] * (interpolation != BILINEAR)
    content += [sources.named_levels.pair()] if sources.named_levels else []
    key = sha256_json(content)[:16]
    return sources.caches.cache(f"{size[0]}x{size[1]}-{mode}-{shape}-{key}")


def clear_caches(caches: CachesFolder) -> tuple[int, int]:
    """Remove every image cache below a competition's cache folder; returns their number and bytes.

    Digests of files and pixels stay: they are small and true. Raises: StorageError: one is being
    built right now.
    """
    number = freed = 0
    for cache in caches.begun():
        with hold_lock(cache.lock, f"the image cache {cache.name}", wait=False):
            cache.record.unlink(missing_ok=True)  # first: half a cache is none
            freed += sum(file.stat().st_size for file in cache.path.iterdir())
            number += 1
            shutil.rmtree(cache.path)
    return number, freed


def crc_of(content: bytes | memoryview) -> int:
    """The CRC-32, never 0: that says that a row is not there."""
    return zlib.crc32(content) or 1


def intact(data: Array, rows: Array) -> Array:
    """Which rows are there and have the bytes that were written, bool (n,).

    data: the bytes of the pixel file, or of what there is of it.
    """
    there: Array = (rows["crc"] != 0) & (rows["start"] + rows["bytes"] <= len(data))
    for row in np.flatnonzero(there):
        start = int(rows["start"][row])
        content = data[start : start + int(rows["bytes"][row])]
        there[row] = crc_of(content.data) == rows["crc"][row]
    return there


def end_of(rows: Array) -> int:
    """The size in bytes of the file that holds these rows."""
    return int((rows["start"] + rows["bytes"]).max(initial=0))


def _damage_line(folder: Path, what: str) -> str:
    return (
        f"the image cache {folder} is damaged: {what}; remove that folder and run the same command "
        "again, it is built anew"
    )
