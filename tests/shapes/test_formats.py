"""A format file says what is asked for; what does not fit it is said before any training."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.errors import DataError, LabelError, SpecError
from foldwise.kinds.shape import SubmissionFormat
from foldwise.shapes.formats import read_format, rows_of_format, submission_format
from foldwise.tasks import MultiClass

CLASSES = ("zebra", "10", "ant")
WIDE = "Id,zebra,10,ant\n02,0,0,0\n1,0,0,0\n"
ONE = "Id,y\n02,\n1,\n"
LONG = "key,p\n02_zebra,0\n02_10,0\n02_ant,0\n1_zebra,0\n1_10,0\n1_ant,0\n"
THREE = "Id,kind,p\n1,ant,0\n02,zebra,0\n02,10,0\n02,ant,0\n1,zebra,0\n1,10,0\n"


def spec_of(known: bool = True, multi: bool = False, **settings: Any) -> CompetitionSpec:
    """A spec with this [submission]; known: [labels] classes are given."""
    labels = {
        "format": "delimited" if multi else "class_column",
        "column": "y",
        "classes": CLASSES if known else None,
    }
    files = {"train": "t.csv", "format": "sample.csv"}
    table = {
        "name": "formats",
        "title": "Formats",
        "platform": "local",
        "labels": labels,
        "files": files,
        "submission": settings,
        "submit": {"recipes": ["r"]},
        "folds": {"default": {"kind": "stratified"}},
    }
    return parse(CompetitionSpec, table, "competition.toml")


def format_of(
    folder: Path,
    sample: str,
    classes: tuple[str, ...] = CLASSES,
    known: bool = True,
    **settings: Any,
) -> SubmissionFormat:
    """The format of a sample file with these lines and this [submission]."""
    (folder / "sample.csv").write_text(sample, encoding="utf-8-sig")
    spec = spec_of(known, **settings)
    file = read_format(spec, folder)
    return submission_format(
        file, spec, list(rows_of_format(file, spec)["id"]), MultiClass(classes)
    )


@pytest.mark.parametrize("known", [True, False])
def test_a_wide_file_has_an_id_and_a_column_per_class(tmp_path: Path, known: bool) -> None:
    shape = format_of(tmp_path, WIDE, known=known)
    assert (shape.id_column, shape.answers, shape.ids) == ("Id", CLASSES, ("02", "1"))
    assert shape.columns == ["Id", *CLASSES]


def test_classes_in_the_spec_tell_an_index_column_from_answers(tmp_path: Path) -> None:
    sample = "row,image,zebra,10,note,ant\n0,02,0,0,x,0\n1,1,0,0,,0\n"
    shape = format_of(tmp_path, sample, id="image")
    assert (shape.id_column, shape.answers, shape.ids) == ("image", CLASSES, ("02", "1"))
    assert list(shape.frame["row"]) == ["0", "1"]
    blind = read_format(spec_of(known=False, id="image"), tmp_path)
    assert blind.answers == ("row", "zebra", "10", "note", "ant")


@pytest.mark.parametrize(
    ("sample", "settings"),
    [
        ("id,image,zebra,10,ant\n0,02,0,0,0\n1,1,0,0,0\n", {}),
        ("id,image,y\n0,02,\n1,1,\n", {"shape": "label", "column": "y"}),
    ],
)
def test_another_column_may_be_called_id(
    tmp_path: Path, sample: str, settings: dict[str, Any]
) -> None:
    shape = format_of(tmp_path, sample, id="image", **settings)
    assert shape.ids == ("02", "1")
    assert list(shape.frame["id"]) == ["0", "1"]


def test_the_answer_is_the_only_column_left_or_the_one_that_is_named(tmp_path: Path) -> None:
    assert format_of(tmp_path, ONE, shape="label").answers == ("y",)
    shape = format_of(tmp_path, "y,Id,why\n,02,a\n,1,b\n", shape="top", id="Id", column="y")
    assert (shape.id_column, shape.answers, shape.ids) == ("Id", ("y",), ("02", "1"))


@pytest.mark.parametrize(
    ("sample", "row", "ids", "known"),
    [
        (LONG, "{id}_{class}", ("02", "1"), False),
        (LONG, "{id}_{class}", ("02", "1"), True),
        (LONG.replace("02_", "0_2_"), "{id}_{class}", ("0_2", "1"), False),
        (LONG.replace("_", " is (a) "), "{id} is (a) {class}", ("02", "1"), False),
        (
            "key,p\nzebra|.1,0\nant|2|,0\nant|.1,0\n10|2|,0\n10|.1,0\nzebra|2|,0\n",
            "{class}|{id}",
            (".1", "2|"),
            True,
        ),
    ],
)
def test_a_long_file_with_two_columns_has_its_ids_in_a_text(
    tmp_path: Path, sample: str, row: str, ids: tuple[str, ...], known: bool
) -> None:
    assert format_of(tmp_path, sample, known=known, shape="long", row=row).ids == ids


def test_a_long_file_with_three_columns_may_have_its_rows_in_any_order(tmp_path: Path) -> None:
    shape = format_of(tmp_path, THREE, shape="long")
    assert shape.ids == ("1", "02")
    coded = format_of(tmp_path, THREE.replace("ant", "A"), shape="long", codes={"ant": "A"})
    assert coded.ids == ("1", "02")
    assert coded.for_ids(["7"]).frame.to_numpy().tolist() == [
        ["7", "zebra", ""],
        ["7", "10", ""],
        ["7", "A", ""],
    ]


@pytest.mark.parametrize(
    ("sample", "settings", "message"),
    [
        (WIDE, {"id": "Ids"}, r"sample.csv should have the id column 'Ids'; did you mean 'Id'\?"),
        (ONE, {}, r"one column per class, got Id, y; where one column is the whole answer"),
        ("Id,zebra,10\n1,0,\n", {"id": "zebra"}, "it lacks 'zebra', 'ant'; correct one of the two"),
        (
            "Id,a,b\n1,,\n",
            {"shape": "label"},
            r"one answer column for shape = 'label', got Id, a, b; name them as \[submission\] id",
        ),
        (ONE, {"shape": "label", "column": "z"}, "one answer column .* got Id, y; name them"),
        (ONE, {"shape": "label", "column": "Id"}, "one answer column .* got Id, y; name them"),
        ("Id\n1\n", {"shape": "tags"}, "one answer column for shape = 'tags', got Id; name them"),
        ("Id,a,b,p\n1,,,\n", {"shape": "long"}, "for shape = 'long', got Id, a, b, p; name"),
        (
            "Id,p,kind\n1,,ant\n",
            {"shape": "long", "column": "p"},
            "two or three columns, the answers in the last, for shape = 'long', got Id, p, kind",
        ),
        (
            "row,Id,kind,p\n0,1,ant,\n",
            {"shape": "long", "column": "p", "id": "Id"},
            "two or three columns, .*, got row, Id, kind, p",
        ),
        (
            LONG.replace("02_10", "02-10"),
            {"shape": "long"},
            r"'key' should read '\{id\}_\{class\}', e.g. not '02-10'; "
            r"correct \[submission\] row or",
        ),
        (LONG.replace("02_10", "02_bee"), {"shape": "long"}, "e.g. not '02_bee'"),
        (
            LONG.replace("02_10,0\n", ""),
            {"shape": "long"},
            "one row for each of 2 ids and 3 classes, it has 5 rows",
        ),
        (THREE.replace("10", "bee"), {"shape": "long"}, "of 2 ids and 3 classes, it has 6 rows"),
        (THREE + "3,ant,0\n", {"shape": "long"}, "of 3 ids and 3 classes, it has 7 rows"),
        (THREE + "1,ant,0\n", {"shape": "long"}, "of 2 ids and 3 classes, it has 7 rows"),
    ],
)
def test_a_file_that_does_not_fit_its_shape_is_refused(
    tmp_path: Path, sample: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        format_of(tmp_path, sample, **settings)
    assert "\n" not in str(caught.value)
    assert "sample.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (ONE + "02,\n", "every 'Id' must stand in one row, 1 stand in several, e.g. '02'"),
        (ONE + ",\n", "1 rows have no 'Id', e.g. line 4"),
    ],
)
def test_an_id_is_asked_for_once(tmp_path: Path, sample: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        format_of(tmp_path, sample, shape="label")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"shape": "positive", "positive": "zebr"},
            r"\[submission\] names a class 'zebr'; did you mean 'zebra'\?",
        ),
        (
            {"shape": "positive", "positive": "zebra"},
            r'\[submission\] shape = "positive" needs two classes, there are 3',
        ),
        ({"shape": "label", "codes": {"bee": "1"}}, "names a class 'bee'; there are: 10, ant, ze"),
        (
            {"shape": "label", "codes": {"ant": "1", "zebra": "1"}},
            r"\[submission\] codes should differ, 'zebra' and 'ant' are both '1' in the file",
        ),
        ({"shape": "tags", "codes": {"ant": "zebra"}}, "'zebra' and 'ant' are both 'zebra'"),
        ({"shape": "tags", "none": "ant"}, r"\[submission\] none and 'ant' are both 'ant' in the"),
        (
            {"shape": "tags", "codes": {"ant": "red ant"}},
            r"\[submission\] separator = ' ' is part of the class 'red ant'; choose another one",
        ),
        ({"shape": "top", "separator": "t"}, "separator = 't' is part of the class 'ant'"),
        ({"shape": "tags", "separator": ""}, "separator = '' is part of the class 'zebra'"),
        (
            {"shape": "positive"},
            r"the key 'submission.positive' is missing, e.g. positive = \"dog\"",
        ),
        (
            {"shape": "label", "positive": "ant"},
            'submission: positive belongs to shape = "positive", not to "label"',
        ),
        ({"shape": "label", "k": 2}, 'k belongs to shape = "top", not to "label"'),
        ({"shape": "label", "sep": ","}, "unknown key 'submission.sep'; did you mean"),
        ({"shape": "long", "row": "{id}"}, r"\[submission\] row must hold \{class\}, got '\{id\}'"),
        ({"shape": "long", "row": "{class}"}, r"row must hold \{id\}, got '\{class\}'"),
    ],
)
def test_settings_that_do_not_fit_the_classes_are_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        format_of(tmp_path, ONE if settings["shape"] != "long" else LONG, **settings)
    assert "\n" not in str(caught.value)


def test_a_single_class_in_a_cell_may_hold_the_separator(tmp_path: Path) -> None:
    for settings in ({"shape": "label"}, {"shape": "top", "k": 1}):
        assert (
            format_of(tmp_path, ONE, codes={"ant": "red ant"}, **settings).settings.code("ant")
            == "red ant"
        )


@pytest.mark.parametrize(
    ("settings", "columns", "rows"),
    [
        ({}, ["id", *CLASSES], 2),
        ({"id": "image"}, ["image", *CLASSES], 2),
        ({"shape": "label"}, ["id", "label"], 2),
        ({"shape": "tags", "id": "Id", "column": "tags"}, ["Id", "tags"], 2),
        ({"shape": "long"}, ["id", "class", "label"], 6),
    ],
)
def test_without_a_file_the_format_is_made_for_the_holdouts_ids(
    settings: dict[str, Any], columns: list[str], rows: int
) -> None:
    shape = submission_format(None, spec_of(**settings), ["02", "1"], MultiClass(CLASSES))
    assert shape.columns == columns
    assert len(shape.frame) == rows
    assert list(dict.fromkeys(shape.frame[shape.id_column])) == list(shape.ids) == ["02", "1"]
    other = shape.for_ids(["5", "6", "7"])
    assert (other.columns, other.ids, other.classes) == (columns, ("5", "6", "7"), CLASSES)


def test_two_classes_and_one_probability_without_a_file() -> None:
    spec = spec_of(known=False, shape="positive", positive="b", column="is_b")
    shape = submission_format(None, spec, ["1"], MultiClass(("b", "a")))
    assert (shape.columns, shape.answers) == (["id", "is_b"], ("is_b",))


def test_a_format_keeps_every_cell_as_text(tmp_path: Path) -> None:
    shape = format_of(tmp_path, "Id,y,n\n02,,1.50\n1,NA,null\n", shape="label", column="y")
    expected = pd.DataFrame({"Id": ["02", "1"], "y": ["", "NA"], "n": ["1.50", "null"]}, dtype=str)
    pd.testing.assert_frame_equal(shape.frame, expected)


def test_a_listed_class_without_a_column_is_said(tmp_path: Path) -> None:
    (tmp_path / "sample.csv").write_text("Id,zebra,10\n02,0,0\n")
    message = r"sample.csv should have a column for every class of .*, it lacks 'ant'; correct"
    with pytest.raises(DataError, match=message):
        read_format(spec_of(), tmp_path)


@pytest.mark.parametrize("settings", [{}, {"id": "Id"}])
def test_an_index_without_a_name_is_no_class_and_is_written_back(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    lines = WIDE.splitlines()
    sample = "\n".join([f",{lines[0]}", *(f"{n},{line}" for n, line in enumerate(lines[1:]))])
    shape = format_of(tmp_path, sample, known=False, **settings)
    assert (shape.id_column, shape.answers, shape.ids) == ("Id", CLASSES, ("02", "1"))
    assert shape.header == ("", "Id", *CLASSES)
    one = format_of(tmp_path, ",Id,y\n0,02,\n1,1,\n", shape="label", **settings)
    assert (one.id_column, one.answers) == ("Id", ("y",))


def test_a_first_column_without_a_name_that_holds_ids_is_the_id_column(tmp_path: Path) -> None:
    shape = format_of(tmp_path, WIDE.replace("Id,", ",", 1), known=False)
    assert (shape.id_column, shape.answers, shape.header[0]) == ("Unnamed: 0", CLASSES, "")


def test_a_made_format_has_an_id_column_that_is_no_class() -> None:
    spec = spec_of(known=False)
    made = submission_format(None, spec, ["1"], MultiClass(("id", "image_id", "x")))
    assert made.columns == ["row_id", "id", "image_id", "x"]
    with pytest.raises(SpecError, match=r"id and column should differ .* got the columns 'x', 'x'"):
        submission_format(None, spec_of(known=False, id="x"), ["1"], MultiClass(("x", "y")))
