"""Formats that Pillow reads with another package, which may not be there."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar, Literal

from foldwise.errors import ImageError
from foldwise.kinds.reader import ImageReader

if TYPE_CHECKING:
    from PIL.Image import Image

HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class PluginReader(ImageReader):
    """A format by its first bytes.

    called: its name for people. format: its name for Pillow. package: what reads it. how: how that
    is had.
    """

    called: ClassVar[str]
    format: ClassVar[str]
    package: ClassVar[str]
    how: ClassVar[str]

    def fits(self, head: bytes) -> bool:
        """Whether a file's first 16 bytes are those of the format."""
        raise NotImplementedError

    def register(self, package: ModuleType) -> None:
        """Make Pillow know the format; by default importing the package does."""

    def open(self, path: Path) -> "Image | None":
        """By Pillow, once the package is there. Raises: ImageError: it is missing."""
        from PIL import Image

        with path.open("rb") as handle:
            if not self.fits(handle.read(16)):
                return None
        try:
            self.register(import_module(self.package))
        except ImportError:
            raise ImageError(
                f"is {self.called}, which needs a package: {self.how}, or convert it"
            ) from None
        return Image.open(path, formats=[self.format])


class HeifReader(PluginReader):
    """HEIF, as telephones write it."""

    suffixes: ClassVar[tuple[str, ...]] = (".heic", ".heif", ".hif")
    bytes_beside: ClassVar[Mapping[str, int]] = {"HEIF": 8}
    called: ClassVar[str] = "HEIF"
    format: ClassVar[str] = "HEIF"
    package: ClassVar[str] = "pillow_heif"
    how: ClassVar[str] = "pip install 'foldwise[heif]'"

    name: Literal["heif"] = "heif"

    def fits(self, head: bytes) -> bool:
        """By the brand."""
        return head[4:8] == b"ftyp" and head[8:12] in HEIC

    def register(self, package: ModuleType) -> None:
        """By the package's own function."""
        package.register_heif_opener()


class JpegXlReader(PluginReader):
    """JPEG XL."""

    suffixes: ClassVar[tuple[str, ...]] = (".jxl",)
    called: ClassVar[str] = "JPEG XL"
    format: ClassVar[str] = "JXL"
    package: ClassVar[str] = "pillow_jxl"
    how: ClassVar[str] = "pip install pillow-jxl-plugin"

    name: Literal["jpeg_xl"] = "jpeg_xl"

    def fits(self, head: bytes) -> bool:
        """A codestream, or one in a container."""
        return head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL "))
