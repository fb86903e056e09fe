"""Archives, folders and CSVs brought into a competition's raw folder, whole or not at all."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import ArchiveError, DataError, examples
from foldwise.store.files import hold_lock, need_space, scratch, sha256_file
from foldwise.store.layout import DataFolder
from foldwise.tables.destinations import Wanted, destination, wanted_of
from foldwise.tables.unpacking import (
    allowance_of,
    is_archive,
    stem_of,
    unpack,
    why_packed,
)

log = logging.getLogger(__name__)

NESTED = 6  # archives in archives, at most


def add_to_raw(source: Path, raw: Path, spec: CompetitionSpec | None = None) -> int:
    """Unpack an archive, or copy a folder or a CSV, into raw; returns the number of files added.

    Everything is first unpacked and verified beside raw, then moved in, so a damaged archive
    leaves raw as it was. Archives inside are unpacked too, wherever they lie, unless the spec names
    them; each goes where the spec looks for its files (see `destination`), else beside itself.
    What cannot be unpacked (see `why_packed`) stays as it is.

    Raises: DataError: source is missing, or a file in raw has other contents.
            ArchiveError: the archive is damaged, names a path outside its folder, or would become
            too much; two archives hold a file of one name; or a link in a folder leads to no file
            inside it.
            StorageError: the disk is too full.
    """
    if not source.exists():
        raise DataError(f"expected an archive or a folder at {source}, found none")
    raw.parent.mkdir(parents=True, exist_ok=True)
    with (
        hold_lock(DataFolder(raw.parent).raw_lock, f"unpacking into {raw}", wait=False),
        scratch(raw.parent, "unpack") as staging,
    ):
        return _settle(source, staging, raw, spec)


def _settle(source: Path, staging: Path, raw: Path, spec: CompetitionSpec | None) -> int:
    """Bring a source into raw, by way of staging; returns the number of files."""
    _fill(source, staging, raw, spec)
    all_ = staging / "all"
    count = len(_names(all_))
    if not count:
        raise DataError(f"{source} holds no file; name the archive or the folder with the download")
    if different := _in_the_way(all_, raw):
        raise DataError(
            f"{len(different)} files in {raw} have other contents than the new ones, "
            f"e.g. {examples(different)}; remove {raw} first if the new ones are right"
        )
    _move_into(all_, raw)
    log.info("%d files unpacked into %s", count, raw)
    return count


def still_packed(raw: Path, spec: CompetitionSpec) -> list[str]:
    """The archives below raw that the spec does not name, sorted."""
    paths = (Path(base, name) for base, _, names in os.walk(raw) for name in names)
    packed = (path for path in paths if is_archive(path.name) or why_packed(path))
    return sorted({path.relative_to(raw).as_posix() for path in packed} - wanted_of(spec).files)


def _fill(source: Path, staging: Path, raw: Path, spec: CompetitionSpec | None) -> None:
    """Make staging/all: what is to be in raw."""
    wanted = wanted_of(spec) if spec else Wanted()
    inner, all_ = staging / "inner", staging / "all"
    inner.mkdir()
    stem = stem_of(os.path.basename(os.path.abspath(source)))
    if source.is_dir():
        _copy(source, inner, raw)
        allowance = allowance_of(sum((inner / name).stat().st_size for name in _names(inner)))
    elif source.suffix.lower() == ".csv":
        need_space(inner, source.stat().st_size, f"copying {source}")
        shutil.copyfile(source, inner / source.name)
        allowance = allowance_of(0)
    else:
        allowance = allowance_of(source.stat().st_size)
        unpack(source, inner, allowance)
    todo = [(name, 1) for name in _move_into_place(inner, all_, "", stem, wanted, str(source))]
    for name, depth in todo:  # which grows
        path, shown = all_ / name, f"{source}: {name}"
        if not is_archive(name) or name in wanted.files or why_packed(path) or not path.is_file():
            continue
        if depth > NESTED:
            raise ArchiveError(
                f"{shown} lies in more than {NESTED} archives, as in archives made to fill a disk; "
                "nothing was changed: unpack it yourself and name the folder"
            )
        inner.mkdir()
        unpack(path, inner, allowance, shown)
        path.unlink()
        at, stem = name.rpartition("/")[0], stem_of(path.name)
        todo += [(new, depth + 1) for new in _move_into_place(inner, all_, at, stem, wanted, shown)]


def _move_into_place(
    inner: Path, all_: Path, at: str, stem: str, wanted: Wanted, shown: str
) -> list[str]:
    """Move what was unpacked into `inner` to its place below `all_`; returns the new names.

    Raises: ArchiveError: something else lies there.
    """
    names = _names(inner)
    strip, base = destination(names, at, stem, wanted)
    if different := _in_the_way(inner / strip, all_ / base):
        raise ArchiveError(
            f"{shown} holds {len(different)} files whose names others have that came with it, e.g. "
            f"{examples(different)}; nothing was changed: unpack each archive into a folder of its "
            "own, say so in [images] path, and name the folder around them"
        )
    _move_into(inner / strip, all_ / base)
    shutil.rmtree(inner, ignore_errors=True)
    return [f"{base}/{name[len(strip) :].lstrip('/')}".lstrip("/") for name in names]


def _names(folder: Path) -> list[str]:
    """Every file below a folder, relative to it with / between folders, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    def stop(error: OSError) -> None:  # else os.walk passes over what it cannot list
        raise error

    for base, _, names in os.walk(folder, onerror=stop):
        yield from (Path(base, name) for name in names)


def _copy(folder: Path, target: Path, raw: Path) -> None:
    """Copy every file. Raises: ArchiveError: a link leads outside, or something is no file."""
    if raw.parent.resolve().is_relative_to(folder.resolve()):
        raise ArchiveError(
            f"expected a download's folder, got {folder}, which holds {raw.parent} itself; name "
            "the folder or the archive that came from the competition's page"
        )
    _no_way_out(folder)
    names = _names(folder)
    need_space(target, sum((folder / n).stat().st_size for n in names), f"copying {folder}")
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target / name)


def _no_way_out(folder: Path) -> None:
    """Raises: ArchiveError: a link in folder leads to no file inside it, or there is a pipe."""
    home = folder.resolve()
    for base, inner, names in os.walk(folder):
        for path in (Path(base, name) for name in (*inner, *names)):
            if not path.is_symlink():
                if path.is_file() or path.is_dir():
                    continue
                raise ArchiveError(
                    f"{folder} should hold files and folders, got {path.relative_to(folder)}, "
                    "which is a pipe, a socket or a device; nothing was copied: remove it"
                )
            if not (path.resolve().is_relative_to(home) and path.is_file()):
                raise ArchiveError(
                    f"links in {folder} should lead to files inside it, got "
                    f"{path.relative_to(folder)}, which leads to {os.readlink(path)}; nothing was "
                    "copied: put the files themselves there, or remove the link"
                )


def _move_into(source: Path, target: Path) -> None:
    """Move every file below source to the same place below target, where none is in its way."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
        return
    for name in _names(source):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source / name, target / name)


def _in_the_way(source: Path, target: Path) -> list[str]:
    """The files below source that would replace something else below target."""
    if not target.exists():
        return []
    return [name for name in _names(source) if not _may_lie_at(target / name, source / name)]


def _may_lie_at(place: Path, file: Path) -> bool:
    """Whether nothing is at a place, or the same file."""
    if place.is_file():
        return sha256_file(place) == sha256_file(file)
    if place.parent.is_dir():
        return not place.is_dir()
    return not any(above.is_file() for above in place.parents)
