"""Platforms: a local board with ranks, and files that a person uploads."""

import json
from pathlib import Path

import numpy as np
import pytest

from foldwise.commands import status
from foldwise.commands.submit import submit
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.errors import PlatformError, SubmissionError
from foldwise.metrics.scoring import score
from foldwise.shapes.submission import write_submission
from foldwise.store.predictions import predictions_frame
from foldwise.submitting.platforms import Parcel, local
from foldwise.workspace import Workspace
from tiny import CLASSES, edit, ids


def parcel(workspace: Workspace, probs: np.ndarray, name: str = "mine.csv") -> Parcel:
    data = load_data(workspace, "tiny")
    file = workspace.root / name
    write_submission(file, predictions_frame(ids("test", 12), probs, CLASSES), data.format)
    return Parcel(
        data.spec,
        file,
        data.format,
        lambda truth, p: score(data.spec.metric, truth, p, interval=False).value,
        workspace.data / "tiny",
    )


RIGHT = np.eye(3)[np.arange(12) % 3] * 0.9 + 0.1 / 3
WRONG = np.eye(3)[(np.arange(12) + 1) % 3] * 0.9 + 0.1 / 3


def test_the_board_begins_with_baselines_and_ranks_by_the_private_half(
    workspace: Workspace,
) -> None:
    last = local.Local().send(parcel(workspace, WRONG))
    assert (last.rank, last.teams, last.state) == (2, 2, "scored")
    first = local.Local().send(parcel(workspace, RIGHT, "better.csv"))
    assert (first.rank, first.teams) == (1, 2)
    expected = -np.log(0.9 + 0.1 / 3)
    assert first.public == pytest.approx(expected, abs=1e-6)
    assert first.private == pytest.approx(expected, abs=1e-6)
    path = workspace.data / "tiny" / "platform" / "board.json"
    board = json.loads(path.read_text())["entries"]
    assert [entry["team"] for entry in board] == ["uniform", "you", "you"]
    assert board[0]["public"] == pytest.approx(np.log(3), abs=1e-6)


def test_the_same_file_stands_on_the_board_once(workspace: Workspace) -> None:
    for _ in range(2):
        local.Local().send(parcel(workspace, RIGHT))
    path = workspace.data / "tiny" / "platform" / "board.json"
    board = json.loads(path.read_text())["entries"]
    assert len(board) == 2


def test_a_missing_truth_and_a_broken_file_are_said(workspace: Workspace) -> None:
    made = parcel(workspace, RIGHT)
    made.file.write_text(made.file.read_text().replace("zebra", "zebr"))
    with pytest.raises(SubmissionError, match="missing: 'zebra'; unknown: 'zebr'"):
        local.Local().send(made)
    (workspace.data / "tiny" / "platform" / "truth.csv").unlink()
    with pytest.raises(PlatformError, match="the local platform has no truth at"):
        local.Local().send(made)


@pytest.mark.parametrize(
    ("platform", "words"),
    [
        (
            "kaggle",
            "no Kaggle credentials here: make a token .* KAGGLE_API_TOKEN .* Or upload .*csv at "
            "https://www.kaggle.com/competitions/tiny-slug/submit",
        ),
        ("drivendata", "upload .*csv by hand at https://example.org/tiny/submissions/"),
    ],
)
def test_a_platform_by_hand_gets_a_ready_file_and_says_the_next_step_again(
    workspace: Workspace, platform: str, words: str
) -> None:
    toml = workspace.competition("tiny") / "competition.toml"
    edit(toml, 'platform = "local"', f'platform = "{platform}"\nslug = "tiny-slug"')
    for _ in range(2):
        entry = submit(open_competition(workspace, "tiny"))
        assert entry.receipt is not None
        assert entry.receipt.state == "ready"
        import re

        assert re.search(words, entry.receipt.message)
    assert entry.file.parent == workspace.root / "submissions" / "tiny"
    (row,) = status.status(workspace, "tiny")
    assert (row["state"], row["public"]) == ("ready", None)
    assert len((entry.file.parent / "ledger.jsonl").read_text().splitlines()) == 2


def test_the_truth_lies_outside_the_raw_folder(workspace: Workspace) -> None:
    truth = workspace.data / "tiny" / "platform" / "truth.csv"
    assert truth.is_file()
    assert not truth.is_relative_to(workspace.raw("tiny"))
    assert isinstance(truth, Path)
