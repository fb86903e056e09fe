"""Executors without a cluster: what jobs ask for, how a node gets its files, its complaints."""

import io
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.cli.progress import Bars
from foldwise.commands.planning import Selection
from foldwise.commands.train import train
from foldwise.config.recipe import load_recipe
from foldwise.data.competition import load_data
from foldwise.data.images.cache import open_cache
from foldwise.data.opened import open_competition
from foldwise.executors import ClusterError, Job, executor, node, run_here, shipping
from foldwise.executors.node import Order, complaint, machine_of, own_files, report, supply
from foldwise.executors.placing import Needs, needs_of, offers_of
from foldwise.executors.shipping import ShippedFile, equal, list_files, part_of, places_of, receive
from foldwise.jobs import fold_inputs, run_fold
from foldwise.kinds.events import BatchDone, FoldStarted
from foldwise.store.files import hold_lock
from foldwise.workspace import Workspace
from tiny import fold_job, only_run, small_disk, tree


def some_job(**asks: Any) -> Job:
    return Job(Path("/w"), Path("/w/data"), Path("/w/runs"), "tiny", **asks)


def nodes(*resources: dict[str, float]) -> list[dict[str, Any]]:
    """Nodes as Ray lists them, called node0, node1 and so on."""
    return [
        {"NodeID": str(i), "Alive": True, "NodeManagerHostname": f"node{i}", "Resources": has}
        for i, has in enumerate(resources)
    ]


SMALL, LARGE = {"CPU": 2.0, "memory": 4e9}, {"CPU": 16.0, "memory": 64e9}
TWO_GPUS = {"CPU": 16.0, "GPU": 2.0, "memory": 64e9}


def test_jobs_here_run_in_their_order_and_give_what_the_function_gave() -> None:
    seen: list[str] = []
    given = run_here(
        lambda t, observe: observe(t.what) or t.cpus,
        [some_job(cpus=3), some_job(cpus=1)],
        seen.append,
    )
    assert (given, seen) == ([3, 1], ["tiny", "tiny"])


@pytest.mark.parametrize(
    ("asks", "count", "there", "expected"),
    [
        ({}, 1, [LARGE], Needs(16, 0, 0)),
        ({}, 5, [LARGE], Needs(3, 0, 0)),  # 5 at once
        ({}, 5, [LARGE, SMALL], Needs(3, 0, 0)),  # a small one does not slow the large one down
        ({}, 5, [LARGE, LARGE], Needs(5, 0, 0)),
        ({}, 99, [SMALL, SMALL], Needs(1, 0, 0)),
        ({"cpus": 2, "memory": 3.0}, 99, [SMALL, LARGE], Needs(2, 0, 3.0)),
        ({}, 5, [TWO_GPUS, SMALL], Needs(8, 1, 0)),  # a fold per GPU, with its share of the CPUs
        ({"gpus": 0.5}, 5, [TWO_GPUS], Needs(4, 0.5, 0)),
        ({"gpus": 0.0}, 5, [TWO_GPUS], Needs(3, 0, 0)),
        ({"cpus": 1}, 1, [TWO_GPUS], Needs(1, 1, 0)),
    ],
)
def test_a_job_asks_for_a_gpu_where_there_are_some_and_for_its_share_of_the_cpus(
    asks: dict[str, Any], count: int, there: list[dict[str, float]], expected: Needs
) -> None:
    assert needs_of(some_job(**asks), count, offers_of(nodes(*there))) == expected


@pytest.mark.parametrize(
    ("asks", "there", "said"),
    [
        (
            {"cpus": 64},
            [SMALL, LARGE],
            "tiny asks for 64 CPUs, and the largest node, node1, offers "
            "16 CPUs, 0 GPUs, 64.0 GB of memory; lower cpus, gpus or memory in the recipe",
        ),
        ({"gpus": 1.0}, [SMALL], "asks for 1 CPUs, 1 GPUs, .* node0, offers 2 CPUs, 0 GPUs, 4.0"),
        ({"memory": 99.0}, [TWO_GPUS, LARGE], "8 CPUs, 1 GPUs, 99 GB of memory, and .* node0, off"),
        ({"cpus": 16, "memory": 1.0}, [], "no node of the cluster has a CPU to run it on"),
    ],
)
def test_more_than_any_node_has_is_refused_with_what_the_largest_one_offers(
    asks: dict[str, Any], there: list[dict[str, float]], said: str
) -> None:
    with pytest.raises(ClusterError, match=said):
        needs_of(some_job(**asks), 5, offers_of(nodes(*there)))


