"""Levels: which values of images with more than 8 bits a channel become black and white."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from foldwise.arrays import Array
from foldwise.data.images.opening import load, open_image, strips
from foldwise.errors import ImageError
from foldwise.kinds.reader import ImageReader


@dataclass(frozen=True)
class Levels:
    """The values that become 0 and 255; those beyond are clipped.

    named: whether they are in names of caches and digests: where they give other pixels than
    versions without levels gave, so that all others stay where they are.
    """

    low: float
    high: float
    named: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, pair: tuple[float, float] | None) -> Self | None:
        """The levels that a record has; None where it has none."""
        return cls(low=pair[0], high=pair[1]) if pair else None

    def pair(self) -> list[float]:
        """Both, as JSON files and names of caches have them: the same for 4095 and 4095.0."""
        return [float(self.low), float(self.high)]

    def apply(self, values: Array) -> Array:
        """Values as uint8; of a whole number of bits the upper 8 are taken."""
        bits = math.log2(self.high + 1) if self.low == 0 else 0.0
        if values.dtype.kind in "iu" and bits.is_integer() and bits >= 8:
            kept = values.astype(np.int64).clip(0, int(self.high))
            upper: Array = kept >> (int(bits) - 8)
            return upper.astype(np.uint8)
        scaled = (values.astype(np.float64) - self.low) * (255 / (self.high - self.low))
        rounded: Array = np.rint(scaled.clip(0, 255))
        return rounded.astype(np.uint8)


FULL = Levels(low=0, high=65535)  # 16 bits
GREY_ALPHA = "LA;16B"  # a PNG's, which Pillow reads as RGBA
# Of 16-bit colours Pillow unpacks the upper bytes; the raw mode that unpacks the lower ones. Grey
# with alpha has none: of it read as RGBA, G and A are the lower bytes.
OTHER_BYTE = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    GREY_ALPHA: "RGBA",
}


@dataclass(frozen=True)
class Extremes:
    """The least and the greatest value of an image with more than 8 bits a channel."""

    low: float
    high: float
    mode: str  # Pillow's: I for 32 bits, I;16, RGB, RGBA, F for floating point


def is_deep(mode: str) -> bool:
    """True for Pillow's modes with more than 8 bits a channel."""
    return mode.startswith("I") or mode == "F"


def in_8_bits(image: Image.Image, levels: Levels | None) -> Image.Image:
    """A deep image in mode L. levels: by default those of 16 bits.

    Raises: ImageError: it holds floating-point pixels, and there are no levels, or some are no
            numbers.
    """
    values = np.asarray(image)
    if image.mode == "F" and levels is None:
        raise ImageError(
            "holds floating-point pixels, and their scale is not known; write [images] range = "
            "[low, high], or read it with a read_image hook"
        )
    if image.mode == "F" and not np.isfinite(values).all():
        raise ImageError(
            "holds pixels that are no numbers (NaN or infinite); give them a value, or read it "
            "with a read_image hook"
        )
    return Image.fromarray((levels or FULL).apply(values))


def is_deep_colour(image: Image.Image) -> bool:
    """True for an opened image, not yet decoded, of colours or grey with alpha in 16 bits each."""
    return any(_raw_mode(args) in OTHER_BYTE for *_, args in getattr(image, "tile", []))


def _raw_mode(args: object) -> str:
    return str(args[0] if isinstance(args, tuple) and args else args)


def colours_in_8_bits(image: Image.Image, path: Path, levels: Levels) -> Image.Image:
    """A decoded image of 16-bit colours, its values brought to 8 bits; alpha keeps its upper byte.

    path: its file, which is decoded again for the lower bytes.
    Raises: ImageError: it takes too much memory.
    """
    result = Image.new(image.mode, image.size)
    for top, values in _whole_colours(image, path):
        scaled = levels.apply(values)
        scaled[..., 3:] = values[..., 3:] >> 8
        result.paste(Image.fromarray(scaled), (0, top))
    return result


def _whole_colours(image: Image.Image, path: Path) -> Iterator[tuple[int, Array]]:
    """The first row of each strip of a decoded image, and its values, uint16 (rows, w, c)."""
    with open_image(path) as lower:
        grey = any(_raw_mode(tile.args) == GREY_ALPHA for tile in lower.tile)  # type: ignore[attr-defined]
        lower.tile = [  # type: ignore[attr-defined]
            tile._replace(args=_for_lower_bytes(tile.args))
            for tile in lower.tile  # type: ignore[attr-defined]
        ]
        load(lower, path, beside=8)
        pairs = zip(strips(image), strips(lower), strict=True)
        for (top, strip), (_, below) in pairs:
            low = np.asarray(below)[..., [1, 1, 1, 3]] if grey else np.asarray(below)
            yield top, np.asarray(strip).astype(np.uint16) << 8 | low


def _for_lower_bytes(args: object) -> object:
    other = OTHER_BYTE[_raw_mode(args)]
    return (other, *args[1:]) if isinstance(args, tuple) else other


def extremes(path: Path, readers: Sequence[ImageReader] = ()) -> Extremes | None:
    """The extremes of a file's values; None for 8 bits, and for what cannot be read."""
    try:
        with path.open("rb") as file:
            if _is_shallow(file.read(32)):
                return None
        with open_image(path, readers) as image:
            colour = is_deep_colour(image)
            if not (colour or is_deep(image.mode)):
                return None
            load(image, path)
            parts = (
                (values[..., :3] for _, values in _whole_colours(image, path))
                if colour
                else (np.asarray(strip) for _, strip in strips(image))
            )
            known = (part[np.isfinite(part)] for part in parts)
            lows, highs = zip(*((v.min(), v.max()) for v in known if v.size), strict=True)
            return Extremes(low=float(min(lows)), high=float(max(highs)), mode=image.mode)
    except (ImageError, OSError):  # said when the image itself is wanted
        return None


def _is_shallow(head: bytes) -> bool:
    """Whether a file's first bytes tell that it has at most 8 bits; most need not be opened."""
    if head.startswith((b"\xff\xd8", b"GIF8", b"BM")) or head[8:12] == b"WEBP":
        return True
    return head.startswith(b"\x89PNG") and head[24:25] <= b"\x08"
