"""Manifests: a headline of those of any version, and a strict reading of what makes one again."""

import json
from pathlib import Path
from typing import Any

import pytest

from foldwise.errors import SubmissionError
from foldwise.store.files import sha256_json
from foldwise.store.manifests import HASH_KEY, Headline, Manifest, write_manifest

RUN = {"run": "a-s0-1", "recipe": {"name": "a"}, "seed": 0, "resolved": {}, "rates": {}}
TOLD: dict[str, Any] = {
    "competition": "tiny",
    "created": "2026-01-01",
    "sha256": "ab",
    "local": {"value": 1, "low": None, "high": None},
    "spec": {},
    "data": {},
    "blend": {"directory": "blend-mean-1", "expected": {"value": 0.5}},
    "runs": [RUN],
    "teachers": [],
    "folds": {"scheme": "default", "sha256": "cd"},
    "code": {"commit": "0123"},
    "versions": {},
    "machine": {},
}


def test_a_manifest_is_read_with_the_hash_of_what_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_manifest(path, TOLD)
    assert json.loads(path.read_text())["version"] == 1
    assert Manifest.read(path).runs[0].recipe == {"name": "a"}
    path.write_text(path.read_text().replace('"created": "2026', '"created": "2027'))
    with pytest.raises(SubmissionError, match=r"json was altered after it was written; restore it"):
        Manifest.read(path)


def test_a_manifest_without_a_version_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**TOLD, HASH_KEY: sha256_json(TOLD)}))
    assert Manifest.read(path).folds.scheme == "default"


def test_a_manifest_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**TOLD, HASH_KEY: "", "version": 2}))
    with pytest.raises(SubmissionError, match=r"later version .*make the submission again with"):
        Manifest.read(path)


def test_a_headline_asks_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert Headline.read(path) == Headline()
    path.write_text("{}")
    assert Headline.read(path).local is None
    path.write_text('{"local": null, "runs": [{"run": "a"}], "blend": {"directory": "b"}}')
    told = Headline.read(path)
    assert told.blend is not None
    assert (told.blend.directory, told.blend.expected, told.runs[0].run) == ("b", None, "a")
