"""Time and peak memory of blends: many rows, classes and runs, as files read one after the other.

    python benchmarks/blending.py [--rows 100000] [--classes 120] [--runs 20] [--folds 5]

Writes made-up OOF and test predictions (a fifth as many rows) to parquet files, as runs have them,
and cross-fits every method with its calibration. Prints a line per method, seconds and the
process's peak memory so far, and adds rows to results/blending.csv. Needs rows x classes x runs x
18 bytes of disk (4.3 GB by default).
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.ensembling.crossfit import crossfit, slots_of
from foldwise.ensembling.members import Member, of_files, oof_stack
from foldwise.kinds.blending import BLENDINGS
from foldwise.kinds.goal import Goal
from foldwise.kinds.metric import METRICS
from foldwise.kinds.shape import SHAPES, SubmissionFormat
from foldwise.kinds.targets import Targets
from foldwise.store.ledger import now
from foldwise.tasks import MultiClass
from provenance import append, provenance

METHODS = [name for name in BLENDINGS.known if name != "auto"]

RESULTS = Path(__file__).resolve().parent / "results" / "blending.csv"


def main() -> None:
    """Measure, print and record."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("rows", 100_000), ("classes", 120), ("runs", 20), ("folds", 5)):
        words.add_argument(f"--{name}", type=int, default=value)
    words.add_argument("--method", action="append", choices=list(METHODS))
    options = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="foldwise-bench-") as folder:
        goal, members = made(Path(folder), options.rows, options.classes, options.runs)
        fold = np.arange(options.rows) % options.folds
        stack = oof_stack(members, options.rows, options.classes, False, Path(folder))
        for method in options.method or METHODS:
            begun = time.perf_counter()
            fit = crossfit(stack, goal, fold, BLENDINGS.parse(method), slots_of(goal))
            value = goal.value(fit.oof(stack, fold), np.arange(options.rows))
            seconds = time.perf_counter() - begun
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(
                f"{method:10} {seconds:7.1f} s  peak {peak:5.2f} GB  log loss {value:.4f}",
                flush=True,
            )
            append(
                RESULTS,
                {
                    "time": now(),
                    "method": method,
                    "rows": options.rows,
                    "classes": options.classes,
                    "runs": options.runs,
                    "folds": options.folds,
                    "seconds": round(seconds, 1),
                    "peak_gb": round(peak, 2),
                    "log_loss": round(value, 5),
                    **provenance(),
                },
            )


def made(folder: Path, rows: int, classes: int, runs: int) -> tuple[Goal, list[Member]]:
    """The goal of made-up labels, and members of different strength, as files."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, classes, rows)
    names, ids = [f"class {c}" for c in range(classes)], [f"{row:07d}" for row in range(rows)]
    task = MultiClass(tuple(names))
    members = []
    for run in range(runs):
        files = []
        for kind, count in (("oof", rows), ("test", rows // 5)):
            scores = rng.standard_normal((count, classes), dtype=np.float32)
            scores[np.arange(count), truth[:count]] += 1 + run / runs
            probs = np.exp(scores.astype(np.float64))
            probs /= probs.sum(axis=1, keepdims=True)
            files.append(folder / f"{kind}{run}.parquet")
            frame = pd.DataFrame(probs, columns=names)
            frame.insert(0, "id", ids[:count])
            frame.to_parquet(files[-1], index=False)
        members.append(of_files(f"run {run}", *files, task, ids, ids[: rows // 5]))
    settings = SHAPES.parse({})
    frame = settings.blank_rows(ids, names, ["id", *names], "id")
    form = SubmissionFormat(frame, "id", tuple(names), tuple(ids), task, settings)
    labels = pd.Categorical.from_codes(truth, categories=names)
    goal = Goal(
        task=task,
        truth=pd.DataFrame({"id": ids, "label": labels}),
        targets=Targets(truth),
        metric=METRICS.parse({}),
        format=form,
    )
    return goal, members


if __name__ == "__main__":
    main()
