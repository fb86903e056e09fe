"""What Kaggle refuses is said before anything is trained, and once more before it is sent."""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner, Result

from foldwise.cli import app
from foldwise.workspace import Workspace
from standin import Competition, Standin
from tiny import edit

SLUG = "tiny-slug"


@pytest.fixture
def server(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """Kaggle, with a competition for which a prior is to be submitted."""
    from kagglesdk import kaggle_env

    folder = workspace.competition("tiny")
    edit(folder / "competition.toml", 'platform = "local"', f'platform = "kaggle"\nslug = "{SLUG}"')
    edit(folder / "competition.toml", 'recipes = ["tiny"]', 'recipes = ["prior"]')
    (folder / "recipes" / "prior.toml").write_text('model = "prior"\n')
    with Standin() as running:
        running.host(Competition(SLUG, lambda content: (1.0, 1.0), pending=0))
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, running.url)
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", os.environ["HOME"])
        monkeypatch.setenv("KAGGLE_USERNAME", running.world.username)
        monkeypatch.setenv("KAGGLE_KEY", running.world.key)
        monkeypatch.setenv("FOLDWISE_TIMEOUT", "5")
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        yield running


def submit(workspace: Workspace, *options: str) -> Result:
    words = ["submit", "tiny", "--no-track", "--root", str(workspace.root), *options]
    return CliRunner().invoke(app, words)


def trained(workspace: Workspace) -> bool:
    return any(workspace.runs.rglob("done.json"))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"notebooks_only": True}, r"takes notebooks, not files \(nothing was trained\): put the"),
        ({"disabled": True}, r"takes no submissions now; nothing was trained: see https://www"),
        ({"rules": False}, r"accept its rules at .*/tiny-slug/rules and run the same command"),
        (
            {"daily": 0},
            "today's submissions are used up .*; nothing was trained: run the same .*, "
            "or train now: the same command with --dry-run",
        ),
        ({"total": 0}, r"all submissions .* \(0 sent in all\).*; nothing was trained: choose"),
    ],
    ids=str,
)
def test_a_refusal_is_one_line_before_anything_is_trained(
    server: Standin, workspace: Workspace, facts: dict[str, object], words: str
) -> None:
    for name, value in facts.items():
        setattr(server.world.competitions[SLUG], name, value)
    told = submit(workspace)
    assert told.exit_code == 1
    assert re.search(words, " ".join(told.output.split()))
    assert not trained(workspace)
    assert not [*(workspace.data / "tiny").rglob("cache/*/done.json")]  # nor decoded


def test_a_key_that_no_longer_works_is_said_before_anything_is_trained(
    server: Standin, workspace: Workspace
) -> None:
    server.world.key = "f" * 32
    told = submit(workspace)
    assert told.exit_code == 1
    assert "Kaggle does not accept what is in KAGGLE_USERNAME and KAGGLE_KEY" in told.output
    assert not trained(workspace)


@pytest.mark.slow
def test_what_changes_while_folds_train_is_said_before_sending(
    server: Standin, workspace: Workspace
) -> None:
    asked: list[str] = []

    def close() -> None:
        asked.append("again")
        server.world.competitions[SLUG].disabled = len(asked) > 1

    server.on("GetCompetition", "before", close)
    told = submit(workspace)
    assert (told.exit_code, len(asked)) == (1, 2)
    assert re.search(r"takes no submissions now; \S+csv is kept", " ".join(told.output.split()))
    assert trained(workspace)
    server.heal()
    server.world.competitions[SLUG].disabled = False
    assert submit(workspace).exit_code == 0
    assert len(server.world.submissions) == 1


def test_what_is_sent_already_is_shown_whatever_the_platform_would_say(
    server: Standin, workspace: Workspace
) -> None:
    assert submit(workspace).exit_code == 0
    calls = len(server.journal)
    server.world.competitions[SLUG].daily = 0
    assert submit(workspace).exit_code == 0
    assert len(server.journal) == calls


def test_folds_that_are_missing_are_asked_for_too(server: Standin, workspace: Workspace) -> None:
    assert submit(workspace).exit_code == 0
    next(workspace.runs.rglob("fold1/done.json")).unlink()
    server.world.competitions[SLUG].deadline = datetime(2020, 1, 1, tzinfo=UTC)
    server.world.competitions[SLUG].daily = 0
    told = submit(workspace)
    assert told.exit_code == 1
    assert "nothing was trained" in told.output


def test_where_nobody_answers_training_goes_on(
    server: Standin, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    server.fail("GetCompetition", "500", times=3)
    assert submit(workspace).exit_code == 0
    assert "training goes on, and Kaggle is asked again before anything is sent" in caplog.text
    assert len(server.world.submissions) == 1


def test_a_dry_run_asks_nobody(server: Standin, workspace: Workspace) -> None:
    assert submit(workspace, "--dry-run").exit_code == 0
    assert not server.journal


def test_without_credentials_it_is_said_first_and_a_file_is_made(
    server: Standin,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    assert submit(workspace).exit_code == 0
    first = "no Kaggle credentials here: the file will be written and scored, and not sent"
    assert caplog.text.count(first) == 1
    assert not server.journal


def test_a_file_that_the_platform_cannot_score_ends_with_exit_code_1(
    server: Standin, workspace: Workspace
) -> None:
    def refuse(content: bytes) -> tuple[float, float]:
        raise ValueError("Submission has 3 rows too few")

    server.world.competitions[SLUG].grade = refuse
    for _ in range(2):
        told = submit(workspace)
        assert told.exit_code == 1
        assert "could not score the file: Submission has 3 rows too few" in " ".join(
            told.output.split()
        )
    assert len(server.world.submissions) == 1
