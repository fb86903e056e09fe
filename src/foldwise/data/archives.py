"""Archives and folders unpacked into a competition's raw folder, whole or not at all."""

import errno
import logging
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from foldwise.errors import ArchiveError, DataError, examples
from foldwise.storage import disk_errors, locked, need_space, sha256_file

log = logging.getLogger(__name__)

TAR_ENDS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
RATIO = 250  # unpacked to packed bytes at most: CSVs reach 100, and deflate itself ends at 1032
ANYWAY = 2 << 30  # bytes that may be unpacked whatever the ratio
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)
NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)  # of impossible members
MOST_FILES = 3_000_000  # ImageNet's localisation task has two million
CHUNK = 1 << 20  # bytes read at once
BLOCK = 4096  # bytes that any file takes on a disk


@dataclass
class Allowance:
    """What may still be unpacked from a source, archives inside archives included."""

    bytes: int
    files: int = MOST_FILES

    def take(self, size: int, archive: Path) -> None:
        """Count a member before it is unpacked. Raises: ArchiveError: it is too much."""
        self.bytes -= max(size, BLOCK)
        self.files -= 1
        if self.bytes < 0 or self.files < 0:
            what = f"more than {MOST_FILES:,} files" if self.files < 0 else (
                f"much more than it is itself: over {RATIO} times as much"
            )  # fmt: skip
            raise ArchiveError(
                f"{archive} would become {what}, as archives made to fill a disk do; nothing was "
                "changed: get it from the competition's own page, or, if it is right, unpack it "
                "yourself and name the folder"
            )


def add_to_raw(source: Path, raw: Path) -> int:
    """Unpack an archive, or copy a folder or a CSV, into raw; returns the number of files added.

    Everything is first unpacked and verified beside raw, then moved in, so a damaged archive
    leaves raw as it was. Archives at the top of the archive are unpacked too (Kaggle ships them
    so), those inside them are not.

    Raises: DataError: source is missing, or a file in raw has other contents.
            ArchiveError: the archive is damaged, names a path outside its folder, or would become
            too much; or a link in a folder leads to no file inside it.
            StorageError: the disk is too full.
    """
    if not source.exists():
        raise DataError(f"expected an archive or a folder at {source}, found none")
    raw.parent.mkdir(parents=True, exist_ok=True)
    with locked(raw.parent / ".raw.lock", f"unpacking into {raw}", wait=False):
        staging = Path(tempfile.mkdtemp(prefix=".unpack-", dir=raw.parent))
        try:
            with disk_errors(staging):
                allowance = _allowance(source)
                if source.is_dir():
                    _no_way_out(source)
                    shutil.copytree(source, staging, dirs_exist_ok=True)
                elif source.suffix.lower() == ".csv":
                    shutil.copy2(source, staging)
                else:
                    unpack(source, staging, allowance)
                _unpack_nested(staging, allowance)
                return _move_into(staging, raw)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def unpack(archive: Path, target: Path, allowance: Allowance | None = None) -> None:
    """Unpack a zip or tar archive, its checksums verified.

    allowance: what it may become, by default what its size allows.
    Raises: ArchiveError, StorageError: see `add_to_raw`.
    """
    name = archive.name.lower()
    allowance = allowance or _allowance(archive)
    try:
        if name.endswith(TAR_ENDS):
            _unpack_tar(archive, target, allowance)
        elif name.endswith(".zip"):
            _unpack_zip(archive, target, allowance)
        else:
            raise ArchiveError(
                f"{archive} should be a .zip or one of {', '.join(TAR_ENDS)}, a folder or a .csv"
            )
    except RuntimeError as error:  # zipfile's: a password, or a method that Python lacks
        raise ArchiveError(f"{archive} cannot be unpacked ({error}); unpack it yourself and name "
                           "the folder") from error  # fmt: skip
    except (OSError, *DAMAGE) as error:
        if isinstance(error, OSError) and error.errno not in (None, *NAMES):  # the disk's own
            raise
        raise ArchiveError(
            f"{archive} is damaged or incomplete ({' '.join(str(error).split())}); nothing was "
            "changed: download it again and run the same command"
        ) from error


def _allowance(source: Path) -> Allowance:
    """What a source may become: RATIO times its size, or ANYWAY."""
    files = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
    return Allowance(max(ANYWAY, RATIO * sum(path.stat().st_size for path in files)))


def _unpack_zip(archive: Path, target: Path, allowance: Allowance) -> None:
    with zipfile.ZipFile(archive) as handle:
        members = handle.infolist()
        for member in members:
            allowance.take(member.file_size, archive)
            is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
            _inside(member.filename, archive, link=is_link)
        need_space(target, sum(m.file_size for m in members), f"unpacking {archive.name}")
        for member in members:
            handle.extract(member, target)  # no more bytes than announced; checks the CRC


def _unpack_tar(archive: Path, target: Path, allowance: Allowance) -> None:
    with tarfile.open(archive) as handle:
        members = []
        for member in handle:  # one by one: a bomb's headers alone could fill the memory
            allowance.take(member.size, archive)
            _inside(member.name, archive, link=not (member.isfile() or member.isdir()))
            members.append(member)
        while handle.fileobj and handle.fileobj.read(CHUNK):
            pass  # gzip checks its sum at the very end, where tarfile does not get
        need_space(target, sum(m.size for m in members), f"unpacking {archive.name}")
        handle.extractall(target, members=members, filter="data")


def _inside(name: str, archive: Path, link: bool) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if link or path.is_absolute() or ".." in path.parts or (path.parts and ":" in path.parts[0]):
        raise ArchiveError(
            f"{archive} holds {name!r}, which would write outside its folder; "
            "nothing was unpacked: get the archive from the competition's own page"
        )


def _no_way_out(folder: Path) -> None:
    """Raises: ArchiveError: a link in folder leads to no file inside it."""
    home = folder.resolve()
    for base, inner, names in os.walk(folder):
        for path in (Path(base, name) for name in (*inner, *names)):
            if not path.is_symlink():
                continue
            if not (path.resolve().is_relative_to(home) and path.is_file()):
                raise ArchiveError(
                    f"links in {folder} should lead to files inside it, got "
                    f"{path.relative_to(folder)}, which leads to {os.readlink(path)}; nothing was "
                    "copied: put the files themselves there, or remove the link"
                )


def _unpack_nested(folder: Path, allowance: Allowance) -> None:
    """Unpack each archive at the top of folder beside itself, and remove it."""
    for inner in sorted(folder.iterdir()):
        if inner.is_file() and inner.name.lower().endswith((".zip", *TAR_ENDS)):
            with tempfile.TemporaryDirectory(prefix=".inner-", dir=folder) as temporary:
                unpack(inner, Path(temporary), allowance)
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
