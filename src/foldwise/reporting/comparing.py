"""Runs side by side: scores, time, and whether a difference exceeds the noise of the folds."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.competition import CompetitionData
from foldwise.errors import RunError
from foldwise.metrics.intervals import paired_interval
from foldwise.metrics.out_of_fold import score_of
from foldwise.store.data_records import FoldsRecord
from foldwise.store.frames import read_folds
from foldwise.store.layout import BlendFolder, CompetitionRuns, RunFolder
from foldwise.store.predictions import read_predictions
from foldwise.store.run_records import BlendRecord, FoldRecord, RunRecord
from foldwise.store.runs import fold_predictions

FEWEST = 3  # folds that two runs share; below that nothing is said of noise
OTHER_ROWS = "other rows"
SHOWN = 5e-6  # a difference below this is shown as 0.00000, and is none


def compare_runs(folder: Path, data: CompetitionData) -> list[dict[str, Any]]:
    """One dict per run directory in a folder, best first; it is read from files alone.

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
    for row in rows:
        row |= _against(row, best)
    sign = -1 if data.spec.metric.higher else 1

    def place(row: dict[str, Any]) -> tuple[bool, bool, float]:
        other = best is not None and row["folds_sha256"] != best["folds_sha256"]
        return other, row["score"] is None, sign * (row["score"] or 0.0)

    return sorted(rows, key=place)


def _row(run: RunFolder, data: CompetitionData) -> dict[str, Any]:
    """What a run's own files tell."""
    record = RunRecord.read(run.record)
    folds = read_folds(run.folds)
    count = int(folds["fold"].max()) + 1
    done = {k: FoldRecord.read(run.fold(k).record) for k in run.finished()}
    row = {
        "run": run.name,
        "recipe": record.recipe["name"],
        "seed": record.seed,
        "scheme": record.scheme,
        "folds_sha256": record.folds_sha256,
        "folds": count,
        "done": len(done),
        "metric": data.spec.metric.title,
        "higher": data.spec.metric.higher,
    }
    ids = folds.loc[folds["fold"] >= 0, "id"]
    known = record.classes == data.classes and ids.isin(data.train.frame["id"]).all()
    found = scores_of(run, folds, list(done), data) if known else _summary(None, [None] * count)
    verdict = None if known else OTHER_ROWS
    return {**row, **found, **_times(list(done.values())), "verdict": verdict}


def scores_of(
    run: RunFolder,
    folds: pd.DataFrame,
    done: Sequence[int],
    data: CompetitionData,
    plain: bool = False,
) -> dict[str, Any]:
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


def _summary(pooled: float | None, values: list[float | None]) -> dict[str, Any]:
    """The keys that tell of scores."""
    known = [value for value in values if value is not None]
    return {
        "score": pooled,
        "fold_scores": values,
        "mean": float(np.mean(known)) if known else None,
        "deviation": float(np.std(known, ddof=1)) if len(known) > 1 else None,
    }


def _times(done: Sequence[FoldRecord]) -> dict[str, float | None]:
    """Seconds of all folds, and images per second as their mean weighted by time."""
    seconds = sum(fold.seconds for fold in done)
    speeds = [(f.images_per_second, f.seconds) for f in done if f.images_per_second is not None]
    weight = sum(time for _, time in speeds)
    return {
        "seconds": round(seconds, 2) if done else None,
        "images_per_second": sum(s * time for s, time in speeds) / weight if weight else None,
    }


def _best(rows: Sequence[dict[str, Any]], data: CompetitionData) -> dict[str, Any] | None:
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
    return better(same, key=lambda row: row["score"])


def _against(row: dict[str, Any], best: dict[str, Any] | None) -> dict[str, Any]:
    """The keys that tell how a run differs from the best one."""
    nothing: dict[str, Any] = dict.fromkeys(("difference", "error", "shared"))
    if best is None or row["mean"] is None:
        return {**nothing, "verdict": row["verdict"]}
    return {**nothing, "verdict": "best"} if row is best else against(row, best)


