"""Image files opened by their readers: whole, and within a memory bound.

Whatever a decoder raises becomes an ImageError of one line that names the file.
"""

import math
import stat
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from PIL import Image, ImageFile, UnidentifiedImageError

from foldwise.data.images.damage import ends_early, lacks_strips
from foldwise.errors import ImageError
from foldwise.kinds.reader import ImageReader, usual_readers
from foldwise.tables.listing import readable

PROGRESSIVE, OTHERS = 6, 4
NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # other modes: 4
ALLOWED = 17  # bytes for each of Pillow's MAX_IMAGE_PIXELS: 1.5 GB, all threads together
STRIP = 1 << 22  # pixels that are worked on at once, beside the image itself
UNCOUNTED_BYTES = 128e6  # bytes: images that take less are not counted
RESIZED = 1024  # pixels: the longest side that an image is resized to, if nothing is known of it


@contextmanager
def open_image(path: Path, readers: Sequence[ImageReader] = ()) -> Iterator[Image.Image]:
    """The image of a file, its pixels not decoded yet; inside, whatever Pillow raises is caught.

    readers: a competition's, asked before foldwise's.

    Raises: ImageError: the file is missing, empty, damaged, no image, a pipe or a socket, or of a
            format for which a package is missing; with the file's path.
    """
    name = readable(str(path))
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # other libraries set it; half an image is no image
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe waits for its other end
            raise ImageError("is no file, but a folder, a pipe, a socket or a device")
        # odd EXIF and ICC blocks, large images; pixels are checked while they are decoded
        with warnings.catch_warnings(action="ignore"), _open(path, readers) as image:
            yield image
    except FileNotFoundError:
        raise ImageError(f"{name} is missing") from None
    except ImageError as error:
        raise ImageError(f"{name} {error}") from error
    except Image.DecompressionBombError as error:
        said = str(error).partition(", could")[0]
        raise ImageError(f"{name} may be a decompression bomb: {said}; {_smaller()}") from error
    except Exception as error:  # decoders raise RuntimeError, TypeError, IndexError, struct.error
        raise ImageError(f"{name} {_why(path, error)}") from error


def _why(path: Path, error: Exception) -> str:
    with suppress(OSError):
        if path.stat().st_size == 0:
            return "is empty"
    said = readable(str(error)) or type(error).__name__
    return f"cannot be decoded ({said})"


def _open(path: Path, readers: Sequence[ImageReader]) -> Image.Image:
    """The image, by the first reader that knows it. Raises: ImageError: see `ImageReader.open`."""
    for reader in (*readers, *usual_readers()):
        image = reader.open(path)
        if image is not None:
            return image
    raise UnidentifiedImageError(f"cannot identify image file {str(path)!r}")


def load(image: Image.Image, path: Path, side: int | None = None, beside: int = 0) -> None:
    """Decode an opened image, once there is memory for it, and see that no rows are lacking.

    side: the longest side in pixels that it will be resized to. beside: bytes per pixel that other
    copies of it take meanwhile.
    Raises: ImageError: it takes too much memory, or its data end early.
    """
    width, height = image.size
    own = NARROW.get(image.mode, 4)
    extra = _bytes_beside(str(image.format))
    if image.info.get("progressive"):
        extra += PROGRESSIVE
    # a copy in the wanted mode; resizing goes over the width first
    needed = width * height * (own + extra + beside + 4) + 4 * (side or RESIZED) * height
    if needed > allowed_bytes():
        raise ImageError(
            f"has {width} x {height} pixels, and decoding and resizing them takes about "
            f"{needed / 1e9:.1f} GB of memory, more than {allowed_bytes() / 1e9:.1f}; {_smaller()}"
        )
    MEMORY.take(needed)
    lacking = lacks_strips(image)
    image.load()
    if lacking or ends_early(image, path):
        raise ImageError("is damaged: its data end before its last row")


def _bytes_beside(form: str) -> int:
    """What decoding a format takes beside its pixels, in bytes per pixel."""
    known = (reader.bytes_beside for reader in usual_readers())
    return next((each[form] for each in known if form in each), OTHERS)


def _smaller() -> str:
    return (
        "make a smaller copy of it, or if it is right, write PIL.Image.MAX_IMAGE_PIXELS = ... "
        "(half the limit) into adapter.py"
    )


def allowed_bytes() -> float:
    """The bytes that decoding may take; they follow Pillow's own limit of pixels."""
    return ALLOWED * (Image.MAX_IMAGE_PIXELS or math.inf)


class Room:
    """The memory of threads that decode large images at the same time: together within bounds."""

    def __init__(self) -> None:
        self.used = 0.0
        self.changed = threading.Condition()
        self.mine = threading.local()

    def take(self, needed: float) -> None:
        """Wait until there is room for so many bytes; a thread that holds some does not wait."""
        held = getattr(self.mine, "held", None)
        if held is None or needed < UNCOUNTED_BYTES:
            return
        with self.changed:
            self.changed.wait_for(lambda: held or self.used + needed <= allowed_bytes())
            self.used += needed
        self.mine.held = held + needed

    @contextmanager
    def until_done(self) -> Iterator[None]:
        """What a thread takes inside is given back at the end."""
        self.mine.held = 0.0
        try:
            yield
        finally:
            with self.changed:
                self.used -= self.mine.held
                self.changed.notify_all()
            self.mine.held = None


MEMORY = Room()


def strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image in copies of some of its rows, with the number of their first row."""
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(image.height, top + rows)))
