"""Readers of image files: which files they are, and how they are opened."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from foldwise.kinds.family import Family, Kind

if TYPE_CHECKING:
    from PIL.Image import Image


class ImageReader(Kind):
    """What opens image files of one sort or several.

    suffixes: the ends of their names, small letters: by these they are found below folders.
    bytes_beside: what decoding takes beside Pillow's pixels, in bytes per pixel, by the format that
    Pillow's image has. A competition's own, in its adapter.py, is named in `[images] readers` and
    asked before foldwise's.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    bytes_beside: ClassVar[Mapping[str, int]] = {}

    name: str

    def open(self, path: Path) -> "Image | None":
        """The image of a file, best not decoded yet; None where the file is none of its sort.

        Whatever it raises becomes one line that names the file. Raises: ImageError: the file is
        of its sort and cannot be read, e.g. since a package is missing.
        """
        raise NotImplementedError


READERS = Family(
    base=ImageReader,
    key="name",
    package="foldwise.data.images.readers",
    known={
        "pillow": "pillow:PillowReader",
        "heif": "plugins:HeifReader",
        "jpeg_xl": "plugins:JpegXlReader",
    },
    called="image reader",
)


@cache
def usual_readers() -> tuple[ImageReader, ...]:
    """foldwise's own readers, in the order in which they are asked."""
    return tuple(READERS.parse(name) for name in READERS.known)


def image_suffixes(readers: Iterable[ImageReader] = ()) -> tuple[str, ...]:
    """The ends of the names of image files. readers: a competition's, beside foldwise's."""
    return tuple(end for reader in (*readers, *usual_readers()) for end in reader.suffixes)
