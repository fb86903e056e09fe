"""The formats that Pillow reads by itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from foldwise.kinds.reader import ImageReader

if TYPE_CHECKING:
    from PIL.Image import Image

# Formats of images as Pillow names them, and the endings of their files' names. It tries them in
# this order. None of them calls another program, as EPS does.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "DDS": (".dds",),
    "QOI": (".qoi",),
    "PSD": (".psd",),
    "PCX": (".pcx",),
    "SGI": (".sgi",),
    "TGA": (".tga",),
}
# Formats that a row may name, though files with their endings are icons or come from programs.
MORE_FORMATS = (
    "ICO",
    "ICNS",
    "CUR",
    "BLP",
    "DCX",
    "FITS",
    "FLI",
    "FTEX",
    "GBR",
    "IM",
    "MSP",
    "PCD",
    "PIXAR",
    "SUN",
    "XBM",
    "XPM",
    "SPIDER",
)
# What decoders take beside Pillow's pixels, in bytes per pixel; measured at 16 megapixels with
# Pillow 13.0.0. Progressive JPEGs keep their coefficients.
EXTRA = {
    "JPEG": 0,
    "MPO": 0,
    "PNG": 0,
    "BMP": 0,
    "PPM": 0,
    "GIF": 1,
    "AVIF": 6,
    "WEBP": 14,
    "JPEG2000": 16,
}


class PillowReader(ImageReader):
    """The formats that Pillow reads by itself: JPEG, PNG, TIFF, WebP and others."""

    suffixes: ClassVar[tuple[str, ...]] = tuple(end for ends in FORMATS.values() for end in ends)
    bytes_beside: ClassVar[Mapping[str, int]] = EXTRA

    name: Literal["pillow"] = "pillow"

    def open(self, path: Path) -> "Image | None":
        """By the first format whose first bytes these are."""
        from PIL import Image, UnidentifiedImageError

        Image.init()
        known = [name for name in (*FORMATS, *MORE_FORMATS) if name in Image.OPEN]
        try:
            return Image.open(path, formats=known)
        except UnidentifiedImageError:
            return None
