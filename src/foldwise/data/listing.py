"""What lies in the raw folder: image files below a folder, and which of many paths exist."""

import os
from collections.abc import Iterable
from pathlib import Path

from foldwise.spec.competition import CompetitionSpec

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
    "HEIF": (".heic", ".heif", ".hif"),  # by pillow-heif, an extra
    "JXL": (".jxl",),  # by pillow-jxl-plugin, where it is installed
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "DDS": (".dds",),
    "QOI": (".qoi",),
    "PSD": (".psd",),
    "PCX": (".pcx",),
    "SGI": (".sgi",),
    "TGA": (".tga",),
}
IMAGE_ENDS = tuple(end for ends in FORMATS.values() for end in ends)


def images_below(raw: Path, root: str) -> tuple[list[str], int]:
    """The image files below raw/root to any depth, sorted, and the number of other files.

    Paths are relative to the root, with / between folders. Hidden files and folders (as
    `.ipynb_checkpoints`) and `__MACOSX` hold no images of the competition.
    """
    found: list[str] = []
    others = 0
    base = raw / root
    for folder, _, names in os.walk(base, followlinks=True):
        inner = Path(folder).relative_to(base)
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in inner.parts)
        for name in names:
            if hidden or not is_image(name):
                others += 1
            else:
                found.append((inner / name).as_posix())
    return sorted(found), others


def is_image(name: str) -> bool:
    """True for a file name with an image's ending that is not hidden."""
    return name.lower().endswith(IMAGE_ENDS) and not name.startswith(".")


def present(raw: Path, paths: Iterable[str]) -> list[bool]:
    """Whether each path below raw is there; one listing per folder, however many images it has."""
    listings: dict[Path, set[str]] = {}
    found = []
    for path in paths:
        file = raw / path
        if file.parent not in listings:
            known = os.listdir(file.parent) if file.parent.is_dir() else []
            listings[file.parent] = set(known)
        found.append(file.name in listings[file.parent])
    return found


def files_here(spec: CompetitionSpec, raw: Path) -> bool:
    """True where every file and folder that the spec names is there; images are not looked at."""
    return all((raw / name).exists() for name in (*spec.files.names(), *spec.labels.roots))


def rows_here(spec: CompetitionSpec, raw: Path) -> int | None:
    """How many training rows the files hold, before any check; None where only reading would tell.

    Lines of a CSV and images of folders are counted; databases and JSON are not opened.
    """
    if spec.labels.roots:
        return sum(len(images_below(raw, root)[0]) for root in spec.labels.roots)
    path = raw / str(spec.files.train)
    if path.suffix.lower() != ".csv":
        return None
    with path.open("rb") as handle:
        return sum(1 for line in handle if line.strip()) - 1
