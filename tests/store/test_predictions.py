"""Predictions frames are checked at the door and survive the disk."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow.parquet import ParquetFile

from foldwise.errors import PredictionError
from foldwise.store import predictions
from foldwise.store.predictions import (
    align,
    check_predictions,
    open_writer,
    predictions_frame,
    read_predictions,
    write_predictions,
)

CLASSES = ("z", "a")


def frame() -> pd.DataFrame:
    return predictions_frame(["007", "1"], np.array([[0.25, 0.75], [1.0, 0.0]]), CLASSES)


def test_a_frame_survives_the_disk_bit_by_bit(tmp_path: Path) -> None:
    write_predictions(tmp_path / "a.parquet", frame())
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "a.parquet", CLASSES), frame())
    first = (tmp_path / "a.parquet").read_bytes()
    write_predictions(tmp_path / "a.parquet", frame())
    assert (tmp_path / "a.parquet").read_bytes() == first


def test_many_classes_are_kept_as_float32(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(1001)]
    probs = np.full((2, 1001), 1 / 1001)
    write_predictions(tmp_path / "a.parquet", predictions_frame(["1", "2"], probs, names))
    assert pd.read_parquet(tmp_path / "a.parquet")["c0"].dtype == np.float32
    assert read_predictions(tmp_path / "a.parquet", names)["c0"].dtype == np.float64


def test_rows_are_aligned_by_id() -> None:
    assert list(align(frame(), ["1", "007"], "x")["z"]) == [1.0, 0.25]
    with pytest.raises(PredictionError, match=r"1 missing \('2'\), 1 unknown \('1'\)"):
        align(frame(), ["007", "2"], "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[["id", "a", "z"]], r"expected the columns 'id', 'z', 'a' in class order"),
        (lambda f: f.replace(0.25, np.nan), "1 of 2 rows hold numbers that are not finite"),
        (lambda f: f.replace(0.25, np.inf), "e.g. id '007'"),
        (lambda f: pd.concat([f, f[:1]]), "1 ids are predicted twice, e.g. '007'"),
    ],
)
def test_a_wrong_frame_is_said(change: object, message: str) -> None:
    with pytest.raises(PredictionError, match=message):
        check_predictions(change(frame()), CLASSES, "x")  # type: ignore[operator]


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 half")
    with pytest.raises(PredictionError, match=r"a.parquet cannot be read .* remove its run"):
        read_predictions(tmp_path / "a.parquet", CLASSES)


def test_predictions_written_as_they_come_are_the_same_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    probs = rng.dirichlet([1, 1, 1], size=25)
    ids = [f"{i:03d}" for i in range(25)]
    monkeypatch.setattr(
        predictions, "BUFFERED_NUMBERS", 12
    )  # numbers: after four rows they are written
    with open_writer(tmp_path / "a.parquet", ["z", "b", "1"]) as add:
        for begin in range(0, 25, 2):
            add(ids[begin : begin + 2], probs[begin : begin + 2])
    assert ParquetFile(tmp_path / "a.parquet").num_row_groups > 3
    write_predictions(tmp_path / "b.parquet", predictions_frame(ids, probs, ["z", "b", "1"]))
    frames = [read_predictions(tmp_path / f"{n}.parquet", ["z", "b", "1"]) for n in "ab"]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    assert (frames[0][["z", "b", "1"]].to_numpy() == probs).all()


def test_a_file_is_absent_where_a_later_row_is_no_probability(tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="1 of 1 rows hold numbers that are not finite"):
        with open_writer(tmp_path / "a.parquet", ["a", "b"]) as add:
            add(["1"], np.array([[0.5, np.nan]]))
    assert list(tmp_path.iterdir()) == []


def test_no_rows_at_all_are_an_empty_file_with_its_columns(tmp_path: Path) -> None:
    with open_writer(tmp_path / "a.parquet", ["a", "b"]):
        pass
    assert list(read_predictions(tmp_path / "a.parquet", ["a", "b"]).columns) == ["id", "a", "b"]
