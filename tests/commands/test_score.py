"""`score`: any file is validated by the platform's rules, and scored where answers are known."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.commands.score import FileScores, score_file
from foldwise.data.opened import open_competition
from foldwise.errors import DataError, SubmissionError
from foldwise.metrics.scoring import score
from foldwise.shapes.submission import read_submission
from foldwise.workspace import Workspace
from tiny import CLASSES, edit, metric_of, tree


@pytest.fixture
def mine(workspace: Workspace, tmp_path: Path) -> Path:
    """A valid submission of random rows."""
    frame = pd.read_csv(workspace.raw("tiny") / "submission_format.csv", dtype=str)
    rows = np.random.default_rng(3).dirichlet(np.ones(len(CLASSES)), len(frame)).round(6)
    rows[:, -1] = 1 - rows[:, :-1].sum(axis=1)
    frame[[*CLASSES]] = rows.round(6)
    frame.to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path / "mine.csv"


def scores_of(workspace: Workspace, file: Path, truth: Path | None = None) -> FileScores:
    return score_file(open_competition(workspace, "tiny"), file, truth)


def on_kaggle(workspace: Workspace) -> None:
    """Let the competition be one of Kaggle's, whose truth nobody here has."""
    edit(workspace.competition("tiny") / "competition.toml", '"local"', '"kaggle"')


def labels(workspace: Workspace) -> pd.DataFrame:
    """The practice board's truth."""
    return pd.read_csv(workspace.data / "tiny" / "platform" / "truth.csv", dtype=str)


def test_a_practice_boards_own_truth_scores_a_file_as_the_board_does(
    workspace: Workspace, mine: Path
) -> None:
    before = tree(workspace.root)
    told = scores_of(workspace, mine)
    assert tree(workspace.root) == before  # no ledger, no board, nothing
    data = open_competition(workspace, "tiny").data
    truth = labels(workspace).astype({"label": pd.CategoricalDtype([*CLASSES])})
    rows = read_submission(mine, data.format)
    assert [(row["part"], row["rows"]) for row in told["scores"]] == [
        ("all", 12),
        ("private", 6),
        ("public", 6),
    ]
    for row in told["scores"]:
        half = truth if row["part"] == "all" else truth[truth["part"] == row["part"]]
        own = rows[rows["id"].isin(half["id"])]
        expected = score(metric_of(), half[["id", "label"]], own, interval=False).value
        assert row["value"] == pytest.approx(expected, abs=1e-12)
        assert row["low"] is not None
        assert row["high"] is not None
        assert row["low"] <= row["value"] <= row["high"]
    assert (told["resampled"], told["moved"]) == ("groups", [])


