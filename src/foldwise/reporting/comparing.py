"""Runs side by side: scores, time, and whether a difference exceeds the noise of the folds."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from foldwise.data.competition import CompetitionData
from foldwise.ensembling.goal import FEWEST_FOLDS
from foldwise.errors import RunError
from foldwise.metrics.intervals import paired_interval
from foldwise.metrics.out_of_fold import score_of
from foldwise.store.data_records import FoldsRecord
from foldwise.store.frames import read_folds
from foldwise.store.layout import BlendFolder, CompetitionRuns, RunFolder
from foldwise.store.predictions import read_predictions
from foldwise.store.run_records import BlendRecord, FoldRecord, PartRecord, RunRecord
from foldwise.store.runs import fold_predictions

log = logging.getLogger(__name__)

OTHER_ROWS = "other rows"
VISIBLE_DIFFERENCE = 5e-6  # a difference below this is shown as 0.00000, and is none


class Scores(TypedDict):
    """The scores of a run or a blend, see `compare_runs`; None is what is not known (yet)."""

    score: float | None
    fold_scores: list[float | None]
    mean: float | None
    deviation: float | None


class Difference(TypedDict):
    """How one differs from another one, see `compare_runs`; None where nothing can be told."""

    difference: float | None
    error: float | None
    shared: int | None
    verdict: str | None


class Folded(TypedDict):
    """What two need for being compared fold by fold."""

    fold_scores: list[float | None]
    folds_sha256: str
    higher: bool


class Candidate(Scores, Difference):
    """What rows of `compare_runs` and of `compare_blends` have in common."""

    run: str
    metric: str
    higher: bool
    scheme: str
    folds_sha256: str
    folds: int
    done: int


class RunRow(Candidate):
    """A row of `compare_runs`."""

    recipe: str
    seed: int
    seconds: float | None
    images_per_second: float | None


class PartRow(TypedDict):
    """What a part of a board should show: a value with its interval, of so many units."""

    value: float
    low: float | None
    high: float | None
    units: int
    of: str


class Expected(TypedDict):
    """What a board should show of a blend, and its parts by name, see `compare_blends`."""

    expected: float | None
    expected_low: float | None
    expected_high: float | None
    parts: Mapping[str, PartRow] | None


class BlendRow(Candidate, Expected):
    """A row of `compare_blends`."""

    method: str
    members: list[str]
    low: float | None
    high: float | None
    in_sample: float
    blend_alone: float
    decided_apart: float | None
    best_member: str
    member_score: float | None


UNCOMPARED: Difference = {"difference": None, "error": None, "shared": None, "verdict": None}


def compare_runs(folder: Path, data: CompetitionData) -> list[RunRow]:
    """A row per run directory in a folder, best first; it is read from files alone.

    Keys: `run, recipe, seed, scheme, folds_sha256`; `folds, done`: how many there are and how many
    of them are trained; `metric, higher`: its name, and whether higher is better; `score`: of all
    OOF predictions together, None until all folds are done; `fold_scores`: a value or None per
    fold, `mean, deviation`: of these; `seconds`: of the folds that are done; `images_per_second`:
    in training, None for runs from before it was written; `difference, error`: mean difference to
    the best run, paired over `shared` folds, and its standard error.

    `verdict`: `best` has the best score of all finished runs with the folds that `submit` uses (or,
    where none has these, with those of most runs). The others, if there is one: `other folds`;
    `other rows` (ids or classes that the competition no longer has); `too few folds` in common; and
    by a 95 % interval of the difference `worse`, `same within noise`, or `better`, as an unfinished
    run may be on its folds.
    """
    rows = [_row(run, data) for run in CompetitionRuns(folder).runs()]
    best = _best(rows, data)
    sign = -1 if data.spec.metric.higher else 1

    def place(row: RunRow) -> tuple[bool, bool, float]:
        other = best is not None and row["folds_sha256"] != best["folds_sha256"]
        return other, row["score"] is None, sign * (row["score"] or 0.0)

    return sorted(({**row, **_against(row, best)} for row in rows), key=place)


def _row(run: RunFolder, data: CompetitionData) -> RunRow:
    """What a run's own files tell; it is compared with no other one yet."""
    record = RunRecord.read(run.record)
    folds = read_folds(run.folds)
    count = int(folds["fold"].max()) + 1
    done = {k: FoldRecord.read(run.fold(k).record) for k in run.finished()}
    ids = folds.loc[folds["fold"] >= 0, "id"]
    known = record.classes == data.classes and ids.isin(data.train.frame["id"]).all()
    found = scores_of(run, folds, list(done), data) if known else _summary(None, [None] * count)
    seconds, speed = _times(list(done.values()))
    return {
        "run": run.name,
        "recipe": str(record.recipe["name"]),
        "seed": record.seed,
        "scheme": record.scheme,
        "folds_sha256": record.folds_sha256,
        "folds": count,
        "done": len(done),
        "metric": data.spec.metric.title,
        "higher": data.spec.metric.higher,
        **found,
        "seconds": seconds,
        "images_per_second": speed,
        "verdict": None if known else OTHER_ROWS,
        "difference": None,
        "error": None,
        "shared": None,
    }


