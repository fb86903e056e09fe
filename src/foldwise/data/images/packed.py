"""Recompressed pixels: resized images encoded one after the other in one file."""

import io
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from foldwise.arrays import Array, RowIndex

QUALITY = 95  # of a JPEG without chroma subsampling; images with transparency are kept losslessly
# What recompressed images take of their raw bytes, on the safe side, beside HEAD. Measured
# 2026-11-22: RGB photos of plants and animals at 256 px 0.13 to 0.16 (0.44 on noise); L,
# radiographs at 128 and 256 px, 0.23 to 0.34; RGBA 0.46.
PACKED_SHARE = {1: 0.4, 3: 0.25, 4: 0.6}  # by the number of channels
HEAD = 650  # bytes of each JPEG's own tables
PER_CORE = 1300  # RGB photos of 256 px decoded in a second, the same day, on a Xeon with AMX-BF16


class PackedPixels:
    """Pixels of encoded images, decoded when they are asked for.

    It stands in for an array uint8 (n, height, width, channels) that is indexed by rows.
    """

    def __init__(self, data: Array, starts: Array, lengths: Array, shape: tuple[int, ...]) -> None:
        """data: the file's bytes. starts, lengths: where in it the bytes of each row lie."""
        self.data, self.starts, self.lengths, self.shape = data, starts, lengths, shape
        self.pool = ThreadPoolExecutor(os.cpu_count(), "foldwise-unpack")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: RowIndex) -> Array:
        """The images of some rows, uint8 (n, height, width, channels)."""
        chosen = np.arange(len(self))[rows]
        images = np.empty((len(chosen), *self.shape[1:]), np.uint8)

        def unpack(number: int) -> None:
            start, length = self.starts[chosen[number]], self.lengths[chosen[number]]
            images[number] = decode_pixels(self.data[start : start + length].tobytes())

        for _ in self.pool.map(unpack, range(len(chosen))):  # Pillow decodes outside the GIL
            pass
        return images


def about(shape: tuple[int, ...]) -> int:
    """The bytes that so many images (n, height, width, channels) will about take."""
    number, *sides = shape
    return round(number * (HEAD + PACKED_SHARE[shape[-1]] * int(np.prod(sides))))


def encode_pixels(pixels: Array) -> bytes:
    """The image, uint8 (height, width, channels), encoded: a JPEG, or with transparency a WebP."""
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    if image.mode == "RGBA":
        image.save(buffer, "WEBP", lossless=True, exact=True, method=0)
    else:
        image.save(buffer, "JPEG", quality=QUALITY, subsampling="4:4:4")
    return buffer.getvalue()


def decode_pixels(content: bytes) -> Array:
    """The pixels of an encoded image, uint8 (height, width, channels)."""
    with Image.open(io.BytesIO(content), formats=("JPEG", "WEBP")) as image:
        pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
