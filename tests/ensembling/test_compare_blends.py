"""Blends side by side: scores fold by fold, and the gain over the best member."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.data.competition import load_data
from foldwise.metrics.scoring import score
from foldwise.reporting.comparing import compare_blends, compare_runs
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from tiny import copy, only_run


def test_a_blends_row_is_that_of_its_record_and_its_out_of_fold_rows(
    submitted: tuple[Workspace, Entry],
) -> None:
    workspace = submitted[0]
    data, folder = load_data(workspace, "tiny"), workspace.runs / "tiny"
    runs = compare_runs(folder, data)
    (row,) = compare_blends(folder, data, runs)
    record = json.loads((folder / row["run"] / "blend.json").read_text())
    assert (row["score"], row["low"]) == (record["score"]["value"], record["score"]["low"])
    assert (row["expected"], row["expected_high"]) == (
        record["expected"]["value"],
        record["expected"]["high"],
    )
    (public, private) = (row["parts"][part] for part in ("public", "private"))
    assert public["units"] + private["units"] == data.test.frame["group"].nunique()
    assert public["of"] == "groups"
    for part in (public, private):  # fewer rows than the whole board's
        assert part["value"] == row["expected"]
        assert part["low"] <= row["expected_low"] < row["expected_high"] < part["high"]
    assert row["best_member"] == only_run(workspace).name
    assert (row["member_score"], row["folds_sha256"]) == (
        runs[0]["score"],
        runs[0]["folds_sha256"],
    )
    folds = pd.read_csv(only_run(workspace) / "folds.csv", dtype={"id": str})
    oof, values = pd.read_parquet(folder / row["run"] / "oof.parquet"), []
    for k in range(3):
        ids = folds.loc[folds["fold"] == k, "id"]
        truth = data.train.frame[data.train.frame["id"].isin(ids)]
        said = oof[oof["id"].isin(ids)]
        values.append(score(data.spec.metric, truth, said, interval=False).value)
    assert row["fold_scores"] == pytest.approx(values)
    gain = np.mean(np.array(values) - runs[0]["fold_scores"])
    assert row["difference"] == pytest.approx(gain)


def test_blends_of_other_versions_or_without_runs_are_left_out(
    submitted: tuple[Workspace, Entry], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = copy(submitted[0], tmp_path)
    data, folder = load_data(workspace, "tiny"), workspace.runs / "tiny"
    assert compare_blends(folder, data, []) == []
    assert not caplog.records
    (path,) = folder.glob("*/blend.json")
    path.write_text('{"method": "mean", "runs": ["tiny"]}')
    assert compare_blends(folder, data, compare_runs(folder, data)) == []
    path.write_text('{"version": 99}')
    assert compare_blends(folder, data, compare_runs(folder, data)) == []
    earlier, later = (record.getMessage() for record in caplog.records)
    left_out = f"1 blends are left out of the comparison, e.g. {path} was written by"
    assert earlier.startswith(f"{left_out} an earlier version of foldwise")
    assert later.startswith(f"{left_out} a later version of foldwise (of version 99")
