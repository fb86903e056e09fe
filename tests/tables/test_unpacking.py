"""Archives are whole, harmless and readable, or one line says what is wrong with them."""

import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import py7zr
import pytest

from foldwise.errors import ArchiveError, FoldwiseError
from foldwise.tables import unpacking
from foldwise.tables.archives import add_to_raw
from foldwise.tables.unpacking import is_archive, stem_of, unpack, why_packed
from packing import MAKERS, contents, make_7z, make_tar, make_zip

FILES = {"a.csv": b"id\n1\n", "images/1.jpg": b"1" * 700, "images/2.jpg": bytes(range(256)) * 9}


def refused(archive: Path, target: Path) -> str:
    """What `unpack` says."""
    with pytest.raises(ArchiveError) as caught:
        unpack(archive, target)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("ending", [".zip", ".7z", *unpacking.TAR_SUFFIXES])
def test_every_kind_is_unpacked_by_its_ending_in_either_case(tmp_path: Path, ending: str) -> None:
    made = tmp_path / f"made{ending.replace('tgz', 'gz').replace('tb', 'b').replace('tx', 'x')}"
    make = {".zip": make_zip, ".7z": make_7z}.get(ending, make_tar)
    archive = make(made, FILES).rename(tmp_path / f"a{ending.upper()}")
    unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert is_archive(archive.name)
    assert stem_of(archive.name) == "a"


@pytest.mark.parametrize("ending", MAKERS)
def test_backslashes_are_folders(tmp_path: Path, ending: str) -> None:
    archive = MAKERS[ending](tmp_path / f"a{ending}", {"images\\deep\\1.jpg": b"1", "b.csv": b""})
    unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {"images/deep/1.jpg": b"1", "b.csv": b""}