def scores_of(
    run: RunFolder,
    folds: pd.DataFrame,
    done: Sequence[int],
    data: CompetitionData,
    plain: bool = False,
) -> Scores:
    """`score, fold_scores, mean, deviation` of a run as `compare_runs` has them.

    plain: of the predictions without TTA.
    """
    count = int(folds["fold"].max()) + 1
    values: list[float | None] = [None] * count
    frames = fold_predictions(run, folds, data.classes, done, plain)
    for k, frame in frames.items():
        values[k] = score_of(frame, data, f"{run.name} fold {k}")
    pooled = None
    if len(done) == count:
        pooled = score_of(pd.concat(frames.values(), ignore_index=True), data, run.name)
    return _summary(pooled, values)


def _summary(pooled: float | None, values: list[float | None]) -> Scores:
    """The keys that tell of scores."""
    known = [value for value in values if value is not None]
    return {
        "score": pooled,
        "fold_scores": values,
        "mean": float(np.mean(known)) if known else None,
        "deviation": float(np.std(known, ddof=1)) if len(known) > 1 else None,
    }


def _times(done: Sequence[FoldRecord]) -> tuple[float | None, float | None]:
    """Seconds of all folds, and images per second as their mean weighted by time."""
    seconds = sum(fold.seconds for fold in done)
    speeds = [(f.images_per_second, f.seconds) for f in done if f.images_per_second is not None]
    weight = sum(time for _, time in speeds)
    mean = sum(speed * time for speed, time in speeds) / weight if weight else None
    return (round(seconds, 2) if done else None), mean


def _best(rows: Sequence[RunRow], data: CompetitionData) -> RunRow | None:
    """The run that others are compared with; None where none is finished."""
    finished = [row for row in rows if row["score"] is not None]
    if not finished:
        return None
    saved = FoldsRecord.read_if_there(data.home.folds.record(data.spec.submit.folds))
    current = saved.sha256 if saved else None
    counts = Counter(row["folds_sha256"] for row in finished)
    chosen = max(counts, key=lambda folds: (folds == current, counts[folds]))
    same = [row for row in finished if row["folds_sha256"] == chosen]
    better = max if data.spec.metric.higher else min
    return better(same, key=lambda row: row["score"] or 0.0)


def _against(row: RunRow, best: RunRow | None) -> Difference:
    """How a run differs from the best one."""
    if best is None or row["mean"] is None:
        return {**UNCOMPARED, "verdict": row["verdict"]}
    return {**UNCOMPARED, "verdict": "best"} if row is best else against(row, best)


