"""Archives unpacked: zip, tar and 7z, every member checked before the first one is written."""

import bz2
import errno
import gzip
import io
import lzma
import math
import re
import struct
import tarfile
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from foldwise.errors import ArchiveError, FoldwiseError
from foldwise.store.files import need_space

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVE_SUFFIXES = (".zip", ".7z", *TAR_SUFFIXES)
JOINABLE = re.compile(  # parts that are joined byte by byte
    r"\.(zip|7z|tar|tgz|tar\.(gz|bz2|xz))\.(\d{2,3}|part\w+|a[a-z])$", re.IGNORECASE
)
ZIP_PART = re.compile(r"\.z\d\d$", re.IGNORECASE)
RAR = re.compile(r"\.(rar|r\d\d)$", re.IGNORECASE)
DRIVE = re.compile("[A-Za-z]:")  # as Windows names disks
RATIO = 250  # unpacked to packed bytes at most: CSVs reach 100, and deflate itself ends at 1032
ANYWAY = 2 << 30  # bytes that may be unpacked whatever the ratio
MOST_FILES = 3_000_000  # ImageNet's localisation task has two million
CHUNK = 1 << 20  # bytes read at once
BLOCK = 4096  # bytes that any file takes on a disk
HEADER = 4 << 20  # bytes of a tar's header (pax, long name) at most: tarfile reads each one whole
ODD = (  # a name that the disk does not take, or a place in the file that there is not
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EOVERFLOW,
)
SPOKEN = 200  # characters of a library's own message


@dataclass
class Allowance:
    """What may still be unpacked from a source, archives inside archives included."""

    bytes: int
    files: int = MOST_FILES

    def take(self, size: int, shown: str) -> None:
        """Count a member before it is unpacked. Raises: ArchiveError: it is too much."""
        self.bytes -= max(size, BLOCK)
        self.files -= 1
        if self.bytes < 0 or self.files < 0:
            what = (
                f"more than {MOST_FILES:,} files"
                if self.files < 0
                else (f"much more than it is itself: over {RATIO} times as much")
            )
            raise ArchiveError(
                f"{shown} would become {what}, as archives made to fill a disk do; nothing was "
                "changed: get it from the competition's own page, or, if it is right, unpack it "
                "yourself and name the folder"
            )


def allowance_of(size: int) -> Allowance:
    """What a source of so many bytes may become: RATIO times its size, or ANYWAY."""
    return Allowance(max(ANYWAY, RATIO * size))


def is_archive(name: str) -> bool:
    """True for the name of an archive that `unpack` reads."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def stem_of(name: str) -> str:
    """An archive's name without its ending: `train.tar.gz` gives `train`."""
    ends = [end for end in ARCHIVE_SUFFIXES if name.lower().endswith(end)]
    return name[: -max(map(len, ends))] if ends else name


def why_packed(path: Path) -> str | None:
    """Why an archive cannot be unpacked here, and what to do; None for all other files."""
    name = path.name
    if JOINABLE.search(name):
        whole = name.rpartition(".")[0]
        return f"is one part of {whole}: join all parts (`cat {whole}.* > {whole}`), then name it"
    if ZIP_PART.search(name) or (name.lower().endswith(".zip") and _ends_another_disk(path)):
        return (
            f"is one part of a zip archive in several parts: join them (`zip -s 0 "
            f"{path.stem}.zip --out whole.zip`), then name whole.zip"
        )
    if RAR.search(name):
        return (
            "is a RAR archive, which foldwise does not read: unpack it yourself (`7z x "
            f"{name}`), then name the folder"
        )
    return None


def unpack(
    archive: Path, target: Path, allowance: Allowance | None = None, shown: str | None = None
) -> None:
    """Unpack a zip, tar or 7z archive into the folder target, its checksums verified.

    allowance: what it may become, by default what its size allows. shown: its name in messages.
    Raises: ArchiveError: it is damaged, encrypted, a part of one or a RAR, names a path outside
            the folder, or would become too much. StorageError: the disk is too full.
    """
    shown, name = shown or str(archive), archive.name.lower()
    if why := why_packed(archive):
        raise ArchiveError(f"{shown} {why}")
    if not is_archive(name):
        raise ArchiveError(
            f"{shown} should be one of {', '.join(ARCHIVE_SUFFIXES)}, a folder or a .csv"
        )
    allowance = allowance or allowance_of(archive.stat().st_size)
    members = Members(target, shown, allowance)
    try:
        if name.endswith(".zip"):
            _unpack_zip(archive, members)
        elif name.endswith(".7z"):
            from foldwise.tables.sevenzip import unpack_7z  # loads many libraries

            unpack_7z(archive, members)
        else:
            _unpack_tar(archive, members)
    except FoldwiseError:
        raise
    except Exception as error:  # damaged bytes make decoders raise whatever they like
        if isinstance(error, OSError) and error.errno not in (None, *ODD):  # the disk's own
            raise
        why = " ".join(str(error).split())[:SPOKEN] or type(error).__name__
        if isinstance(error, RuntimeError) and not isinstance(error, RecursionError):
            raise ArchiveError(
                f"{shown} cannot be unpacked ({why}); unpack it yourself and name the folder"
            ) from error
        raise ArchiveError(
            f"{shown} is damaged or incomplete ({why}); nothing was changed: download it again "
            "and run the same command"
        ) from error


