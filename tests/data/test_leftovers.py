"""What lies in the raw folder and no row uses is named, with its number and an example."""

import os
import shutil
from pathlib import Path

import pytest

from catalogue.files import image
from foldwise.cli import printing
from foldwise.commands.data import get_data
from foldwise.data.competition import load_data
from foldwise.data.leftovers import Leftovers, leftovers
from foldwise.drafting.draft import draft
from foldwise.workspace import Workspace
from tiny import edit, ids


def left(workspace: Workspace) -> Leftovers:
    return leftovers(load_data(workspace, "tiny"))


def copied(workspace: Workspace, *names: str) -> None:
    """Copies of a training image below the raw folder."""
    raw = workspace.raw("tiny")
    for name in names:
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(raw / "images" / f"{ids('train', 30)[0]}.png", raw / name)


def test_nothing_is_left_where_all_is_used(workspace: Workspace) -> None:
    assert left(workspace) == Leftovers()


def test_images_of_no_id_folders_and_other_files_are_told_apart(workspace: Workspace) -> None:
    copied(
        workspace,
        "images/a.png",
        "extra/deep/b.avif",
        "extra/c.png",
        "masks/d.png",
        "e.png",
        ".hidden/f.png",
    )
    (workspace.raw("tiny") / "images" / "pixels.npy").write_bytes(b"")
    found = left(workspace)
    assert found.images == ["e.png", "images/a.png"]
    assert found.folders == {
        "extra": ["extra/c.png", "extra/deep/b.avif"],
        "masks": ["masks/d.png"],
    }
    assert found.warnings() == [
        "2 images belong to no id, e.g. 'e.png', 'images/a.png'; they are not used",
        "3 images lie in folders that nothing uses, e.g. 'extra/c.png'; the folders are 'extra/', "
        "'masks/'",
    ]
    assert found.counts() == {"files ignored that are no images, e.g. 'images/pixels.npy'": 1}


def test_data_names_what_is_left(workspace: Workspace) -> None:
    copied(workspace, "extra/a.png")
    (workspace.raw("tiny") / "images" / "pixels.npy").write_bytes(b"")
    lines = printing.data_lines("tiny", get_data(workspace, "tiny"))
    assert "1 files ignored that are no images, e.g. 'images/pixels.npy'" in lines
    assert any(line.startswith("1 images lie in folders that nothing uses") for line in lines)


def test_links_to_used_images_are_nothing_new(workspace: Workspace) -> None:
    raw = workspace.raw("tiny")
    (raw / "images").rename(raw / "stored")
    os.symlink("stored", raw / "images")
    assert left(workspace) == Leftovers()


def test_skipped_paths_and_hooks_leave_nothing(workspace: Workspace) -> None:
    copied(workspace, "images/a.png")
    spec = workspace.competition("tiny") / "competition.toml"
    edit(spec, "[images]", '[images]\nskip = ["images/a.png"]')
    assert left(workspace) == Leftovers()
    copied(workspace, "images/b.png")
    (spec.parent / "adapter.py").write_text("def read_image(spec, row):\n    return None\n")
    assert left(workspace) == Leftovers()


@pytest.mark.parametrize("host", [False, True])
def test_new_names_what_its_draft_leaves_out(tmp_path: Path, host: bool) -> None:
    folder = tmp_path / "download"
    for number, path in enumerate(
        ["train/a/1.jfif", "train/a/2.avif", "train/b/3.jpe", "train/b/4.webp", "extra/5.jpg"]
    ):
        image(folder / f"{Path(path).with_suffix('.jpg')}", 0, number)
        (folder / path).with_suffix(".jpg").rename(folder / path)
    (folder / "train" / "notes.npy").write_bytes(b"")
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    os.mkfifo(folder / "pipe")
    made = draft(Workspace(tmp_path, tmp_path / "data", tmp_path / "runs"), "own", folder, host)
    assert any("4 training rows, 2 classes" in line for line in made.understood)
    assert "left out: 2 files that are no images or tables, e.g. pipe (.npy 1, no ending 1)" in (
        made.understood
    )
    assert "[images]: not used: 1 images, e.g. extra/5.jpg; by folder: extra (1)" in made.unsure
    assert "not readable: caf\\xe9.jpg (1 in all): its name is no UTF-8; rename it" in made.unsure
