"""A submission is what was written and read back, in the format file's shape."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.data.competition import load_data
from foldwise.errors import PredictionError, SubmissionError
from foldwise.metrics.scoring import score
from foldwise.shapes.submission import read_submission, write_submission
from foldwise.store.predictions import predictions_frame
from foldwise.tables.text import read_table
from foldwise.workspace import Workspace
from tiny import metric_of, wide

SHAPE = wide("Id", ("z", "a", "10"), ("02", "1", "003"))


def predictions(probs: np.ndarray | None = None) -> pd.DataFrame:
    if probs is None:
        probs = np.random.default_rng(0).dirichlet(np.ones(3), 3)
    return predictions_frame(["1", "003", "02"], probs, SHAPE.classes)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_columns_rows_and_numbers_survive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    write_submission(path, predictions(), SHAPE)
    assert path.read_text().splitlines()[0] == "Id,z,a,10"
    back = read_submission(path, SHAPE)
    assert tuple(back["id"]) == SHAPE.ids
    expected = predictions().set_index("id").loc[list(SHAPE.ids)].to_numpy()
    assert np.abs(back[list(SHAPE.classes)].to_numpy() - expected).max() < 1e-9


def test_rows_are_renormalised_and_sum_to_one_in_the_file(tmp_path: Path) -> None:
    classes = tuple(f"c{i}" for i in range(120))
    probs = np.random.default_rng(0).dirichlet(np.ones(120), 50) * 0.5
    ids = [str(i) for i in range(50)]
    shape = wide("id", classes, ids)
    write_submission(tmp_path / "s.csv", predictions_frame(ids, probs, classes), shape)
    sums = pd.read_csv(tmp_path / "s.csv")[list(classes)].sum(axis=1)
    assert (sums - 1).abs().max() < 1e-8


def test_missing_predictions_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="1 missing"):
        write_submission(tmp_path / "s.csv", predictions()[:2], SHAPE)
    assert list(tmp_path.iterdir()) == []


def test_the_format_file_itself_passes(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    path = data.raw / "submission_format.csv"
    assert len(read_submission(path, data.format)) == 12


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("archive", "file", "classes"),
    [
        ("wildlife-csv.zip", "submission_format.csv", 8),
        ("leaf-classification.zip", "sample_submission.csv", 99),
    ],
)
def test_real_format_files_pass(
    realdata: Path, tmp_path: Path, archive: str, file: str, classes: int
) -> None:
    import zipfile

    with zipfile.ZipFile(realdata / archive) as handle:
        handle.extract(file, tmp_path)
    columns = (tmp_path / file).read_text().partition("\n")[0].strip().split(",")
    frame = read_table(tmp_path / file)
    shape = replace(wide(columns[0], columns[1:], list(frame.iloc[:, 0])), frame=frame)
    back = read_submission(tmp_path / file, shape)
    assert len(shape.classes) == classes
    truth = pd.DataFrame({"id": back["id"]})
    codes = np.arange(len(back)) % classes
    truth["label"] = pd.Categorical.from_codes(codes, categories=list(shape.classes))
    uniform = predictions_frame(
        back["id"], np.full((len(back), classes), 1 / classes), shape.classes
    )
    write_submission(tmp_path / "u.csv", uniform, shape)
    scored = score(metric_of(), truth, read_submission(tmp_path / "u.csv", shape), interval=False)
    assert scored.value == pytest.approx(math.log(classes), abs=1e-9)
    write_submission(
        tmp_path / "t.csv",
        predictions_frame(back["id"], np.eye(classes)[codes], shape.classes),
        shape,
    )
    assert score(metric_of(), truth, read_submission(tmp_path / "t.csv", shape)).value < 1e-9


GOOD = "Id,z,a,10\n02,0.2,0.3,0.5\n1,1,0,0\n003,0,1,0\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Id,z,a,10", "Id,a,z,10", "columns should be in the format file's order 'Id', 'z'"),
        ("Id,z,a,10", "Id,z,a,11", "missing: '10'; unknown: '11'"),
        ("02,0.2", "2,0.2", r"1 missing \('02'\), 1 unknown \('2'\)"),
        ("003,0,1,0\n", "", r"expected the format file's 3 ids; got 1 missing \('003'\)"),
        ("003,0,1,0", "1,0,1,0", "1 stand twice or more, e.g. '1'"),
        ("1,1,0,0\n003,0,1,0", "003,0,1,0\n1,1,0,0", "row 2 is '003', expected '1'"),
        ("0.2,0.3", "nan,0.3", "1 cells should be finite numbers, e.g. Id '02' has 'nan'"),
        ("0.2,0.3", "inf,0.3", "should be finite numbers"),
        ("0.2,0.3", "much,0.3", "1 cells should be finite numbers, e.g. Id '02' has 'much' in 'z'"),
        ("003,0,1,0\n", "003,0,1,0\nnew,0,1,0\n", r"got 1 unknown \('new'\)"),
        ("0.2,0.3", ",0.3", "has '' in 'z'"),
        ("0.2,0.3", "-0.2,0.7", "should lie in 0..1; 1 rows do not, e.g. id '02': -0.2 to 0.7"),
        ("0.2,0.3", "0.2,0.3001", "sum to 1 within 1e-05; 1 do not, e.g. id '02' sums to 1.0001"),
        (GOOD, "", "is empty"),
    ],
)
def test_each_broken_rule_is_said(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path / "s.csv", GOOD)
    assert len(read_submission(path, SHAPE)) == 3
    assert old in GOOD
    write(path, GOOD.replace(old, new))
    with pytest.raises(SubmissionError, match=message):
        read_submission(path, SHAPE)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match=r"expected the file .*s.csv, found none"):
        read_submission(tmp_path / "s.csv", SHAPE)
