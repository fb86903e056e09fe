"""Raw files for nodes that do not see them: listed with their hashes, sent in parts, checked."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from foldwise.executors import ClusterError
from foldwise.store.data_records import ShippedRecord
from foldwise.store.files import sha256_file, sha256_json
from foldwise.store.layout import DataFolder

PART = 32 << 20  # bytes sent at once


Asked = TypeVar("Asked")  # what stands for bytes that are on their way


class ShippedFile(NamedTuple):
    """A file: its path below the folder, its bytes, their SHA-256."""

    name: str
    size: int
    sha256: str


Position = tuple[
    int, int
]  # in all files one after the other: the number of one, and an offset in it


def list_files(folder: Path) -> list[ShippedFile]:
    """What nodes need of a data folder, sorted. Files that are known and unchanged are not read."""
    store = DataFolder(folder).caches.shipped
    known = (ShippedRecord.read_if_there(store) or ShippedRecord()).files
    found, noted = [], dict[str, tuple[int, int, str]]()
    for name in sorted(_names(folder)):
        stat = (folder / name).stat()
        seen = (stat.st_size, stat.st_mtime_ns)
        old = known.get(name)
        digest = old[2] if old and old[:2] == seen else sha256_file(folder / name)
        noted[name] = (*seen, digest)
        found.append(ShippedFile(name=name, size=stat.st_size, sha256=digest))
    if noted != known:
        ShippedRecord(files=noted).write(store)
    return found


def _names(folder: Path) -> Iterator[str]:
    """The files that nodes need, by every way that leads to one: a spec may name any of them."""
    for entry in DataFolder(folder).files_to_ship():
        if entry.is_file():
            yield entry.relative_to(folder).as_posix()
        for inner, inside, files in os.walk(entry, followlinks=True):
            here = Path(inner)
            inside[:] = [name for name in inside if not _leads_back(here / name, entry)]
            for file in files:
                if (here / file).is_file():  # no pipe, and no link that leads nowhere
                    yield (here / file).relative_to(folder).as_posix()


def _leads_back(path: Path, top: Path) -> bool:
    """Whether a path below top is a link to a folder around itself, where a walk would not end."""
    if not path.is_symlink():
        return False
    target = os.path.realpath(path)
    around = (above for above in path.parents if above.is_relative_to(top))
    return any(Path(os.path.realpath(above)).is_relative_to(target) for above in around)


def digest_of(files: Sequence[ShippedFile]) -> str:
    """A hash over the names and contents of files."""
    return sha256_json([[file.name, file.sha256] for file in files])


def part_of(folder: Path, files: Sequence[ShippedFile], place: Position) -> bytes:
    """The bytes from a place on, through as many files as PART holds."""
    chunks, room, (number, offset) = [], PART, place
    while room and number < len(files):
        with (folder / files[number].name).open("rb") as handle:
            handle.seek(offset)
            chunks.append(handle.read(min(room, files[number].size - offset)))
        room -= files[number].size - offset
        room, number, offset = max(room, 0), number + 1, 0
    return b"".join(chunks)


def places_of(files: Sequence[ShippedFile], first: int) -> list[Position]:
    """The places of the parts, from the start of a file on."""
    places, ahead = [], 0  # bytes of the next part's start beyond the file at hand
    for number in range(first, len(files)):
        while ahead < files[number].size:
            places.append((number, ahead))
            ahead += PART
        ahead -= files[number].size
    return places


def equal(folder: Path, files: Sequence[ShippedFile]) -> bool:
    """Whether a folder has these files with these contents; sizes are looked at first."""
    paths = [folder / file.name for file in files]
    sizes = (
        path.is_file() and path.stat().st_size == file.size
        for path, file in zip(paths, files, strict=True)
    )
    return all(sizes) and all(
        sha256_file(path) == file.sha256 for path, file in zip(paths, files, strict=True)
    )


def receive(
    folder: Path,
    files: Sequence[ShippedFile],
    ask: Callable[[Position], Asked],
    take: Callable[[Asked], bytes],
) -> None:
    """Write files into a folder; those at the front that are there already are kept.

    ask: begins to fetch the part at a place, and gives what `take` turns into its bytes: while one
    part is written the next one is on its way.
    Raises: ClusterError: the disk has no room, or what came has other hashes.
    """
    first = next(
        (number for number, file in enumerate(files) if not (folder / file.name).is_file()),
        len(files),
    )
    needed = sum(file.size for file in files[first:])
    folder.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(folder).free) < needed:
        raise ClusterError(
            f"the raw files need {needed / 1e9:.2f} GB at {folder} and {free / 1e9:.2f} GB are "
            "free there; make room, or start Ray on that node with FOLDWISE_DATA set to a folder "
            "of its own on a larger disk"
        )
    parts = _parts(places_of(files, first), ask, take)
    rest = memoryview(b"")
    for file in files[first:]:
        path, left, digest = folder / file.name, file.size, hashlib.sha256()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.part")
        with temporary.open("wb") as handle:
            while left:
                rest = rest or memoryview(next(parts, b""))
                if not rest:
                    break
                piece, rest = rest[:left], rest[left:]
                handle.write(piece)
                digest.update(piece)
                left -= len(piece)
        if digest.hexdigest() != file.sha256:
            temporary.unlink()
            raise ClusterError(
                f"{file.name} arrived with other bytes than it was sent with; was "
                "it changed meanwhile? Run the same command again"
            )
        temporary.replace(path)


def _parts(
    places: Sequence[Position], ask: Callable[[Position], Asked], take: Callable[[Asked], bytes]
) -> Iterator[bytes]:
    coming = [ask(place) for place in places[:1]]
    for number in range(len(places)):
        now = coming.pop()
        coming += [ask(place) for place in places[number + 1 : number + 2]]
        yield take(now)
