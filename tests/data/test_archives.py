"""Archives go into raw whole or not at all, and never outside it."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldwise.data import archives
from foldwise.data.archives import add_to_raw
from foldwise.errors import ArchiveError, DataError, StorageError


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as handle:
        for name, content in files.items():
            handle.writestr(name, content)
    return path


def make_tar(path: Path, files: dict[str, bytes], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as handle:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            handle.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo("link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            handle.addfile(info)
    return path


FILES = {"train.csv": b"id\n1\n", "images/ä b.jpg": b"jpeg", "images/1.jpg": b"jpeg 1"}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_zip_tar_and_folder_give_the_same_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    sources = [make_zip(tmp_path / "a.zip", FILES), make_tar(tmp_path / "a.tar.gz", FILES), folder]
    for number, source in enumerate(sources):
        raw = tmp_path / str(number) / "raw"
        assert add_to_raw(source, raw) == 3
        assert contents(raw) == FILES
        assert [p.name for p in raw.parent.iterdir() if p.name.startswith(".unpack")] == []
    assert contents(folder) == FILES


def test_a_single_csv_is_copied(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"id\n1\n")
    add_to_raw(tmp_path / "train.csv", tmp_path / "c" / "raw")
    assert contents(tmp_path / "c" / "raw") == {"train.csv": b"id\n1\n"}


def test_archives_inside_the_archive_are_unpacked_too(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "images.zip", {"images/1.jpg": b"1"}).read_bytes()
    outer = make_zip(tmp_path / "all.zip", {"images.zip": inner, "train.csv": b"id\n"})
    add_to_raw(outer, tmp_path / "c" / "raw")
    assert contents(tmp_path / "c" / "raw") == {"images/1.jpg": b"1", "train.csv": b"id\n"}


def test_a_second_archive_adds_and_the_same_one_again_changes_nothing(tmp_path: Path) -> None:
    raw = tmp_path / "c" / "raw"
    first = make_zip(tmp_path / "a.zip", FILES)
    add_to_raw(first, raw)
    add_to_raw(first, raw)
    add_to_raw(make_zip(tmp_path / "b.zip", {"test.csv": b"id\n2\n"}), raw)
    assert contents(raw) == {**FILES, "test.csv": b"id\n2\n"}


def test_other_contents_under_the_same_name_are_refused(tmp_path: Path) -> None:
    raw = tmp_path / "c" / "raw"
    add_to_raw(make_zip(tmp_path / "a.zip", FILES), raw)
    other = make_zip(tmp_path / "b.zip", {"train.csv": b"other", "new.csv": b""})
    with pytest.raises(DataError, match=r"1 files in .* have other contents .* 'train.csv'"):
        add_to_raw(other, raw)
    assert contents(raw) == FILES


@pytest.mark.parametrize("name", ["../evil.csv", "/tmp/evil.csv", "a/../../evil.csv", "..\\evil"])
@pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar"])
def test_paths_outside_the_folder_are_refused(tmp_path: Path, make: object, name: str) -> None:
    ending = ".zip" if make is make_zip else ".tar.gz"
    source = make(tmp_path / f"a{ending}", {"good.csv": b"1", name: b"evil"})  # type: ignore[operator]
    with pytest.raises(ArchiveError, match="which would write outside its folder; nothing was"):
        add_to_raw(source, tmp_path / "c" / "raw")
    assert contents(tmp_path / "c") == {".raw.lock": (tmp_path / "c" / ".raw.lock").read_bytes()}
    assert not (tmp_path / "evil.csv").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    source = make_tar(tmp_path / "a.tar.gz", {"good.csv": b"1"}, link="/etc/passwd")
    with pytest.raises(ArchiveError, match="'link', which would write outside"):
        add_to_raw(source, tmp_path / "c" / "raw")


@pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar"])
def test_a_truncated_archive_leaves_raw_as_it_was(tmp_path: Path, make: object) -> None:
    ending = ".zip" if make is make_zip else ".tar.gz"
    whole = make(tmp_path / f"a{ending}", {**FILES, "big.bin": bytes(range(256)) * 400})  # type: ignore[operator]
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ArchiveError, match=r"damaged or incomplete .* download it again"):
        add_to_raw(whole, tmp_path / "c" / "raw")
    assert not (tmp_path / "c" / "raw").exists()


def test_a_zip_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_STORED) as handle:
        handle.writestr("train.csv", b"id\n12345\n")
    path = tmp_path / "a.zip"
    path.write_bytes(path.read_bytes().replace(b"12345", b"12346"))
    with pytest.raises(ArchiveError, match=r"damaged or incomplete \(Bad CRC"):
        add_to_raw(path, tmp_path / "c" / "raw")


def test_what_is_no_archive_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"x")
    with pytest.raises(ArchiveError, match=r"a.rar should be a .zip or one of .tar"):
        add_to_raw(tmp_path / "a.rar", tmp_path / "c" / "raw")
    with pytest.raises(DataError, match=r"expected an archive or a folder at .*none.zip"):
        add_to_raw(tmp_path / "none.zip", tmp_path / "c" / "raw")


def test_no_disk_space_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3))
    with pytest.raises(StorageError, match=r"unpacking a.zip needs 0.00 GB of disk space"):
        add_to_raw(make_zip(tmp_path / "a.zip", FILES), tmp_path / "c" / "raw")
    assert not (tmp_path / "c" / "raw").exists()


EVIL = ["../evil.csv", "/tmp/evil.csv", "a/../../evil.csv", "..\\evil", "C:\\evil", "c:/evil"]


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar"])
def test_no_archive_inside_an_archive_writes_outside_either(
    tmp_path: Path, make: Any, name: str
) -> None:
    ending = ".zip" if make is make_zip else ".tar.gz"
    inner = make(tmp_path / f"inner{ending}", {"good.csv": b"1", name: b"evil"})
    outer = make_zip(tmp_path / "outer.zip", {inner.name: inner.read_bytes(), "b.csv": b"2"})
    with pytest.raises(ArchiveError, match="which would write outside its folder; nothing was"):
        add_to_raw(outer, tmp_path / "c" / "raw")
    assert not (tmp_path / "c" / "raw").exists()
    assert not list(tmp_path.rglob("*evil*"))


def test_links_and_devices_of_every_kind_are_refused(tmp_path: Path) -> None:
    kinds = {tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "hard", tarfile.FIFOTYPE: "pipe",
             tarfile.CHRTYPE: "device"}  # fmt: skip
    for kind, name in kinds.items():
        with tarfile.open(tmp_path / "a.tar", "w") as handle:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../../etc/passwd"
            handle.addfile(info)
        with pytest.raises(ArchiveError, match=f"'{name}', which would write outside"):
            add_to_raw(tmp_path / "a.tar", tmp_path / "c" / "raw")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as handle:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        handle.writestr(member, "/etc/passwd")
    with pytest.raises(ArchiveError, match="'link', which would write outside"):
        add_to_raw(tmp_path / "a.zip", tmp_path / "c" / "raw")


@pytest.mark.parametrize("leads_to", ["/etc/passwd", "../secret.csv", "nowhere.csv", "images"])
def test_a_folder_with_a_link_to_no_file_of_its_own_is_refused(
    tmp_path: Path, leads_to: str
) -> None:
    (tmp_path / "secret.csv").write_text("secret")
    folder = tmp_path / "folder"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "1.jpg").write_bytes(b"1")
    (folder / "same.jpg").symlink_to("images/1.jpg")
    add_to_raw(folder, tmp_path / "b" / "raw")
    assert contents(tmp_path / "b" / "raw") == {"images/1.jpg": b"1", "same.jpg": b"1"}
    (folder / "images" / "link").symlink_to(leads_to if leads_to != "images" else folder / "images")
    with pytest.raises(ArchiveError, match=r"lead to files inside it, got images/link, which"):
        add_to_raw(folder, tmp_path / "c" / "raw")
    assert not (tmp_path / "c" / "raw").exists()


@pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar"])
def test_a_bomb_is_refused_before_anything_is_written(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ANYWAY", 1 << 20)
    ending = ".zip" if make is make_zip else ".tar.gz"
    bomb = make(tmp_path / f"bomb{ending}", {"zeros.csv": bytes(4 << 20)})
    assert bomb.stat().st_size * archives.RATIO < 4 << 20
    with pytest.raises(ArchiveError, match=r"bomb.* over 250 times as much, as archives made to"):
        add_to_raw(bomb, tmp_path / "c" / "raw")
    assert not (tmp_path / "c" / "raw").exists()
    rows = "".join(f"{row:07d},0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n" for row in range(60_000))
    real = make(tmp_path / f"real{ending}", {"labels.csv": rows.encode()})
    assert len(rows) > 1 << 20
    assert add_to_raw(real, tmp_path / "c" / "raw") == 1


def test_archives_inside_share_what_the_outermost_one_may_become(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "ANYWAY", 3 << 20)
    one = make_zip(tmp_path / "one.zip", {"zeros.csv": bytes(2 << 20)}).read_bytes()
    add_to_raw(make_zip(tmp_path / "a.zip", {"one.zip": one}), tmp_path / "a" / "raw")
    two = make_zip(tmp_path / "b.zip", {"one.zip": one, "two.zip": one})
    with pytest.raises(ArchiveError, match=r"two.zip would become much more than it is itself"):
        add_to_raw(two, tmp_path / "b" / "raw")


@pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar"])
def test_too_many_files_are_refused(
    tmp_path: Path, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = ".zip" if make is make_zip else ".tar.gz"
    source = make(tmp_path / f"a{ending}", {f"{n}.txt": b"" for n in range(30)})
    monkeypatch.setattr(archives, "ANYWAY", 20 * archives.BLOCK)  # an empty file takes a block
    monkeypatch.setattr(archives, "RATIO", 1)
    with pytest.raises(ArchiveError, match=r"much more than it is itself: over 1 times"):
        add_to_raw(source, tmp_path / "c" / "raw")
    monkeypatch.setattr(archives, "ANYWAY", 1 << 30)
    add_to_raw(source, tmp_path / "c" / "raw")
    few = archives.Allowance(1 << 30, files=29)
    with pytest.raises(ArchiveError, match=r"would become more than 3,000,000 files"):
        archives.unpack(source, tmp_path / "d", few)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("make", [make_zip, make_tar], ids=["zip", "tar"])
def test_names_that_cannot_be_are_the_archives_fault(tmp_path: Path, make: Any) -> None:
    ending = ".zip" if make is make_zip else ".tar.gz"
    for name in ("a/b", "x" * 300):  # a file in a file; too long
        source = make(tmp_path / f"a{ending}", {"a": b"1", name: b"2"})
        with pytest.raises(ArchiveError, match=r"damaged or incomplete .* download it again"):
            add_to_raw(source, tmp_path / "c" / "raw")
        assert not (tmp_path / "c" / "raw").exists()


def test_an_archive_three_deep_stays_packed(tmp_path: Path) -> None:
    deepest = make_zip(tmp_path / "3.zip", {"evil.csv": b"1"}).read_bytes()
    middle = make_zip(tmp_path / "2.zip", {"3.zip": deepest, "images/4.zip": deepest}).read_bytes()
    add_to_raw(make_zip(tmp_path / "1.zip", {"2.zip": middle}), tmp_path / "c" / "raw")
    assert contents(tmp_path / "c" / "raw") == {"3.zip": deepest, "images/4.zip": deepest}


def test_a_size_that_lies_is_found_and_no_more_is_written_than_announced(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"train.csv": b"0" * 500_000})
    size = (500_000).to_bytes(4, "little")
    content = path.read_bytes()
    assert content.count(size) == 2  # in the member's own header, and in the directory
    path.write_bytes(content.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(ArchiveError, match=r"damaged or incomplete \(Bad CRC"):
        add_to_raw(path, tmp_path / "c" / "raw")
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ArchiveError):
        archives.unpack(path, target)
    assert sum(file.stat().st_size for file in target.rglob("*")) <= 10


def test_a_password_or_an_unknown_method_is_said(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"train.csv": b"0" * 100})
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\1\2")
    for header, offset in ((0, 6), (directory, 8)):
        content[header + offset] |= 1  # encrypted
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"cannot be unpacked \(.*encrypted.*; unpack it your"):
        add_to_raw(path, tmp_path / "c" / "raw")
    for header, offset in ((0, 6), (directory, 8)):
        content[header + offset] &= 0xFE
        content[header + offset + 2] = 97  # WavPack
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"cannot be unpacked \(.*method.*; unpack it yourself"):
        add_to_raw(path, tmp_path / "c" / "raw")


@pytest.mark.parametrize("ending", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_tar_that_is_damaged_in_its_middle_is_said(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    content = np.random.default_rng(0).bytes(2_000_000)
    with tarfile.open(path, f"w:{ending[5:]}") as handle:
        info = tarfile.TarInfo("1.bin")
        info.size = len(content)
        handle.addfile(info, io.BytesIO(content))
    damaged = bytearray(path.read_bytes())
    for position in range(1_500_000, 1_500_100):
        damaged[position] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(ArchiveError, match=r"damaged or incomplete .* download it again"):
        add_to_raw(path, tmp_path / "c" / "raw")
