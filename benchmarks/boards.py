"""Can the local score be believed? Hundreds of boards, split off real sets of images.

Each set is split again and again, by rows or by whole groups, into what a competitor has and a
board with a public and a private part; cheap models are trained on folds of the first, and
foldwise's own blend says what the private part should show. Then it is looked at.

    python benchmarks/boards.py --data FOLDER [--sets NAME ...] [--boards 45]
                                [--only-score | --only-tell]

FOLDER holds cifar10-small.zip, leaf-classification.zip, chest-xray.zip,
plant-pathology-2021-small.zip and the weights tf_efficientnet_lite0.fp16.safetensors; digits come
with scikit-learn, wildlife photos are generated. What models predict is kept in data/boards, so a
second run only scores. Prints figures per kind of board and set, and which bars are missed; writes
a row per board to benchmarks/results/boards.csv; rows of sets that were left out stay.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process per core

import numpy as np
import pandas as pd

from boarding import competing, summing
from boarding.sets import READ, ImageSet, read_set
from boarding.splits import ELSEWHERE, VERSION, Split, predicted
from foldwise.data.competition import CompetitionData
from foldwise.ensembling.blend import fit_blend, forecasts
from foldwise.ensembling.forecast import NORMAL, units_of
from foldwise.ensembling.members import Member
from foldwise.ensembling.pooling import each_fold
from foldwise.errors import PredictionError
from foldwise.kinds.targets import Targets
from foldwise.metrics.scoring import Score, score
from foldwise.store.predictions import predictions_frame
from provenance import ROOT, provenance

RESULTS = ROOT / "benchmarks" / "results" / "boards.csv"
KEPT = ROOT / "data" / "boards"
SETS = ("digits", *READ)
MANY = 5  # times as many splits of the one set that has tags
BLOCKS = 20  # of test rows, for the standard error of the real gain


def main() -> None:
    """Predict, score, print and record."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, help="the folder of archives and weights")
    words.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    words.add_argument("--boards", type=int, default=45, help="splits of each set")
    words.add_argument("--jobs", type=int, default=os.cpu_count())
    words.add_argument("--only-score", action="store_true", help="only splits that are kept")
    words.add_argument("--only-tell", action="store_true", help="the figures of boards.csv again")
    options = words.parse_args()
    if options.only_tell:
        tell(pd.read_csv(RESULTS))
        return
    begun, jobs = time.perf_counter(), []
    for name in options.sets:
        images = read_set(name, options.data, KEPT)
        numbers = range(options.boards * (MANY if images.multi else 1))
        jobs += [(name, number, options.only_score) for number in numbers]
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        found = list(pool.map(boards_of, jobs, chunksize=4))
    rows = pd.DataFrame([row for several in found for row in several])
    scored, made_with = len(rows), provenance()
    rows["commit"], rows["diff_sha256"] = made_with["commit"], made_with["diff_sha256"]
    if RESULTS.is_file():
        known = pd.read_csv(RESULTS)
        rows = pd.concat([known[~known["set"].isin(options.sets)], rows], ignore_index=True)
    rows.round(6).to_csv(RESULTS, index=False)
    print(f"{scored} boards in {time.perf_counter() - begun:.0f} s, {RESULTS.relative_to(ROOT)}")
    tell(rows)


def boards_of(job: tuple[str, int, bool]) -> list[dict[str, Any]]:
    """The rows of one split, of each kind of board that it can be."""
    name, number, only_kept = job
    logging.disable(logging.WARNING)
    images = read_set(name, None, KEPT)
    if only_kept and not (KEPT / f"{name}-{number}-{VERSION}.npz").exists():
        return []
    split = predicted(images, number, KEPT)
    return [board(images, split, kind) for kind in competing.kinds_of(images)]


