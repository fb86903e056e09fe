"""Folds on a real Ray cluster of several nodes on this machine, beside the same folds run here."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

import offline  # noqa: E402
from foldwise.commands.planning import Selection, Session  # noqa: E402
from foldwise.commands.predict import predict  # noqa: E402
from foldwise.commands.submit import submit  # noqa: E402
from foldwise.commands.train import train  # noqa: E402
from foldwise.data.opened import open_competition  # noqa: E402
from foldwise.errors import FoldwiseError, RunError  # noqa: E402
from foldwise.executors import ClusterError, Execute, cluster, executor  # noqa: E402
from foldwise.jobs import Knock  # noqa: E402
from foldwise.kinds.events import EpochDone, Event, FoldDone, FoldStarted  # noqa: E402
from foldwise.store.files import holder_of, read_json, sha256_file  # noqa: E402
from foldwise.workspace import Workspace  # noqa: E402
from tiny import edit, only_run, write_tiny  # noqa: E402

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FILES = ("weights.safetensors", "oof.parquet", "oof_plain.parquet", "test.parquet")
NODE = {"object_store_memory": 80 << 20, "num_cpus": 1, "memory": 10**9}
LARGE = {**NODE, "memory": 3 * 10**9}

DRIVER = """
import os, signal, sys
from pathlib import Path
from foldwise.commands.planning import Session
from foldwise.commands.train import train
from foldwise.data.opened import open_competition
from foldwise.executors import executor
from foldwise.workspace import Workspace

def observe(event):
    if event.__class__.__name__ == "FoldDone":
        os.kill(os.getpid(), signal.SIGKILL)

with executor("ray", sys.argv[2]) as execute:
    competition = open_competition(Workspace.find(sys.argv[1]), "tiny")
    train(competition, session=Session(observe, execute=execute))
"""


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head with one CPU and a node with one. Dead nodes are found within seconds."""
    settings = pytest.MonkeyPatch()
    settings.setenv("RAY_USAGE_STATS_ENABLED", "0")
    settings.setenv("RAY_AUTH_MODE", "disabled")
    folder = tempfile.mkdtemp(prefix="ray-")  # sockets need a short path
    settings.setenv("RAY_TMPDIR", folder)
    soon = {
        "health_check_initial_delay_ms": 500,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 3,
    }
    made = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": soon})
    made.add_node(**NODE)
    made.wait_for_nodes()
    yield made
    made.shutdown()
    settings.undo()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def execute(nodes: Any) -> Iterator[Execute]:
    """What runs jobs there."""
    with executor("ray", nodes.address) as made:
        yield made


