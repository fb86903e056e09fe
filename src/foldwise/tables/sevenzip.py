"""7z archives, read by py7zr; a module of its own, since importing py7zr takes a while."""

import stat
from pathlib import Path
from typing import IO

import py7zr
from py7zr.exceptions import CrcError, PasswordRequired, UnsupportedCompressionMethodError
from py7zr.io import Py7zIO, WriterFactory

from foldwise.tables.unpacking import Members


def unpack_7z(archive: Path, members: Members) -> None:
    """Unpack a 7z archive.

    Raises: ArchiveError: see `Members.announce`. RuntimeError: it is encrypted, or packed by a
            method that py7zr lacks. Damage: whatever py7zr and its libraries raise.
    """
    try:
        with archive.open("rb") as source, py7zr.SevenZipFile(source) as handle:
            if handle.needs_password():
                raise PasswordRequired
            names = set()
            for member in handle.files:
                if member.is_directory:
                    continue
                kind = member.st_fmt or stat.S_IFREG
                link = member.is_symlink or member.is_junction or kind != stat.S_IFREG
                members.announce(member.filename, member.uncompressed, link)
                if member.filename in names:  # py7zr would give it another one
                    raise ValueError(f"two members are called {member.filename!r}")
                names.add(member.filename)
            members.need_space()
            with _Files(members) as files:
                handle.extractall(members.target, factory=files)
    except PasswordRequired:
        raise RuntimeError("it is encrypted, and needs a password") from None
    except UnsupportedCompressionMethodError as error:
        raise RuntimeError(f"it is packed by a method that py7zr lacks: {error.message}") from error
    except CrcError as error:
        raise ValueError(f"bad CRC of {error.filename}") from error


class _Files(WriterFactory):
    """Gives py7zr the file to write each member to."""

    def __init__(self, members: Members) -> None:
        self.members = members
        self.file: _File | None = None

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *error: object) -> None:
        if self.file:
            self.file.close()

    def create(self, filename: str) -> Py7zIO:
        """The open file of a member; py7zr closes it once it is whole."""
        name = Path(filename).relative_to(self.members.target).as_posix()
        self.file = _File(self.members.create(name))
        return self.file


class _File(Py7zIO):
    """A file that is only written, from its beginning to its end."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle = handle

    def write(self, s: bytes | bytearray) -> int:
        """Append bytes."""
        return self.handle.write(s)

    def read(self, size: int | None = None) -> bytes:
        """Nothing: it is not read back."""
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Nowhere: py7zr rewinds what it has finished."""
        return 0

    def flush(self) -> None:
        """Flush what was written."""
        self.handle.flush()

    def size(self) -> int:
        """Bytes written."""
        return self.handle.tell()

    def close(self) -> None:
        """Close the file."""
        self.handle.close()
