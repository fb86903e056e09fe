"""A submission in W&B: what its summary run holds, and board scores that arrive later."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise.commands import blend as blending
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.reporting.html.numbers import confusion, samples
from foldwise.reporting.summing import join_scores, sum_up
from foldwise.reporting.syncing import offline_runs
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from offline import read
from tiny import CLASSES, copy


@pytest.fixture
def there(submitted: tuple[Workspace, Entry], tmp_path: Path) -> tuple[Workspace, Entry]:
    """A copy of the submitted workspace, and its entry there."""
    workspace = copy(submitted[0], tmp_path / "w")
    file = workspace.data / "tiny" / "submissions" / submitted[1].file.name
    return workspace, replace(submitted[1], file=file)


def test_the_summary_run_holds_what_lies_on_disk(
    there: tuple[Workspace, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    workspace, entry = there
    data, blend = load_data(workspace, "tiny"), blending.blend(open_competition(workspace, "tiny"))
    runs = workspace.runs / "tiny"
    for _ in range(2):  # the second time there is nothing new
        sum_up(runs, data, blend, entry)
    (file,) = offline_runs(runs)
    told = read(file)
    assert (told["run_id"], told["job_type"]) == (entry.file.stem, "summary")
    manifest = json.loads(entry.file.with_suffix(".json").read_text())
    assert told["config"]["update"]["sha256"] == manifest["sha256"]
    assert told["config"]["update"]["runs"][0]["recipe"] == manifest["runs"][0]["recipe"]
    assert told["summary"]["local"] == pytest.approx(blend.score.value)
    assert entry.receipt is not None
    assert told["summary"]["private"] == pytest.approx(entry.receipt.private)
    tables = {
        path.name.split("_")[0]: json.loads(path.read_text())
        for path in file.parent.rglob("*.table.json")
    }
    assert {*tables} == {"blend", "confusion", "samples"}
    assert sum(row[2] for row in tables["confusion"]["data"]) == len(data.train)
    assert len(tables["samples"]["data"]) == 30
    pictures = [*file.parent.rglob("*.png")]
    assert len(pictures) == 30
    assert max(max(Image.open(picture).size) for picture in pictures) <= 128


def test_scores_of_the_board_are_joined_once(
    there: tuple[Workspace, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    workspace, entry = there
    runs, stem = workspace.runs / "tiny", entry.file.stem
    numbers = {"public": None, "private": None, "rank": None, "teams": None}
    join_scores(runs, "tiny", stem, {**numbers, "public": 0.5})
    assert not offline_runs(runs)  # W&B does not know this submission
    data, blend = load_data(workspace, "tiny"), blending.blend(open_competition(workspace, "tiny"))
    sum_up(runs, data, blend, replace(entry, receipt=None))
    for _ in range(2):
        join_scores(runs, "tiny", stem, {**numbers, "public": 0.5})
    _, later = sorted(offline_runs(runs), key=lambda path: path.stat().st_mtime)
    assert read(later)["summary"]["public"] == 0.5


def test_confusion_counts_each_row_once(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    ids = data.train.frame["id"]
    probs = np.tile([0.2, 0.5, 0.3], (len(ids), 1))
    oof = pd.DataFrame(probs, columns=[*CLASSES]).assign(id=ids.to_numpy()).sample(frac=1)
    table = confusion(data, oof[["id", *CLASSES]])
    counts = data.train.frame["label"].value_counts()
    assert [*table["predicted"]] == ["10"] * len(counts)
    assert dict(zip(table["label"], table["rows"], strict=True)) == counts.to_dict()
    assert (table["share"] == 1).all()


def test_samples_have_their_own_labels(workspace: Workspace) -> None:
    data = load_data(workspace, "tiny")
    labels = dict(zip(data.train.frame["id"], data.train.labels(), strict=True))
    hot = pd.DataFrame([{c: float(c == labels[i]) for c in CLASSES} for i in labels])
    oof = hot.assign(id=[*labels]).sample(frac=1, random_state=1)[["id", *CLASSES]]
    rows = samples(data, oof, 10)
    assert len(rows) == rows["id"].nunique() == 10
    assert [labels[i] for i in rows["id"]] == [*rows["label"]] == [*rows["predicted"]]
    assert samples(data, oof, 10)["id"].tolist() == rows["id"].tolist()
    assert len(samples(data, oof, 1000)) == len(oof)
