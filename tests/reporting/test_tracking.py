"""Weights & Biases: offline runs read back, nothing that stops a training, the marker believed."""

import json
import logging
import random
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.data.competition import load_data
from foldwise.kinds.events import BatchDone, EpochDone, FoldDone, FoldStarted
from foldwise.reporting import syncing, tracking
from foldwise.reporting.summary import run_summary
from foldwise.reporting.syncing import offline_runs
from foldwise.reporting.tracking import Tracker, mode
from foldwise.store.files import write_json
from foldwise.workspace import Workspace
from offline import read
from records import run_values

RUN = "tiny-s0-0123abcd"
RECORD = run_values(recipe={"name": "tiny", "model": "test_resnet"}, resolved={"device": "cpu"})


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A competition's runs folder, where tracking is allowed."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    write_json(tmp_path / "runs" / RUN / "run.json", RECORD)
    return tmp_path / "runs"


def train(tracker: Tracker, fold: int, epochs: int = 2) -> None:
    tracker(FoldStarted(RUN, fold, 3, epochs, 4 * epochs))
    for epoch in range(1, epochs + 1):
        tracker(BatchDone(RUN, fold, 4 * epoch))
        tracker(EpochDone(RUN, fold, epoch, epochs, 1 / epoch, 2 / epoch, 100.0, 0.5))


def test_offline_runs_hold_what_the_events_and_the_run_directory_say(runs: Path) -> None:
    with Tracker(runs, "birds", {"spec": {"title": "Birds"}}, "offline") as tracker:
        for fold in (0, 2):
            train(tracker, fold)
            tracker(FoldDone(RUN, fold, 7.5))
    first, second = map(read, offline_runs(runs))
    assert [told["run_id"] for told in (first, second)] == [f"{RUN}-fold0", f"{RUN}-fold2"]
    assert (first["run_group"], first["job_type"], first["project"]) == (
        RUN,
        "fold",
        "foldwise-birds",
    )
    config = first["config"]["update"]
    told = ("recipe", "resolved", "seed", "scheme", "identity")
    assert {key: config[key] for key in told} == {key: RECORD[key] for key in told}
    assert (config["spec"], config["fold"], config["folds"]) == ({"title": "Birds"}, 0, 3)
    rows = [{k: v for k, v in row.items() if k[0] != "_"} for row in first["history"]]
    assert rows == [
        {
            "epoch": e,
            "train_loss": 1 / e,
            "valid_loss": 2 / e,
            "seconds": 0.5,
            "images_per_second": 100,
        }
        for e in (1, 2)
    ]
    assert first["summary"]["fold_seconds"] == 7.5


def test_a_fold_that_goes_on_elsewhere_stays_one_run(runs: Path) -> None:
    with Tracker(runs, "birds", {}, "offline") as tracker:
        train(tracker, 0, epochs=1)
        tracker(FoldStarted(RUN, 0, 3, 2, 8))  # its node died, another one begins
        tracker(EpochDone(RUN, 0, 2, 2, 0.5, 1.0, 100.0, 0.5))
        tracker(FoldDone(RUN, 0, 7.5))
    (file,) = offline_runs(runs)
    told = read(file)
    assert [row["epoch"] for row in told["history"]] == [1, 2]
    assert told["summary"]["fold_seconds"] == 7.5


