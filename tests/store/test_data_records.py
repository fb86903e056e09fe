"""Records of a data folder: those of earlier versions are read, what they say is compared."""

import json
from pathlib import Path

import pytest

from foldwise.errors import ImageError, StorageError
from foldwise.store.data_records import (
    BoardRecord,
    CachePlan,
    CacheRecord,
    FindingsRecord,
    FoldsRecord,
    HoldoutRecord,
    PreparedRecord,
    ShippedRecord,
)


def test_a_board_that_is_a_list_of_entries_is_read(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    path.write_text(json.dumps([{"team": "you", "file": "a.csv", "private": 0.5}]))
    board = BoardRecord.read(path)
    assert (board.of, [entry.file for entry in board.entries]) == (None, ["a.csv"])
    board.write(path)
    assert json.loads(path.read_text()) == {
        "version": 1,
        "of": None,
        "entries": [{"team": "you", "file": "a.csv", "private": 0.5}],
    }


def test_files_without_a_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"holdout": {"seed": 1}, "labels": "ab", "ids": ["2", "1"]}))
    assert HoldoutRecord.read(path).ids == ("2", "1")
    path.write_text(json.dumps({"scheme": {"n": 5}, "labels": "ab", "sha256": "cd"}))
    assert FoldsRecord.read(path).duplicates == ""  # from before copies were kept together
    path.write_text(json.dumps({"check": {"ok": True}}))
    assert FindingsRecord.read(path).plain() == {"check": {"ok": True}}


def test_a_record_stands_in_a_file_that_says_the_same_whatever_its_version(tmp_path: Path) -> None:
    path, record = tmp_path / "prepared.json", PreparedRecord(adapter_sha256="ab")
    assert not record.stands_in(path)
    record.write(path)
    assert record.stands_in(path)
    path.write_text('{"adapter_sha256": "ab"}')
    assert record.stands_in(path)
    path.write_text('{"adapter_sha256": "cd"}')
    assert not record.stands_in(path)
    path.write_text("[]")
    assert not record.stands_in(path)


def test_a_file_of_a_later_version_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    path.write_text('{"version": 2, "entries": []}')
    with pytest.raises(StorageError, match=r"later version of foldwise .* update foldwise, or"):
        BoardRecord.read(path)


def test_files_of_caches_without_a_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"raw/train.csv": [10, 20, "ab"]}')
    assert ShippedRecord.read(path).files == {"raw/train.csv": (10, 20, "ab")}
    ShippedRecord.read(path).write(path)
    assert ShippedRecord.read(path).files == {"raw/train.csv": (10, 20, "ab")}
    path.write_text('{"shape": [2, 4, 4, 1], "ids": ["b", "a"]}')
    assert CachePlan(shape=(2, 4, 4, 1), ids=("b", "a")).stands_in(path)
    path.write_text('{"packed": false, "shape": [1, 4, 4, 1], "ids": ["a"], "modified_ns": 1}')
    assert CacheRecord.read(path).sources is None  # from before that was written down


def test_a_cache_that_cannot_be_used_is_built_anew(tmp_path: Path) -> None:
    path = tmp_path / "48x64" / "done.json"
    path.parent.mkdir()
    path.write_text('{"version": 2}')
    with pytest.raises(ImageError, match=r"or remove .*48x64 and run .* it is built anew"):
        CacheRecord.read(path)
