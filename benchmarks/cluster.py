"""Two one-thread workers of a Ray cluster against one: two folds at once, and one after the other.

    python benchmarks/cluster.py [--rounds 3] [--epochs 20] [--rows 1000]

Starts nodes of one CPU each on this machine, trains folds 0 and 1 of a ResNet-18 on generated
photos with one of them and with two, in turn, and prints `name ratio bar ok|short`: the efficiency
is the time with one / (2 x the time with two), everything included. Two figures say where the rest
went. `training` is how fast a fold trains beside another one, against alone, by its own clock:
memory bandwidth, caches and the CPU's frequency are shared. `around` is what is left: the driver,
and processes that start, one for two folds or one for each. Adds a row to results/cluster.csv.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from foldwise.commands.planning import Selection, Session
from foldwise.commands.train import train
from foldwise.data.opened import open_competition
from foldwise.executors import executor
from foldwise.store.files import read_json
from foldwise.store.ledger import now
from foldwise.workspace import Workspace
from provenance import append, provenance
from site_leak import make_workspace

RESULTS = Path(__file__).resolve().parent / "results" / "cluster.csv"
NAME, BAR = "two_workers_efficiency", 0.9
MEMORY = 80 << 20  # bytes of a node's object store


def main() -> None:
    """Measure, print and record."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--epochs", type=int, default=20)
    words.add_argument("--rows", type=int, default=1000)
    options = words.parse_args()
    options.csvs, options.test_rows, options.seed = None, 100, 0
    rounds = []
    with tempfile.TemporaryDirectory(prefix="foldwise-bench-") as folder:
        workspace = make_workspace(Path(folder), options)
        for number in range(options.rounds):
            one, alone = measured(workspace, 1, f"{number}-one", options.epochs)
            two, beside = measured(workspace, 2, f"{number}-two", options.epochs)
            rounds.append((one / (2 * two), alone / beside, one, two))
            print(
                f"round {number}: one worker {one:.1f} s, two {two:.1f} s; a fold's own seconds "
                f"{alone:.1f} and {beside:.1f}",
                flush=True,
            )
    efficiency, training, one, two = (statistics.median(part) for part in zip(*rounds, strict=True))
    verdict = "ok" if efficiency >= BAR else "short"
    print(
        f"{NAME} {efficiency:.3f} {BAR:g} {verdict}  (training {training:.3f}, around "
        f"{efficiency / training:.3f})"
    )
    append(
        RESULTS,
        {
            "time": now(),
            "name": NAME,
            "efficiency": round(efficiency, 4),
            "training": round(training, 4),
            "around": round(efficiency / training, 4),
            "bar": BAR,
            "verdict": verdict,
            "rounds": len(rounds),
            "one_seconds": round(one, 1),
            "two_seconds": round(two, 1),
            "epochs": options.epochs,
            "rows": options.rows,
            **provenance(),
        },
    )
    if verdict == "short":
        sys.exit(1)


def measured(workspace: Workspace, nodes: int, runs: str, epochs: int) -> tuple[float, float]:
    """Seconds of training two folds on so many nodes, and the mean of the folds' own seconds."""
    there = replace(workspace, runs=workspace.root / "runs" / runs)
    settings = ("model=resnet18", f"stage.0.epochs={epochs}", "cpus=1")
    competition = open_competition(there, "wildlife")
    folds = Selection(("small",), settings, (0, 1), "random")
    with cluster(nodes) as address:
        with executor("ray", address) as execute:  # photos are cached, `auto` is settled
            train(competition, replace(folds, folds=()), session=Session(execute=execute))
        with executor("ray", address) as execute:  # processes start anew
            begun = time.perf_counter()
            (run,) = train(competition, folds, session=Session(execute=execute))
            seconds = time.perf_counter() - begun
    own = [read_json(run.fold(fold).path / "done.json")["seconds"] for fold in (0, 1)]
    return seconds, statistics.mean(own)


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """The address of a cluster whose head runs no jobs, with so many nodes of one CPU."""
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": MEMORY}
    )
    for _ in range(nodes):
        made.add_node(num_cpus=1, object_store_memory=MEMORY)
    made.wait_for_nodes()
    try:
        yield made.address
    finally:
        made.shutdown()


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    main()