def against(row: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`difference, error, shared, verdict` of a row of `compare_runs` to another one.

    Only `fold_scores`, `folds_sha256` and `higher` are looked at.
    """
    compared: dict[str, Any] = dict.fromkeys(("difference", "error", "shared"))
    if row["folds_sha256"] != other["folds_sha256"]:
        return {**compared, "verdict": "other folds"}
    pairs = zip(row["fold_scores"], other["fold_scores"], strict=True)
    differences = [own - its for own, its in pairs if own is not None and its is not None]
    compared["shared"] = len(differences)
    compared["difference"] = float(np.mean(differences)) if differences else None
    if len(differences) < FEWEST:
        return {**compared, "verdict": "too few folds"}
    mean, error, low, high = paired_interval(np.array(differences))
    verdict = "same within noise"
    if (low > 0 or high < 0) and abs(mean) >= SHOWN:
        verdict = "better" if (low > 0) == row["higher"] else "worse"
    return {**compared, "difference": mean, "error": error, "verdict": verdict}


def compare_blends(
    folder: Path, data: CompetitionData, runs: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One dict per blend in a folder, best first; runs: rows of `compare_runs`.

    Keys: `run` (its directory), `method`, `members` (names), `metric, higher, scheme,
    folds_sha256, folds, done`; `score, low, high`, of OOF, cross-fitted, `in_sample`, and
    `blend_alone` (without calibration or thresholds); `decided_apart`, the score with the steps
    decided without each fold too; `expected, expected_low, expected_high`, on a board, and
    `parts`, the same of its parts by name: `units, of` (how many groups or rows), `value, low,
    high`; `fold_scores, mean, deviation`; `best_member` and its `member_score`, and as in
    `compare_runs` `difference, error, shared, verdict` to that one. Blends are left out that an
    earlier version made, and those whose runs have gone or are of other rows or classes.
    """
    known = {row["run"]: row for row in runs}
    rows = []
    for blend in CompetitionRuns(folder).blends():
        try:
            record = BlendRecord.read(blend.record)
        except RunError:  # of an earlier version
            continue
        members = [known[member.name] for member in record.members if member.name in known]
        members = [row for row in members if row["score"] is not None]
        if members:
            rows.append(_blend_row(blend, record, members, data))
    sign = -1 if data.spec.metric.higher else 1
    return sorted(rows, key=lambda row: sign * row["score"])


def _blend_row(
    blend: BlendFolder, record: BlendRecord, members: list[dict[str, Any]], data: CompetitionData
) -> dict[str, Any]:
    """A row of `compare_blends`. members: rows of its runs."""
    best = (max if data.spec.metric.higher else min)(members, key=lambda row: row["score"])
    folds = read_folds(CompetitionRuns(blend.path.parent).run(best["run"]).folds)
    oof = read_predictions(blend.oof, data.classes)
    values = [
        score_of(oof[oof["id"].isin(rows["id"])], data, f"{blend.name} fold {k}")
        for k, rows in folds[folds["fold"] >= 0].groupby("fold")
    ]
    board = {
        f"expected_{key}".removesuffix("_value"): value
        for key, value in record.expected.plain().items()
    }
    row = {
        "run": blend.name,
        "method": record.method,
        "members": [each.name for each in record.members],
        **{key: best[key] for key in ("metric", "higher", "scheme", "folds_sha256")},
        "folds": len(values),
        "done": len(values),
        **_summary(record.score.value, values),
        "low": record.score.low,
        "high": record.score.high,
        "in_sample": record.in_sample,
        "blend_alone": record.blend_alone,
        "decided_apart": record.decided_apart,
        **board,
        "parts": {part: each.plain() for part, each in record.parts.items()},
        "best_member": best["run"],
        "member_score": best["score"],
    }
    return {**row, **against(row, best)}