class Members:
    """An archive's members on their way into a folder: all announced first, then written."""

    def __init__(self, target: Path, shown: str, allowance: Allowance) -> None:
        self.target, self.shown, self.allowance = target, shown, allowance
        self.bytes = 0

    def announce(self, name: str, size: int, link: bool = False) -> None:
        """Check a member. Raises: ArchiveError: it is a link, lies outside, or is too much."""
        self.allowance.take(size, self.shown)
        self.bytes += size
        path = PurePosixPath(name.replace("\\", "/"))
        if link or path.is_absolute() or ".." in path.parts or DRIVE.match(name):
            raise ArchiveError(
                f"{self.shown} holds {name!r}, which would write outside its folder; "
                "nothing was unpacked: get the archive from the competition's own page"
            )

    def need_space(self) -> None:
        """Raises: StorageError: the disk has no room for what was announced."""
        need_space(self.target, self.bytes, f"unpacking {self.shown}")

    def create(self, name: str) -> IO[bytes]:
        """The file of an announced member, opened for writing; backslashes are folders too."""
        path = self.target / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")

    def write(self, name: str, source: IO[bytes], size: int) -> None:
        """Write an announced member. Raises: EOFError: it is not of the announced size."""
        left = size
        with self.create(name) as file:
            while chunk := source.read(CHUNK):
                left -= len(chunk)
                if left >= 0:
                    file.write(chunk)
        if left:
            raise EOFError(f"{name} should have {size} bytes and has {size - left}")


def _unpack_zip(archive: Path, members: Members) -> None:
    with zipfile.ZipFile(archive) as handle:
        infos = handle.infolist()
        count = _end_of_zip(archive)[1]
        if len(infos) % (1 << 16) != count and count != 0xFFFF:  # which means: see elsewhere
            raise EOFError(f"it should list {count} members and lists {len(infos)}")
        for info in infos:
            is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
            members.announce(info.filename, info.file_size, is_link)
        members.need_space()
        for info in infos:
            if not info.filename.endswith(("/", "\\")):
                with handle.open(info) as source:  # checks the CRC
                    members.write(info.filename, source, info.file_size)


def _end_of_zip(archive: Path) -> tuple[int, int]:
    """The number of the disk that a zip ends on, and of its members, modulo 65536; else zeros.

    PKWARE's APPNOTE 6.3.10, 4.3.15 and 4.3.16 (read 2026-11-30).
    """
    with archive.open("rb") as handle:
        size = handle.seek(0, io.SEEK_END)
        handle.seek(max(0, size - (1 << 16) - 22 - 20))  # the longest comment, record and locator
        tail = handle.read()
    start = tail.rfind(b"PK\5\6")
    if start < 0 or start + 22 > len(tail):
        return 0, 0
    disk, _, _, count = struct.unpack_from("<4H", tail, start + 4)
    if tail[start - 20 : start - 16] == b"PK\6\7":  # zip64
        disk = struct.unpack_from("<L", tail, start - 4)[0] - 1
    return max(0, disk), count


def _ends_another_disk(archive: Path) -> bool:
    return archive.is_file() and _end_of_zip(archive)[0] > 0


def _unpack_tar(archive: Path, members: Members) -> None:
    with ExitStack() as stack:
        source = stack.enter_context(_decompress(archive))
        headers = _Headers(source)
        handle = stack.enter_context(tarfile.open(fileobj=headers, mode="r:"))  # type: ignore[call-overload]
        known = []
        for member in handle:  # one by one: a bomb's headers alone could fill the memory
            member.pax_headers = {}
            if not math.isfinite(member.mtime):
                raise ValueError(f"the time of {member.name!r} is {member.mtime}")
            link = not (member.isfile() or member.isdir())
            members.announce(member.name, member.size, link)
            known.append(member)
        _need_end(source, handle.offset)
        members.need_space()
        for member in known:
            if content := handle.extractfile(member):
                members.write(member.name, content, member.size)


def _decompress(archive: Path) -> IO[bytes]:
    """A tar's own bytes, whatever it is compressed with: its first bytes say it, not its name."""
    with archive.open("rb") as handle:
        magic = handle.read(6)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(archive)  # type: ignore[return-value]
    if magic.startswith(b"BZh"):
        return bz2.open(archive)
    if magic == b"\xfd7zXZ\0":
        return lzma.open(archive)
    return archive.open("rb")


class _Headers:
    """A tar's bytes as tarfile reads them: no header may be so long that it fills the memory."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source
        self.seek, self.tell, self.close = source.seek, source.tell, source.close

    def read(self, size: int = -1) -> bytes:
        """The next bytes. Raises: ReadError: too many are asked for at once."""
        if not 0 <= size <= HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self.source.read(size)


def _need_end(source: IO[bytes], offset: int) -> None:
    """Read a tar from where tarfile stopped, which it does at damaged headers too, to its end.

    That also checks gzip's sum, which stands at the very end.
    Raises: EOFError: there is no end block, or there is something after it.
    """
    source.seek(offset)
    block = source.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise EOFError(f"it ends at byte {offset:,} without an end block")
    if any(block):
        raise EOFError(f"the header at byte {offset:,} is damaged, so all after it would be lost")
    while chunk := source.read(CHUNK):
        if chunk.strip(b"\0"):
            raise EOFError(f"there is more after the end block at byte {offset:,}")
