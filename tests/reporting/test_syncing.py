"""W&B's server refuses, fails or hangs, at any moment: a run is there, or kept and sent later."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.errors import PlatformError
from foldwise.kinds.events import EpochDone, FoldDone, FoldStarted
from foldwise.reporting import syncing, tracking
from foldwise.reporting.syncing import offline_runs, sync, trouble
from foldwise.reporting.tracking import Tracker, mode
from foldwise.store.files import hold_lock, write_json
from foldwise.store.layout import TrackedRun
from foldwise.workspace import Workspace
from records import run_values
from wandb_server import KEY, STREAM, VIEWER, WandbServer

RUN = "tiny-s0-5a5a5a5a"  # W&B's service in this process knows the names of other tests' runs
RECORD = run_values()


@pytest.fixture
def server(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WandbServer]:
    """W&B's server, and a user who has a key for it."""
    with WandbServer() as running:
        monkeypatch.delenv("WANDB_MODE", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setattr(tracking, "SEND", 6.0)
        monkeypatch.setattr(syncing, "ANSWER", 1.0)
        yield running


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_json(tmp_path / "runs" / RUN / "run.json", RECORD)
    return tmp_path / "runs"


def train(runs: Path, folds: int = 1, between: Callable[[], object] = lambda: None) -> None:
    """Track a training of two epochs a fold; `between` is called after the first of each."""
    with Tracker(runs, "birds", {}) as tracker:
        for fold in range(folds):
            tracker(FoldStarted(RUN, fold, folds, 2, 8))
            for epoch in (1, 2):
                tracker(EpochDone(RUN, fold, epoch, 2, 1 / epoch, 2 / epoch, 100.0, 0.5))
                if epoch == 1:
                    between()
            tracker(FoldDone(RUN, fold, 7.5))


def epochs(server: WandbServer, fold: int = 0) -> list[int]:
    return [row["epoch"] for row in server.history[f"{RUN}-fold{fold}"]]


@pytest.mark.slow
def test_what_is_trained_is_at_the_server_when_the_training_is_over(
    server: WandbServer, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "SEND", 60.0)
    monkeypatch.chdir(runs.parent)
    train(runs, folds=2)
    assert [path.name for path in runs.parent.iterdir()] == ["runs"]  # nothing of W&B's elsewhere
    assert not offline_runs(runs)
    assert epochs(server) == epochs(server, 1) == [1, 2]
    told = server.runs[f"{RUN}-fold1"]
    assert (told["groupName"], told["jobType"]) == (RUN, "fold")
    assert server.summaries[f"{RUN}-fold1"]["fold_seconds"] == 7.5


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda s: s.fail(401), "does not accept your key"),
        (lambda s: s.fail(500), r"answers with an error \(HTTP 500\)"),
        (lambda s: s.fail(None), "does not answer"),
    ],
    ids=["key refused", "500", "silent"],
)
def test_what_is_wrong_at_the_first_question_is_one_warning(
    server: WandbServer,
    caplog: pytest.LogCaptureFixture,
    fault: Callable[[WandbServer], None],
    words: str,
) -> None:
    fault(server)
    assert mode() == "offline"
    (warning,) = (record.getMessage() for record in caplog.records)
    assert re.search(words, warning)
    assert "runs are tracked offline, and `foldwise status --sync` sends them later" in warning


def test_who_answers_without_being_wandb_is_said(
    server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trouble() is None
    monkeypatch.setattr(server, "query", lambda text, given: {"viewer": None})
    assert "does not accept your key" in str(trouble())
    monkeypatch.setattr(server, "query", lambda text, given: [])
    assert trouble() == "does not answer as W&B does"


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 404, 500, None])
@pytest.mark.parametrize("kinds", [("graphql",), (STREAM,)], ids=["upsert", "stream"])
def test_a_fault_after_the_first_question_loses_nothing(
    server: WandbServer,
    runs: Path,
    caplog: pytest.LogCaptureFixture,
    status: int | None,
    kinds: tuple[str, ...],
) -> None:
    server.fail(status, *kinds)
    train(runs)
    assert len(offline_runs(runs)) == 1
    assert "1 W&B runs were not sent" in caplog.text
    assert "`foldwise status birds --sync` sends them" in caplog.text
    server.faults.clear()
    assert sync(runs) == (1, [])
    assert epochs(server) == [1, 2]


@pytest.mark.slow
def test_folds_after_a_fault_go_on_offline(
    server: WandbServer,
    runs: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracking, "SEND", 0.5)
    server.fail(500, "graphql", STREAM)
    train(runs, folds=3, between=lambda: time.sleep(1.5))
    assert len(offline_runs(runs)) == 3
    assert caplog.text.count("tracking goes on offline") == 1
    server.faults.clear()
    assert sync(runs) == (3, [])
    assert [epochs(server, fold) for fold in range(3)] == [[1, 2]] * 3


def test_sync_asks_first_whether_the_server_is_there(
    server: WandbServer, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sync(runs) == (0, [])
    assert not server.asked
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(runs)
    server.fail(500)
    with pytest.raises(
        PlatformError,
        match=r"answers with an error \(HTTP 500\); 1 offline runs "
        "wait in .*, and the same command sends them later",
    ):
        sync(runs)
    assert server.asked == [VIEWER]


def test_a_run_that_is_still_written_is_left_to_its_training(
    server: WandbServer, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(runs)
    (file,) = offline_runs(runs)
    with hold_lock(TrackedRun(file.parent).lock, "a training"):
        assert sync(runs) == (0, [])
    assert server.asked == [VIEWER]


@pytest.mark.slow
def test_status_sync_says_what_it_does_and_exits_1_where_something_was_not_sent(
    server: WandbServer,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = workspace.runs / "tiny"
    write_json(folder / RUN / "run.json", RECORD)
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(folder)
    words = ["status", "tiny", "--sync", "--root", str(workspace.root)]
    server.fail(404, STREAM)  # W&B's command ends well, and marks the run as sent
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 1
    assert "1 not sent" in told.output
    assert "W&B's own words are in" in caplog.text
    server.faults.clear()
    caplog.set_level("INFO")
    told = CliRunner().invoke(app, words)
    assert (told.exit_code, told.output.strip()) == (0, "1 offline runs sent to W&B")
    assert f"{RUN}-fold0: sending run 1 of 1 to {server.url}" in caplog.text


CHILD = """
import sys
from pathlib import Path
from foldwise.reporting.tracking import Tracker
from foldwise.kinds.events import FoldStarted
with Tracker(Path(sys.argv[1]), "birds", {}) as tracker:
    tracker(FoldStarted(sys.argv[2], 0, 1, 2, 8))
    while not tracker.sending:
        pass
    print(tracker.sending[0].process.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
def test_a_training_that_is_killed_leaves_no_process_that_sends(
    server: WandbServer, runs: Path
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(runs), RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    sender = Path("/proc") / child.stdout.readline().decode().strip() / "cmdline"
    assert b"sync" in sender.read_bytes()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    deadline = time.monotonic() + 30
    while sender.exists() and sender.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not sender.exists() or not sender.read_bytes()
