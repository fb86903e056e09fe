"""Archives made for tests, and what a folder holds."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import py7zr

Make = Callable[[Path, dict[str, bytes]], Path]


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    """A zip of files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as handle:
        for name, content in files.items():
            handle.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes], link: str | None = None) -> Path:
    """A tar of files, compressed as its name ends. link: where a member called link leads to."""
    kind = path.suffix[1:]
    with tarfile.open(path, "w" if kind == "tar" else f"w:{kind}") as handle:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            handle.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            handle.addfile(info)
    return path


def make_7z(path: Path, files: dict[str, bytes], password: str | None = None) -> Path:
    """A 7z archive of files, with any names: py7zr itself would refuse some."""
    with py7zr.SevenZipFile(path, "w", password=password) as handle:
        for name, content in files.items():
            handle._writestr(content, name)
    return path


MAKERS: dict[str, Make] = {".zip": make_zip, ".tar.gz": make_tar, ".7z": make_7z}


def packed(ending: str, files: dict[str, bytes], folder: Path) -> bytes:
    """The bytes of an archive of that kind."""
    path = folder / f".made{ending}"
    content = MAKERS[ending](path, files).read_bytes()
    path.unlink()
    return content


def contents(folder: Path) -> dict[str, bytes]:
    """What every file below a folder holds."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
