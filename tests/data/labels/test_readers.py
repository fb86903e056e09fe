"""Cells of a CSV become labels: a class, one column per class, or any number of tags."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from catalogue.files import image
from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.data.labels.table import LabelTable, read_test, read_train
from foldwise.errors import DataError, SpecError
from foldwise.tables.text import REPEATED_ROWS, paths_inside
from foldwise.tasks import MultiClass, MultiLabel

TAGS = {"format": "delimited", "column": "tags"}
CLASS = {"format": "class_column", "column": "kind"}
HOT = {"format": "class_columns", "multi": True, "classes": ["zebra", "10", "ant"]}


def spec_of(labels: dict[str, Any], **tables: Any) -> CompetitionSpec:
    """A spec with these `[labels]` over train.csv."""
    given = {
        "name": "own",
        "title": "Own",
        "platform": "local",
        "files": {"train": "train.csv", "format": "sample.csv"},
        "submission": {"shape": "tags"},
        "folds": {"default": {"kind": "stratified"}},
        "submit": {"recipes": ["any"]},
        "labels": labels,
    }
    return parse(CompetitionSpec, {**given, **tables}, "competition.toml")


def read(
    raw: Path, lines: str, labels: dict[str, Any], given: Sequence[str] | None = None, **tables: Any
) -> LabelTable:
    """The training rows of a train.csv with these lines."""
    (raw / "train.csv").write_text(lines, encoding="utf-8")
    return read_train(spec_of(labels, **tables), raw, raw, given)


def refusal(*args: Any, **tables: Any) -> str:
    """The one line that says why these rows cannot be read."""
    with pytest.raises((DataError, SpecError)) as caught:
        read(*args, **tables)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sets(table: LabelTable) -> dict[str, set[str]]:
    """The labels of each id."""
    cells = table.labels("\x1f")
    rows = zip(table.frame["id"], cells, strict=True)
    return {id: set(cell.split("\x1f")) - {""} for id, cell in rows}


@pytest.mark.parametrize(
    ("separator", "cells"),
    [
        (" ", ("zebra", "ant  10", " 10 zebra ")),
        ("|", ("zebra", "ant|10", "10| zebra|")),
        (",", ('"zebra"', '"ant, 10"', '"10,zebra"')),
        ("; ", ("zebra", "ant; 10", "10; zebra")),
        (" and ", ("zebra", "ant and 10", "10 and zebra")),
    ],
)
def test_any_separator_stands_between_tags(
    tmp_path: Path, separator: str, cells: tuple[str, ...]
) -> None:
    lines = "id,tags\n" + "".join(f"{n},{cell}\n" for n, cell in zip("312", cells, strict=True))
    table = read(tmp_path, lines, {**TAGS, "separator": separator})
    assert table.classes == ("10", "ant", "zebra")
    assert sets(table) == {"3": {"zebra"}, "1": {"ant", "10"}, "2": {"10", "zebra"}}
    assert table.targets.values.tolist() == [[0, 0, 1], [1, 1, 0], [1, 0, 1]]
    assert table.task == MultiLabel(table.classes)


def test_tags_with_spaces_in_them_stay_whole_between_commas(tmp_path: Path) -> None:
    lines = 'id,tags\n1,"Fat Hen, Größe 2"\n2,Fat Hen\n'
    table = read(tmp_path, lines, {**TAGS, "separator": ","})
    assert sets(table) == {"1": {"Fat Hen", "Größe 2"}, "2": {"Fat Hen"}}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "id,tags\n1,a,b\n2,c,a\n",
            "rows should have 2 cells as the header has, got more in the "
            "first row; put cells that hold a comma into quotes",
        ),
        ("id,tags\n1,a,\n2,b,\n", "rows should have 2 cells as the header has, got more"),
        (
            "id,tags\n1,a\n2,b,a\n",
            "is not a readable CSV: Error tokenizing data. C error: Expected "
            "2 fields in line 3, saw 3",
        ),
    ],
)
def test_commas_between_tags_without_quotes_are_said(
    tmp_path: Path, lines: str, message: str
) -> None:
    assert message in refusal(tmp_path, lines, {**TAGS, "separator": ","})


@pytest.mark.parametrize(("none", "cell"), [("-", "-"), ("", ""), ("-", ""), ("none", " none ")])
def test_a_row_may_have_no_tag_where_the_spec_says_so(tmp_path: Path, none: str, cell: str) -> None:
    lines = f"id,tags\n1,a b\n2,{cell}\n3,b\n"
    table = read(tmp_path, lines, {**TAGS, "none": none})
    assert table.classes == ("a", "b")
    assert sets(table) == {"1": {"a", "b"}, "2": set(), "3": {"b"}}
    assert table.labels().tolist() == ["a b", "", "b"]


@pytest.mark.parametrize(
    ("cells", "settings", "message"),
    [
        (
            ("a b", "", "", "b"),
            {},
            "2 rows have no tag, e.g. id '1', …; if that is a right "
            'answer, write none = "" into [labels]',
        ),
        (("a b", "  ", "b", "a"), {}, "1 rows have no tag, e.g. id '1'; if"),
        (
            ("a b", "b a b", "b", "a a"),
            {},
            "2 rows repeat a tag, e.g. id '1': 'b a b'; is ' ' the right separator?",
        ),
        (
            ("a b", "b -", "-", "a"),
            {"none": "-"},
            "'-' means no tag, but stands beside others, e.g. 'b -'",
        ),
        (("a", "a", "a", "a"), {}, "expected at least two classes, got 'a'"),
        (
            ("a b", "b c", "b", "aa c"),
            {"classes": ["b", "a"]},
            "2 labels are not among the 2 classes, e.g. 'c' of id '1'; there are: a, b",
        ),
        (
            ("a b", "b", "b", "aa a"),
            {"classes": ["b", "a"]},
            "1 labels are not among the 2 classes, e.g. 'aa' of id '3'; did you mean 'a'?",
        ),
        (
            ("a b", "b", "b", "a"),
            {"column": "tag"},
            "should have a column 'tag'; did you mean 'tags'?",
        ),
    ],
)
def test_tags_that_cannot_be_are_said(
    tmp_path: Path, cells: tuple[str, ...], settings: dict[str, Any], message: str
) -> None:
    lines = "id,tags\n" + "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    found = refusal(tmp_path, lines, {**TAGS, **settings})
    assert message in found
    assert found.startswith(str(tmp_path / "train.csv"))


def test_a_tag_that_the_format_file_lacks_is_said(tmp_path: Path) -> None:
    found = refusal(tmp_path, "id,tags\n1,a b\n2,c\n", TAGS, ["b", "a"])
    assert "1 labels are not among the 2 classes, e.g. 'c' of id '2'" in found


def test_tags_may_stand_in_another_file_than_the_rows(tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("id,tags\n02,a b\n01,b\n")
    files = {"train": "train.csv", "labels": "tags.csv", "format": "sample.csv"}
    table = read(tmp_path, "id,site\n01,x\n02,y\n", {**TAGS, "group": "site"}, files=files)
    assert table.frame["id"].tolist() == ["01", "02"]
    assert table.frame["group"].tolist() == ["x", "y"]
    assert sets(table) == {"01": {"b"}, "02": {"a", "b"}}


@pytest.mark.parametrize(
    "cells",
    [
        ("1,0,1", "0,0,0", "0,1,0"),
        ("1.0,0.0,1.0", "0.0,0.0,0.0", "0,1.00,0"),
        ("True,False,TRUE", "false,False,false", "False,true,False"),
        (" 1,0 ,1", "0,-0,0.0", "0,1e0,0"),
    ],
)
def test_class_columns_hold_several_labels_or_none(tmp_path: Path, cells: Sequence[str]) -> None:
    lines = "zebra,id,10,ant\n" + "".join(
        cell.replace(",", f",{id},", 1) + "\n" for id, cell in zip("720", cells, strict=True)
    )
    table = read(tmp_path, lines, HOT)
    assert table.classes == ("zebra", "10", "ant")
    assert table.targets.values.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert table.frame["id"].tolist() == ["7", "2", "0"]
    assert table.labels().tolist() == ["zebra ant", "", "10"]


def test_the_format_files_order_of_class_columns_wins(tmp_path: Path) -> None:
    labels = {key: HOT[key] for key in ("format", "multi")}
    table = read(tmp_path, "id,a,b\n1,1,0\n2,1,1\n", labels, ["b", "a"])
    assert table.classes == ("b", "a")
    assert table.targets.values.tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("2,0,0", "class columns should hold 0 and 1, 1 of 2 rows do not, e.g. id 'x' has 2; cor"),
        ("0.5,0,0", "1 of 2 rows do not, e.g. id 'x' has 0.5; correct these rows"),
        ("yes,0,0", "1 cells should be finite numbers, e.g. id 'x' has 'yes' in 'zebra'"),
        ("1,,0", "1 cells should be finite numbers, e.g. id 'x' has '' in '10'"),
        ("1,inf,0", "1 cells should be finite numbers, e.g. id 'x' has 'inf' in '10'"),
    ],
)
def test_cells_of_class_columns_that_are_no_labels_are_said(
    tmp_path: Path, cells: str, message: str
) -> None:
    assert message in refusal(tmp_path, f"id,zebra,10,ant\ny,1,0,0\nx,{cells}\n", HOT)


def test_class_columns_that_nothing_names_are_said(tmp_path: Path) -> None:
    found = refusal(tmp_path, "id,a,b\n1,1,0\n", {"format": "class_columns"})
    assert found.startswith('format = "class_columns" needs the class columns: in the format file')
    found = refusal(tmp_path, "id,zebra,ant\n1,1,0\n", HOT)
    assert "should have a column '10'; there are: ant, id, zebra" in found


def test_a_row_of_two_classes_asks_whether_there_may_be_several(tmp_path: Path) -> None:
    labels = {"format": "class_columns", "classes": ["a", "b"]}
    found = refusal(tmp_path, "id,a,b\n1,1,0\n2,1,1\n", labels)
    assert (
        "1 of 2 do not, e.g. id '2' sums to 2; correct these rows, or write multi = true" in found
    )


def test_labels_that_are_numbers_stay_as_they_are_written(tmp_path: Path) -> None:
    table = read(tmp_path, "id,kind\n1,10\n2,09\n3,1\n4,10\n", CLASS)
    assert table.classes == ("1", "09", "10")
    assert table.labels().tolist() == ["10", "09", "1", "10"]


def test_classes_of_the_spec_keep_their_order_and_may_have_no_row(tmp_path: Path) -> None:
    table = read(tmp_path, "id,kind\n1,a\n2,c\n", {**CLASS, "classes": ["c", "b", "a"]})
    assert table.classes == ("c", "b", "a")
    assert table.targets.values.tolist() == [2, 0]
    assert table.marks().tolist() == [[0, 0, 1], [1, 0, 0]]


def test_an_empty_cell_of_a_class_column_is_no_class(tmp_path: Path) -> None:
    found = refusal(tmp_path, "id,kind\n1,a\n2,b\n3,\n4,\n", CLASS)
    assert "2 labels are not among the 2 classes, e.g. '' of id '3'; there are: a, b" in found


def test_an_id_with_two_labels_is_said_with_a_count_and_an_example(tmp_path: Path) -> None:
    lines = "id,kind\n1,a\n2,b\n1,b\n3,a\n3,a\n2,b\n"
    assert (
        "every 'id' must stand in one row, 1 stand in several, e.g. '1' "
        "(1 of them with different labels, e.g. '1': 'a', 'b'); remove the extra rows"
    ) in refusal(tmp_path, lines, CLASS)
    group = {**CLASS, "group": "site"}
    found = refusal(tmp_path, "id,kind,site\n1,a,x\n2,b,y\n2,b,x\n", group)
    assert "1 stand in several, e.g. '2'; remove the extra rows" in found
    found = refusal(tmp_path, "id,tags\n1,a\n2,b\n2,b a\n", TAGS)
    assert "e.g. '2' (1 of them with different labels, e.g. '2': 'b', 'b a')" in found


def test_several_images_of_one_id_are_refused(tmp_path: Path) -> None:
    lines = "plant,kind,file\np1,a,x.jpg\np2,b,y.jpg\np2,b,z.jpg\np2,b,w.jpg\n"
    found = refusal(tmp_path, lines, {**CLASS, "id": "plant"}, images={"path": "{file}"})
    assert (
        "1 values of 'plant' have several images, e.g. 'p2' has 3; one prediction from several "
        "images is beyond this version: choose the image's own id column, or keep one image"
    ) in found
    table = read(tmp_path, lines, {**CLASS, "id": "file"}, images={"path": "{file}"})
    assert table.frame["id"].tolist() == ["x.jpg", "y.jpg", "z.jpg", "w.jpg"]


def test_a_prefix_tells_training_ids_from_the_same_ids_in_test(tmp_path: Path) -> None:
    images = {"path": "train/{id}.jpg", "test_path": "test/{id}.jpg"}
    labels = {**CLASS, "id_prefix": "train-"}
    table = read(tmp_path, "id,kind\n1,a\n2,b\n", labels, images=images)
    assert table.frame["id"].tolist() == ["train-1", "train-2"]
    assert table.frame["path"].tolist() == ["train/1.jpg", "train/2.jpg"]
    spec = spec_of(labels, images=images)
    test = read_test(spec, tmp_path, MultiClass(("a", "b")), pd.DataFrame({"id": ["2", "1"]}))
    assert test.frame["id"].tolist() == ["2", "1"]
    assert test.frame["path"].tolist() == ["test/2.jpg", "test/1.jpg"]


def test_of_several_templates_each_row_has_the_one_whose_file_is_there(tmp_path: Path) -> None:
    images = {"path": ["new/{kind}/{id}.png", "old/{id}.jpg"]}
    image(tmp_path / "new" / "b" / "2.png", 0, 1)
    image(tmp_path / "old" / "1.jpg", 0, 2)
    lines = "id,kind\n1,a\n2,b\n3,b\n"
    table = read(tmp_path, lines, CLASS, images=images)
    assert table.frame["path"].tolist() == ["old/1.jpg", "new/b/2.png", "new/b/3.png"]
    image(tmp_path / "old" / "2.jpg", 0, 3)
    assert (
        "train.csv: every row should have one image, 1 have several, e.g. 'new/b/2.png', "
        "'old/2.jpg'; give [images] path a template that tells them apart"
    ) in refusal(tmp_path, lines, CLASS, images=images)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{fiel}.jpg", "[images] path = '{fiel}.jpg': train.csv has no column 'fiel'; did you"),
        ("{file}", "image paths must stay inside raw, 1 do not, e.g. not '../1.jpg' of id '1'"),
        ("a/{file}", "image paths must stay inside raw, 1 do not, e.g. not 'a/../1.jpg' of id '1'"),
    ],
)
def test_a_template_that_leads_nowhere_is_said(tmp_path: Path, path: str, message: str) -> None:
    lines = "id,kind,file\n1,a,../1.jpg\n2,b,2.jpg\n"
    assert message in refusal(tmp_path, lines, CLASS, images={"path": path})


def test_no_row_leads_out_of_the_raw_folder(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    paths_inside(["a..b/..c.jpg", "a/b", ""], ["1", "2", "3"], file)
    for wrong in ("/etc/passwd", "..", "../a", "a/..", "a/../b", "a\0.jpg"):
        with pytest.raises(DataError, match=r"train.csv: .* 1 do not, e.g. not .* of id '2'; corr"):
            paths_inside(["a", wrong], ["1", "2"], file)


@pytest.mark.parametrize("prefix", ["", "train-"])
def test_a_skipped_id_may_stand_twice(tmp_path: Path, prefix: str) -> None:
    lines = "id,kind\n1,a\n2,b\n1,b\n3,b\n"
    labels = {**CLASS, "id_prefix": prefix}
    table = read(tmp_path, lines, labels, images={"skip": [f"{prefix}1"]})
    assert table.without([f"{prefix}1"]).frame["id"].tolist() == [f"{prefix}2", f"{prefix}3"]
    assert "'1': 'a', 'b'" in refusal(tmp_path, lines, labels, images={"skip": [f"{prefix}2"]})


def test_a_group_is_read_beside_the_label_and_never_empty(tmp_path: Path) -> None:
    labels = {**CLASS, "group": "patient"}
    table = read(tmp_path, "id,kind,patient\n1,a,p 1\n2,b,p 1\n", labels)
    assert table.frame["group"].tolist() == ["p 1", "p 1"]
    found = refusal(tmp_path, "id,kind,patient\n1,a,p1\n2,b,\n", labels)
    assert "1 rows have no 'patient', e.g. id '2'; give each its own group" in found
    found = refusal(tmp_path, "id,kind,pateint\n1,a,p1\n2,b,p2\n", labels)
    assert "should have the group column 'patient'; did you mean 'pateint'?" in found


def test_rows_that_repeat_an_id_and_its_labels_are_one_row_and_counted(tmp_path: Path) -> None:
    table = read(tmp_path, "id,kind,who\n1,a,me\n2,b,me\n1,a,you\n2,b,you\n2,b,me\n", CLASS)
    assert table.frame["id"].tolist() == ["1", "2"]
    assert table.counts == {REPEATED_ROWS: 3}
    hot = read(tmp_path, "id,zebra,10,ant,x\n1,1,0,0,p\n1,1,0,0,q\n2,0,1,1,p\n", HOT)
    assert (len(hot), hot.counts) == (2, {REPEATED_ROWS: 1})
    assert "1 stand in several, e.g. '1'" in refusal(
        tmp_path, "id,zebra,10,ant\n1,1,0,0\n1,1,0,1\n2,0,1,1\n", HOT
    )


def test_ids_that_a_spreadsheet_has_rounded_are_said_to_be_so(tmp_path: Path) -> None:
    found = refusal(tmp_path, "id,kind\n1.2E+17,a\n1.2E+17,b\n3,a\n", CLASS)
    assert found.endswith(
        "; '1.2E+17' is a number that a spreadsheet has rounded: get the file again, and open it "
        "with ids as text"
    )


def test_one_class_in_two_unicode_forms_is_said_or_merged(tmp_path: Path) -> None:
    lines = "id,kind\n1,café\n2,cafe\u0301\n3,tea\n"
    assert "every class should be written in one way; 'caf\\xe9' and 'cafe\\u0301' are" in refusal(
        tmp_path, lines, CLASS
    )
    merged = read(tmp_path, lines, {**CLASS, "merge": {"cafe\u0301": "café"}})
    assert merged.classes == ("café", "tea")
    found = refusal(tmp_path, lines, {**CLASS, "classes": ["café", "tea"]})
    assert "e.g. 'cafe\u0301' of id '2'; 'caf\\xe9' and 'cafe\\u0301' are the same text" in found


def test_an_images_name_is_found_in_either_unicode_form(tmp_path: Path) -> None:
    (tmp_path / "u\u0308.jpg").touch()
    table = read(tmp_path, "id,kind\nü,a\n2,b\n", CLASS, images={"path": "{id}.jpg"})
    assert table.frame["id"].tolist() == ["ü", "2"]
    assert table.frame["path"].tolist() == ["u\u0308.jpg", "2.jpg"]


def test_a_path_longer_than_any_file_system_takes_is_said(tmp_path: Path) -> None:
    found = refusal(tmp_path, f"id,kind\n{'x' * 300},a\n2,b\n", CLASS, images={"path": "{id}.jpg"})
    assert "image paths must stay inside raw, 1 do not, e.g. not 'xxx" in found
    assert len(found) < 500