def board(images: ImageSet, split: Split, kind: str) -> dict[str, Any]:
    """What foldwise says of a board, and what the board says.

    expected, low, high: of the private part. z: (private - expected) / the stated standard error.
    told_gain, real_gain: of averaging the folds, on all test rows. worse, than_single, than_best:
    of the submitted file on all test rows, by which share of its score it is worse than the plain
    mean of members and folds, the member that is best out of fold, and the best of all these.
    """
    data, test = competing.competition(images, split, kind)
    members, metric = competing.members(split), data.spec.metric
    ids, count = data.train.frame["id"], int(split.folds.max()) + 1
    with tempfile.TemporaryDirectory() as folder:
        made = fit_blend(data, members, ids, split.folds, data.spec.submit.blend, Path(folder))

    def scored(table: pd.DataFrame, probs: np.ndarray) -> Score:
        frame = predictions_frame(table["id"], probs, data.classes)
        return score(metric, table, data.format.decide(frame))

    own = scored(data.train.frame, made.oof)
    private = ~split.public
    rows = test.where(private)
    saw = scored(rows.frame, made.test[private])
    size = {"private": units_of(rows, data.train)}
    said = forecasts(data, ids, made.oof, own, made.gain, size)["private"]
    assert said.low is not None
    assert said.high is not None
    # one of the sides may have been cut off at the end of the metric's range
    stated = max(said.high - said.value, said.value - said.low) / NORMAL

    truth = test.targets

    def value(probs: np.ndarray, some: np.ndarray | slice = slice(None)) -> float:
        return valued(data, truth[some], probs[some])

    each = list(each_fold(data.task, made.fit.chain, count, members))
    gains = []
    for block in np.array_split(np.random.default_rng(0).permutation(len(test)), BLOCKS):
        try:
            gains.append(np.mean([value(probs, block) for probs in each]) - value(made.test, block))
        except PredictionError:  # AUC without a positive row
            continue
    sign = -1 if metric.higher else 1
    real = sign * (np.mean([value(probs) for probs in each]) - value(made.test))
    singles = [_mean_of([member], count) for member in members]
    known, oof = data.train.targets, [member.oof() for member in members]
    best = int(np.argmin([sign * valued(data, known, probs) for probs in oof]))
    file, plain = value(made.test), value(_mean_of(members, count))
    others = [value(probs) for probs in singles]
    cheapest = min(sign * each for each in (file, plain, *others)) * sign
    steps = [step.step for step in made.chain.steps]
    return {
        "set": split.set,
        "kind": kind,
        "number": split.number,
        "rows": len(data.train),
        "board_rows": len(test),
        "private_rows": len(rows),
        "units": size["private"],
        "oof_units": units_of(data.train, data.train),
        "folds": count,
        "members": len(members),
        "elsewhere": ELSEWHERE in split.oof,
        "steps": " ".join(steps),
        "local": own.value,
        "expected": said.value,
        "low": said.low,
        "high": said.high,
        "private": saw.value,
        "inside": said.low <= saw.value <= said.high,
        "z": (saw.value - said.value) / stated,
        "oof_error": _error(own),
        "private_error": _error(saw),
        "told_gain": made.gain,
        "real_gain": real,
        "gain_error": np.std(gains, ddof=1) / len(gains) ** 0.5,
        "file": file,
        "plain_mean": plain,
        "best_single": others[best],
        **{
            name: sign * (file - other) / max(abs(other), 1e-9)
            for name, other in (
                ("worse", plain),
                ("than_single", others[best]),
                ("than_best", cheapest),
            )
        },
    }


def valued(data: CompetitionData, targets: Targets, probs: np.ndarray) -> float:
    """The metric of what a file would say of predictions (n, C), against the truth."""
    metric = data.spec.metric
    return metric.value(metric.answers(data.task, targets, data.format.settings.decide(probs)))


def _mean_of(members: Sequence[Member], count: int) -> np.ndarray:
    return np.mean([member.test(fold) for member in members for fold in range(count)], axis=0)


def _error(own: Score) -> float:
    assert own.low is not None
    assert own.high is not None
    return (own.high - own.low) / (2 * NORMAL)


HEAD = (
    "kind",
    "set",
    "boards",
    "inside",
    "z mean",
    "z spread",
    "distance",
    "off",
    "off 90 %",
    "told/real",
    "worse",
    "by",
    "to mean",
    "to single",
    "to best",
    "missed",
)


def tell(rows: pd.DataFrame) -> None:
    """Print the figures of each kind, in all and by set."""
    lines = [HEAD]
    for kind, several in rows.groupby("kind", sort=False):
        parts = [("all", several)] if several["set"].nunique() > 1 else []
        for name, some in [*parts, *several.groupby("set", sort=False)]:
            own = summing.figures(some)
            missed = [bar for bar, verdict in summing.verdicts(some).items() if verdict != "ok"]
            lines.append(
                (
                    kind,
                    name,
                    f"{own['boards']}",
                    f"{own['inside']:.1%}",
                    f"{own['mean']:+.2f}",
                    f"{own['spread']:.2f}",
                    f"{own['distance']:.2f}",
                    f"{own['off']:.1%}",
                    f"{own['off_90']:.1%}",
                    f"{own['told']:.2f}",
                    f"{own['often']:.0%}",
                    f"{own['loss']:.2%}",
                    f"{own['over_mean']:+.2%}",
                    f"{own['over_single']:+.2%}",
                    f"{own['over_best']:+.2%}",
                    ", ".join(missed) or "-",
                )
            )
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


if __name__ == "__main__":
    main()