def against(row: Folded, other: Folded) -> Difference:
    """`difference, error, shared, verdict` of a row of `compare_runs` to another one."""
    if row["folds_sha256"] != other["folds_sha256"]:
        return {**UNCOMPARED, "verdict": "other folds"}
    pairs = zip(row["fold_scores"], other["fold_scores"], strict=True)
    differences = [own - its for own, its in pairs if own is not None and its is not None]
    mean = float(np.mean(differences)) if differences else None
    compared: Difference = {
        "difference": mean,
        "error": None,
        "shared": len(differences),
        "verdict": "too few folds",
    }
    if len(differences) < FEWEST_FOLDS:
        return compared
    mean, error, low, high = paired_interval(np.array(differences))
    verdict = "same within noise"
    if (low > 0 or high < 0) and abs(mean) >= VISIBLE_DIFFERENCE:
        verdict = "better" if (low > 0) == row["higher"] else "worse"
    return {**compared, "difference": mean, "error": error, "verdict": verdict}


def compare_blends(folder: Path, data: CompetitionData, runs: Sequence[RunRow]) -> list[BlendRow]:
    """A row per blend in a folder, best first; runs: rows of `compare_runs`.

    Keys: `run` (its directory), `method`, `members` (names), `metric, higher, scheme,
    folds_sha256, folds, done`; `score, low, high`, of OOF, cross-fitted, `in_sample`, and
    `blend_alone` (without calibration or thresholds); `decided_apart`, the score with the steps
    decided without each fold too; `expected, expected_low, expected_high`, on a board, and
    `parts`, the same of its parts by name: `units, of` (how many groups or rows), `value, low,
    high`; `fold_scores, mean, deviation`; `best_member` and its `member_score`, and as in
    `compare_runs` `difference, error, shared, verdict` to that one. Blends are left out that
    another version made, with a warning, and those whose runs have gone or are of other rows or
    classes.
    """
    known = {row["run"]: row for row in runs}
    rows, unread = [], list[RunError]()
    for blend in CompetitionRuns(folder).blends():
        try:
            record = BlendRecord.read(blend.record)
        except RunError as error:  # of another version
            unread.append(error)
            continue
        members = [known[member.name] for member in record.members if member.name in known]
        members = [row for row in members if row["score"] is not None]
        if members:
            rows.append(_blend_row(blend, record, members, data))
    if unread:
        log.warning("%d blends are left out of the comparison, e.g. %s", len(unread), unread[0])
    sign = -1 if data.spec.metric.higher else 1
    return sorted(rows, key=lambda row: sign * (row["score"] or 0.0))


def _blend_row(
    blend: BlendFolder, record: BlendRecord, members: list[RunRow], data: CompetitionData
) -> BlendRow:
    """A row of `compare_blends`. members: rows of its runs."""
    best = (max if data.spec.metric.higher else min)(members, key=lambda row: row["score"] or 0.0)
    folds = read_folds(CompetitionRuns(blend.path.parent).run(best["run"]).folds)
    oof = read_predictions(blend.oof, data.classes)
    values = [
        score_of(oof[oof["id"].isin(rows["id"])], data, f"{blend.name} fold {k}")
        for k, rows in folds[folds["fold"] >= 0].groupby("fold")
    ]
    row: BlendRow = {
        "run": blend.name,
        "method": record.method,
        "members": [each.name for each in record.members],
        "metric": best["metric"],
        "higher": best["higher"],
        "scheme": best["scheme"],
        "folds_sha256": best["folds_sha256"],
        "folds": len(values),
        "done": len(values),
        **_summary(record.score.value, values),
        "low": record.score.low,
        "high": record.score.high,
        "in_sample": record.in_sample,
        "blend_alone": record.blend_alone,
        "decided_apart": record.decided_apart,
        "expected": record.expected.value,
        "expected_low": record.expected.low,
        "expected_high": record.expected.high,
        "parts": {part: _part_row(each) for part, each in record.parts.items()},
        "best_member": best["run"],
        "member_score": best["score"],
        **UNCOMPARED,
    }
    return {**row, **against(row, best)}


def _part_row(part: PartRecord) -> PartRow:
    return {
        "value": part.value,
        "low": part.low,
        "high": part.high,
        "units": part.units,
        "of": part.of,
    }
