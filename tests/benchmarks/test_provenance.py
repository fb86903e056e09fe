"""Rows of results: the columns that the files have, and nothing that they lack."""

import csv
import shutil
from pathlib import Path

import pytest

from provenance import append, provenance


def test_a_row_fits_the_columns_that_are_there(repository: Path, tmp_path: Path) -> None:
    path = tmp_path / "speed.csv"
    shutil.copy(repository / "benchmarks" / "results" / "speed.csv", path)
    with path.open(newline="") as handle:
        head = next(csv.reader(handle))
    assert {*provenance()} <= {*head}
    append(path, {"name": "made up", "ratio": 2.5, **provenance()})
    with path.open(newline="") as handle:
        last = [*csv.DictReader(handle)][-1]
    assert (last["name"], last["ratio"], last["verdict"]) == ("made up", "2.5", "")
    assert last["cpus"] == str(provenance()["cpus"])
    with pytest.raises(ValueError, match="unknown"):
        append(path, {"unknown": 1})


def test_a_new_file_gets_a_header(tmp_path: Path) -> None:
    for number in (1, 2):
        append(tmp_path / "new.csv", {"a": number, "b": 3})
    assert (tmp_path / "new.csv").read_text().split() == ["a,b", "1,3", "2,3"]
