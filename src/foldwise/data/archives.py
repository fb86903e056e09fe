"""Archives and folders unpacked into a competition's raw folder, whole or not at all."""

import logging
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from foldwise.errors import ArchiveError, DataError, examples
from foldwise.storage import disk_errors, locked, need_space, sha256_file

log = logging.getLogger(__name__)

TAR_ENDS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def add_to_raw(source: Path, raw: Path) -> int:
    """Unpack an archive, or copy a folder or a CSV, into raw; returns the number of files added.

    Everything is first unpacked and verified beside raw, then moved in, so a damaged archive
    leaves raw as it was. Archives inside the archive are unpacked too (Kaggle ships them so).

    Raises: DataError: source is missing, or a file in raw has other contents.
            ArchiveError: the archive is damaged, or names a path outside its folder.
            StorageError: the disk is too full.
    """
    if not source.exists():
        raise DataError(f"expected an archive or a folder at {source}, found none")
    raw.parent.mkdir(parents=True, exist_ok=True)
    with locked(raw.parent / ".raw.lock", f"unpacking into {raw}", wait=False):
        staging = Path(tempfile.mkdtemp(prefix=".unpack-", dir=raw.parent))
        try:
            with disk_errors(staging):
                if source.is_dir():
                    shutil.copytree(source, staging, dirs_exist_ok=True)
                elif source.suffix.lower() == ".csv":
                    shutil.copy2(source, staging)
                else:
                    unpack(source, staging)
                _unpack_nested(staging)
                return _move_into(staging, raw)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def unpack(archive: Path, target: Path) -> None:
    """Unpack a zip or tar archive, its checksums verified. Raises: ArchiveError, StorageError."""
    name = archive.name.lower()
    try:
        if name.endswith(TAR_ENDS):
            _unpack_tar(archive, target)
        elif name.endswith(".zip"):
            _unpack_zip(archive, target)
        else:
            raise ArchiveError(
                f"{archive} should be a .zip or one of {', '.join(TAR_ENDS)}, a folder or a .csv"
            )
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise ArchiveError(
            f"{archive} is damaged or incomplete ({error}); nothing was changed: "
            "download it again and run the same command"
        ) from error


def _unpack_zip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as handle:
        members = handle.infolist()
        for member in members:
            is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
            _inside(member.filename, archive, link=is_link)
        need_space(target, sum(m.file_size for m in members), f"unpacking {archive.name}")
        for member in members:
            handle.extract(member, target)  # checks the CRC


def _unpack_tar(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as handle:
        members = handle.getmembers()
        for member in members:
            _inside(member.name, archive, link=not (member.isfile() or member.isdir()))
        need_space(target, sum(m.size for m in members), f"unpacking {archive.name}")
        handle.extractall(target, members=members, filter="data")


def _inside(name: str, archive: Path, link: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if link or path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise ArchiveError(
            f"{archive} holds {name!r}, which would write outside its folder; "
            "nothing was unpacked: get the archive from the competition's own page"
        )


def _unpack_nested(folder: Path) -> None:
    """Unpack each archive at the top of folder beside itself, and remove it."""
    for inner in sorted(folder.iterdir()):
        if inner.is_file() and inner.name.lower().endswith((".zip", *TAR_ENDS)):
            with tempfile.TemporaryDirectory(prefix=".inner-", dir=folder) as temporary:
                unpack(inner, Path(temporary))
                _move_into(Path(temporary), folder)
            inner.unlink()


def _move_into(source: Path, target: Path) -> int:
    """Move every file below source to the same place below target.

    Raises: DataError: a file of that name has other contents; nothing was moved.
    """
    files = sorted(p for p in source.rglob("*") if p.is_file())
    different = [
        str(p.relative_to(source))
        for p in files
        if (old := target / p.relative_to(source)).exists() and sha256_file(old) != sha256_file(p)
    ]
    if different:
        raise DataError(
            f"{len(different)} files in {target} have other contents than the new ones, "
            f"e.g. {examples(different)}; remove {target} first if the new ones are right"
        )
    for path in files:
        destination = target / path.relative_to(source)
        destination.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, destination)
    log.info("%d files unpacked into %s", len(files), target)
    return len(files)