def test_folders_of_a_windows_zip_are_no_files(tmp_path: Path) -> None:
    unpack(make_zip(tmp_path / "a.zip", {"images\\": b"", "images\\1.jpg": b"1"}), tmp_path / "out")
    assert contents(tmp_path / "out") == {"images/1.jpg": b"1"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train.zip.001", "is one part of train.zip: join all parts (`cat train.zip.* > train"),
        ("train.7z.002", "is one part of train.7z: join all parts"),
        ("train.tar.gz.partaa", "is one part of train.tar.gz: join all parts"),
        ("train.tar.ab", "is one part of train.tar: join all parts"),
        ("train.z01", "in several parts: join them (`zip -s 0 train.zip --out whole.zip`), then"),
        ("train.part1.rar", "is a RAR archive, which foldwise does not read: unpack it yourself"),
        ("train.r00", "is a RAR archive"),
        ("train.RAR", "is a RAR archive"),
    ],
)
def test_a_part_of_an_archive_and_a_rar_are_named_as_such(
    tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert said in refused(tmp_path / name, tmp_path / "out")


def test_ordinary_names_are_no_parts(tmp_path: Path) -> None:
    for name in ("scan.001", "a.tar.gz", "a.tar.bz2", "a.zip", "b.jpg", "c.aa", "z01"):
        assert why_packed(tmp_path / name) is None


def test_the_last_part_of_a_zip_is_named_as_such(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", FILES)
    content = bytearray(archive.read_bytes())
    content[-18:-16] = struct.pack("<H", 3)  # the number of the last disk
    archive.write_bytes(content)
    assert "a.zip is one part of a zip archive in several parts" in refused(archive, tmp_path)
    locator = b"PK\6\7" + struct.pack("<LQL", 0, 0, 2)  # zip64: two disks
    content[-18:-16] = struct.pack("<H", 0xFFFF)
    archive.write_bytes(content[:-22] + locator + content[-22:])
    assert "a.zip is one part of a zip archive in several parts" in refused(archive, tmp_path)


def test_a_zip_that_lists_fewer_members_than_it_says_is_damaged(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", FILES)
    content = bytearray(archive.read_bytes())
    content[-12:-10] = struct.pack("<H", 4)
    archive.write_bytes(content)
    assert "(it should list 4 members and lists 3)" in refused(archive, tmp_path / "out")


def test_a_zip_whose_beginning_is_lost_is_damaged(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", {f"{n}.bin": os.urandom(200) for n in range(9)})
    archive.write_bytes(archive.read_bytes()[1000:])
    assert "is damaged or incomplete" in refused(archive, tmp_path / "out")


def with_tar(tmp_path: Path, change: Callable[[bytearray], object]) -> Path:
    """A plain tar of FILES, changed."""
    path = make_tar(tmp_path / "a.tar", FILES)
    content = bytearray(path.read_bytes())
    kept = change(content)
    path.write_bytes(kept if isinstance(kept, bytes | bytearray) else content)
    return path


def second_header(content: bytearray) -> int:
    return content.index(b"images/1.jpg")


def test_a_tar_with_a_damaged_header_loses_nothing_silently(tmp_path: Path) -> None:
    def flip(content: bytearray) -> None:
        content[second_header(content) + 120] ^= 1

    said = refused(with_tar(tmp_path, flip), tmp_path / "out")
    assert "(the header at byte 1,024 is damaged, so all after it would be lost)" in said


def test_a_tar_with_zeros_for_a_header_loses_nothing_silently(tmp_path: Path) -> None:
    def blank(content: bytearray) -> None:
        start = second_header(content)
        content[start : start + 512] = bytes(512)

    said = refused(with_tar(tmp_path, blank), tmp_path / "out")
    assert "(there is more after the end block at byte 1,024)" in said


def test_a_tar_that_ends_after_a_whole_member_is_incomplete(tmp_path: Path) -> None:
    archive = with_tar(tmp_path, lambda content: content[: second_header(content)])
    assert "(it ends at byte 1,024 without an end block)" in refused(archive, tmp_path / "out")


@pytest.mark.parametrize("time", ["nan", "inf"])
def test_a_tar_with_an_impossible_time_is_damaged(tmp_path: Path, time: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as handle:
        info = tarfile.TarInfo("a.csv")
        info.pax_headers = {"mtime": time}
        handle.addfile(info)
    assert f"(the time of 'a.csv' is {time})" in refused(tmp_path / "a.tar", tmp_path / "out")


def test_a_tar_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as handle:
        info = tarfile.TarInfo("a.csv")
        info.pax_headers = {"comment": "x" * (unpacking.HEADER + 1)}
        handle.addfile(info)
    assert "(a header of 41" in refused(tmp_path / "a.tar.gz", tmp_path / "out")


def test_a_tar_is_read_by_its_bytes_whatever_its_name(tmp_path: Path) -> None:
    make_tar(tmp_path / "a.tar.xz", FILES).rename(tmp_path / "a.tar")
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_a_file_with_holes_is_unpacked_whole(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as handle:
        info, body = tarfile.TarInfo("a.bin"), b"abc".ljust(512, b"\0")
        info.size = len(body)
        info.pax_headers = {"GNU.sparse.map": "1000,3", "GNU.sparse.size": "2000"}
        handle.addfile(info, io.BytesIO(body))
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert contents(tmp_path / "out") == {"a.bin": bytes(1000) + b"abc" + bytes(997)}


def test_a_7z_with_a_password_is_said(tmp_path: Path) -> None:
    archive = make_7z(tmp_path / "a.7z", FILES, password="secret")
    said = refused(archive, tmp_path / "out")
    assert "a.7z cannot be unpacked (it is encrypted, and needs a password); unpack it" in said


def test_a_7z_with_an_unknown_method_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_7z(tmp_path / "a.7z", FILES)

    def extractall(*args: object, **kwargs: object) -> None:
        raise py7zr.exceptions.UnsupportedCompressionMethodError(b"", "BCJ2 is not supported")

    monkeypatch.setattr(py7zr.SevenZipFile, "extractall", extractall)
    said = refused(archive, tmp_path / "out")
    assert "cannot be unpacked (it is packed by a method that py7zr lacks: BCJ2 is not" in said


def test_a_7z_with_a_link_or_two_members_of_one_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as handle:
        handle.write(tmp_path / "link", "link")
    assert "holds 'link', which would write outside its folder" in refused(
        tmp_path / "a.7z", tmp_path / "out"
    )
    with py7zr.SevenZipFile(tmp_path / "b.7z", "w") as handle:
        handle.writestr(b"1", "a.csv")
        handle.writestr(b"2", "a.csv")
    assert "(two members are called 'a.csv')" in refused(tmp_path / "b.7z", tmp_path / "out")


def test_a_7z_keeps_empty_files_and_passes_over_folders(tmp_path: Path) -> None:
    (tmp_path / "in" / "empty").mkdir(parents=True)
    (tmp_path / "in" / "a.csv").write_bytes(b"")
    with py7zr.SevenZipFile(tmp_path / "a.7z", "w") as handle:
        handle.writeall(tmp_path / "in", "in")
    unpack(tmp_path / "a.7z", tmp_path / "out")
    assert contents(tmp_path / "out") == {"in/a.csv": b""}


def test_a_7z_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.7z"
    with py7zr.SevenZipFile(archive, "w", filters=[{"id": py7zr.FILTER_COPY}]) as handle:
        handle.writestr(b"id\n12345\n", "a.csv")
    archive.write_bytes(archive.read_bytes().replace(b"12345", b"12346"))
    assert "damaged or incomplete (bad CRC of a.csv)" in refused(archive, tmp_path / "out")


@pytest.mark.parametrize("ending", MAKERS)
def test_an_error_of_the_disk_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    def create(*args: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(unpacking.Members, "create", create)
    archive = MAKERS[ending](tmp_path / f"a{ending}", FILES)
    with pytest.raises(OSError, match="Input/output error"):
        unpack(archive, tmp_path / "out")


def damaged(rng: np.random.Generator, content: bytes) -> bytes:
    """An archive's bytes with something wrong: bits, a hole, zeros, a doubled or a lost part."""
    parts, n = bytearray(content), len(content)
    start, stop = sorted(int(i) for i in rng.integers(0, n, 2))
    kind = rng.integers(7)
    if kind == 0:
        return content[:start]
    if kind == 1:
        return content[:start] + content[stop:]
    if kind == 2:
        return content[:stop] + content[start:]
    if kind == 3:
        parts[start:stop] = bytes(stop - start)
    elif kind == 4:
        parts[start:stop] = rng.bytes(stop - start)
    else:
        # headers stand at both ends
        near = rng.choice([start, n - 1 - int(rng.integers(min(n, 200))), int(rng.integers(600))])
        for position in (int(near) + int(i) for i in rng.integers(0, 8, 1 + 3 * (kind == 6))):
            parts[position % n] = int(rng.choice([0, 0xFF, 0x80, rng.integers(256)]))
    return bytes(parts)


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z"])
def test_damaged_archives_are_whole_or_one_line_and_leave_nothing(
    tmp_path: Path, ending: str
) -> None:
    rng = np.random.default_rng(sum(ending.encode()))
    make = make_tar if ".tar" in ending else MAKERS[ending]
    whole = make(tmp_path / f"whole{ending}", {**FILES, "é" * 70: b"long"}).read_bytes()
    refusals = 0
    for number in range(100):
        place = tmp_path / str(number)
        place.mkdir()
        archive = place / f"a{ending}"
        archive.write_bytes(damaged(rng, whole))
        said = ""
        try:
            add_to_raw(archive, place / "raw")
        except FoldwiseError as error:  # all else is a failure
            said = str(error)
        refusals += bool(said)
        assert "\n" not in said
        assert (place / "raw").exists() == (not said)
        assert {path.name for path in place.iterdir()} <= {archive.name, ".raw.lock", "raw"}
    assert refusals > 50


def test_a_zip_keeps_what_comes_before_it(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", FILES)
    archive.write_bytes(b"#!/bin/sh\n" + archive.read_bytes())  # as self-extracting ones have
    assert zipfile.is_zipfile(archive)
    unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
