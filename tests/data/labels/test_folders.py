"""Images in folders become rows: the class is the folder, or stands in the file's name."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from catalogue.files import clutter, image, table
from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.data.labels.folders import IGNORED
from foldwise.data.labels.table import LabelTable, read_train
from foldwise.errors import DataError, LabelError, SpecError
from foldwise.tables.listing import images_below, present

WRITE_UP = r"(?P<label>.+)_\d+\.jpg$"  # the wildlife write-up's own, with a name and a real dot


def spec_of(labels: dict[str, Any], **tables: Any) -> CompetitionSpec:
    """A spec with these `[labels]` and a test set taken from the training rows."""
    given = {
        "name": "own",
        "title": "Own",
        "platform": "local",
        "holdout": {},
        "folds": {"default": {"kind": "stratified"}},
        "submit": {"recipes": ["any"]},
        "labels": labels,
    }
    return parse(CompetitionSpec, {**given, **tables}, "competition.toml")


def folders(raw: Path, *roots: str, **tables: Any) -> LabelTable:
    """The rows of these roots, by folder."""
    return read_train(spec_of({"format": "folder", "roots": roots}, **tables), raw, raw)


def filenames(raw: Path, pattern: str, *roots: str, **tables: Any) -> LabelTable:
    """The rows of these roots, by a pattern."""
    labels = {"format": "filename", "roots": roots, "pattern": pattern}
    return read_train(spec_of(labels, **tables), raw, raw)


def images(raw: Path, *paths: str) -> None:
    """Write an image at each path; no two are alike."""
    for number, path in enumerate(paths):
        image(raw / path, 0, number)


def by_id(table: LabelTable) -> dict[str, str]:
    """The label of each id."""
    return dict(zip(table.frame["id"], table.labels(), strict=True))


def test_the_first_folder_below_a_root_is_the_class_to_any_depth(tmp_path: Path) -> None:
    images(
        tmp_path,
        "pics/Zebra/1.jpg",
        "pics/Zebra/1.png",
        "pics/ant/1.jpg",
        "pics/ant/Zebra/deep/er/2.JPEG",
        "pics/Großer Bär/Kirsch rot, 'Rückseite' (1).jpg",
    )
    table = folders(tmp_path, "pics")
    assert by_id(table) == {
        "pics/Großer Bär/Kirsch rot, 'Rückseite' (1).jpg": "Großer Bär",
        "pics/Zebra/1.jpg": "Zebra",
        "pics/Zebra/1.png": "Zebra",
        "pics/ant/1.jpg": "ant",
        "pics/ant/Zebra/deep/er/2.JPEG": "ant",
    }
    assert table.classes == ("Großer Bär", "Zebra", "ant")
    assert table.frame["path"].tolist() == table.frame["id"].tolist()
    assert all(present(tmp_path, table.frame["path"]))
    assert table.counts == {}


def test_several_roots_are_one_pool(tmp_path: Path) -> None:
    images(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "more/test/b/1.jpg")
    table = folders(tmp_path, "val", "train", "more/test")
    assert by_id(table) == {
        "val/a/1.jpg": "a",
        "train/a/1.jpg": "a",
        "train/b/1.jpg": "b",
        "more/test/b/1.jpg": "b",
    }
    assert table.source["root"].tolist() == ["val", "train", "train", "more/test"]


@pytest.mark.parametrize("root", [".", "", "./"])
def test_the_raw_folder_itself_may_be_the_root(tmp_path: Path, root: str) -> None:
    images(tmp_path, "a/1.jpg", "b/1.jpg")
    assert by_id(folders(tmp_path, root)) == {"a/1.jpg": "a", "b/1.jpg": "b"}


def test_ids_do_not_depend_on_how_a_root_is_written(tmp_path: Path) -> None:
    images(tmp_path, "train/a/1.jpg", "train/b/1.jpg")
    plain = folders(tmp_path, "train").frame
    for root in ("train/", "./train", "train//"):
        pd.testing.assert_frame_equal(folders(tmp_path, root).frame, plain)
    with pytest.raises(LabelError, match=r"2 stand in several, e.g. 'train/a/1.jpg', 'train/b"):
        folders(tmp_path, "train", "./train")


def test_what_is_no_image_is_ignored_and_counted(tmp_path: Path) -> None:
    images(tmp_path, "a/1.jpg", "b/1.jpg", "b/.hidden.jpg", "__MACOSX/a/._1.jpg")
    clutter(tmp_path / "a")
    clutter(tmp_path)
    (tmp_path / "b" / "notes.txt").write_text("none")
    table = folders(tmp_path, ".")
    assert by_id(table) == {"a/1.jpg": "a", "b/1.jpg": "b"}
    named = {f"{IGNORED}, e.g. 'b/notes.txt'": 9}
    assert table.counts == named
    assert table.without(["a/1.jpg"]).counts == named
    below = images_below(tmp_path, "a")
    assert below.images == ["1.jpg"]
    assert len(below.others) == 3
    assert filenames(tmp_path, r"(?P<label>\w)/", ".").counts == named


def test_folders_behind_links_are_searched(tmp_path: Path) -> None:
    images(tmp_path, "else where/1.jpg", "train/b/1.jpg")
    os.symlink(tmp_path / "else where", tmp_path / "train" / "a")
    assert by_id(folders(tmp_path, "train")) == {"train/a/1.jpg": "a", "train/b/1.jpg": "b"}


def test_names_that_no_csv_can_hold_are_said(tmp_path: Path) -> None:
    images(tmp_path, "a/1.jpg", os.fsdecode(b"b/caf\xe9.jpg"))
    with pytest.raises(DataError, match=r"should be UTF-8, 1 are not, e.g. 'b/caf\\xe9.jpg'; rena"):
        folders(tmp_path, ".")


@pytest.mark.parametrize("reader", ["folder", "filename"])
def test_a_root_that_is_missing_or_empty_is_said(tmp_path: Path, reader: str) -> None:
    images(tmp_path, "train/a/1.jpg", "train/b/1.jpg")
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "empty").mkdir()

    def read(root: str) -> LabelTable:
        if reader == "folder":
            return folders(tmp_path, "train", root)
        return filenames(tmp_path, r"(?P<label>\w)/", "train", root)

    for root in ("absent", "file"):
        with pytest.raises(
            DataError, match=rf"expected the folder .*/{root} with .*; is \[labels\] roots right\?"
        ):
            read(root)
    with pytest.raises(DataError, match=r"/empty holds no image, only 0 other files"):
        read("empty")
    clutter(tmp_path / "empty")
    with pytest.raises(DataError, match=r"/empty holds no image, only 3 other files"):
        read("empty")


def test_an_image_outside_any_class_folder_is_said(tmp_path: Path) -> None:
    images(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "train/2.jpg", "train/3.png")
    with pytest.raises(LabelError) as caught:
        folders(tmp_path, "train")
    assert str(caught.value) == (
        f"{tmp_path}: every image should lie in a folder of its class below 'train', 2 of 4 do "
        "not, e.g. 'train/2.jpg'; move them, or name other roots"
    )
    skip = ["train/2.jpg", "train/3.png"]
    assert len(folders(tmp_path, "train", images={"skip": skip})) == 2


def test_a_pattern_finds_label_id_and_group_in_the_path_below_the_root(tmp_path: Path) -> None:
    images(tmp_path, "train/p 7/dog.2.jpg", "train/p 7/cat.1.jpg", "train/p1/dog.3.jpg")
    pattern = r"^(?P<group>[^/]+)/(?P<label>\w+)\.(?P<id>\d+)\.jpg$"
    table = filenames(tmp_path, pattern, "train")
    assert by_id(table) == {"1": "cat", "2": "dog", "3": "dog"}
    assert table.frame["group"].tolist() == ["p 7", "p 7", "p1"]
    assert table.frame["path"].tolist() == [
        "train/p 7/cat.1.jpg",
        "train/p 7/dog.2.jpg",
        "train/p1/dog.3.jpg",
    ]


def test_a_pattern_beside_folders_gives_the_group(tmp_path: Path) -> None:
    images(tmp_path, "a/IM-01-1.jpg", "a/IM-01-2.jpg", "b/person1_x.jpg", "b/person11_x.jpg")
    labels = {"format": "folder", "roots": ["."], "pattern": r"/(?P<group>IM-\d+|person\d+)[-_]"}
    table = read_train(spec_of(labels), tmp_path, tmp_path)
    assert table.frame["group"].tolist() == ["IM-01", "IM-01", "person11", "person1"]
    assert table.labels().tolist() == ["a", "a", "b", "b"]
    named = {**labels, "pattern": r"(?P<scan>\w+)\.jpg$", "group": "scan"}
    table = read_train(spec_of(named), tmp_path, tmp_path)
    assert table.frame["group"].tolist() == ["1", "2", "person11_x", "person1_x"]
    (tmp_path / "b" / "who.jpg").write_bytes((tmp_path / "b" / "person1_x.jpg").read_bytes())
    with pytest.raises(LabelError, match=r"should match every image .*, 1 of 5 do not, e.g. 'b/wh"):
        read_train(spec_of(labels), tmp_path, tmp_path)


def test_a_folder_or_root_may_be_the_group(tmp_path: Path) -> None:
    images(tmp_path, "one/x/cat_1.jpg", "one/y/dog_1.jpg", "two/x/cat_2.jpg")
    for group, expected in (("folder", ["x", "y", "x"]), ("root", ["one", "one", "two"])):
        labels = {
            "format": "filename",
            "roots": ["one", "two"],
            "group": group,
            "pattern": r"(?P<label>[a-z]+)_",
        }
        table = read_train(spec_of(labels), tmp_path, tmp_path)
        assert table.frame["group"].tolist() == expected


def test_a_pattern_that_misses_images_is_said_and_they_can_be_skipped(tmp_path: Path) -> None:
    images(tmp_path, "train/cat_1.jpg", "train/dog_2.jpg", "train/dog.jpg", "train/x/cat_3.png")
    with pytest.raises(LabelError) as caught:
        filenames(tmp_path, WRITE_UP, "train")
    assert str(caught.value) == (
        f"{tmp_path}: [labels] pattern {WRITE_UP!r} should match every image below its root, 2 of "
        "4 do not, e.g. 'train/dog.jpg'; correct it, or list their paths under [images] skip"
    )
    skip = ["train/dog.jpg", "train/x/cat_3.png"]
    table = filenames(tmp_path, WRITE_UP, "train", images={"skip": skip})
    assert by_id(table) == {"train/cat_1.jpg": "cat", "train/dog_2.jpg": "dog"}


def test_a_pattern_that_finds_no_label_is_said(tmp_path: Path) -> None:
    images(tmp_path, "train/cat_1.jpg", "train/dog_2.jpg", "train/_3.jpg")
    with pytest.raises(LabelError) as caught:
        filenames(tmp_path, r"(?P<label>[a-z]+)?_\d", "train")
    assert str(caught.value) == (
        f"{tmp_path}: [labels] pattern finds no label in 1 of 3 images, e.g. 'train/_3.jpg'"
    )


def test_two_images_with_one_id_are_said(tmp_path: Path) -> None:
    images(tmp_path, "train/cat_1.jpg", "train/dog_2.jpg", "train/cat_1.png", "train/dog_1.jpg")
    with pytest.raises(LabelError) as caught:
        filenames(tmp_path, r"(?P<label>[a-z]+)_(?P<id>\d+)", "train")
    assert str(caught.value) == (
        f"{tmp_path}: every 'id' must stand in one row, 1 stand in several, e.g. '1' (1 of them "
        "with different labels, e.g. '1': 'cat', 'dog'); remove the extra rows"
    )


@pytest.mark.parametrize("name", ["path", "root", "folder", "name", "inner"])
def test_a_patterns_group_cannot_take_the_place_of_a_column(name: str) -> None:
    with pytest.raises(SpecError, match=f"no group can be called '{name}', a column of foldwise's"):
        spec_of({"format": "filename", "roots": ["a"], "pattern": rf"(?P<label>.)(?P<{name}>\d)"})


def test_the_write_ups_pattern_gives_the_labels_of_one_hot_columns(tmp_path: Path) -> None:
    classes = ("rodent", "antelope_duiker", "blank", "monkey_prosimian", "civet_genet")
    rng = np.random.default_rng(7)
    labels = [classes[number] for number in rng.permutation(30) % len(classes)]
    paths = [f"train features/{label}_{n:04d}.jpg" for n, label in enumerate(labels)]
    images(tmp_path, *paths)
    rows = [
        (path, *(float(label == name) for name in classes))
        for path, label in zip(paths, labels, strict=True)
    ]
    table(tmp_path / "train.csv", ["filepath", *classes], rng.permutation(np.array(rows, object)))
    one_hot = spec_of(
        {"format": "class_columns", "id": "filepath", "classes": classes},
        files={"train": "train.csv"},
        images={"path": "{filepath}"},
    )
    named = spec_of(
        {"format": "filename", "roots": ["train features"], "pattern": WRITE_UP, "classes": classes}
    )
    left, right = (
        read_train(spec, tmp_path, tmp_path).frame.sort_values("id", ignore_index=True)
        for spec in (one_hot, named)
    )
    assert left["label"].tolist() == [label for _, label in sorted(zip(paths, labels, strict=True))]
    pd.testing.assert_frame_equal(left, right)
