"""Labels change in two ways alone, merging and a CSV of corrections, and both are counted."""

from pathlib import Path
from typing import Any

import pytest

from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.data.labels.corrections import CORRECTED, MERGED
from foldwise.data.labels.table import LabelTable, read_train
from foldwise.errors import DataError, LabelError, SpecError

CLASS = {"format": "class_column", "column": "kind"}
TAGS = {"format": "delimited", "column": "kind"}
ONE = "id,kind\n3,cat\n1,dog\n2,kitten\n5,kitten\n4,fox\n"
MANY = "id,kind\n3,cat dog\n1,dog\n2,kitten cat\n5,-\n4,fox kitten dog\n"


def spec_of(labels: dict[str, Any], **tables: Any) -> CompetitionSpec:
    """A spec with these `[labels]` over train.csv."""
    given = {
        "name": "own",
        "title": "Own",
        "platform": "local",
        "files": {"train": "train.csv"},
        "holdout": {},
        "folds": {"default": {"kind": "stratified"}},
        "submit": {"recipes": ["any"]},
        "labels": labels,
    }
    return parse(CompetitionSpec, {**given, **tables}, "competition.toml")


def read(folder: Path, lines: str, labels: dict[str, Any], overrides: str = "") -> LabelTable:
    """The rows of a train.csv with these lines, and of an overrides.csv beside the spec."""
    raw, own = folder / "raw", folder / "own"
    raw.mkdir(exist_ok=True)
    own.mkdir(exist_ok=True)
    (raw / "train.csv").write_text(lines)
    (own / "fix.csv").write_text(overrides)
    if overrides:
        labels = {**labels, "overrides": "fix.csv"}
    return read_train(spec_of(labels), raw, own)


def test_a_merged_class_is_no_class_any_more(tmp_path: Path) -> None:
    table = read(tmp_path, ONE, {**CLASS, "merge": {"kitten": "cat"}})
    assert table.classes == ("cat", "dog", "fox")
    assert table.labels().tolist() == ["cat", "dog", "cat", "cat", "fox"]
    assert table.counts == {MERGED: 2}


def test_a_class_may_get_a_new_name(tmp_path: Path) -> None:
    table = read(tmp_path, ONE, {**CLASS, "merge": {"kitten": "Kätzchen", "dog": "Hund"}})
    assert table.classes == ("Hund", "Kätzchen", "cat", "fox")
    assert table.labels().tolist() == ["cat", "Hund", "Kätzchen", "Kätzchen", "fox"]
    assert table.counts == {MERGED: 3}


def test_merged_tags_of_a_row_become_one(tmp_path: Path) -> None:
    table = read(tmp_path, MANY, {**TAGS, "none": "-", "merge": {"kitten": "cat", "fox": "dog"}})
    assert table.classes == ("cat", "dog")
    assert table.targets.values.tolist() == [[1, 1], [0, 1], [1, 0], [0, 0], [1, 1]]
    assert table.counts == {MERGED: 2}


def test_a_listed_class_order_loses_merged_classes(tmp_path: Path) -> None:
    labels = {**CLASS, "classes": ["kitten", "dog", "fox", "cat"], "merge": {"kitten": "cat"}}
    table = read(tmp_path, ONE, labels)
    assert table.classes == ("cat", "dog", "fox")
    assert table.labels().tolist() == ["cat", "dog", "cat", "cat", "fox"]
    hot = "id,b,a,c\n1,1,0,0\n2,0,0,1\n3,0,1,0\n"
    columns = {"format": "class_columns", "classes": ["b", "a", "c"], "merge": {"b": "c"}}
    table = read(tmp_path, hot, columns)
    assert table.classes == ("c", "a")
    assert table.targets.values.tolist() == [0, 0, 1]
    table = read(tmp_path, hot, {**columns, "multi": True})
    assert table.classes == ("c", "a")
    assert table.targets.values.tolist() == [[1, 0], [1, 0], [0, 1]]


def test_a_merged_label_that_no_row_has_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, ONE, {**CLASS, "merge": {"kiten": "cat"}})
    assert str(caught.value) == (
        "[labels.merge] 'kiten' is no label of train.csv; did you mean 'kitten'?"
    )
    with pytest.raises(SpecError, match=r"\[labels.merge\] 'owl' is no label of train.csv"):
        read(tmp_path, MANY, {**TAGS, "merge": {"owl": "cat"}})