def test_dead_nodes_and_heads_without_cpus_offer_nothing() -> None:
    dead, head = nodes(LARGE, {"memory": 1e9})
    assert offers_of([{**dead, "Alive": False}, head]) == []


def test_what_a_fold_asks_for_does_not_make_another_run(workspace: Workspace) -> None:
    folder = workspace.competition("tiny")
    plain, asking = (
        load_recipe(folder, "tiny", asks) for asks in ([], ["cpus=2", "gpus=0.5", "memory=3"])
    )
    assert (asking.cpus, asking.gpus, asking.memory) == (2, 0.5, 3.0)
    assert plain.identity() == asking.identity()
    assert not {"cpus", "gpus", "memory"} & {*plain.identity()}


def test_a_fold_computes_with_the_threads_that_it_asks_for_here_too_and_so_do_the_next_ones(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from foldwise.training.fitting import fold

    seen: list[int] = []
    before = torch.get_num_threads()
    monkeypatch.setattr(fold, "train_fold", lambda *given: seen.append(torch.get_num_threads()))
    train(
        open_competition(workspace, "tiny"),
        Selection(overrides=(f"cpus={before + 3}",), folds=(0,)),
    )
    train(
        open_competition(workspace, "tiny"), Selection(folds=(0,))
    )  # the same run: its record tells them
    train(open_competition(workspace, "tiny"), Selection(overrides=("batch_size=4",), folds=(0,)))
    assert seen == [before + 3, before + 3, before]
    assert torch.get_num_threads() == before


@pytest.fixture
def raw(workspace: Workspace) -> Path:
    """The data folder of `tiny`, with files of every awkward length."""
    folder = workspace.data / "tiny"
    for size in (0, 63, 64, 65, 200):
        (folder / "raw" / f"{size:03d}.bin").write_bytes(bytes(i % 251 for i in range(size)))
    (folder / "platform" / "holdout.json").write_text("{}")
    (folder / "cache").mkdir()
    (folder / "cache" / "large.bin").write_bytes(b"never sent")
    return folder


def test_the_list_has_raw_files_and_what_reading_them_needs_but_no_truth(raw: Path) -> None:
    names = [file.name for file in list_files(raw)]
    assert names == sorted(names)
    assert {"raw/train_labels.csv", "raw/000.bin", "platform/holdout.json"} <= {*names}
    assert not [name for name in names if name.startswith("cache/") or "truth" in name]


def test_the_list_has_each_way_to_a_file_but_no_circle_pipe_or_dead_link(raw: Path) -> None:
    before = {file.name for file in list_files(raw)}
    (raw / "raw" / "photos").mkdir()
    (raw / "raw" / "photos" / "1.jpg").write_bytes(b"x")
    links = {
        "train": "photos",
        "test": "photos",
        "photos/round": ".",
        "photos/up": "../..",
        "lost.jpg": "nowhere",
    }
    for name, target in links.items():
        os.symlink(target, raw / "raw" / name)
    os.mkfifo(raw / "raw" / "pipe.jpg")
    added = {file.name for file in list_files(raw)} - before
    assert added == {"raw/photos/1.jpg", "raw/train/1.jpg", "raw/test/1.jpg"}


def test_unchanged_files_are_not_read_for_the_list_again(
    raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, read = list_files(raw), []
    hashed = shipping.sha256_file
    monkeypatch.setattr(
        shipping, "sha256_file", lambda path: read.append(path.name) or hashed(path)
    )
    (raw / "raw" / "063.bin").write_bytes(b"other")
    second = list_files(raw)
    assert read == ["063.bin"]
    assert [file for file in second if file not in first] == [
        ShippedFile("raw/063.bin", 5, hashed(raw / "raw" / "063.bin"))
    ]


@pytest.mark.parametrize("part", [1000, 64, 7])
def test_files_arrive_in_parts_as_they_were(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    monkeypatch.setattr(shipping, "PART", part)
    files = list_files(raw)
    target, asked = tmp_path / "node", []
    receive(
        target,
        files,
        lambda place: asked.append(place) or place,
        lambda place: part_of(raw, files, place),
    )
    assert tree(target) == {file.name: file.sha256 for file in files}
    assert len(asked) == -(-sum(file.size for file in files) // part)
    assert equal(target, files)


def test_an_interrupted_transfer_goes_on_with_the_files_that_are_not_there(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "PART", 64)
    files, left = list_files(raw), 6

    def take(place: Any) -> bytes:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return part_of(raw, files, place)

    with pytest.raises(KeyboardInterrupt):
        receive(tmp_path / "node", files, lambda place: place, take)
    there = {*tree(tmp_path / "node")} & {file.name for file in files}
    assert 0 < len(there) < len(files)
    left, again = 10**9, []
    receive(tmp_path / "node", files, lambda place: again.append(place) or place, take)
    assert again[0] == (len(there), 0)
    assert equal(tmp_path / "node", files)


def test_a_file_that_changes_while_it_is_sent_is_refused(raw: Path, tmp_path: Path) -> None:
    files = list_files(raw)
    (raw / "raw" / "200.bin").write_bytes(bytes(200))
    with pytest.raises(ClusterError, match=r"raw/200.bin arrived with other bytes than it was sen"):
        receive(tmp_path / "node", files, lambda p: p, lambda p: part_of(raw, files, p))
    assert not (tmp_path / "node" / "raw" / "200.bin").exists()
    (raw / "raw" / "200.bin").write_bytes(b"")  # what comes after it is not what was asked for
    with pytest.raises(ClusterError, match="arrived with other bytes"):
        receive(tmp_path / "node", files, lambda p: p, lambda p: part_of(raw, files, p))


def test_a_node_without_room_for_the_raw_files_says_so(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = list_files(raw)
    small_disk(monkeypatch, 100)
    with pytest.raises(
        ClusterError, match=r"the raw files need 0.00 GB at .*set to a folder of it"
    ):
        receive(tmp_path / "node", files, lambda p: p, lambda p: b"")


def test_places_of_no_files_are_none() -> None:
    assert places_of([ShippedFile("a", 0, "")], 0) == []


def ordered(workspace: Workspace, machine: tuple[str, int, int] | None = None) -> Order:
    """An order of a driver on this machine, or on another one."""
    data = workspace.data / "tiny"
    (workspace.runs / "tiny").mkdir(parents=True, exist_ok=True)
    return Order(
        ".cluster-1", workspace.runs / "tiny", data, machine or machine_of(data), node.versions()
    )


@pytest.fixture
def supplied(workspace: Workspace, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function: the job of a node whose own folder is `node`, and how often files were sent."""
    monkeypatch.setenv("FOLDWISE_DATA", str(tmp_path / "node"))
    sent: list[Path] = []

    def fetch(folder: Path, files: list[ShippedFile]) -> None:
        sent.append(folder)
        receive(folder, files, lambda p: p, lambda p: part_of(raw, files, p))

    def run(order: Order) -> tuple[Job, int]:
        asked = Job(workspace.root, workspace.data, workspace.runs, "tiny")
        own = own_files(workspace.competition("tiny"))
        return supply(asked, order, own, lambda: list_files(raw), fetch), len(sent)

    return run


def test_on_the_drivers_machine_everything_is_used_where_it_is(
    workspace: Workspace, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Job(workspace.root, workspace.data, workspace.runs, "tiny")
    for value in (None, str(workspace.data)):
        if value:
            monkeypatch.setenv("FOLDWISE_DATA", value)
        assert supply(own, ordered(workspace), {}, pytest.fail, pytest.fail) == own


def test_a_node_that_sees_the_raw_files_has_only_caches_of_its_own(
    workspace: Workspace, raw: Path, supplied: Any
) -> None:
    (raw / ".cluster-1").touch()
    got, sent = supplied(ordered(workspace))
    assert sent == 0
    assert (got.data / "tiny" / "raw").resolve() == raw / "raw"
    assert not (got.data / "tiny" / "cache").exists()
    there = Workspace(got.root, got.data, got.runs)
    assert len(load_data(there, "tiny").train) == 30
    assert supplied(ordered(workspace))[0] == got


def test_a_node_with_the_same_files_at_the_same_place_is_sent_none(
    workspace: Workspace, raw: Path, supplied: Any
) -> None:
    got, sent = supplied(ordered(workspace))  # without the token: a copy
    assert sent == 0
    assert (got.data / "tiny" / "raw" / "200.bin").read_bytes() == (
        raw / "raw/200.bin"
    ).read_bytes()


def test_a_node_with_other_files_at_that_place_gets_them_once_and_keeps_them(
    workspace: Workspace, raw: Path, supplied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = replace(ordered(workspace), data=workspace.root / "elsewhere")
    got, sent = supplied(order)
    assert sent == 1
    assert equal(got.data / "tiny", list_files(raw))
    assert not (got.data / "tiny" / "raw").is_symlink()
    assert supplied(order) == (got, 1)
    (raw / "raw" / "200.bin").write_bytes(b"another file")
    other, sent = supplied(order)
    assert sent == 2
    assert other.data != got.data
    assert other.root == got.root


def test_without_a_folder_of_its_own_a_node_keeps_its_files_in_the_home_folder(
    workspace: Workspace, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    own = Job(workspace.root, workspace.data, workspace.runs, "tiny")
    got = supply(
        own, ordered(workspace, ("another", 0, 0)), {}, lambda: list_files(raw), pytest.fail
    )
    assert got.data.is_relative_to(tmp_path / "home" / ".cache" / "foldwise")


def test_a_node_is_told_what_to_do_about_other_versions_and_runs_that_it_does_not_see(
    workspace: Workspace,
) -> None:
    order = ordered(workspace)
    told = report(order)
    assert complaint(order, told) == (
        f"node {told['host']} does not see {order.runs}; runs have to lie on storage that every "
        "node sees under the same path: mount it there, or set FOLDWISE_RUNS to a folder that is"
    )
    with hold_lock(order.runs / order.token, "the driver"):
        assert report(order)["locks"]
        assert complaint(order, report(order)) is None
    assert not report(order)["locks"]  # the driver's lock is not held: locks do not reach here
    told["versions"] = {**told["versions"], "torch": "9.9.9", "timm": "none"}
    here = node.versions()
    assert complaint(order, told) == (
        f"node {told['host']} has torch 9.9.9 instead of {here['torch']}, timm none instead of "
        f"{here['timm']}; install the same versions on all nodes, and start Ray there again"
    )


def test_without_ray_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("cluster", "worker"):
        monkeypatch.delitem(sys.modules, f"foldwise.executors.{name}", raising=False)
    with pytest.raises(ClusterError, match=r"not installed here .*: pip install 'foldwise\[ray\]'"):
        with executor("ray"):
            pass


def test_an_unknown_executor_is_bad_usage_and_the_nearest_one_is_named(
    workspace: Workspace,
) -> None:
    words = ["train", "tiny", "--executor", "rya", "--root", str(workspace.root)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "expected --executor local or ray, got 'rya'; did you mean 'ray'?" in result.output


def test_an_address_needs_the_executor_that_goes_there(workspace: Workspace) -> None:
    for verb in ("train", "submit"):
        words = [verb, "tiny", "--address", "10.0.0.1:6379", "--root", str(workspace.root)]
        result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
        assert result.exit_code == 2
        assert "expected --executor ray with --address 10.0.0.1:6379" in result.output
    words = ["train", "tiny", "--fast", "--executor", "ray", "--root", str(workspace.root)]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "no --executor" in result.output


def test_caches_that_a_node_builds_are_of_the_drivers_kind(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        small_disk(patch, 120_000)  # raw pixels take 172,032 bytes, recompressed about 96,113
        train(open_competition(workspace, "tiny"), Selection(overrides=("presize=64",), folds=(0,)))
    (cache,) = (workspace.data / "tiny" / "cache").glob("*-packed")
    pixels = open_cache(cache).pixels[:]
    cache.rename(workspace.root / "gone")
    inputs = fold_inputs(fold_job(workspace, 1))
    assert inputs.caches[0].folder == cache
    np.testing.assert_array_equal(inputs.caches[0].pixels[:], pixels)


def test_a_fold_that_another_process_holds_is_waited_for_on_a_cluster(
    workspace: Workspace,
) -> None:
    import threading

    train(open_competition(workspace, "tiny"), Selection(folds=()))
    held, release = threading.Event(), threading.Event()
    fold = only_run(workspace) / "fold0"

    def hold() -> None:
        with hold_lock(fold / ".lock", "a worker without a driver"):
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    threading.Timer(1.0, release.set).start()
    run_fold(replace(fold_job(workspace, 0), patience=60.0), lambda event: None)
    thread.join()
    assert (fold / "done.json").is_file()


def test_the_bar_of_a_fold_that_goes_on_elsewhere_is_the_same_one() -> None:
    with Progress(console=Console(file=io.StringIO())) as progress:
        bars = Bars(progress)
        for fold in (0, 1, 0):
            bars.event(FoldStarted("tiny", fold, 3, 1, 10))
        bars.event(BatchDone("tiny", 0, 4))
        assert [(t.description, t.completed) for t in progress.tasks] == [
            ("tiny fold 1/3", 4),
            ("tiny fold 2/3", 0),
        ]
