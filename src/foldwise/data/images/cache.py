"""ImageCache: every image decoded once into one memory-mapped file of resized uint8 pixels."""

import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.images.decoding import BILINEAR
from foldwise.data.images.levels import Levels
from foldwise.data.images.packed import PackedPixels
from foldwise.errors import ImageError, examples
from foldwise.store.files import locked, read_json, sha256_file, sha256_json, write_json

DECODER = "2"  # part of the cache's key: raise it when decoding, resizing or packing changes
PIXELS, PACK = "pixels.u8", "pixels.pack"  # raw, or recompressed: a cache has one of them
ROWS, PLAN, DONE = "rows.bin", "plan.json", "done.json"
PACKED = "-packed"  # ends the name of a recompressed cache's folder: its pixels are others
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
    ids: pd.Index
    pixels: np.ndarray | PackedPixels
    levels: Levels | None = None  # of deep images

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[1], self.pixels.shape[2]

    @property
    def channels(self) -> int:
        """The number of channels."""
        return self.pixels.shape[3]

    def rows(self, ids: "pd.Series[str]") -> np.ndarray:
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
    if not (folder / DONE).is_file():
        raise ImageError(f"the image cache {folder} is not there; run the same command again")
    done = read_json(folder / DONE)
    shape, rows = tuple(done["shape"]), read_rows(folder, done)
    file = folder / (PACK if done["packed"] else PIXELS)
    if not file.is_file() or file.stat().st_size != end_of(rows):
        raise ImageError(_damaged(folder, f"{file.name} is missing or of another size"))
    data = np.memmap(file, np.uint8, "r")
    changed = file.stat().st_mtime_ns
    if done["modified_ns"] != changed:
        bad = int((~intact(data, rows)).sum())
        if bad:
            raise ImageError(_damaged(folder, f"{bad} of {len(rows)} images have changed"))
        write_json(folder / DONE, {**done, "modified_ns": changed})
    pixels = (
        PackedPixels(data, rows["start"], rows["bytes"], shape)
        if done["packed"]
        else data.reshape(shape)
    )
    levels = Levels(*done["levels"]) if done.get("levels") else None
    return ImageCache(folder, pd.Index(done["ids"], dtype=str), pixels, levels)


def sized(caches: Sequence[ImageCache], size: tuple[int, int]) -> ImageCache:
    """The cache of a size (height, width) among several."""
    return next(cache for cache in caches if cache.size == size)


def read_rows(folder: Path, done: dict[str, Any]) -> np.ndarray:
    """What is known of each row of a finished cache, ROW (n,). done: what its done.json says.

    Raises: ImageError: the file is missing or damaged.
    """
    path = folder / ROWS
    if not path.is_file() or sha256_file(path) != done["rows_sha256"]:
        raise ImageError(_damaged(folder, f"{ROWS} is missing or has changed"))
    return np.fromfile(path, ROW)


def finished_cache(
    caches: Path, mode: str, hashes: "pd.Series[str]", levels: Levels | None = None
) -> dict[str, Any] | None:
    """What done.json says of a finished cache of exactly these sources, and its `folder`; or None.

    Its size is any. hashes: the content hash of each id's source, indexed by id. levels: those
    that are in its name.
    """
    wanted = (mode, sources_key(hashes), levels and levels.pair())
    for path in sorted(caches.glob(f"*/{DONE}")):
        done = read_json(path)
        if (done.get("mode"), done.get("sources"), done.get("named_levels")) == wanted:
            return {**done, "folder": path.parent}
    return None


def cache_folder(
    caches: Path,
    mode: str,
    size: tuple[int, int],
    side: int,
    resize: str,
    hashes: "pd.Series[str]",
    interpolation: str = BILINEAR,
    levels: Levels | None = None,
) -> Path:
    """The folder of a cache of raw pixels; see `folder_of` for recompressed ones.

    side: the longest side of all sizes that were made from the same decoding: it tells the scale
    of that. Whatever the pixels hang on is in the name, and nothing else: no order of rows.
    levels: of deep images, where they give other pixels than without levels.
    """
    content = [DECODER, mode, list(size), side, resize, sources_key(hashes)]
    content += [interpolation] * (interpolation != BILINEAR)
    content += [levels.pair()] if levels else []
    key = sha256_json(content)[:16]
    return caches / f"{size[0]}x{size[1]}-{mode}-{resize}-{key}"


def folder_of(base: Path, recompressed: bool) -> Path:
    """The folder of a cache of either kind. base: that of raw pixels."""
    return base.with_name(base.name + PACKED) if recompressed else base


def sources_key(hashes: "pd.Series[str]") -> str:
    """A hash over the ids and contents of all sources, whatever their order."""
    return sha256_json(sorted(zip(hashes.index, hashes, strict=True)))


def lock_of(folder: Path) -> Path:
    """The lock of a cache, whether raw or recompressed."""
    return folder.with_name(folder.name.removesuffix(PACKED) + ".lock")


def clear_caches(caches: Path) -> tuple[int, int]:
    """Remove every image cache below a competition's cache folder; returns their number and bytes.

    Digests of files and pixels stay: they are small and true. Raises: StorageError: one is being
    built right now.
    """
    number = freed = 0
    found = {file.parent for name in (PLAN, DONE) for file in caches.glob(f"*/{name}")}
    for folder in sorted(found):
        with locked(lock_of(folder), f"the image cache {folder.name}", wait=False):
            (folder / DONE).unlink(missing_ok=True)  # first: half a cache is none
            freed += sum(file.stat().st_size for file in folder.iterdir())
            number += 1
            shutil.rmtree(folder)
    return number, freed


def crc_of(content: bytes | memoryview) -> int:
    """The CRC-32, never 0: that says that a row is not there."""
    return zlib.crc32(content) or 1


def intact(data: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which rows are there and have the bytes that were written, bool (n,).

    data: the bytes of the pixel file, or of what there is of it.
    """
    there = (rows["crc"] != 0) & (rows["start"] + rows["bytes"] <= len(data))
    for row in np.flatnonzero(there):
        start = int(rows["start"][row])
        content = data[start : start + int(rows["bytes"][row])]
        there[row] = crc_of(content.data) == rows["crc"][row]
    return there


def end_of(rows: np.ndarray) -> int:
    """The size in bytes of the file that holds these rows."""
    return int((rows["start"] + rows["bytes"]).max(initial=0))


def _damaged(folder: Path, what: str) -> str:
    return (
        f"the image cache {folder} is damaged: {what}; remove that folder and run the same command "
        "again, it is built anew"
    )
