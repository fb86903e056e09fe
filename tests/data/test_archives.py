"""Archives go into raw whole or not at all, and never outside it."""

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

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
