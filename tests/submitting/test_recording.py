"""Scores that a person enters: of any platform, checked, once each."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.commands import status
from foldwise.errors import SubmissionError
from foldwise.store import ledger
from foldwise.submitting.recording import record
from foldwise.workspace import Workspace
from tiny import edit

FILE = "20260101-101010-blend-mean-abc.csv"


def on(workspace: Workspace, platform: str, metric: str = "log_loss") -> Path:
    """Put the competition on a platform; returns its ledger, which knows one file."""
    toml = workspace.competition("tiny") / "competition.toml"
    edit(toml, 'platform = "local"', f'platform = "{platform}"')
    edit(toml, "[folds.default]", f'[metric]\nname = "{metric}"\n\n[folds.default]')
    book = workspace.submissions("tiny", platform == "local") / "ledger.jsonl"
    book.parent.mkdir(parents=True, exist_ok=True)
    ledger.append(book, "written", FILE, competition="tiny", sha256="s", local=0.5)
    ledger.append(book, "ready", FILE)
    return book


@pytest.mark.parametrize("platform", ["drivendata", "kaggle", "local"])
def test_numbers_of_any_platform_are_entered(workspace: Workspace, platform: str) -> None:
    book = on(workspace, platform)
    assert record(workspace, FILE, 0.48, rank=12, teams=300) == "tiny"
    assert record(workspace, str(book.parent / FILE), private=0.51) == "tiny"
    (row,) = status.status(workspace, "tiny")
    assert (row["state"], row["rank"], row["teams"]) == ("scored", 12, 300)
    assert (row["local"], row["public"], row["private"]) == (0.5, 0.48, 0.51)


def test_the_same_numbers_change_nothing_and_others_are_a_newer_line(workspace: Workspace) -> None:
    book = on(workspace, "drivendata")
    record(workspace, FILE, 0.48, rank=12)
    before = book.read_bytes()
    record(workspace, FILE, 0.48, rank=12)
    record(workspace, FILE, 0.48)
    assert book.read_bytes() == before
    record(workspace, FILE, 0.47)
    (row,) = status.status(workspace, "tiny")
    assert (row["public"], row["rank"]) == (0.47, 12)
    assert book.read_bytes().startswith(before)
    ledger.append(book, "ready", FILE)  # made ready again
    record(workspace, FILE, 0.47)
    (row,) = status.status(workspace, "tiny")
    assert row["state"] == "scored"


@pytest.mark.parametrize(
    ("metric", "said", "message"),
    [
        ("log_loss", {"public": -0.1}, "--public: expected log loss from 0 up, got -0.1; look a"),
        ("log_loss", {"private": float("nan")}, "--private: expected log loss from 0 up, got nan"),
        ("log_loss", {"public": float("inf")}, "from 0 up, got inf"),
        ("accuracy", {"public": 98.1}, "--public: expected accuracy of 0 to 1, got 98.1"),
        ("kappa", {"public": -1.5}, "expected quadratic weighted kappa of -1 to 1, got -1.5"),
        ("hook", {"public": float("nan")}, "expected hook that is finite, got nan"),
        ("f1", {"public": 0.5, "rank": 0}, "--rank: expected a place from 1 up, got 0"),
        ("f1", {"rank": 9, "teams": 8}, "a place from 1 to 8, the number of teams, got 9; look"),
        ("f1", {"teams": 0}, "--teams: expected 1 team or more, got 0"),
    ],
)
def test_a_number_that_cannot_be_is_refused(
    workspace: Workspace, metric: str, said: dict[str, Any], message: str
) -> None:
    book = on(workspace, "drivendata", metric)
    before = book.read_bytes()
    with pytest.raises(SubmissionError, match=re.escape(message)) as caught:
        record(workspace, FILE, **said)
    assert "look again at https://example.org/tiny; e.g. --record" in str(caught.value)
    assert book.read_bytes() == before


@pytest.mark.parametrize(
    ("metric", "value"), [("log_loss", 40.0), ("kappa", -0.2), ("auc", 1.0), ("hook", -7.5)]
)
def test_odd_but_possible_numbers_are_taken(
    workspace: Workspace, metric: str, value: float
) -> None:
    on(workspace, "kaggle", metric)
    record(workspace, FILE, value)
    (row,) = status.status(workspace, "tiny")
    assert row["public"] == value


def test_a_rank_is_compared_with_the_teams_that_were_recorded(workspace: Workspace) -> None:
    on(workspace, "drivendata")
    record(workspace, FILE, 0.48, rank=12, teams=100)
    with pytest.raises(SubmissionError, match="from 1 to 100, the number of teams, got 101"):
        record(workspace, FILE, rank=101)
    record(workspace, FILE, rank=101, teams=120)


def test_a_file_that_no_ledger_knows_is_refused_with_the_nearest_one(workspace: Workspace) -> None:
    on(workspace, "drivendata")
    with pytest.raises(SubmissionError) as caught:
        record(workspace, "somewhere/20260101-101010-blend-mean-abd.csv", 0.4)
    assert str(caught.value) == (
        "expected a submission file that a ledger knows, got "
        f"'somewhere/20260101-101010-blend-mean-abd.csv'; did you mean {FILE!r}?; "
        "`foldwise status` lists them"
    )


def test_of_two_files_with_one_name_the_path_decides(workspace: Workspace) -> None:
    first = on(workspace, "drivendata")
    shutil.copytree(workspace.competition("tiny"), workspace.competitions / "twin")
    shutil.copytree(first.parent, first.parent.parent / "twin")
    with pytest.raises(SubmissionError) as caught:
        record(workspace, FILE, 0.4)
    assert str(caught.value) == (
        f"expected one submission called {FILE!r}, got those of tiny and twin; give its path, as "
        f"{first.parent / FILE}"
    )
    assert record(workspace, str(first.parent.parent / "twin" / FILE), 0.4) == "twin"
    assert [row["state"] for row in status.status(workspace)] == ["ready", "scored"]


def test_the_command_enters_numbers_and_shows_the_table(workspace: Workspace) -> None:
    on(workspace, "drivendata")
    root = ["--root", str(workspace.root)]
    words = ["status", FILE, "--record", "--public", "0.48", "--rank", "3", "--teams", "40", *root]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    for shown in (FILE, "0.48", "3 of 40", "gold", "scored", "too few to say: 1 submissions have"):
        assert shown in done.output
    told = json.loads(CliRunner().invoke(app, ["status", "tiny", "--json", *root]).stdout)
    (row,) = told["submissions"]
    assert (row["public"], row["rank"], row["percentile"], row["medal"]) == (0.48, 3, 7.5, "gold")
    assert told["agreement"]["stopped"] is None


@pytest.mark.parametrize(
    "words",
    [[FILE, "--record"], ["--record", "--public", "0.4"], [FILE, "--public", "0.4"]],
    ids=" ".join,
)
def test_a_record_without_file_or_numbers_is_bad_usage(workspace: Workspace, words: list) -> None:
    done = CliRunner().invoke(
        app, ["status", *words, "--root", str(workspace.root)], env={"COLUMNS": "160"}
    )
    assert done.exit_code == 2
    assert "foldwise status FILE.csv --record --public 0.48" in " ".join(done.output.split())
