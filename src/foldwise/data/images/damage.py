"""Damage that decoders pass over: image data that end early, where they leave rows black or grey.

Such rows are looked for first, so that undamaged images cost next to nothing.
"""

import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageChops

CHUNK = 1 << 20  # bytes
SAMPLES_PER_PIXEL = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by the colour type of a PNG
# x, y of the first pixel of each pass, and its steps
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
PLANAR = 284  # TIFF's tag: 2 where each channel has strips of its own
GREY_FILL = 128  # what libjpeg writes where it has no data
MARKER, END = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]"), b"\xff\xd9"  # of JPEGs, but for restarts
NOISE = b"\x5a\x27" * 64  # data for a JPEG that lacks some


def ends_early(image: Image.Image, path: Path) -> bool:
    """Whether the data of a decoded image ended before its last row, without the decoder's error.

    PNGs whose compressed stream ends too soon, and JPEGs with an end marker too soon; of
    progressive ones those that lack scans, for one that ends in its last scan leaves no trace.
    Other decoders say so themselves, but for TIFFs: see `lacks_strips`.
    """
    if image.format == "PNG":
        interlaced = bool(image.info.get("interlace"))
        last = image.crop((0, image.height - 1, *image.size))
        return bool(interlaced or not np.asarray(last).any()) and _png_lacks_rows(path)
    if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
        if image.info.get("progressive"):
            return _lacks_scans(path.read_bytes()) and _progressive_takes_more(path)
        return _last_pixels_grey(image) and _jpeg_takes_more(image, path)
    return False


def lacks_strips(image: Image.Image) -> bool:
    """Whether the strips or tiles of an opened TIFF, of each plane, are fewer than its pixels."""
    tiles = getattr(image, "tile", [])
    if image.format != "TIFF" or not tiles:
        return False
    sides: list[tuple[int, int, int, int]] = [extents for _, extents, *_ in tiles]
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in sides)
    planes = len(image.getbands()) if image.tag_v2.get(PLANAR) == 2 and len(tiles) > 1 else 1  # type: ignore[attr-defined]
    return area < planes * image.width * image.height


def _png_lacks_rows(path: Path) -> bool:
    """Whether the stream of a PNG holds fewer bytes than its rows take."""
    stream = zlib.decompressobj()
    with path.open("rb") as file:
        header, *_ = (body for kind, body in _chunks(file) if kind == b"IHDR")
        lacking = _png_bytes(header)
        file.seek(8)
        for kind, body in _chunks(file):
            while kind == b"IDAT" and body and lacking > 0 and not stream.eof:
                lacking -= len(stream.decompress(body, CHUNK))
                body = stream.unconsumed_tail
    return lacking > 0


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The kind and content of each chunk of a PNG."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        yield head[4:], file.read(int.from_bytes(head[:4], "big"))
        file.seek(4, io.SEEK_CUR)


def _png_bytes(header: bytes) -> int:
    """The bytes of all rows of a PNG, each with its filter, from its IHDR chunk."""
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits = header[8] * SAMPLES_PER_PIXEL[header[9]]
    passes = ADAM7 if header[12] else ((0, 0, 1, 1),)
    total = 0
    for x, y, across, down in passes:
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        total += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    return total


def _last_pixels_grey(image: Image.Image) -> bool:
    box = (max(0, image.width - 8), image.height - 1, *image.size)
    return image.crop(box).getextrema() in ((GREY_FILL, GREY_FILL), ((GREY_FILL, GREY_FILL),) * 3)


def _lacks_scans(content: bytes) -> bool:
    """Whether the headers of a progressive JPEG's scans leave out bits of some coefficients.

    The standard allows that, so such a file may be whole.
    """
    components: set[int] = set()
    whole: set[tuple[int, int]] = set()  # component, number of a coefficient
    place = 2
    while (found := MARKER.search(content, place)) and found[0] != END:
        place = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
        body = content[found.end() + 2 : place]
        if found[0] == b"\xff\xc2":
            components = {*body[6::3]}
        if found[0] == b"\xff\xda":
            first, last, bits = body[-3:].rjust(3, b"\xff")
            if bits % 16 == 0:  # down to the lowest
                whole |= {(id, k) for id in body[1:-3:2] for k in range(first, last + 1)}
            if len(whole) == 64 * len(components):
                return False
    return True


def _progressive_takes_more(path: Path) -> bool:
    """`_jpeg_takes_more` of an image at full scale: only there every coefficient is seen."""
    with Image.open(path, formats=["JPEG"]) as whole:
        whole.load()
        return _jpeg_takes_more(whole, path)


def _jpeg_takes_more(image: Image.Image, path: Path) -> bool:
    """Whether more data before the end marker of a JPEG change its pixels: then it lacked them."""
    content = path.read_bytes()
    start = 2
    while start + 4 < len(content) and content[start + 1] != 0xDA:  # segments, up to the scan
        fill = content[start + 1] == 0xFF
        start += 1 if fill else 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    end = content.find(END, start)
    with Image.open(io.BytesIO(content[:end] + NOISE + content[end:]), formats=["JPEG"]) as more:
        more.draft(None, image.size)
        more.load()
        return ImageChops.difference(more, image).getbbox() is not None