def test_a_platform_that_matches_ids_takes_any_order_and_it_is_said(
    workspace: Workspace, mine: Path, tmp_path: Path
) -> None:
    expected = scores_of(workspace, mine)["scores"]
    truth = workspace.data / "tiny" / "platform" / "truth.csv"
    frame = pd.read_csv(mine, dtype=str).sample(frac=1, random_state=1)
    frame[[*frame.columns[::-1]]].to_csv(tmp_path / "moved.csv", index=False)
    with pytest.raises(SubmissionError, match="should be in the format file's order"):
        scores_of(workspace, tmp_path / "moved.csv")
    on_kaggle(workspace)
    told = scores_of(workspace, tmp_path / "moved.csv", truth)
    assert (told["moved"], told["scores"]) == (["columns", "rows"], expected)
    words = ["score", "tiny", str(tmp_path / "moved.csv"), "--root", str(workspace.root)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "its columns and rows are not in the format file's order, which Kaggle" in said.stdout


@pytest.mark.parametrize("layout", ["format", "truth", "training"])
def test_answers_are_read_in_the_layout_that_they_have(
    workspace: Workspace, mine: Path, tmp_path: Path, layout: str
) -> None:
    expected = scores_of(workspace, mine)["scores"]
    truth = labels(workspace)
    on_kaggle(workspace)
    path = tmp_path / "solution.csv"
    if layout == "truth":
        truth[["id", "label"]].to_csv(path, index=False)
    else:
        hot = pd.get_dummies(truth["label"])[[*CLASSES]].astype(int)
        hot.insert(0, "id", truth["id"])
        if layout == "training":
            hot["Usage"] = truth["part"].str.title()
        hot.sample(frac=1, random_state=2).to_csv(path, index=False)
    told = scores_of(workspace, mine, path)
    parts = ["all", "private", "public"] if layout == "training" else ["all"]
    assert [row["part"] for row in told["scores"]] == parts
    for row, known in zip(told["scores"], expected, strict=False):
        assert row["value"] == pytest.approx(known["value"], abs=1e-12)


def test_answers_of_some_rows_score_these_and_ignored_ones_count_nowhere(
    workspace: Workspace, mine: Path, tmp_path: Path
) -> None:
    path = tmp_path / "solution.csv"
    labels(workspace)[["id", "label"]].head(5).to_csv(path, index=False)
    (row,) = scores_of(workspace, mine, path)["scores"]
    assert row["rows"] == 5
    some = labels(workspace).assign(part=["ignored"] * 4 + ["public"] * 8)
    some.to_csv(path, index=False)
    told = scores_of(workspace, mine, path)["scores"]
    assert [(row["part"], row["rows"]) for row in told] == [("all", 8), ("public", 8)]
    some.assign(part="ignored").to_csv(path, index=False)
    with pytest.raises(DataError, match="should have rows that count, all 12 are 'ignored'"):
        scores_of(workspace, mine, path)


def test_without_a_truth_it_is_said_that_the_file_is_valid_and_how_to_get_a_score(
    workspace: Workspace, mine: Path
) -> None:
    on_kaggle(workspace)
    words = ["score", "tiny", str(mine), "--root", str(workspace.root)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    valid, none = said.stdout.splitlines()
    assert valid == f"valid  {mine}: 12 ids, by the rules of Kaggle"
    assert "give them with --truth FILE" in none
    assert none.endswith("or upload it at https://example.org/tiny")
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert (told["truth"], told["scores"], told["asked"]) == (None, [], 12)


def test_a_score_is_printed_with_its_interval(workspace: Workspace, mine: Path) -> None:
    said = CliRunner().invoke(app, ["score", "tiny", str(mine), "--root", str(workspace.root)])
    assert said.exit_code == 0, said.output
    valid, what, header, row, *_, meaning = said.stdout.splitlines()
    assert valid.endswith("12 ids, by the rules of the practice board")
    assert what.startswith("score  log loss, lower is better; answers of ")
    assert header.split() == ["part", "rows", "score", "95", "%", "interval"]
    assert row.split()[:2] == ["all", "12"]
    assert math.isfinite(float(row.split()[2]))
    assert "of resampled groups" in meaning


def test_a_file_that_breaks_a_rule_is_one_line_and_exit_code_1(
    workspace: Workspace, mine: Path
) -> None:
    mine.write_text("\n".join(mine.read_text().splitlines()[:-1]) + "\n")
    on_kaggle(workspace)
    said = CliRunner().invoke(app, ["score", "tiny", str(mine), "--root", str(workspace.root)])
    assert said.exit_code == 1
    assert len(said.stderr.splitlines()) == 1
    assert "expected the format file's 12 ids; got 1 missing" in said.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,zebra,10,ant\n", "read as the format file: .* has a header but no rows"),
        ("id,label\n{id},cat\n", "laid out as the format file .* read as the training labels: "),
        ("id,label\nnew,ant\n", "are unknown, e.g. 'new'; remove them, or give the truth of this"),
    ],
)
def test_a_truth_that_is_none_is_refused(
    workspace: Workspace, mine: Path, tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "solution.csv"
    path.write_text(text.format(id=labels(workspace)["id"][0]))
    with pytest.raises(DataError, match=message):
        scores_of(workspace, mine, path)


def test_answers_that_are_not_certain_and_a_missing_truth_are_refused(
    workspace: Workspace, mine: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="answers should be certain, 0 or 1; 12 of 12 rows are not"):
        scores_of(workspace, mine, mine)
    with pytest.raises(DataError, match=r"expected a file with the answers at .*none.csv, found"):
        scores_of(workspace, mine, tmp_path / "none.csv")
