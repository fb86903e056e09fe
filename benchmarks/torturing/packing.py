"""Malformed archives: valid ones of every kind with odd members, then damaged."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import warnings
import zipfile
from functools import partial
from pathlib import Path

import py7zr
from py7zr.helpers import ArchiveTimestamp

from torturing.mutating import WORDS, mutated

KINDS = (".zip", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".csv")
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
PACKERS = {
    ".tar": bytes,
    ".tar.gz": partial(gzip.compress, mtime=0),
    ".tgz": partial(gzip.compress, mtime=0),
    ".tar.bz2": bz2.compress,
    ".tar.xz": lzma.compress,
}
Members = dict[str, bytes]


def archive(raw: Path, folder: Path, rng: random.Random) -> str:
    """Write a malformed archive of a raw folder's files into a folder; returns its name."""
    kind = rng.choice(KINDS)
    members = {
        p.relative_to(raw).as_posix(): p.read_bytes() for p in sorted(raw.rglob("*")) if p.is_file()
    }
    with warnings.catch_warnings(action="ignore"):  # of names that stand twice
        if rng.random() < 0.3:
            members = _nested(members, rng)
        odd = rng.random() < 0.5
        data = _packed(kind, members, rng, odd)
    if not odd or rng.random() < 0.3:
        data = mutated(data, rng)
    name = "x" + (rng.choice(KINDS) if rng.random() < 0.05 else kind)
    if rng.random() < 0.03:
        name = rng.choice(("x.z01", "x.zip.001", "x.7z.001", "x.rar", "x.gz", "x", "x.tar.zst"))
    (folder / name).write_bytes(data)
    return name


def _packed(kind: str, members: Members, rng: random.Random, odd: bool) -> bytes:
    if kind in PACKERS:
        return PACKERS[kind](_tar(members, rng, odd))
    if kind == ".7z":
        return _seven(members, rng, odd)
    return _zip(members, rng, odd) if kind == ".zip" else b"id,label\n1,a\n"


def _nested(members: Members, rng: random.Random) -> Members:
    """The images in an archive of their own, perhaps in another, in a folder, flat or damaged."""
    outer = {name: data for name, data in members.items() if not name.startswith("images/")}
    inner = {name: data for name, data in members.items() if name.startswith("images/")}
    if rng.random() < 0.5:
        inner = {name.removeprefix("images/"): data for name, data in inner.items()}
    for _ in range(rng.choice((1, 1, 2, 5))):
        kind = rng.choice(KINDS[:-1])
        data = _packed(kind, inner, rng, odd=rng.random() < 0.2)
        if rng.random() < 0.2:
            data = mutated(data, rng)
        inner = {rng.choice(("", "", "images/", "a/b/")) + f"images{kind}": data}
    return {**outer, **inner}


def _names(members: Members, rng: random.Random) -> list[tuple[str, bytes]]:
    """Members under odd names, twice, or where a folder should be."""
    listed = [*members.items()]
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(len(listed))
        name, data = listed[at]
        odd = rng.choice(
            (
                *WORDS,
                name + "/",
                name.replace("/", "\\"),
                name.upper(),
                name + "/x",
                "a/" * 500 + "x",
                "a/" * 3000 + "x",
                "images",
                "images/",
                "./" + name,
                "//" + name,
                name + " ",
                name + ".",
                name,
            )
        )
        listed.insert(at, (odd, data)) if rng.random() < 0.5 else listed.append((odd, data))
    return listed


def _zip(members: Members, rng: random.Random, odd: bool) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice(METHODS)) as handle:
        for name, data in _names(members, rng) if odd else members.items():
            about = zipfile.ZipInfo(name.encode("utf-8", "replace").decode() or "x")
            about.compress_type = handle.compression
            if odd and rng.random() < 0.05:
                about.external_attr = rng.choice((0o120777, 0o010644, 0o060644, 0)) << 16
            handle.writestr(about, data)
        handle.comment = rng.randbytes(rng.choice((0, 0, 40)))
    data = buffer.getvalue()
    if odd and rng.random() < 0.4:
        data = _zip_header(data, rng)
    return data


def _zip_header(data: bytes, rng: random.Random) -> bytes:
    """An odd number in a local header, a central one or the end record."""
    mark = rng.choice((b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"))
    places = [at for at in range(len(data)) if data.startswith(mark, at)]
    if not places:
        return data
    at = rng.choice(places) + rng.randrange(4, 46)
    value = rng.choice((0, 1, 9, 99, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000))
    return data[:at] + (value % 65536).to_bytes(2, "little") + data[at + 2 :]


def _tar(members: Members, rng: random.Random, odd: bool) -> bytes:
    buffer = io.BytesIO()
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.open(fileobj=buffer, mode="w", format=form) as handle:
        for name, data in _names(members, rng) if odd else members.items():
            about = tarfile.TarInfo(name.replace("\x00", "") or "x")
            about.size = len(data)
            if odd and rng.random() < 0.06:
                about.type = rng.choice(
                    (
                        tarfile.SYMTYPE,
                        tarfile.LNKTYPE,
                        tarfile.FIFOTYPE,
                        tarfile.CHRTYPE,
                        tarfile.DIRTYPE,
                        tarfile.GNUTYPE_SPARSE,
                        tarfile.CONTTYPE,
                        b"Z",
                    )
                )
                about.linkname = rng.choice(("x", "/etc/passwd", "../..", name))
            if odd and form == tarfile.PAX_FORMAT and rng.random() < 0.06:
                about.pax_headers = {rng.choice(PAX): rng.choice(VALUES)}
            try:
                handle.addfile(about, io.BytesIO(data))
            except ValueError:  # a name that this format cannot hold
                continue
    return buffer.getvalue()


PAX = (
    "size",
    "mtime",
    "path",
    "linkpath",
    "uid",
    "GNU.sparse.major",
    "GNU.sparse.map",
    "GNU.sparse.size",
    "GNU.sparse.realsize",
    "hdrcharset",
    "SCHILY.xattr.x",
)
VALUES = ("nan", "-1", "inf", "", "1e400", "0,1,2", "1", "BINARY", "9" * 30, "../x", "x" * 9000)


def _seven(members: Members, rng: random.Random, odd: bool) -> bytes:
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w", filters=[{"id": rng.choice(SEVENS)}]) as handle:
        for name, data in _names(members, rng) if odd else members.items():
            name = name.encode("utf-8", "replace").decode() or "x"
            handle._writestr(data, name)  # `writestr` refuses the very names that are wanted here
        for about in handle.header.files_info.files:  # not the time of day: the same bytes again
            for key in ("creationtime", "lastwritetime", "lastaccesstime"):
                about[key] = ArchiveTimestamp(0)
    return buffer.getvalue()


SEVENS = (
    py7zr.FILTER_LZMA2,
    py7zr.FILTER_LZMA,
    py7zr.FILTER_BZIP2,
    py7zr.FILTER_DEFLATE,
    py7zr.FILTER_ZSTD,
    py7zr.FILTER_COPY,
)
