"""Archives go into raw whole or not at all, and never outside it."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from foldwise.config.competition import load_competition
from foldwise.errors import ArchiveError, DataError, StorageError
from foldwise.store.files import hold_lock
from foldwise.tables import archives, unpacking
from foldwise.tables.archives import add_to_raw
from packing import MAKERS, contents, make_tar, make_zip, packed
from tiny import edit, write_tiny

FILES = {"train.csv": b"id\n1\n", "images/ä b.jpg": b"jpeg", "images/1.jpg": b"jpeg 1"}


def test_zip_tar_7z_and_folder_give_the_same_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    packed = [make(tmp_path / f"a{ending}", FILES) for ending, make in MAKERS.items()]
    sources = [*packed, make_tar(tmp_path / "a.tar", FILES), folder]
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
@pytest.mark.parametrize("ending", MAKERS)
def test_paths_outside_the_folder_are_refused(tmp_path: Path, ending: str, name: str) -> None:
    source = MAKERS[ending](tmp_path / f"a{ending}", {"good.csv": b"1", name: b"evil"})
    with pytest.raises(ArchiveError, match="which would write outside its folder; nothing was"):
        add_to_raw(source, tmp_path / "c" / "raw")
    assert contents(tmp_path / "c") == {".raw.lock": (tmp_path / "c" / ".raw.lock").read_bytes()}
    assert not (tmp_path / "evil.csv").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    source = make_tar(tmp_path / "a.tar.gz", {"good.csv": b"1"}, link="/etc/passwd")
    with pytest.raises(ArchiveError, match="'link', which would write outside"):
        add_to_raw(source, tmp_path / "c" / "raw")


@pytest.mark.parametrize("ending", MAKERS)
def test_a_truncated_archive_leaves_raw_as_it_was(tmp_path: Path, ending: str) -> None:
    whole = MAKERS[ending](tmp_path / f"a{ending}", {**FILES, "big.bin": bytes(range(256)) * 400})
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
    (tmp_path / "a.docx").write_bytes(b"x")
    with pytest.raises(ArchiveError, match=r"a.docx should be one of .zip, .7z, .tar, .* a folder"):
        add_to_raw(tmp_path / "a.docx", tmp_path / "c" / "raw")
    with pytest.raises(DataError, match=r"expected an archive or a folder at .*none.zip"):
        add_to_raw(tmp_path / "none.zip", tmp_path / "c" / "raw")


def test_no_disk_space_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=3))
    with pytest.raises(StorageError, match=r"unpacking .*a.zip needs 0.00 GB of disk space"):
        add_to_raw(make_zip(tmp_path / "a.zip", FILES), tmp_path / "c" / "raw")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.csv").write_bytes(b"id\n1\n")
    for source in (tmp_path / "folder", tmp_path / "folder" / "a.csv"):
        with pytest.raises(StorageError, match=rf"copying {source} needs 0.00 GB of disk space"):
            add_to_raw(source, tmp_path / "c" / "raw")
    assert not (tmp_path / "c" / "raw").exists()


EVIL = ["../evil.csv", "/tmp/evil.csv", "a/../../evil.csv", "..\\evil", "C:\\evil", "c:/evil"]


@pytest.mark.parametrize("name", EVIL)
@pytest.mark.parametrize("ending", MAKERS)
def test_no_archive_inside_an_archive_writes_outside_either(
    tmp_path: Path, ending: str, name: str
) -> None:
    inner = MAKERS[ending](tmp_path / f"inner{ending}", {"good.csv": b"1", name: b"evil"})
    outer = make_zip(tmp_path / "outer.zip", {inner.name: inner.read_bytes(), "b.csv": b"2"})
    with pytest.raises(ArchiveError, match="which would write outside its folder; nothing was"):
        add_to_raw(outer, tmp_path / "c" / "raw")
    assert not (tmp_path / "c" / "raw").exists()
    assert not list(tmp_path.rglob("*evil*"))


def test_links_and_devices_of_every_kind_are_refused(tmp_path: Path) -> None:
    kinds = {
        tarfile.SYMTYPE: "link",
        tarfile.LNKTYPE: "hard",
        tarfile.FIFOTYPE: "pipe",
        tarfile.CHRTYPE: "device",
    }
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


@pytest.mark.parametrize("ending", MAKERS)
def test_a_bomb_is_refused_before_anything_is_written(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "ANYWAY", 1 << 20)
    bomb = MAKERS[ending](tmp_path / f"bomb{ending}", {"zeros.csv": bytes(4 << 20)})
    assert bomb.stat().st_size * unpacking.RATIO < 4 << 20
    with pytest.raises(ArchiveError, match=r"bomb.* over 250 times as much, as archives made to"):
        add_to_raw(bomb, tmp_path / "c" / "raw")
    assert not (tmp_path / "c" / "raw").exists()
    rows = "".join(f"{row:07d},0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n" for row in range(60_000))
    real = MAKERS[ending](tmp_path / f"real{ending}", {"labels.csv": rows.encode()})
    assert len(rows) > 1 << 20
    assert add_to_raw(real, tmp_path / "c" / "raw") == 1


def test_archives_inside_share_what_the_outermost_one_may_become(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "ANYWAY", 3 << 20)
    one = make_zip(tmp_path / "one.zip", {"zeros.csv": bytes(2 << 20)}).read_bytes()
    add_to_raw(make_zip(tmp_path / "a.zip", {"one.zip": one}), tmp_path / "a" / "raw")
    two = make_zip(tmp_path / "b.zip", {"one.zip": one, "two.zip": one})
    with pytest.raises(ArchiveError, match=r"two.zip would become much more than it is itself"):
        add_to_raw(two, tmp_path / "b" / "raw")


@pytest.mark.parametrize("ending", MAKERS)
def test_too_many_files_are_refused(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MAKERS[ending](tmp_path / f"a{ending}", {f"{n}.txt": b"" for n in range(30)})
    monkeypatch.setattr(unpacking, "ANYWAY", 20 * unpacking.BLOCK)  # an empty file takes a block
    monkeypatch.setattr(unpacking, "RATIO", 1)
    with pytest.raises(ArchiveError, match=r"much more than it is itself: over 1 times"):
        add_to_raw(source, tmp_path / "c" / "raw")
    monkeypatch.setattr(unpacking, "ANYWAY", 1 << 30)
    add_to_raw(source, tmp_path / "c" / "raw")
    few = unpacking.Allowance(1 << 30, files=29)
    with pytest.raises(ArchiveError, match=r"would become more than 3,000,000 files"):
        unpacking.unpack(source, tmp_path / "d", few)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("ending", MAKERS)
def test_names_that_cannot_be_are_the_archives_fault(tmp_path: Path, ending: str) -> None:
    for name in ("a/b", "x" * 300):  # a file in a file; too long
        source = MAKERS[ending](tmp_path / f"a{ending}", {"a": b"1", name: b"2"})
        with pytest.raises(ArchiveError, match=r"damaged or incomplete .* download it again"):
            add_to_raw(source, tmp_path / "c" / "raw")
        assert not (tmp_path / "c" / "raw").exists()


def test_archives_inside_are_opened_wherever_they_lie_and_whatever_they_are(tmp_path: Path) -> None:
    deepest = packed(".7z", {"a/1.jpg": b"1"}, tmp_path)
    middle = packed(".tar.gz", {"deep/3.7z": deepest, "b.csv": b"2"}, tmp_path)
    outer = make_zip(tmp_path / "1.zip", {"in/2.TAR.GZ": middle, "in/4.7z": deepest, "c.csv": b""})
    add_to_raw(outer, tmp_path / "c" / "raw")
    assert contents(tmp_path / "c" / "raw") == {
        "c.csv": b"",
        "in/b.csv": b"2",
        "in/deep/a/1.jpg": b"1",
        "in/a/1.jpg": b"1",
    }
    folder = tmp_path / "download"
    folder.mkdir()
    shutil.move(outer, folder)
    add_to_raw(folder, tmp_path / "d" / "raw")
    assert contents(tmp_path / "d" / "raw") == contents(tmp_path / "c" / "raw")
    assert (folder / "1.zip").is_file()


def test_archives_in_archives_without_end_are_refused(tmp_path: Path) -> None:
    content = {"1.jpg": b"1"}
    for depth in range(archives.NESTED + 1):
        source = make_zip(tmp_path / f"{depth}.zip", content)
        content = {source.name: source.read_bytes()}
    add_to_raw(source, tmp_path / "a" / "raw")
    assert contents(tmp_path / "a" / "raw") == {"1.jpg": b"1"}
    with pytest.raises(ArchiveError, match=r"x.zip: 0.zip lies in more than 6 archives, as in"):
        add_to_raw(make_zip(tmp_path / "x.zip", content), tmp_path / "b" / "raw")
    assert not (tmp_path / "b" / "raw").exists()


def test_what_came_out_of_an_archive_is_named_with_it(tmp_path: Path) -> None:
    outer = make_zip(tmp_path / "outer.zip", {"a/inner.zip": b"PK no zip"})
    with pytest.raises(ArchiveError, match=r"/outer.zip: a/inner.zip is damaged or incomplete"):
        add_to_raw(outer, tmp_path / "c" / "raw")


def test_two_archives_with_a_file_of_one_name_are_refused_unless_it_is_the_same(
    tmp_path: Path,
) -> None:
    one, same, other = (
        make_zip(tmp_path / name, files).read_bytes()
        for name, files in (
            ("one.zip", {"1.jpg": b"1", "2.jpg": b"2"}),
            ("same.zip", {"1.jpg": b"1"}),
            ("other.zip", {"1.jpg": b"other"}),
        )
    )
    both = make_zip(tmp_path / "both.zip", {"one.zip": one, "same.zip": same})
    assert add_to_raw(both, tmp_path / "a" / "raw") == 2
    for name, files in (("b", {"other.zip": other}), ("c", {"1.jpg/a.csv": b""})):
        source = make_zip(tmp_path / f"{name}.zip", {"one.zip": one, **files})
        with pytest.raises(ArchiveError, match=r"holds 1 files whose names others have .*'1.jpg'"):
            add_to_raw(source, tmp_path / name / "raw")
        assert not (tmp_path / name / "raw").exists()


def test_archives_go_where_the_competition_looks_for_their_files(tmp_path: Path) -> None:
    spec = write_tiny(tmp_path / "tiny").competition("tiny")
    flat = packed(".zip", {"1.jpg": b"1"}, tmp_path)
    source = make_zip(tmp_path / "a.zip", {"images.zip": flat, "other.zip": flat, "x.rar": b"2"})
    add_to_raw(source, tmp_path / "c" / "raw", load_competition(spec))
    assert contents(tmp_path / "c" / "raw") == {"images/1.jpg": b"1", "1.jpg": b"1", "x.rar": b"2"}


def test_an_archive_that_the_spec_names_stays_as_it_is(tmp_path: Path) -> None:
    place = write_tiny(tmp_path / "tiny").competition("tiny")
    edit(place / "competition.toml", "[files]", '[files]\nextra = ["masks/m.zip"]')
    spec, inner = load_competition(place), packed(".zip", {"1.png": b""}, tmp_path)
    raw = tmp_path / "c" / "raw"
    files = {"masks/m.zip": inner, "b.zip.001": b"", "c.z01": b"", "d.part1.rar": b""}
    add_to_raw(make_zip(tmp_path / "a.zip", files), raw, spec)
    assert contents(raw) == files
    assert archives.still_packed(raw, spec) == ["b.zip.001", "c.z01", "d.part1.rar"]


KILLED = """
import os, sys
from pathlib import Path
from foldwise.tables import archives
archives._move_into = lambda source, target: os._exit(9)
archives.add_to_raw(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_what_a_killed_process_left_is_removed_by_whoever_takes_the_lock(tmp_path: Path) -> None:
    source, home = make_zip(tmp_path / "a.zip", FILES), tmp_path / "c"
    command = [sys.executable, "-c", KILLED, str(source), str(home / "raw")]
    assert subprocess.run(command).returncode == 9
    (left,) = home.glob(".unpack-*")
    assert contents(left)
    with hold_lock(home / ".raw.lock", "unpacking"):
        assert [path.name for path in home.iterdir()] == [".raw.lock"]
    assert subprocess.run(command).returncode == 9
    add_to_raw(source, home / "raw")
    assert sorted(path.name for path in home.iterdir()) == [".raw.lock", "raw"]


def test_a_source_without_files_or_with_the_raw_folder_in_it_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "c" / "raw"
    with pytest.raises(DataError, match=r"a.zip holds no file; name the archive or the folder"):
        add_to_raw(make_zip(tmp_path / "a.zip", {}), raw)
    with pytest.raises(ArchiveError, match=r"expected a download's folder, got .*, which holds"):
        add_to_raw(tmp_path, raw)
    assert not raw.exists()


def test_a_pipe_in_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "pipe")
    with pytest.raises(ArchiveError, match=r"should hold files and folders, got pipe, which is"):
        add_to_raw(tmp_path / "folder", tmp_path / "c" / "raw")


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
        unpacking.unpack(path, target)
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
