"""Images: decoded, turned, brought to a mode and a size; and the digests of their pixels."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from foldwise.config.adapter import ReadImage
from foldwise.config.competition import CompetitionSpec
from foldwise.data.images.levels import (
    FULL,
    Levels,
    colours_in_8_bits,
    in_8_bits,
    is_deep,
    is_deep_colour,
)
from foldwise.data.images.opening import MEMORY, load, open_image, strips
from foldwise.data.labels.table import LabelTable
from foldwise.errors import ImageError
from foldwise.kinds.reader import ImageReader
from foldwise.store.files import (
    hold_lock,
    replace_file,
    write_text,
)
from foldwise.store.frames import read_stored
from foldwise.store.layout import DataFolder, lock_of
from foldwise.tables.listing import present

Progress = Callable[[int, int], None]  # images done, images in all
ORIENTATION = 0x0112  # EXIF's tag; what its values ask for, and those of them that turn by 90°
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ON_ITS_SIDE = (5, 6, 7, 8)


@dataclass(frozen=True)
class Decoded:
    """An image in the wanted mode, turned as its EXIF says; perhaps decoded at a reduced scale."""

    image: Image.Image
    width: int  # in pixels, of the image at full scale
    height: int
    scale: int = 1  # each side was divided by it while decoding: 1, 2, 4 or 8


def missing_images(table: LabelTable, raw: Path) -> list[tuple[str, str]]:
    """(id, path) of each row whose image file does not exist."""
    there = present(raw, table.frame["path"])
    rows = zip(table.frame["id"], table.frame["path"], there, strict=True)
    return [(id, path) for id, path, exists in rows if not exists]


def each_image(
    work: Callable[[int], None],
    rows: Sequence[int],
    table: LabelTable,
    progress: Progress | None,
    before: int = 0,
) -> dict[str, str]:
    """Do work(row) for rows of the table in parallel threads; returns what failed, by id.

    Pillow decodes and resizes outside the GIL. before: rows that progress counts as done already.
    """
    failures: dict[str, str] = {}
    total = before + len(rows)

    def attempt(row: int) -> None:
        try:
            with MEMORY.until_done():
                work(row)
        except ImageError as error:
            failures[str(table.frame["id"].iloc[row])] = str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, _ in enumerate(pool.map(attempt, rows), start=before + 1):
            if progress and (done % 64 == 0 or done == total):
                progress(done, total)
    return failures


def raise_unreadable(failures: dict[str, str], raw: Path, total: int) -> None:
    """Write the whole list of failures beside raw, and stop. Raises: ImageError."""
    listing = DataFolder(raw.parent).unreadable
    write_text(listing, "".join(f"{id}\t{why}\n" for id, why in sorted(failures.items())))
    id, why = min(failures.items())
    raise ImageError(
        f"{len(failures)} of {total} images are missing or unreadable, e.g. id {id!r}: {why}; "
        f"all are listed in {listing}. Get them again, or list ids of training rows "
        "under [images] skip"
    )


def images_of(
    spec: CompetitionSpec,
    table: LabelTable,
    raw: Path,
    read_image: ReadImage | None,
    side: int | None = None,
    levels: Levels | None = None,
) -> Callable[[int], Decoded]:
    """A function from a row number of the table to its decoded image in the competition's mode.

    side, levels: see `decode`. The function raises ImageError where the image is missing or
    unreadable, or the hook's array is wrong.
    """
    if read_image is None:
        paths = [raw / path for path in table.frame["path"]]
        images = spec.images
        return lambda row: decode(paths[row], images.mode, side, levels, images.readers)

    def from_hook(row: int) -> Decoded:
        pixels = np.asarray(read_image(spec, table.source.iloc[row]))
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != spec.images.channels:
            raise ImageError(
                f"read_image should return uint8 (h, w, {spec.images.channels}), "
                f"got {pixels.dtype} {pixels.shape}"
            )
        image = Image.fromarray(pixels.squeeze())
        return Decoded(image=image, width=image.width, height=image.height)

    return from_hook


def pixel_digest(image: Image.Image) -> str:
    """A hash of the decoded pixels, mode and size: equal for pixel-identical images alone."""
    head = f"{image.mode} {image.width} {image.height} ".encode()
    digest = hashlib.blake2b(head, digest_size=16)
    for _, strip in strips(image):
        digest.update(strip.tobytes())
    return digest.hexdigest()


def known_digests(raw: Path, mode: str, levels: Levels | None = None) -> dict[str, str]:
    """The pixel digests known so far, by the content hash of their source.

    levels: those of deep images, where digests hang on them.
    """
    store = _digest_store(raw, mode, levels)
    if not store.is_file():
        return {}
    frame = read_stored(store)
    return dict(zip(frame["source"], frame["digest"], strict=True))


def _digest_store(raw: Path, mode: str, levels: Levels | None) -> Path:
    scaled = f"-{levels.low:.12g}-{levels.high:.12g}" if levels else ""
    return DataFolder(raw.parent).caches.digests(f"{mode}{scaled}")


def remember_digests(
    raw: Path, mode: str, found: dict[str, str], levels: Levels | None = None
) -> None:
    """Add pixel digests (by the content hash of their source) to those known. levels: of them."""
    store = _digest_store(raw, mode, levels)
    with hold_lock(lock_of(store), "hashing images"):
        known = known_digests(raw, mode, levels)
        if found.keys() <= known.keys():
            return
        merged = known | found
        frame = pd.DataFrame({"source": list(merged), "digest": list(merged.values())}, dtype=str)
        with replace_file(store) as temporary:
            frame.to_parquet(temporary, index=False)


def load_image(path: Path, mode: str) -> Image.Image:
    """The image decoded in full, turned as its EXIF says, in mode L, RGB or RGBA.

    Of 16-bit grey the upper 8 bits are taken; transparency is laid over white unless mode is RGBA.
    Raises: ImageError: the file is missing, empty, damaged or no image.
    """
    return decode(path, mode).image


def decode(
    path: Path,
    mode: str,
    side: int | None = None,
    levels: Levels | None = None,
    readers: Sequence[ImageReader] = (),
) -> Decoded:
    """The image as `load_image` has it; a JPEG at a reduced scale where that is enough for side.

    side: the longest side in pixels that the image is to be resized to. Both sides stay at least
    twice as long, so that resizing still averages. The scale hangs on the image's size alone.
    levels: of images with more than 8 bits a channel; see `in_8_bits`. readers: a competition's.
    Raises: ImageError: the file is missing, empty, damaged or no image, or has more than the 179
            million pixels that Pillow allows, or takes more memory than these: see `open_image`.
    """
    with open_image(path, readers) as opened:
        (width, height), scale = opened.size, 1
        if side and opened.format in ("JPEG", "MPO"):
            drafted = opened.draft(None, (2 * side, 2 * side))
            scale = round(width / drafted[1][2]) if drafted else 1
        colour = levels not in (None, FULL) and is_deep_colour(opened)
        load(opened, path, side)
        turn = _orientation(opened)
        shown = colours_in_8_bits(opened, path, levels) if colour and levels else opened
        image = _in_mode(shown, mode, levels)
    if turn in TURNS:
        image = image.transpose(TURNS[turn])
    if turn in ON_ITS_SIDE:
        width, height = height, width
    return Decoded(image=image, width=width, height=height, scale=scale)


def _orientation(image: Image.Image) -> object:
    """The turn that EXIF asks for; none where it cannot be read: the picture itself is whole."""
    try:
        return image.getexif().get(ORIENTATION)
    except Exception:  # Pillow's readers of EXIF raise whatever damaged bytes lead to
        return None


def _in_mode(image: Image.Image, mode: str, levels: Levels | None) -> Image.Image:
    """A copy in mode L, RGB or RGBA, made in strips: what it takes beside the image is little."""
    whole = None
    for top, strip in strips(image):
        part = _to_mode(strip, mode, levels)
        if part.size == image.size:
            return part
        whole = whole or Image.new(mode, image.size)
        whole.paste(part, (0, top))
    assert whole is not None
    return whole


def _to_mode(image: Image.Image, mode: str, levels: Levels | None) -> Image.Image:
    if is_deep(image.mode):
        image = in_8_bits(image, levels)
    if image.mode in ("LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode == "RGBA" and mode != "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)
