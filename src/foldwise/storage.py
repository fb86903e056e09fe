"""Files that are whole or absent: atomic writes, kernel locks and content hashes."""

import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from foldwise.errors import StorageError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn "no space left" into one clear line. Raises: StorageError: the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            folder = next(p for p in (path, *path.parents) if p.exists())
            free = shutil.disk_usage(folder).free / 1e9
            raise StorageError(
                f"no disk space left while writing {path} ({free:.1f} GB free); nothing "
                "half-written was kept: make room, or set FOLDWISE_DATA and FOLDWISE_RUNS to "
                "another disk, and run the same command again"
            ) from error
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it is flushed and renamed to it.

    When the block fails the temporary file is removed and `path` is as it was.
    Raises: StorageError: the disk is full.
    """
    own = f"{platform.node()[:16]}-{os.getpid()}"  # a cluster's nodes may share the folder
    temporary = path.with_name(f".{path.name}.{own}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file that foldwise wrote.

    Raises: StorageError: the file is damaged (somebody edited it, or the disk failed).
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StorageError(
            f"{path} should hold JSON that foldwise wrote, but is damaged ({error}); "
            "remove it and run the same command again"
        ) from error


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """The SHA-256 of a value's canonical JSON, in hex: equal values give equal hashes."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def need_space(folder: Path, needed: int, what: str) -> None:
    """Check that a disk has room. Raises: StorageError: fewer than `needed` bytes are free."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise StorageError(
            f"{what} needs {needed / 1e9:.2f} GB of disk space at {existing}, {free / 1e9:.2f} GB "
            "are free; make room, or set FOLDWISE_DATA and FOLDWISE_RUNS to another disk"
        )


def _opened(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+")


@contextmanager
def locked(path: Path, what: str, wait: bool = True) -> Iterator[None]:
    """Hold a kernel lock on `path`, which the kernel frees even after SIGKILL.

    Raises: StorageError: wait is False and another process holds the lock.
    """
    with disk_errors(path), _opened(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise StorageError(
                f"{what} is already at work in another process (process {holder}); wait for it "
                "to end, or stop it, and run the same command again"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
