"""Files that are whole or absent: atomic writes, kernel locks and content hashes."""

import errno
import hashlib
import json
import logging
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from foldwise.errors import StorageError

log = logging.getLogger(__name__)

# What an error of the system asks of a person. Those of WHEREVER are always of a disk or of this
# process; a connection can raise the others too, so they count only where they name a file.
ROOM_ADVICE = "make room, or set FOLDWISE_DATA and FOLDWISE_RUNS to another disk"
ELSEWHERE = "set FOLDWISE_DATA and FOLDWISE_RUNS to folders of your own"
WHEREVER = {
    errno.ENOSPC: ROOM_ADVICE,
    errno.EDQUOT: ROOM_ADVICE,
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`), or use another disk",
    errno.EIO: "the disk failed: see what `dmesg` says of it, or use another one",
    errno.EMFILE: "raise the number of files that a process may open (`ulimit -n`)",
    errno.ENFILE: "end other programs, which have too many files open",
    errno.ENOLCK: f"its disk takes no locks: {ELSEWHERE} on a disk that does",
}
ERRNO_ADVICE = {
    errno.ENOENT: "it is not there: if it was moved or removed, put it back",
    errno.EACCES: f"give this user the rights to it (`ls -ld` shows whose it is), or {ELSEWHERE}",
    errno.EPERM: f"give this user the rights to it (`ls -ld` shows whose it is), or {ELSEWHERE}",
    errno.EROFS: f"its disk is read-only: mount it writable, or {ELSEWHERE}",
    errno.EISDIR: "a folder lies where a file belongs: move it away",
    errno.ENOTDIR: "a file lies where a folder belongs: move it away",
    errno.EEXIST: "something else lies there: move it away",
    errno.ENOTEMPTY: "something else lies there: move it away",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "its links lead in a circle: remove them",
}
HOLDER = 1  # where a lock file has its holder's number: Windows lets nobody at the byte before
TEMPORARY = ".tmp"  # ends the names of what is written, of files and folders


def disk_error(error: OSError, path: Path | None = None) -> StorageError | None:
    """An error of the system as one line that says what to do; None where it is not the disk's.

    path: what was written, where the error does not name it.
    """
    number = error.errno
    named = error.filename if isinstance(error.filename, str | os.PathLike) else None
    if isinstance(error, shutil.Error):  # of several files; it keeps their errors as text
        known = re.search(r"\[Errno (\d+)\] [^:]*: '([^']*)'", str(error))
        number, named = (int(known[1]), known[2]) if known else (None, None)
    if number not in WHEREVER and (number not in ERRNO_ADVICE or named is None):
        return None
    if named is not None and not str(named).endswith(TEMPORARY):
        path = Path(named)
    if number in (errno.ENOSPC, errno.EDQUOT):
        folder = _nearest_existing(path or Path.cwd())
        free = shutil.disk_usage(folder).free / 1e9
        why = "no disk space left" if number == errno.ENOSPC else "the disk quota is used up"
        return StorageError(
            f"{why} while writing {path or 'a file'} ({free:.1f} GB free); nothing half-written "
            f"was kept: {ROOM_ADVICE}, and run the same command again"
        )
    return StorageError(
        f"{path or 'a file'} cannot be read or written ({os.strerror(number)}); "
        f"{WHEREVER.get(number) or ERRNO_ADVICE[number]}, and run the same command again"
    )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what a disk refuses into one clear line.

    Raises: StorageError: the disk is full or fails, or a file or folder may not be used.
    """
    try:
        yield
    except OSError as error:
        told = disk_error(error, path)
        if told is None:
            raise
        raise told from error


def _nearest_existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next((p for p in (path, *path.parents) if os.path.exists(p)), Path.cwd())


def _owner() -> str:
    """This process, in the names of what it writes: a cluster's nodes may share a folder."""
    return f"{platform.node()[:16]}-{os.getpid()}"


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; when the block ends well it is flushed and renamed to it.

    When the block fails the temporary file is removed and `path` is as it was.
    Raises: StorageError: see `disk_errors`.
    """
    name = path.name.encode()[:150].decode(errors="ignore")  # so that a long name leaves room
    temporary = path.with_name(f".{name}.{_owner()}{TEMPORARY}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        try:
            yield temporary
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def scratch(folder: Path, what: str) -> Iterator[Path]:
    """An empty folder inside `folder`, for the length of the block.

    Its name is hidden and has `what` in it. Those of dead processes are removed first.
    Raises: StorageError: see `disk_errors`.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        made = Path(tempfile.mkdtemp(f".{_owner()}{TEMPORARY}", f".{what}-", folder))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what dead processes of this machine left of `replace_file` and `scratch` in a folder.

    What a process that lives, or one of another machine, has there stays.
    """
    ending = re.compile(rf"\..+\.{re.escape(platform.node()[:16])}-(\d+)\{TEMPORARY}")
    for name in os.listdir(folder):
        found = ending.fullmatch(name)
        if found and not _alive(int(found[1])):
            left = folder / name
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    """Whether a process of this machine runs; on Windows, where asking would end it, True."""
    try:
        if os.name == "posix":
            os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write a value as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def need_readable(path: Path) -> None:
    """Check that a file can be opened, before a library does whose errors do not name it.

    Raises: StorageError: it cannot.
    """
    with disk_errors(path), path.open("rb"):
        pass


def read_json(path: Path) -> object:
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


def sha256_text(text: str) -> str:
    """The SHA-256 of a text's UTF-8, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_json(value: object) -> str:
    """The SHA-256 of a value's canonical JSON, in hex: equal values give equal hashes."""
    return sha256_text(json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def need_space(folder: Path, needed: int, what: str) -> None:
    """Check that a disk has room. Raises: StorageError: fewer than `needed` bytes are free."""
    existing = _nearest_existing(folder)
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise StorageError(
            f"{what} needs {needed / 1e9:.2f} GB of disk space at {existing}, {free / 1e9:.2f} GB "
            "are free; make room, or set FOLDWISE_DATA and FOLDWISE_RUNS to another disk"
        )


def allocate(path: Path, size: int) -> None:
    """Make a file of that many bytes, for which the disk has room where the system can tell."""
    with path.open("wb") as handle:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle.fileno(), 0, size)
        else:
            handle.truncate(size)


def holder_of(path: Path) -> str:
    """The number of the process that holds, or held, a lock."""
    with path.open("rb") as handle:
        handle.seek(HOLDER)
        return handle.read().decode(errors="replace").strip() or "unknown"


@contextmanager
def hold_lock(path: Path, what: str, wait: bool = True) -> Iterator[None]:
    """Hold a kernel lock on `path`, which the kernel frees even after SIGKILL.

    The file holds its holder's process number. Its holder removes what dead processes left beside
    it, see `sweep`. Waiting for another process is said. Raises: StorageError: wait is False and
    another process holds the lock; or see `disk_errors`.
    """
    # Without locks on its disk it would take the existence of the file for a lock, which a killed
    # process leaves behind; and a lock may be released by another thread than the one that took it.
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = holder_of(path)
            if not wait:
                raise StorageError(
                    f"{what} is already at work in another process (process {holder}); wait for it "
                    "to end, or stop it, and run the same command again"
                ) from None
            log.info("%s is at work in another process (process %s); waiting for it", what, holder)
            lock.acquire()
        try:
            with path.open("r+b") as handle:
                handle.seek(HOLDER)
                handle.write(str(os.getpid()).encode())
                handle.truncate()
            sweep(path.parent)
            yield
        finally:
            lock.release()


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock on a file that is there."""
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