@contextmanager
def blind(nodes: Any, hidden: Path, own: Path) -> Iterator[None]:
    """A node with two CPUs that sees an empty folder at `hidden`; its own data go to `own`."""
    program = Path(sys.executable).with_name("ray")
    start = f"{program} start --address={nodes.address} --num-cpus=2 --block"
    script = f"mount -t tmpfs none {hidden} && exec {start} --object-store-memory={80 << 20}"
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"]).returncode:
        pytest.skip("unshare --user --mount is not allowed here, so no node can be made blind")
    count = len(living())
    process = subprocess.Popen(
        [*namespace, "sh", "-c", script],
        env={**os.environ, "FOLDWISE_DATA": str(own)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: len(living()) == count + 1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        wait_until(lambda: len(living()) == count)


def knocks(folder: Path, *names: str) -> list[Knock]:
    """Tasks that need no data."""
    return [Knock(folder, folder / "data", folder / "runs", "tiny", name, cpus=1) for name in names]


def living() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def wait_until(met: Any, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.2)


def same(here: Path, there: Path, folds: Sequence[int] = (0, 1, 2)) -> None:
    for fold in folds:
        for name in FILES:
            path = f"fold{fold}/{name}"
            assert sha256_file(here / path) == sha256_file(there / path), path


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose folds were trained in this process, with one thread."""
    workspace = write_tiny(tmp_path_factory.mktemp("here"))
    train(open_competition(workspace, "tiny"), Selection(overrides=("cpus=1",)))
    return only_run(workspace)


def test_folds_on_two_nodes_are_the_same_bytes_and_separate_runs_of_one_group(
    execute: Execute,
    here: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    workspace, events = write_tiny(tmp_path), []
    with caplog.at_level(logging.INFO):
        entry = submit(
            open_competition(workspace, "tiny"),
            dry_run=True,
            session=Session(observe=events.append, execute=execute, track=True),
        )
    run = only_run(workspace)
    same(here, run)
    assert entry.file.is_file()
    assert read_json(run / "run.json")["resolved"]["threads"] == 1
    for fold in range(3):
        kinds = [type(event) for event in events if event.fold == fold]
        assert (kinds[0], kinds[-1]) == (FoldStarted, FoldDone)
        assert kinds.count(EpochDone) == 1
        assert f"{run.name} fold {fold + 1}: on {socket.gethostname()} with 1 CPUs" in caplog.text
    told = [offline.read(file) for file in (workspace.runs / "tiny").glob("wandb/offline*/*.wandb")]
    assert {one["run_group"] for one in told} == {run.name}
    history = {one["display_name"]: len(one["history"]) for one in told}
    assert history == {**{f"{run.name}-fold{k}": 1 for k in range(3)}, f"{run.name}-oof": 0}


def test_photos_are_predicted_on_nodes_as_they_are_here(execute: Execute, here: Path) -> None:
    root = here.parents[2]
    workspace = Workspace(root, root / "data", root / "runs")
    photos = sorted((workspace.raw("tiny") / "images").iterdir())[:5]
    there = predict(workspace, here.name, photos, execute=execute)
    pd.testing.assert_frame_equal(there, predict(workspace, here.name, photos), atol=1e-3)
    assert there["error"].isna().all()


def test_a_fold_goes_on_from_its_checkpoint_when_its_process_is_killed_and_its_node_removed(
    nodes: Any, execute: Execute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ["stage.0.epochs=60", "cpus=1", "memory=2"]  # a few seconds, on a large node
    here, there = write_tiny(tmp_path / "here"), write_tiny(tmp_path / "there")
    train(open_competition(here, "tiny"), Selection(overrides=tuple(settings), folds=(0,)))
    large, events = [nodes.add_node(**LARGE)], []

    def observe(event: Event) -> None:
        events.append(event)
        if isinstance(event, EpochDone) and event.epoch == 2:
            pid = holder_of(only_run(there) / "fold0" / ".lock")
            os.kill(int(pid), signal.SIGKILL)
        elif isinstance(event, FoldStarted) and len(events) > 1 and len(large) == 1:
            nodes.remove_node(large[0], allow_graceful=False)

    def warn(text: str, *values: Any) -> None:
        assert "1 jobs wait for a node that offers 1 CPUs, 2 GB of memory; Ctrl" in text % values
        large.append(nodes.add_node(**LARGE))

    monkeypatch.setattr(cluster, "LOOK", 1.0)
    monkeypatch.setattr(cluster.log, "warning", warn)
    train(
        open_competition(there, "tiny"),
        Selection(overrides=tuple(settings), folds=(0,)),
        session=Session(observe=observe, execute=execute),
    )
    nodes.remove_node(large[1])
    same(only_run(here), only_run(there), [0])
    assert [type(event) for event in events].count(FoldStarted) == 3
    assert [type(event) for event in events].count(FoldDone) == 1
    epochs = [event.epoch for event in events if isinstance(event, EpochDone)]
    assert {1, 2, 60} <= {*epochs}
    assert len(epochs) <= 60  # none twice, and some may not have been told before the end


def test_a_killed_driver_goes_on_where_it_was_and_no_finished_fold_runs_again(
    nodes: Any, execute: Execute, here: Path, tmp_path: Path
) -> None:
    workspace = write_tiny(tmp_path)
    killed = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DRIVER, str(tmp_path), nodes.address], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    finished = {int(path.parent.name[-1]) for path in only_run(workspace).glob("fold*/done.json")}
    assert finished
    assert [*(workspace.runs / "tiny").glob(".cluster-*")]
    events: list[Event] = []
    train(
        open_competition(workspace, "tiny"), session=Session(observe=events.append, execute=execute)
    )
    same(here, only_run(workspace))
    assert not finished & {event.fold for event in events}
    assert len([*(workspace.runs / "tiny").glob(".cluster-*")]) == 1  # that of this driver


def test_a_fold_that_fails_for_its_own_reason_fails_once_and_the_others_are_kept(
    execute: Execute, here: Path, tmp_path: Path
) -> None:
    workspace, events = write_tiny(tmp_path), []
    train(open_competition(workspace, "tiny"), Selection(folds=()))
    damaged = only_run(workspace) / "fold1" / "checkpoint.pt"
    damaged.parent.mkdir()
    damaged.write_bytes(b"PK no checkpoint")
    with pytest.raises(RunError, match=rf"^{only_run(workspace).name} fold 2: .*{damaged} can"):
        train(
            open_competition(workspace, "tiny"),
            Selection(overrides=("cpus=1",)),
            session=Session(observe=events.append, execute=execute),
        )
    damaged.unlink()
    assert sorted(e.fold for e in events if isinstance(e, FoldDone)) == [0, 2]
    train(
        open_competition(workspace, "tiny"),
        Selection(overrides=("cpus=1",)),
        session=Session(execute=execute),
    )
    same(here, only_run(workspace))


def test_what_functions_give_comes_back_in_the_order_of_the_jobs_and_events_come_too(
    execute: Execute, tmp_path: Path
) -> None:
    told: list[Any] = []
    given = execute(
        lambda t, observe: observe(t.recipe) or (t.recipe, t.cpus, t.gpus),
        knocks(tmp_path, "slow", "fast"),
        told.append,
    )
    assert given == [("slow", 1, 0.0), ("fast", 1, 0.0)]
    assert sorted(told) == ["fast", "slow"]


def test_a_bug_keeps_its_traceback_and_ends_nothing_else(execute: Execute, tmp_path: Path) -> None:
    told: list[Any] = []
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        execute(
            lambda t, observe: 1 / 0 if t.recipe == "odd" else observe(t.recipe),
            knocks(tmp_path, "odd", "even"),
            told.append,
        )
    assert told == ["even"]


def test_a_task_whose_process_dies_each_time_is_given_up(
    execute: Execute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "RETRIES", 1)
    with ExitStack() as stack:
        with pytest.raises(ClusterError, match=r"^recipe odd: its process ended 2 times, or was s"):
            cluster.OnRay(stack)(lambda t, observe: os._exit(7), knocks(tmp_path, "odd"), print)


def test_several_failures_are_one_line(execute: Execute, tmp_path: Path) -> None:
    workspace = write_tiny(tmp_path)
    with pytest.raises(FoldwiseError, match=r"^2 of 2 failed, .* fold 1: .* diverged: .* fold 2: "):
        train(
            open_competition(workspace, "tiny"),
            Selection(overrides=("stage.0.lr=1e6", "precision=fp32"), folds=(0, 1)),
            session=Session(execute=execute),
        )


def test_a_node_that_does_not_see_the_raw_files_is_sent_them_once(
    nodes: Any, execute: Execute, here: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = write_tiny(tmp_path)
    own = tmp_path / "own"
    own.mkdir()
    with blind(nodes, workspace.data, own):
        with caplog.at_level(logging.INFO):  # two CPUs: only the blind node has them
            train(
                open_competition(workspace, "tiny"),
                Selection(overrides=("cpus=2",), folds=(0,)),
                session=Session(execute=execute),
            )
            train(
                open_competition(workspace, "tiny"),
                Selection(overrides=("cpus=1",)),
                session=Session(execute=execute),
            )
    (data,) = own.glob(f"{socket.gethostname()}/data-*/tiny")
    assert (data / "raw" / "train_labels.csv").is_file()
    assert len([*data.glob("cache/*/done.json")]) == 1
    assert caplog.text.count("raw files, 0.00 GB") == 1
    done = [fold for fold in range(3) if (only_run(workspace) / f"fold{fold}/done.json").is_file()]
    assert done == [0, 1, 2]


def test_a_node_that_does_not_see_the_runs_is_named(
    nodes: Any, execute: Execute, tmp_path: Path
) -> None:
    workspace = write_tiny(tmp_path)
    workspace.runs.mkdir()
    with blind(nodes, workspace.runs, tmp_path / "own"):
        with pytest.raises(
            ClusterError, match=rf"does not see {workspace.runs}/tiny; runs have to"
        ):
            train(open_competition(workspace, "tiny"), session=Session(execute=execute))
    assert not [*workspace.runs.glob("*/*/run.json")]


def test_a_node_with_other_versions_is_named(nodes: Any, execute: Execute, tmp_path: Path) -> None:
    workspace = write_tiny(tmp_path)
    fake = tmp_path / "other" / "torch-9.9.9.dist-info"
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9.9\n")
    node = nodes.add_node(**NODE, env_vars={"PYTHONPATH": str(fake.parent)})
    try:
        with pytest.raises(ClusterError, match=r"has torch 9.9.9 instead of .*; install the sa"):
            train(open_competition(workspace, "tiny"), session=Session(execute=execute))
    finally:
        nodes.remove_node(node)


def test_a_recipe_that_asks_for_more_than_any_node_has_is_told_what_there_is(
    execute: Execute, tmp_path: Path
) -> None:
    workspace = write_tiny(tmp_path)
    with pytest.raises(
        ClusterError, match=r"^recipe tiny asks for 1 CPUs, 1 GPUs, and .* offers 1 CPUs, 0"
    ):
        train(
            open_competition(workspace, "tiny"),
            Selection(overrides=("cpus=1", "gpus=1")),
            session=Session(execute=execute),
        )


@pytest.mark.parametrize("listening", [False, True])
def test_where_no_cluster_answers_it_is_said_within_seconds(
    monkeypatch: pytest.MonkeyPatch, listening: bool
) -> None:
    monkeypatch.setattr(cluster, "ANSWER", 4.0)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:  # something else
            server.listen()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ClusterError, match=rf"this machine belongs to at {address}, got: noth"):
            with executor("ray", address):
                pass


def test_an_address_that_is_none_is_told_how_a_cluster_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    command = [sys.executable, "-m", "foldwise", "train", "tiny", "--executor", "ray"]
    done = subprocess.run(
        command, cwd=write_tiny(tmp_path).root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "expected a Ray cluster that this machine belongs to at auto, got: " in done.stderr
    assert "`ray start --head` starts one here" in done.stderr


def test_one_machine_needs_no_cluster(here: Path, tmp_path: Path) -> None:
    workspace = write_tiny(tmp_path)
    edit(
        workspace.competition("tiny") / "recipes" / "tiny.toml",
        "batch_size",
        "cpus = 1\nbatch_size",
    )
    words = ["--executor", "ray", "--address", "local", "--fold", "0", "--root", str(tmp_path)]
    own = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    done = subprocess.run(
        [sys.executable, "-m", "foldwise", "train", "tiny", *words],
        env=own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "fold 1/3 done in" in done.stderr
    same(here, only_run(Workspace(tmp_path, tmp_path / "data", tmp_path / "runs")), [0])
