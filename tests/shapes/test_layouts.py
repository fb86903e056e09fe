"""Every shape of a submission: what is written is read back, and what breaks a rule is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import SubmissionError
from foldwise.kinds.shape import SubmissionFormat
from foldwise.shapes.formats import read_format, rows_of_format, submission_format
from foldwise.shapes.submission import read_submission, write_submission
from foldwise.store.predictions import predictions_frame
from foldwise.tasks import task_of

CLASSES = ("zebra", "10", "ant")  # neither sorted as text nor as numbers
IDS = ("02", "1", "003")
PROBS = np.array([[0.5, 0.25, 0.25], [0.125, 0.625, 0.25], [0, 0, 1]])  # of IDS
SPEC = {
    "name": "shapes",
    "title": "Shapes",
    "platform": "local",
    "folds": {"default": {"kind": "stratified"}},
    "submit": {"recipes": ["r"]},
}


def format_of(
    folder: Path,
    sample: str,
    classes: tuple[str, ...] = CLASSES,
    multi: bool = False,
    **settings: Any,
) -> SubmissionFormat:
    """The format of a sample file with these lines and this [submission]."""
    (folder / "sample.csv").write_text(sample)
    how = {"format": "delimited" if multi else "class_column", "column": "y", "classes": classes}
    spec = CompetitionSpec.model_validate(
        {
            **SPEC,
            "labels": how,
            "files": {"train": "t.csv", "format": "sample.csv"},
            "submission": settings,
        }
    )
    file = read_format(spec, folder)
    return submission_format(
        file, spec, list(rows_of_format(file, spec)["id"]), task_of(classes, spec.labels.target)
    )


def lines(header: str, *rows: str) -> str:
    return "\n".join((header, *rows)) + "\n"


WIDE = lines("row,Id,note,zebra,10,ant", '7,02,"a, b",0,0,0', '8,1,"""hi""",0,0,0', "9,003,,0,0,0")
ONE = lines("Id,y", "02,", "1,", "003,")
EXTRA = lines("y,Id,site", ',02,"x, y"', ",1,", ",003,Ü")
LONG = lines("key,p", *(f"{id}_{name},0" for id in IDS for name in CLASSES))
LONG_MIXED = lines(
    "key,p",
    "10|02,",
    "ant|1,",
    "zebra|02,",
    "ant|02,",
    "10|003,",
    "zebra|1,",
    "10|1,",
    "zebra|003,",
    "ant|003,",
)
LONG_THREE = lines("Id,kind,p", *(f"{id},{name},0" for id in IDS for name in ("A", "10", "Z")))
BINARY = {"shape": "positive", "column": "y", "id": "Id"}

# sample file, classes, multi, [submission], the file that is written of PROBS
CASES: dict[str, tuple[str, tuple[str, ...], bool, dict[str, Any], str]] = {
    "wide": (
        WIDE,
        CLASSES,
        False,
        {"id": "Id"},
        lines(
            "row,Id,note,zebra,10,ant",
            '7,02,"a, b",0.5,0.25,0.25',
            '8,1,"""hi""",0.125,0.625,0.25',
            "9,003,,0,0,1",
        ),
    ),
    "positive, the first class": (
        EXTRA,
        ("yes", "no"),
        False,
        {**BINARY, "positive": "yes"},
        lines("y,Id,site", '0.6666666667,02,"x, y"', "0.1666666667,1,", "0,003,Ü"),
    ),
    "positive, the second class": (
        EXTRA,
        ("no", "yes"),
        False,
        {**BINARY, "positive": "yes"},
        lines("y,Id,site", '0.3333333333,02,"x, y"', "0.8333333333,1,", "1,003,Ü"),
    ),
    "label": (
        EXTRA,
        CLASSES,
        False,
        {"shape": "label", "id": "Id", "column": "y"},
        lines("y,Id,site", 'zebra,02,"x, y"', "10,1,", "ant,003,Ü"),
    ),
    "label, codes that are other classes' names": (
        ONE,
        CLASSES,
        False,
        {"shape": "label", "codes": {"zebra": "10", "10": "zebra", "ant": "an ant, red"}},
        lines("Id,y", "02,10", "1,zebra", '003,"an ant, red"'),
    ),
    "top": (
        EXTRA,
        CLASSES,
        False,
        {"shape": "top", "k": 2, "id": "Id", "column": "y"},
        lines("y,Id,site", 'zebra 10,02,"x, y"', "10 ant,1,", "ant zebra,003,Ü"),
    ),
    "top, more than there are classes": (
        ONE,
        CLASSES,
        False,
        {"shape": "top", "separator": "|", "codes": {"ant": "a b"}},
        lines("Id,y", "02,zebra|10|a b", "1,10|a b|zebra", "003,a b|zebra|10"),
    ),
    "top, a single one": (
        ONE,
        CLASSES,
        False,
        {"shape": "top", "k": 1, "codes": {"ant": "a b"}},
        lines("Id,y", "02,zebra", "1,10", "003,a b"),
    ),
    "tags": (
        ONE,
        CLASSES,
        True,
        {"shape": "tags", "threshold": 0.25, "separator": ","},
        lines("Id,y", '02,"zebra,10,ant"', '1,"10,ant"', "003,ant"),
    ),
    "tags, one at least": (
        ONE,
        CLASSES,
        True,
        {"shape": "tags", "threshold": 0.6},
        lines("Id,y", "02,zebra", "1,10", "003,ant"),
    ),
    "tags, none of these": (
        ONE,
        CLASSES,
        True,
        {"shape": "tags", "threshold": 0.6, "none": "nothing here"},
        lines("Id,y", "02,nothing here", "1,10", "003,ant"),
    ),
    "tags, an empty cell": (
        ONE,
        CLASSES,
        True,
        {"shape": "tags", "threshold": 0.7, "none": ""},
        lines("Id,y", "02,", "1,", "003,ant"),
    ),
    "wide, many labels": (
        WIDE,
        CLASSES,
        True,
        {"id": "Id"},
        lines(
            "row,Id,note,zebra,10,ant",
            '7,02,"a, b",0.5,0.25,0.25',
            '8,1,"""hi""",0.125,0.625,0.25',
            "9,003,,0,0,1",
        ),
    ),
    "long": (
        LONG,
        CLASSES,
        False,
        {"shape": "long"},
        lines(
            "key,p",
            "02_zebra,0.5",
            "02_10,0.25",
            "02_ant,0.25",
            "1_zebra,0.125",
            "1_10,0.625",
            "1_ant,0.25",
            "003_zebra,0",
            "003_10,0",
            "003_ant,1",
        ),
    ),
    "long, its rows mixed": (
        LONG_MIXED,
        CLASSES,
        True,
        {"shape": "long", "row": "{class}|{id}"},
        lines(
            "key,p",
            "10|02,0.25",
            "ant|1,0.25",
            "zebra|02,0.5",
            "ant|02,0.25",
            "10|003,0",
            "zebra|1,0.125",
            "10|1,0.625",
            "zebra|003,0",
            "ant|003,1",
        ),
    ),
    "long, three columns": (
        LONG_THREE,
        CLASSES,
        False,
        {"shape": "long", "codes": {"zebra": "Z", "ant": "A"}},
        lines(
            "Id,kind,p",
            "02,A,0.25",
            "02,10,0.25",
            "02,Z,0.5",
            "1,A,0.25",
            "1,10,0.625",
            "1,Z,0.125",
            "003,A,1",
            "003,10,0",
            "003,Z,0",
        ),
    ),
}


@pytest.fixture(params=CASES)
def case(
    request: pytest.FixtureRequest, tmp_path: Path
) -> tuple[SubmissionFormat, pd.DataFrame, str]:
    """A format, predictions for its ids in another order, and the file that they become."""
    sample, classes, multi, settings, expected = CASES[request.param]
    shape = format_of(tmp_path, sample, classes, multi, **settings)
    probs = PROBS[:, : len(classes)]
    if len(classes) == 2:
        probs = np.array([[2 / 3, 1 / 3], [1 / 6, 5 / 6], [0, 1]])
    return shape, predictions_frame(IDS, probs, classes).iloc[[2, 0, 1]], expected


def test_a_file_holds_what_was_predicted_in_the_format_files_columns_and_rows(
    case: tuple[SubmissionFormat, pd.DataFrame, str], tmp_path: Path
) -> None:
    shape, predictions, expected = case
    write_submission(tmp_path / "s.csv", predictions, shape)
    assert (tmp_path / "s.csv").read_text() == expected


def test_a_file_is_read_back_as_what_it_says(
    case: tuple[SubmissionFormat, pd.DataFrame, str], tmp_path: Path
) -> None:
    shape, predictions, _ = case
    write_submission(tmp_path / "s.csv", predictions, shape)
    back = read_submission(tmp_path / "s.csv", shape)
    said = shape.decide(predictions).set_index("id").loc[list(shape.ids)].reset_index()
    pd.testing.assert_frame_equal(back, said, atol=1e-9, rtol=0)
    assert tuple(back.columns) == ("id", *shape.classes)


def test_random_predictions_survive_every_shape(
    case: tuple[SubmissionFormat, pd.DataFrame, str], tmp_path: Path
) -> None:
    shape, predictions, _ = case
    for seed in range(5):
        rng = np.random.default_rng(seed)
        probs = rng.dirichlet(np.ones(len(shape.classes)), len(predictions)).astype(np.float32)
        if not shape.task.sums_to_one:
            probs = rng.random(probs.shape).astype(np.float32)
        made = predictions_frame(predictions["id"], probs, shape.classes)
        write_submission(tmp_path / "s.csv", made, shape)
        back = read_submission(tmp_path / "s.csv", shape)
        said = shape.decide(made).set_index("id").loc[list(shape.ids)].reset_index()
        pd.testing.assert_frame_equal(back, said, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("settings", "cells"),
    [
        ({"shape": "label"}, ["zebra", "10"]),
        ({"shape": "top", "k": 3}, ["zebra 10 ant", "10 ant zebra"]),
        ({"shape": "top", "k": 1}, ["zebra", "10"]),
        ({"shape": "tags", "threshold": 0.9}, ["zebra", "10"]),
        ({"shape": "tags", "threshold": 0.25}, ["zebra 10 ant", "10 ant"]),
        ({"shape": "tags", "threshold": 0.4}, ["zebra", "10 ant"]),
    ],
)
def test_equal_probabilities_go_by_class_order(
    tmp_path: Path, settings: dict[str, Any], cells: list[str]
) -> None:
    shape = format_of(tmp_path, lines("Id,y", "1,", "2,"), multi=True, **settings)
    probs = np.array([[0.25, 0.25, 0.25], [0.125, 0.5, 0.5]])
    if cells[0] == "zebra" and settings.get("threshold") == 0.4:
        probs[0] = 0.3  # none passes: the first of the most probable ones
    write_submission(tmp_path / "s.csv", predictions_frame("12", probs, CLASSES), shape)
    assert list(pd.read_csv(tmp_path / "s.csv", dtype=str)["y"]) == cells


@pytest.mark.parametrize("shape", ["wide", "long"])
def test_rows_of_120_classes_still_sum_to_one(tmp_path: Path, shape: str) -> None:
    classes = tuple(f"c{n}" for n in np.random.default_rng(0).permutation(120))
    sample = lines("id," + ",".join(classes), *(f"{i}" + ",0" * 120 for i in range(9)))
    if shape == "long":
        sample = lines("id,p", *(f"{i}_{name},0" for i in range(9) for name in classes))
    made = format_of(tmp_path, sample, classes, shape=shape)
    probs = np.random.default_rng(1).dirichlet(np.ones(120), 9).astype(np.float16)
    write_submission(tmp_path / "s.csv", predictions_frame(made.ids, probs, classes), made)
    back = read_submission(tmp_path / "s.csv", made)
    assert np.abs(back[list(classes)].sum(axis=1) - 1).max() < 1e-8


def test_only_rows_with_one_label_must_sum_to_one(tmp_path: Path) -> None:
    text = lines("row,Id,note,zebra,10,ant", '7,02,"a, b",1,1,1', "8,1,,0,0,0", "9,003,,1,0,0")
    (tmp_path / "s.csv").write_text(text)
    many = read_submission(tmp_path / "s.csv", format_of(tmp_path, WIDE, multi=True, id="Id"))
    assert list(many[list(CLASSES)].sum(axis=1)) == [3, 0, 1]
    with pytest.raises(SubmissionError, match="within 1e-05; 2 do not, "):
        read_submission(tmp_path / "s.csv", format_of(tmp_path, WIDE, id="Id"))


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("wide", "0.5,", "1.5,", "should lie in 0..1; 1 rows do not, e.g. id '02': 0.25 to 1.5"),
        ("wide", "0.5,", "0.50002,", "every row should sum to 1 within 1e-05; 1 do not, e.g. id"),
        ("wide", "row,", "Row,row,", r"the header should be that .* missing: none; unknown: 'Row'"),
        ("wide", "row,", "", "rows should have 5 cells as the header has, got more in"),
        ("wide", "note", "notes", "missing: 'note'; unknown: 'notes'"),
        ("wide", "10,ant", "ant,10", "should be in the format file's order 'row', 'Id', 'note'"),
        ("positive, the first class", "0.1666666667", "-0.5", "e.g. id '1': -0.5 to -0.5"),
        ("positive, the second class", "0.8333333333", "", "e.g. Id '1' has '' in 'y'"),
        ("label", "zebra", "zebr", "id '02' has 'zebr' in 'y'; 'zebr' is no class; did you mean"),
        ("label", "zebra", "", "id '02' has '' in 'y'; '' is no class; there are: 10, ant, zebra"),
        ("label", "zebra", "zebra 10", "'zebra 10' is no class; did you mean 'zebra'?"),
        ("label", ",02,", ",2,", r"1 missing \('02'\), 1 unknown \('2'\)"),
        ("label", ",02,", ",1,", "every id should stand once, 1 stand twice or more, e.g. '1'"),
        ("label", 'zebra,02,"x, y"\n', "", r"expected the format file's 3 ids; got 1 missing"),
        ("label", "zebra,02", "ant,04,\nzebra,02", r"got 1 unknown \('04'\)"),
        ("label", '02,"x, y"\n10,1', '1,"x, y"\n10,02', "row 1 is '1', expected '02'"),
        ("label, codes that are other classes' names", "an ant, red", "ant", "'ant' is no class"),
        ("top", "zebra 10", "zebra 10 ant", "has 'zebra 10 ant' in 'y'; expected at most 2"),
        ("top", "zebra 10", "zebra zebra", "expected at most 2 classes, none of them twice"),
        ("top", "zebra 10", "zebra  10", "'' is no class"),
        ("top", "zebra 10", "zebra,10", "rows should have 3 cells as the header has, got"),
        ("tags", "10,ant", "10,bee", "id '02' has 'zebra,10,bee' in 'y'; 'bee' is no class"),
        ("tags", "zebra,10,ant", "10,ant,10", "expected at most 3 classes, none of them twice"),
        ("tags", '"zebra,10,ant"', "", "'' is no class"),
        ("tags, one at least", "zebra", "nothing", "'nothing' is no class"),
        ("tags, none of these", "02,nothing here", "02,", "'' is no class"),
        ("tags, none of these", ",10", ",10 nothing", "'nothing' is no class"),
        ("long", "02_zebra,0.5", "02_zebra,2", "0..1; 1 rows do not, e.g. id '02_zebra': 2"),
        ("long", "02_zebra,0.5", "02_zebra,nan", "e.g. key '02_zebra' has 'nan' in 'p'"),
        ("long", "02_zebra", "02_zebr", r"missing \('02_zebra'\), 1 unknown \('02_zebr'\)"),
        ("long", "02_zebra,0.5\n", "", r"format file's 9 ids; got 1 missing \('02_zebra'\)"),
        ("long", "02_zebra", "02_10", "every id should stand once, 1 stand twice or more"),
        ("long, three columns", "02,A,0.25\n", "", "s.csv: expected 9 rows, got 8"),
        ("long, three columns", "003,Z,0\n", "003,Z,0\n003,Z,0\n", "expected 9 rows, got 10"),
        ("long, three columns", "02,A", "02,Z", "row 1 is 'Z', expected 'A'"),
        ("long, three columns", "02,A", "02,ant", r"1 unknown \('ant'\)"),
        ("long, three columns", "02,A", "1,A", "row 1 is '1', expected '02'"),
        ("long, three columns", "Id,kind", "kind,Id", "columns should be in the format file's ord"),
    ],
)
def test_each_broken_rule_is_said(
    tmp_path: Path, name: str, old: str, new: str, message: str
) -> None:
    sample, classes, multi, settings, good = CASES[name]
    shape = format_of(tmp_path, sample, classes, multi, **settings)
    (tmp_path / "s.csv").write_text(good)
    assert len(read_submission(tmp_path / "s.csv", shape)) == 3
    assert old in good
    (tmp_path / "s.csv").write_text(good.replace(old, new, 1))
    with pytest.raises(SubmissionError, match=message) as caught:
        read_submission(tmp_path / "s.csv", shape)
    assert "\n" not in str(caught.value)