@pytest.mark.parametrize("merge", [{"a": "b", "b": "c"}, {"a": "a"}, {"a": "b", "b": "a"}])
def test_chains_of_merges_are_refused(merge: dict[str, str]) -> None:
    with pytest.raises(
        SpecError, match=r"\[labels\] merge: 'a' leads to a label that is merged too$"
    ):
        spec_of({**CLASS, "merge": merge})


def test_a_csv_of_corrections_changes_labels_and_is_counted(tmp_path: Path) -> None:
    table = read(tmp_path, ONE, CLASS, 'id,label,why\n5,fox,"blurred, not small"\n3,cat,sure\n')
    assert table.labels().tolist() == ["cat", "dog", "kitten", "fox", "fox"]
    assert table.counts == {CORRECTED: 1}  # 3 was a cat before
    before = read(tmp_path, ONE, CLASS)
    assert before.labels().tolist() == ["cat", "dog", "kitten", "kitten", "fox"]
    assert before.counts == {}


def test_corrections_of_tags_are_split_as_tags_are(tmp_path: Path) -> None:
    labels = {**TAGS, "none": "-"}
    table = read(tmp_path, MANY, labels, "id,label\n5,fox cat\n1,-\n3,dog cat\n")
    assert table.labels().tolist() == ["cat dog", "", "cat kitten", "cat fox", "dog fox kitten"]
    assert table.counts == {CORRECTED: 2}  # 3 has the same two tags in another order


def test_corrections_come_before_merging(tmp_path: Path) -> None:
    labels = {**CLASS, "merge": {"kitten": "cat"}}
    table = read(tmp_path, ONE, labels, "id,label\n1,kitten\n2,fox\n")
    assert table.labels().tolist() == ["cat", "cat", "fox", "cat", "fox"]
    assert table.counts == {CORRECTED: 2, MERGED: 2}


def test_corrections_name_ids_as_they_are_shown(tmp_path: Path) -> None:
    labels = {**CLASS, "id_prefix": "train-"}
    assert read(tmp_path, ONE, labels, "id,label\ntrain-1,fox\n").counts == {CORRECTED: 1}
    with pytest.raises(LabelError, match=r"1 of 1 corrections are for no training row, e.g. '1'"):
        read(tmp_path, ONE, labels, "id,label\n1,fox\n")


@pytest.mark.parametrize(
    ("labels", "overrides", "message"),
    [
        (
            CLASS,
            "id,label\n1,fox\n9,fox\n8,cat\n",
            "2 of 3 corrections are for no training row, e.g. '9', '8'; remove them",
        ),
        (CLASS, "id,label\n1,fox\n1,cat\n", "every 'id' must stand in one row, 1 stand in several"),
        (CLASS, "id,lable\n1,fox\n", "should have a column 'label'; did you mean 'lable'?"),
        (CLASS, "id,label\n", "has a header but no rows"),
        (
            {**CLASS, "classes": ["fox", "cat", "dog", "kitten"]},
            "id,label\n1,dgo\n",
            "id '1' is corrected to 'dgo', no label of train.csv; did you mean 'dog'?",
        ),
        (CLASS, "id,label\n1,\n", "id '1' is corrected to '', no label of train.csv"),
        (TAGS, "id,label\n1,\n", "1 rows have no tag, e.g. id '1'"),
        (TAGS, "id,label\n1,fox fox\n", "1 rows repeat a tag, e.g. id '1': 'fox fox'"),
    ],
)
def test_corrections_that_cannot_be_are_said(
    tmp_path: Path, labels: dict[str, Any], overrides: str, message: str
) -> None:
    lines = MANY if labels is TAGS else ONE
    with pytest.raises(DataError) as caught:
        read(tmp_path, lines, labels, overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_of_corrections_is_said(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(ONE)
    with pytest.raises(DataError, match=r"expected the file .*/fixes.csv, found none"):
        read_train(spec_of({**CLASS, "overrides": "fixes.csv"}), tmp_path, tmp_path)
