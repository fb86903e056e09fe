"""Records: typed, versioned, and refused in one line where they cannot be used."""

import json
from pathlib import Path

import pytest

from foldwise.errors import FoldwiseError, RunError, StorageError
from foldwise.store.files import read_json, write_json
from foldwise.store.records import Record
from foldwise.store.run_records import BlendRecord, FoldRecord, RateSearch, RunRecord
from records import blend_values, run_values


def test_what_was_written_before_versions_is_read_and_keys_that_are_not_known_are_kept(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.json"
    write_json(path, run_values(later={"a": [1]}))
    record = RunRecord.read(path)
    assert (record.seed, record.classes, record.begun_with) == (0, ("z", "x"), None)
    record.write(path)
    assert read_json(path) == {"version": 1, **run_values(later={"a": [1]})}
    assert RunRecord.read(path) == record


def test_what_was_not_given_is_not_written(tmp_path: Path) -> None:
    FoldRecord(fold=1, seconds=2.5).write(tmp_path / "done.json")
    assert json.loads((tmp_path / "done.json").read_text()) == {
        "version": 1,
        "fold": 1,
        "seconds": 2.5,
    }


@pytest.mark.parametrize(
    ("kind", "values", "remedy"),
    [
        (RunRecord, run_values(), "run `foldwise train tiny` again, and remove .*/tiny/x-s0-1"),
        (BlendRecord, blend_values(), "run `foldwise blend tiny` again"),
    ],
)
def test_a_record_of_another_version_is_refused_with_what_to_do(
    tmp_path: Path, kind: type[Record], values: dict[str, object], remedy: str
) -> None:
    path = tmp_path / "tiny" / "x-s0-1" / "record.json"
    write_json(path, {**values, "version": 2})
    with pytest.raises(RunError, match=r"later version of foldwise \(of version 2, .* " + remedy):
        kind.read(path)
    lacking = next(iter(values))
    write_json(path, {key: value for key, value in values.items() if key != lacking})
    with pytest.raises(RunError, match=rf"earlier version .* \('{lacking}'\); {remedy}"):
        kind.read(path)


def test_a_version_that_can_no_longer_be_used_is_refused(tmp_path: Path) -> None:
    class Newer(RateSearch):
        newest, oldest = 3, 2

    write_json(tmp_path / "lr-0.json", {"suggestions": {}})
    with pytest.raises(
        StorageError, match=r"by an earlier version of foldwise; remove .*lr-0.json"
    ):
        Newer.read(tmp_path / "lr-0.json")
    write_json(tmp_path / "lr-0.json", {"suggestions": {}, "version": 2})
    assert Newer.read(tmp_path / "lr-0.json").suggestions == {}


def test_a_file_that_is_not_there_is_no_record(tmp_path: Path) -> None:
    assert RateSearch.read_if_there(tmp_path / "lr-0.json") is None
    (tmp_path / "lr-0.json").write_text("[1, 2]")
    with pytest.raises(FoldwiseError, match=r"lr-0.json was written by an earlier version"):
        RateSearch.read_if_there(tmp_path / "lr-0.json")