def test_a_fold_that_did_not_end_is_ended_as_failed(runs: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        with Tracker(runs, "birds", {}, "offline") as tracker:
            train(tracker, 1)
            raise KeyboardInterrupt
    (file,) = offline_runs(runs)
    told = read(file)
    assert (len(told["history"]), told["exit"]) == (2, 1)


def test_whatever_fails_is_one_warning_and_training_goes_on(
    runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (runs / RUN / "run.json").unlink()
    with Tracker(runs, "birds", {}, "offline") as tracker:
        for fold in range(3):
            train(tracker, fold)
    (warning,) = (r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)
    assert warning.startswith("W&B: FileNotFoundError: ")
    assert warning.endswith("nothing more is tracked (--no-track turns this off)")
    assert not offline_runs(runs)


def test_where_tracking_goes_is_decided_first(
    runs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert mode() == "offline"  # no key
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("WANDB_BASE_URL", dead)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert mode() == "offline"
    assert f"W&B at {dead} does not answer; runs are tracked offline" in caplog.text
    monkeypatch.setattr(tracking, "trouble", lambda: None)
    assert mode() == "online"
    assert mode(track=False) == "disabled"
    for wanted in ("disabled", "offline"):
        monkeypatch.setenv("WANDB_MODE", wanted)
        assert mode() == wanted


def test_a_key_of_wandb_login_is_found(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert syncing.key() is None
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password secretsecret\n")
    assert syncing.key() == "secretsecret"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert syncing.key() is None


def test_a_silent_server_costs_seconds(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncing, "ANSWER", 0.2)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert mode() == "offline"


def test_sync_says_what_it_needs(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ["--root", str(workspace.root)]
    refused = CliRunner().invoke(app, ["status", "tiny", "--sync", *root])
    assert refused.exit_code == 1
    assert "expected a key for W&B at https://api.wandb.ai, found none" in refused.output


def test_a_training_is_tracked_where_it_is_wanted(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    (workspace.competition("tiny") / "recipes" / "prior.toml").write_text('model = "prior"\n')
    words = ["train", "tiny", "--recipe", "prior", "--root", str(workspace.root), "--fold"]
    assert CliRunner().invoke(app, [*words, "0", "--no-track"]).exit_code == 0
    assert not offline_runs(workspace.runs / "tiny")
    assert CliRunner().invoke(app, [*words, "1"]).exit_code == 0
    (file,) = offline_runs(workspace.runs / "tiny")
    told = read(file)
    (run,) = (workspace.runs / "tiny").glob("prior-s0-*")
    assert told["run_id"] == f"{run.name}-fold1"
    assert told["config"]["update"]["spec"]["title"] == "Tiny"
    record = json.loads((run / "run.json").read_text())
    assert told["config"]["update"]["resolved"] == record["resolved"]
    done = json.loads((run / "fold1" / "done.json").read_text())
    assert told["summary"]["fold_seconds"] == pytest.approx(
        done["seconds"], abs=0.06
    )  # which is rounded


def test_an_epoch_tells_metric_accuracy_and_rates_and_the_group_its_oof_score(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    words = ["train", "tiny", "--root", str(workspace.root), "--set", 'tta=["none"]']
    assert CliRunner().invoke(app, words).exit_code == 0
    *folds, whole = sorted(
        map(read, offline_runs(workspace.runs / "tiny")), key=lambda told: told["job_type"]
    )
    (run,) = (workspace.runs / "tiny").glob("tiny-s0-*")
    data, made = load_data(workspace, "tiny"), run_summary(workspace, "tiny", run.name)
    assert (whole["run_id"], whole["run_group"]) == (f"{run.name}-oof", run.name)
    assert whole["summary"]["oof_score"] == pytest.approx(made["score"])
    assert whole["summary"]["metric"] == data.spec.metric.title
    by_fold = {told["run_id"][-1]: told["history"][-1] for told in folds}
    assert {*by_fold} == {"0", "1", "2"}
    assert len(made["by_fold"]) == 3
    for fold in made["by_fold"]:
        row = by_fold[str(fold["fold"])]
        assert row["score"] == pytest.approx(fold["value"], abs=0.02)  # the last epoch's, no view
        history = json.loads((run / f"fold{fold['fold']}" / "history.json").read_text())
        assert row["accuracy"] == pytest.approx(history[-1]["accuracy"])
        assert 0 < row.get("rate_lowest", row["rate"]) <= row["rate"]


def test_tracking_draws_nothing_from_the_generators_that_training_uses(runs: Path) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()
    with Tracker(runs, "birds", {}, "offline") as tracker:
        train(tracker, 0)
        tracker(FoldDone(RUN, 0, 1.0))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_wandb_that_hangs_holds_no_training_up(
    runs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(tracking, "WRITE", 0.05)
    monkeypatch.setattr(Tracker, "begin", lambda *words: ended.wait())
    with Tracker(runs, "birds", {}, "offline") as tracker:
        train(tracker, 0)
    ended.set()
    assert "W&B did not write its runs within 0.05 seconds after the training" in caplog.text


def test_no_key_is_in_what_wandb_writes(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"WANDB_API_KEY": "5ec7e7" * 8, "KAGGLE_KEY": "c0ffee" * 5, "KAGGLE_API_TOKEN": "KGAT_1"}
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    with Tracker(runs, "birds", {"spec": {"title": "Birds"}}, "offline") as tracker:
        train(tracker, 0)
        tracker(FoldDone(RUN, 0, 1.0))
    files = [path for path in runs.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    for path in files:
        content = path.read_bytes()
        assert not [name for name, value in keys.items() if value.encode() in content], path
