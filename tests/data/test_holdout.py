"""Test sets of practice boards are split off once, honestly, or read from a solution file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.data.competition import CompetitionData, load_data
from foldwise.data.holdout import read_truth, split_holdout, write_solution, write_truth
from foldwise.data.labels.table import LabelTable
from foldwise.errors import DataError, FoldError, ImageError, LabelError
from foldwise.tasks import MultiClass, MultiLabel
from foldwise.workspace import Workspace
from tiny import CLASSES, edit, ids

HOLDOUT_LABELS = 'format = "class_column"\ncolumn = "kind"\ngroup = "site"\n'
SPEC = """
title = "Own"
platform = "local"

[files]
{files}

[labels]
{labels}
[images]
path = "images/{{id}}.png"
mode = "L"

{more}
[folds.default]
kind = "stratified"
n = 3

[submit]
recipes = ["any"]
"""


def own(root: Path, files: str, labels: str, more: str) -> Workspace:
    """A workspace with the competition `own`; its raw folder is there and empty."""
    folder = root / "competitions" / "own"
    (folder / "recipes").mkdir(parents=True)
    (folder / "recipes" / "any.toml").write_text("")
    toml = SPEC.format(files=files, labels=labels, more=more)
    (folder / "competition.toml").write_text(toml)
    workspace = Workspace(root, root / "data", root / "runs")
    (workspace.raw("own") / "images").mkdir(parents=True)
    return workspace


def images(workspace: Workspace, names: list[str]) -> None:
    """Write an image for each id; all are different."""
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 7)).astype(np.uint8)
        Image.fromarray(pixels).save(workspace.raw("own") / "images" / f"{name}.png")


def with_holdout(root: Path, n: int = 60) -> Workspace:
    """A competition whose test set is split off; three classes, sites of two to six rows."""
    workspace = own(root, 'train = "train.csv"', HOLDOUT_LABELS, "[holdout]\nseed = 5")
    rng = np.random.default_rng(1)
    names = [f"p{number}" for number in rng.permutation(n)]
    images(workspace, names)
    rows = {
        "id": names,
        "kind": np.array(["b", "a", "10"])[np.arange(n) % 3],
        "site": [f"site {number}" for number in rng.integers(0, n // 4, n)],
    }
    pd.DataFrame(rows).to_csv(workspace.raw("own") / "train.csv", index=False)
    return workspace


def load(workspace: Workspace) -> CompetitionData:
    return load_data(workspace, "own")


def truth_of(workspace: Workspace) -> pd.DataFrame:
    """The rows of truth.csv, by id."""
    path = workspace.data / "own" / "platform" / "truth.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False).set_index("id")


def table(labels: list[str], groups: list[str] | None = None, **source: list[str]) -> LabelTable:
    """A table with these labels; with tags between them, a multi-label one."""
    names = ("b", "a", "10")
    frame = pd.DataFrame({"id": [f"r{n}" for n in range(len(labels))], "path": "x.png"})
    frame["group"] = groups
    rows = frame.astype(str).assign(**source)
    if not any("+" in label for label in labels):
        frame["label"] = pd.Categorical(labels, categories=names)
        return LabelTable(frame, rows, MultiClass(names))
    for name in names:
        frame[name] = [np.uint8(name in label.split("+")) for label in labels]
    return LabelTable(frame, rows, MultiLabel(names))


def spec_of(fraction: float = 0.2, group: bool = False, **tables: Any) -> CompetitionSpec:
    """A spec with a [holdout]."""
    labels = {"format": "class_column", "column": "kind"}
    given = {
        "name": "own",
        "title": "Own",
        "platform": "local",
        "files": {"train": "train.csv"},
        "labels": {**labels, **({"group": "site"} if group else {})},
        "holdout": {"fraction": fraction, "seed": 3},
        "folds": {"default": {"kind": "stratified"}},
        "submit": {"recipes": ["any"]},
    }
    return parse(CompetitionSpec, {**given, **tables}, "competition.toml")


def alone(table: LabelTable) -> "Callable[[], pd.Series[str]]":
    """Digests of images that are all different."""
    return lambda: pd.Series(table.frame["id"].to_list(), table.frame["id"])


def never() -> "pd.Series[str]":
    """For splits that are there already."""
    raise AssertionError("the images were hashed again")


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_the_test_set_has_its_share_of_every_class(tmp_path: Path, fraction: float) -> None:
    rows = table(["b"] * 60 + ["a"] * 30 + ["10"] * 20)
    train, test = split_holdout(spec_of(fraction), rows, tmp_path, alone(rows))
    assert sorted([*train.frame["id"], *test.frame["id"]]) == sorted(rows.frame["id"])
    held = rows.frame[rows.frame["id"].isin(test.frame["id"])]["label"].value_counts()
    for name, count in (("b", 60), ("a", 30), ("10", 20)):
        assert abs(held[name] - count * fraction) <= 1
    assert list(test.frame.columns) == ["id", "path", "group"]
    assert train.classes == test.classes == ("b", "a", "10")


def test_no_group_stands_on_both_sides(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    groups = [f"site {number}" for number in rng.integers(0, 30, 200)]
    rows = table(rng.choice(["b", "a", "10"], 200).tolist(), groups)
    train, test = split_holdout(spec_of(group=True), rows, tmp_path, alone(rows))
    assert not set(train.frame["group"]) & set(test.frame["group"])
    assert 30 <= len(test) <= 50


def test_copies_stand_on_one_side(tmp_path: Path) -> None:
    rows = table(["b", "a", "10", "a"] * 15)
    together = pd.Series([f"pixels {number // 3}" for number in range(60)], rows.frame["id"])
    train, test = split_holdout(spec_of(), rows, tmp_path, lambda: together)
    assert not set(together[train.frame["id"]]) & set(together[test.frame["id"]])
    assert 9 <= len(test) <= 15


def test_images_of_a_practice_board_are_compared_before_the_split(tmp_path: Path) -> None:
    workspace = with_holdout(tmp_path)
    folder = workspace.raw("own") / "images"
    for number in range(0, 60, 2):  # p0 and p1, p2 and p3, ... are the same
        with Image.open(folder / f"p{number}.png") as opened:
            opened.save(folder / f"p{number + 1}.png", format="BMP")
    toml = workspace.competition("own") / "competition.toml"
    edit(toml, 'group = "site"\n', "")
    data = load(workspace)
    in_test = set(data.test.frame["id"])
    assert in_test
    for number in range(0, 60, 2):
        assert (f"p{number}" in in_test) == (f"p{number + 1}" in in_test)


def test_the_split_is_made_once_and_kept(tmp_path: Path) -> None:
    workspace = with_holdout(tmp_path)
    first = load(workspace)
    platform = workspace.data / "own" / "platform"
    before = {name: (platform / name).read_bytes() for name in ("truth.csv", "holdout.json")}
    assert sorted(first.format.ids) == sorted(first.test.frame["id"])
    for path in (workspace.raw("own") / "images").iterdir():
        path.write_bytes(b"no image")  # nothing is decoded again
    train = workspace.raw("own") / "train.csv"
    pd.read_csv(train, dtype=str).iloc[::-1].to_csv(train, index=False)
    second = load(workspace)
    assert sorted(second.train.frame["id"]) == sorted(first.train.frame["id"])
    assert sorted(second.test.frame["id"]) == sorted(first.test.frame["id"])
    assert second.format.ids == first.format.ids
    assert before == {name: (platform / name).read_bytes() for name in before}


def test_the_truth_holds_the_labels_and_two_halves(tmp_path: Path) -> None:
    workspace = with_holdout(tmp_path)
    data, truth = load(workspace), truth_of(workspace)
    rows = pd.read_csv(workspace.raw("own") / "train.csv", dtype=str).set_index("id")
    assert list(truth.columns) == ["part", "label"]
    assert sorted(truth.index) == sorted(data.test.frame["id"])
    assert (truth["label"] == rows.loc[truth.index, "kind"]).all()
    parts = truth["part"].value_counts()
    assert set(parts.index) == {"public", "private"}
    assert 0 <= parts["private"] - parts["public"] <= 1
    assert "label" not in data.test.frame


def test_a_lost_truth_is_written_again(tmp_path: Path) -> None:
    workspace = with_holdout(tmp_path)
    load(workspace)
    before = truth_of(workspace)
    (workspace.data / "own" / "platform" / "truth.csv").unlink()
    load(workspace)
    pd.testing.assert_frame_equal(truth_of(workspace), before)


def change_labels(workspace: Workspace) -> None:
    path = workspace.raw("own") / "train.csv"
    frame = pd.read_csv(path, dtype=str)
    frame.loc[3, "kind"] = "a" if frame.loc[3, "kind"] != "a" else "b"
    frame.to_csv(path, index=False)


def change_sites(workspace: Workspace) -> None:
    path = workspace.raw("own") / "train.csv"
    frame = pd.read_csv(path, dtype=str)
    frame.loc[3, "site"] = "elsewhere"
    frame.to_csv(path, index=False)


def spec_edit(old: str, new: str) -> Callable[[Workspace], None]:
    return lambda workspace: edit(workspace.competition("own") / "competition.toml", old, new)


@pytest.mark.parametrize(
    "change",
    [
        change_labels,
        change_sites,
        spec_edit("seed = 5", "seed = 6"),
        spec_edit("seed = 5", "seed = 5\nfraction = 0.25"),
        spec_edit('group = "site"\n', ""),
        spec_edit('group = "site"\n', 'group = "site"\nclasses = ["a", "b", "10"]\n'),
        spec_edit('group = "site"\n', 'group = "site"\nmerge = { a = "b" }\n'),
        spec_edit('mode = "L"', 'mode = "L"\nskip = ["p3"]'),
    ],
)
def test_a_split_with_other_settings_or_labels_is_made_anew_until_something_is_entered(
    tmp_path: Path, change: Callable[[Workspace], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    workspace = with_holdout(tmp_path)
    load(workspace)
    truth, folder = truth_of(workspace), workspace.data / "own" / "platform"
    (folder / "board.json").write_text('{"of": "x", "entries": [{"team": "you", "file": "a.csv"}]}')
    change(workspace)
    with pytest.raises(DataError) as caught:
        load(workspace)
    assert str(caught.value) == (
        f"{folder} holds a test set that was split off with other settings, labels or groups, and "
        "its board has entries; give [holdout] and [labels] their old values, or remove "
        f"{folder} to split anew (scores on its board cannot be compared with later ones)"
    )
    pd.testing.assert_frame_equal(truth_of(workspace), truth)
    (folder / "board.json").write_text('{"of": "x", "entries": [{"team": "class prior"}]}')
    caplog.clear()
    ids = sorted(load(workspace).test.frame["id"])
    assert "the test set is split off anew, with the settings, labels and groups" in caplog.text
    assert sorted(truth_of(workspace).index) == ids
    assert sorted(load(workspace).test.frame["id"]) == ids


def test_the_test_set_is_the_part_nearest_to_the_fraction(tmp_path: Path) -> None:
    sites = ["big"] * 36 + [f"s{number // 4}" for number in range(64)]
    rows = table([*"ab"] * 50, sites)
    for seed in range(6):
        _, test = split_holdout(
            spec_of(group=True, holdout={"fraction": 0.2, "seed": seed}),
            rows,
            tmp_path / str(seed),
            alone(rows),
        )
        assert 12 <= len(test) <= 28  # never the big one


def test_no_class_is_left_without_a_training_row(tmp_path: Path) -> None:
    rare = table(["b"] * 20 + ["a"] * 20 + ["10"])
    for seed in range(12):
        spec = spec_of(holdout={"fraction": 0.2, "seed": seed})
        train, _ = split_holdout(spec, rare, tmp_path / str(seed), alone(rare))
        assert train.frame["label"].nunique() == 3
    lonely = table(["b", "b", "a", "a"], ["x", "x", "y", "y"])
    with pytest.raises(FoldError) as caught:
        split_holdout(spec_of(0.5, group=True), lonely, tmp_path / "lonely", alone(lonely))
    assert str(caught.value) == (
        "own: whichever rows [holdout] takes, some class has no row left to train on; get more "
        "data of rare classes, or merge them with [labels.merge]"
    )
    assert not (tmp_path / "lonely" / "truth.csv").exists()
    assert not (tmp_path / "lonely" / "holdout.json").exists()


def test_missing_images_are_said_before_anything_is_split(tmp_path: Path) -> None:
    workspace = with_holdout(tmp_path)
    (workspace.raw("own") / "images" / "p7.png").unlink()
    with pytest.raises(ImageError, match=r"own: 1 of 60 ids have no image, e.g. 'p7'"):
        load(workspace)
    assert not (workspace.data / "own" / "platform" / "holdout.json").exists()


def test_rows_with_several_labels_or_none_are_split_and_kept(tmp_path: Path) -> None:
    rows = table(["b", "a", "a+b", "", "10+a+b", "10"] * 10)
    train, test = split_holdout(spec_of(), rows, tmp_path, alone(rows))
    again = split_holdout(spec_of(), rows, tmp_path, never)
    pd.testing.assert_frame_equal(again[0].frame, train.frame)
    pd.testing.assert_frame_equal(again[1].frame, test.frame)
    truth = read_truth(tmp_path / "truth.csv", rows.task)
    assert truth.columns.tolist() == ["id", "part", "b", "a", "10"]
    expected = rows.frame.set_index("id").loc[truth["id"], list(rows.classes)]
    assert (truth[list(rows.classes)].to_numpy() == expected.to_numpy()).all()
    assert {name: pytest.approx(truth[name].sum(), abs=1) for name in rows.classes} == {
        "b": 6,
        "a": 6,
        "10": 4,
    }


def test_truth_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    rows = table(["b", "10", "a", "b"])
    write_truth(tmp_path, rows, 0)
    truth = read_truth(tmp_path / "truth.csv", rows.task)
    assert truth["label"].cat.categories.tolist() == ["b", "a", "10"]
    assert truth["label"].tolist() == ["b", "10", "a", "b"]
    assert sorted(truth["part"]) == ["private", "private", "public", "public"]
    used = table(["b", "10", "a", "b"], Usage=["Public", "Private", "private", "Public"])
    write_truth(tmp_path, used, 0)
    truth = read_truth(tmp_path / "truth.csv", rows.task)
    assert truth["part"].tolist() == ["public", "private", "private", "public"]


TAGS = 'format = "delimited"\nid = "image"\ncolumn = "labels"\nnone = "-"\n'
FILES = 'train = "train.csv"\nformat = "sample.csv"\nsolution = "solution.csv"\n'


def with_solution(root: Path, solution: str, labels: str = TAGS) -> Workspace:
    """A competition of tags whose test rows t1 to t4 have a solution file."""
    workspace = own(root, FILES, labels, '[submission]\nshape = "tags"\n\n')
    raw = workspace.raw("own")
    (raw / "train.csv").write_text("image,labels\ni2,scab\ni1,rust scab\ni3,-\ni4,10\n")
    (raw / "sample.csv").write_text("image,labels\nt3,scab\nt1,scab\nt4,scab\nt2,scab\n")
    (raw / "solution.csv").write_text(solution)
    return workspace


def test_a_solution_is_read_as_training_labels_are(tmp_path: Path) -> None:
    lines = "image,labels\nt1,rust\nt2,scab 10\nt3,-\nother,10\nt4,rust scab\n"
    workspace = with_solution(tmp_path, lines)
    data, truth = load(workspace), truth_of(workspace)
    assert data.classes == ("10", "rust", "scab")
    assert truth.columns.tolist() == ["part", "10", "rust", "scab"]
    assert truth[["10", "rust", "scab"]].agg("".join, axis=1).to_dict() == {
        "t1": "010",
        "t2": "101",
        "t3": "000",
        "t4": "011",
    }
    assert sorted(truth["part"]) == ["private", "private", "public", "public"]
    assert not {"labels", "label", *data.classes} & set(data.test.frame.columns)


def test_a_usage_column_decides_the_halves(tmp_path: Path) -> None:
    lines = "image,labels,Usage\nt1,rust,Private\nt2,scab,Private\nt3,-,Public\nt4,rust,Private\n"
    workspace = with_solution(tmp_path, lines)
    load(workspace)
    assert truth_of(workspace)["part"].to_dict() == {
        "t1": "private",
        "t2": "private",
        "t3": "public",
        "t4": "private",
    }


def test_test_rows_without_a_solution_are_said(tmp_path: Path) -> None:
    workspace = with_solution(tmp_path, "image,labels\nt1,rust\nt2,scab\n")
    with pytest.raises(LabelError) as caught:
        load(workspace)
    assert str(caught.value) == (
        f"{workspace.raw('own') / 'solution.csv'}: 2 of 4 test rows have no solution, e.g. "
        "'t3', 't4'"
    )
    assert not (workspace.data / "own" / "platform" / "truth.csv").exists()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("image,labels\nt1,rust\nt2,scb\nt3,-\nt4,10\n", "1 labels are not among the 3 classes"),
        ("image,labels\nt1,rust\nt1,scab\nt3,-\nt4,10\n", "1 stand in several, e.g. 't1'"),
        ("image,tags\nt1,rust\nt2,scab\nt3,-\nt4,10\n", "should have a column 'labels'"),
        ("image,labels\n", "has a header but no rows"),
    ],
)
def test_a_wrong_solution_is_said(tmp_path: Path, lines: str, message: str) -> None:
    workspace = with_solution(tmp_path, lines)
    with pytest.raises(DataError, match=f"solution.csv.* {message}"):
        load(workspace)


def test_a_missing_solution_is_said_with_the_steps_to_get_it(tmp_path: Path) -> None:
    workspace = with_solution(tmp_path, "")
    (workspace.raw("own") / "solution.csv").unlink()
    with pytest.raises(DataError, match=r"1 of 3 files are missing in .*, e.g. 'solution.csv'"):
        load(workspace)


def test_a_solution_is_read_again_only_when_something_changed(tmp_path: Path) -> None:
    lines = "image,labels\nt1,rust\nt2,scab\nt3,-\nt4,10\n"
    workspace = with_solution(tmp_path, lines)
    raw, path = workspace.raw("own"), workspace.data / "own" / "platform" / "truth.csv"
    load(workspace)
    written = path.stat().st_mtime_ns
    load(workspace)
    assert path.stat().st_mtime_ns == written
    (raw / "solution.csv").write_text(lines.replace("t1,rust", "t1,rust scab"))
    load(workspace)
    assert truth_of(workspace).loc["t1", "scab"] == "1"
    edit(raw / "train.csv", "i2,scab", "i2,scab mildew")
    assert load(workspace).classes == ("10", "mildew", "rust", "scab")
    assert truth_of(workspace)["mildew"].tolist() == ["0"] * 4
    path.unlink()
    load(workspace)
    assert len(truth_of(workspace)) == 4


def test_merged_labels_are_merged_in_the_solution_too(tmp_path: Path) -> None:
    lines = "image,labels\nt1,rust\nt2,scab 10\nt3,-\nt4,10\n"
    workspace = with_solution(tmp_path, lines, TAGS + 'merge = { scab = "rust" }\n')
    assert load(workspace).classes == ("10", "rust")
    assert truth_of(workspace)["rust"].to_dict() == {"t1": "1", "t2": "1", "t3": "0", "t4": "0"}


def test_a_solution_of_one_class_per_row_is_a_truth_of_labels(workspace: Workspace) -> None:
    raw, platform = workspace.raw("tiny"), workspace.data / "tiny" / "platform"
    one_hot = pd.DataFrame(np.eye(3)[np.arange(12) % 3], columns=list(CLASSES))
    one_hot.insert(0, "id", ids("test", 12))
    one_hot.iloc[::-1].to_csv(raw / "solution.csv", index=False)
    before = read_truth(platform / "truth.csv", MultiClass(CLASSES)).set_index("id")["label"]
    toml = workspace.competition("tiny") / "competition.toml"
    edit(toml, "[labels]", 'solution = "solution.csv"\n\n[labels]')
    data = load_data(workspace, "tiny")
    truth = read_truth(platform / "truth.csv", MultiClass(CLASSES)).set_index("id")["label"]
    pd.testing.assert_series_equal(truth.loc[before.index], before)
    marker = json.loads((platform / "solution.json").read_text())
    assert marker["classes"] == list(CLASSES)
    write_solution(data.spec, data.raw, platform, data.test)
    assert json.loads((platform / "solution.json").read_text()) == marker
