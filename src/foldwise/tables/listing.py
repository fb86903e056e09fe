"""What lies in the raw folder: image files below a folder, and which of many paths exist."""

import os
import stat
from collections import deque
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unicodedata import normalize

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import DataError, alike
from foldwise.kinds.reader import ImageReader, image_suffixes

CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")  # an operating system's own


class Below(NamedTuple):
    """What lies below a folder, sorted: images, and all else, as paths with / between folders."""

    images: list[str]
    others: list[str]


def images_below(raw: Path, root: str, readers: Sequence[ImageReader] = ()) -> Below:
    """The image files below raw/root to any depth, and what else is there.

    Paths are relative to the root. Hidden files and folders (as `.ipynb_checkpoints`) and
    `__MACOSX` hold no images of the competition. readers: see `is_image`.
    Raises: DataError: a folder cannot be read.
    """
    files, others = files_below(raw / root)
    found: list[str] = []
    for path in files:
        *folders, name = path.split("/")
        hidden = any(part.startswith(".") or part in CLUTTER for part in folders)
        (others if hidden or not is_image(name, readers) else found).append(path)
    return Below(images=found, others=sorted(others))


def files_below(base: Path, passed: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The files below a folder to any depth, and what is none; both sorted, relative to it.

    A folder is entered once, by a link only where nothing else leads to it: links may go in a
    circle, or up to a folder that contains this one. Such links are no files, nor are pipes,
    sockets and devices; a link that leads nowhere is a file, which is missing.
    passed: names of files and folders that are passed over; where there are some, so are hidden
    ones.
    Raises: DataError: a folder cannot be read.
    """
    files: list[str] = []
    others: list[str] = []
    if not base.is_dir():
        return files, others
    entered = {_identity(folder) for folder in Path(os.path.realpath(base)).parents}
    folders, links = deque([(base, "")]), deque[tuple[Path, str]]()
    while folders or links:
        folder, inner = folders.popleft() if folders else links.popleft()
        if _identity(folder) in entered:
            others.append(inner)
            continue
        entered.add(_identity(folder))
        for entry in _entries(folder):
            if passed and (entry.name.startswith(".") or entry.name in passed):
                continue
            path = f"{inner}/{entry.name}" if inner else entry.name
            kind = _kind(entry)
            if stat.S_ISDIR(kind):
                (links if entry.is_symlink() else folders).append((folder / entry.name, path))
            else:
                (files if stat.S_ISREG(kind) else others).append(path)
    return sorted(files), sorted(others)


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    """What lies in a folder, sorted by name. Raises: DataError: it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{readable(str(folder))} cannot be read ({error.strerror}); give yourself the right "
            "to read it, or move it away, and run the same command again"
        ) from error


def _kind(entry: "os.DirEntry[str]") -> int:
    """What an entry is, behind links, as stat has it; a link that leads nowhere is a file."""
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG  # known without asking the disk
    try:
        return entry.stat().st_mode
    except OSError:
        return stat.S_IFREG


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def example(paths: Iterable[str]) -> str:
    """The path that says most about the others: the first that an operating system did not make."""
    return readable(min(paths, key=lambda path: (_is_clutter(path), path)))


def _is_clutter(path: str) -> bool:
    return any(part.startswith(".") or part in CLUTTER for part in path.split("/"))


def readable(name: str) -> str:
    """A file's name as text that can be printed and written: bytes that are no UTF-8 as \\xe9."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def need_utf8(paths: Iterable[str], folder: Path) -> None:
    """Check that names can be written into CSVs. Raises: DataError: some are no UTF-8."""
    odd = [path for path in paths if readable(path) != path]
    if odd:
        raise DataError(
            f"{folder}: names of files and folders should be UTF-8, {len(odd)} are not, e.g. "
            f"'{readable(odd[0])}'; rename them (convmv does), and run the same command again"
        )


def is_image(name: str, readers: Sequence[ImageReader] = ()) -> bool:
    """True for a file name with an image's ending that is not hidden.

    readers: a competition's own, with endings of theirs.
    """
    return name.lower().endswith(image_suffixes(readers)) and not name.startswith(".")


def present(raw: Path, paths: Iterable[str]) -> list[bool]:
    """Whether each path below raw is a file; one listing per folder, however many images it has."""
    listings: dict[Path, set[str]] = {}
    found = []
    for path in paths:
        file = raw / path
        if file.parent not in listings:
            entries = _entries(file.parent) if file.parent.is_dir() else []
            listings[file.parent] = {entry.name for entry in entries if _is_file(entry)}
        found.append(file.name in listings[file.parent])
    return found


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def as_on_disk(raw: Path, paths: Sequence[str]) -> list[str]:
    """The paths below raw as their files are called, where these have another Unicode form.

    Archives and disks change the form of a name on their own (macOS writes decomposed letters), so
    for a file's name, and for nothing else, both forms are one. Only names with such letters are
    looked up, and folders and files that are there as they are written stay.
    """

    @cache
    def listed(folder: Path) -> dict[str, str]:
        names = os.listdir(folder) if folder.is_dir() else []
        forms = {normalize("NFC", name): name for name in sorted(names)}
        return forms | {name: name for name in names}

    def found(path: str) -> str:
        parts: list[str] = []
        for part in path.split("/"):
            if not part.isascii():
                names = listed(raw.joinpath(*parts))
                part = names.get(part) or names.get(normalize("NFC", part), part)
            parts.append(part)
        return "/".join(parts)

    return [path if path.isascii() else found(path) for path in paths]


def alike_on_disk(raw: Path, path: str) -> str:
    """Why a path's file is not there, where one that looks the same is; see `alike`."""
    folder, _, name = path.rpartition("/")
    stem, ending = os.path.splitext(name)
    there = raw / folder
    names = os.listdir(there) if there.is_dir() else []
    return alike([stem], [os.path.splitext(n)[0] for n in names if n.endswith(ending)])


def files_here(spec: CompetitionSpec, raw: Path) -> bool:
    """True where every file and folder that the spec names is there; images are not looked at."""
    return all((raw / name).exists() for name in (*spec.files.names(), *spec.labels.folders))


def rows_here(spec: CompetitionSpec, raw: Path) -> int | None:
    """How many training rows the files hold, before any check; None where only reading would tell.

    Lines of a CSV and images of folders are counted; databases and JSON are not opened.
    """
    if spec.labels.folders:
        return sum(
            len(images_below(raw, root, spec.images.readers).images) for root in spec.labels.folders
        )
    path = raw / str(spec.files.train)
    if path.suffix.lower() != ".csv":
        return None
    with path.open("rb") as handle:
        return sum(1 for line in handle if line.strip()) - 1
