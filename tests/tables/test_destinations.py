"""An archive's files go where the spec names them, else beside the archive."""

from pathlib import Path

import pytest

from foldwise.config.competition import load_competition
from foldwise.tables.destinations import Wanted, destination, wanted_of
from tiny import edit, write_tiny

FLAT = ["1.jpg", "2.jpg"]


@pytest.mark.parametrize(
    ("names", "at", "wanted", "expected"),
    [
        (FLAT, "", [], ("", "")),
        (FLAT, "data", [], ("", "data")),
        (FLAT, "", ["train"], ("", "train")),
        (FLAT, "data", ["train"], ("", "train")),
        (FLAT, "data", ["data/train"], ("", "data/train")),
        (["train/1.jpg"], "", ["train"], ("", "")),
        (["train/1.jpg"], "data", ["train"], ("", "")),
        (["train/1.jpg", "test/1.jpg"], "", ["train", "test"], ("", "")),
        (["a/b/train/1.jpg"], "", ["train"], ("a/b", "")),
        (["a/train/1.jpg", "a/test/2.jpg"], "", ["train", "test"], ("a", "")),
        (["cat/1.jpg", "cat/2.jpg"], "x", ["train"], ("", "train")),
        (["elsewhere/1.jpg"], "x", ["other"], ("", "x")),
        ([], "x", ["train"], ("", "x")),
    ],
)
def test_files_go_where_folders_are_named(
    names: list[str], at: str, wanted: list[str], expected: tuple[str, str]
) -> None:
    assert destination(names, at, "train", Wanted(folders=frozenset(wanted))) == expected


def test_files_go_where_they_are_named_themselves() -> None:
    wanted = Wanted(frozenset({"train.json", "labels/all.csv"}))
    assert destination(["a/b/train.json"], "", "train.json", wanted) == ("a/b", "")
    assert destination(["all.csv", "notes.txt"], "x", "labels", wanted) == ("", "labels")


def test_a_spec_names_files_folders_and_the_folders_of_templates(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path).competition("tiny")
    edit(
        folder / "competition.toml",
        'folders = ["images"]',
        'test_path = ["images/{id}.png", "b/c/{id}.png", "x_{id}.png"]\nfolders = ["d/"]',
    )
    wanted = wanted_of(load_competition(folder))
    assert wanted.files == {
        "train_features.csv",
        "train_labels.csv",
        "test_features.csv",
        "submission_format.csv",
    }
    assert wanted.folders == {"images", "b/c", "d"}
