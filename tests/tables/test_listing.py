"""What lies below a folder is found once, whatever links and odd files lie in it."""

import os
import socket
from pathlib import Path

import pytest

from foldwise.data.images.decoding import load_image
from foldwise.data.images.photos import photos_of
from foldwise.errors import DataError, ImageError
from foldwise.tables.listing import files_below, images_below, present, readable

NO_UTF8 = os.fsdecode(b"caf\xe9.jpg")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos in two folders, with links that loop, go up and double, a pipe and a socket."""
    folder = tmp_path / "photos"
    for name in ("a/1.jpg", "b/2.jpg"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(b"x")
    (tmp_path / "beside.jpg").write_bytes(b"x")
    links = {
        "a/b": "../b",
        "b/a": "../a",
        "a/self": ".",
        "up": "..",
        "a/round.jpg": "round.jpg",
        "again.jpg": "a/1.jpg",
        "alias": "a",
    }
    for name, target in links.items():
        os.symlink(target, folder / name)
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.jpg"))
    return folder


def test_every_folder_is_entered_once_and_never_a_folder_above(photos: Path) -> None:
    files, others = files_below(photos)
    assert files == ["a/1.jpg", "a/round.jpg", "again.jpg", "b/2.jpg"]
    assert others == ["a/b", "a/self", "alias", "b/a", "pipe.jpg", "socket.jpg", "up"]


def test_a_link_to_a_folder_elsewhere_is_entered(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "3.jpg").write_bytes(b"x")
    os.symlink(photos, tmp_path / "elsewhere" / "back")
    os.symlink(tmp_path / "elsewhere", photos / "more")
    assert "more/3.jpg" in files_below(photos)[0]
    assert "more/back" in files_below(photos)[1]


def test_a_photo_is_predicted_once_however_many_links_lead_to_it(photos: Path) -> None:
    names, files = photos_of([photos])
    found = [str(file.relative_to(photos)) for file in files]
    assert found == ["a/1.jpg", "a/round.jpg", "b/2.jpg"]  # the link to itself cannot be read
    assert names == [str(file) for file in files]


def test_a_pipe_that_should_be_a_csv_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(DataError, match=r"list.csv is no folder, CSV or image"):
        photos_of([tmp_path / "list.csv"])


def test_names_that_are_no_utf8_can_be_written(tmp_path: Path) -> None:
    (tmp_path / NO_UTF8).write_bytes(b"x")
    names, files = photos_of([tmp_path])
    assert names == [f"{tmp_path}/caf\\xe9.jpg"]
    assert files == [tmp_path / NO_UTF8]
    names[0].encode()
    with pytest.raises(ImageError) as caught:
        load_image(files[0], "RGB")
    str(caught.value).encode()
    assert readable("café.jpg") == "café.jpg"


def test_a_folder_that_cannot_be_read_is_said(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"photos cannot be read \(Permission denied\); give your"):
        images_below(photos.parent, "photos")


def test_only_files_are_present(photos: Path) -> None:
    names = ["a/1.jpg", "again.jpg", "pipe.jpg", "a/round.jpg", "a", "gone/1.jpg"]
    assert present(photos, names) == [True, True, False, False, False, False]
