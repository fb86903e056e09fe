"""A run by folds, classes and groups: where its score comes from, and how far it can be trusted."""

from collections.abc import Callable
from typing import NotRequired, TypedDict, TypeVar

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.data.competition import CompetitionData, load_data
from foldwise.errors import PredictionError, RunError, nearest
from foldwise.kinds.columns import columns_of
from foldwise.kinds.goal import HALF, named_from
from foldwise.kinds.metric import Answers, Metric
from foldwise.metrics.scoring import score
from foldwise.store.frames import read_folds
from foldwise.store.layout import CompetitionRuns, runs_of
from foldwise.store.predictions import align, read_predictions
from foldwise.store.run_records import BlendRecord, RunRecord
from foldwise.store.runs import fold_predictions
from foldwise.workspace import Workspace


class FoldScore(TypedDict):
    """A row of `by_fold`, see `summarise`."""

    fold: int
    rows: int
    value: float | None


# train_share, test_share: see `numbers.add_shares`
ClassScore = TypedDict(
    "ClassScore",
    {
        "class": str,
        "rows": int,
        "value": float | None,
        "precision": float | None,
        "recall": float | None,
        "train_share": NotRequired[float],
        "test_share": NotRequired[float],
    },
)


class GroupScore(TypedDict):
    """A row of `by_group`, see `summarise`."""

    group: str
    rows: int
    value: float | None
    share: float | None


class Summary(TypedDict):
    """Scores of out-of-fold predictions, see `summarise`."""

    metric: str
    higher: bool
    rows: int
    score: float
    low: float | None
    high: float | None
    resampled: str
    named_from: float | None
    folds: int
    done: int
    mean: float | None
    deviation: float | None
    by_fold: list[FoldScore]
    by_class: list[ClassScore]
    by_group: list[GroupScore]


class Made(TypedDict):
    """What made a run or a blend, see `run_summary`."""

    run: str
    recipe: str
    seed: int | None
    scheme: str


class RunSummary(Made, Summary):
    """What `run_summary` tells."""


T = TypeVar("T")
AnyScore = TypeVar("AnyScore", ClassScore, GroupScore)


def run_summary(
    workspace: Workspace, name: str, run: str, data: CompetitionData | None = None
) -> RunSummary:
    """What `summarise` tells of a run's folds that are done, and `run, recipe, seed, scheme`.

    Of a blend too, cross-fitted: its recipe is the method, and it has no seed.
    data: the competition's, where it was read already.
    Raises: RunError: see `read_run` and `read_blend`.
    """
    data, runs = data or load_data(workspace, name), runs_of(workspace, name)
    if runs.blend(run).finished:
        blend, scheme, folds, oof = read_blend(runs, run, data)
        made: Made = {"run": run, "recipe": blend.method, "seed": None, "scheme": scheme}
        return {**made, **summarise(data, oof, folds)}
    record, folds, oof = read_run(runs, run, data)
    return {**made_by(run, record), **summarise(data, oof, folds)}


def made_by(run: str, record: RunRecord) -> Made:
    """`run, recipe, seed, scheme` of a run's record."""
    return {
        "run": run,
        "recipe": str(record.recipe["name"]),
        "seed": record.seed,
        "scheme": record.scheme,
    }


def read_run(
    runs: CompetitionRuns, name: str, data: CompetitionData
) -> tuple[RunRecord, pd.DataFrame, pd.DataFrame]:
    """A run's record, its folds `id, fold`, and the OOF predictions of those that are done.

    Raises: RunError: no run of the competition is called so, it was trained on other rows or
            classes, or none of its folds is done.
    """
    run = runs.run(name)
    if not run.begun:
        known = [each.name for each in (*runs.runs(), *runs.blends())]
        raise RunError(
            f"no run or blend of {data.spec.name} is called {name!r}{nearest(name, known)}"
        )
    record, folds = RunRecord.read(run.record), read_folds(run.folds)
    part = folds[folds["fold"] >= 0]
    if record.classes != data.classes or not part["id"].isin(data.train.frame["id"]).all():
        raise RunError(
            f"{name} was trained on other rows or classes than {data.spec.name} has now; "
            "train it again"
        )
    frames = fold_predictions(run, folds, data.classes, run.finished())
    if not frames:
        raise RunError(
            f"{name}: none of its folds is done yet; run `foldwise train` again, it "
            "goes on with them"
        )
    return record, folds, pd.concat(frames.values(), ignore_index=True)


def read_blend(
    runs: CompetitionRuns, name: str, data: CompetitionData
) -> tuple[BlendRecord, str, pd.DataFrame, pd.DataFrame]:
    """A blend's record, the scheme of its folds, these (`id, fold`), and its cross-fitted
    predictions.

    Raises: RunError: it is of other rows or classes, its runs have gone, or an earlier version
            made it.
    """
    blend = runs.blend(name)
    record = BlendRecord.read(blend.record)
    members = [runs.run(member.name) for member in record.members]
    run = next((each for each in members if each.begun), None)
    made = RunRecord.read(run.record) if run else None
    if run is None or made is None or made.classes != data.classes:
        raise RunError(
            f"{name}: its runs have gone, or have other classes than "
            f"{data.spec.name} now; `foldwise blend` makes it anew"
        )
    folds, oof = read_folds(run.folds), read_predictions(blend.oof, data.classes)
    if not oof["id"].isin(data.train.frame["id"]).all():
        raise RunError(
            f"{name} was made of other rows than {data.spec.name} has now; "
            "`foldwise blend` makes it anew"
        )
    return record, made.scheme, folds, oof


def summarise(data: CompetitionData, oof: pd.DataFrame, folds: pd.DataFrame) -> Summary:
    """Scores of out-of-fold predictions: pooled, by fold, by class and by group; plain values.

    oof: `id, *classes`, of all folds or of some. folds: `id, fold`. Scored is what a submission
    file would say of the predictions.

    Keys: `metric, higher, rows`; `score, low, high`: pooled, with the 95 % bootstrap interval, and
    `resampled`: `groups` where no group is in two folds, else `rows`; `named_from`: from which
    probability on a label counts, None where an image has one label; `folds, done`: how many
    there are and how many are in oof; `mean, deviation`: of the folds' scores; and lists of dicts:
    `by_fold`: `fold, rows, value`; `by_class`, the worst first: `class, rows, value, precision,
    recall`; `by_group`, the worst first: `group, rows, value, share`, the share of the total loss
    (of what is missing to 1 where higher is better).

    A class's value is its column's where the metric takes columns apart, else the mean over its
    rows. None is what cannot be told: AUC of a fold without positive rows, say.
    Raises: PredictionError: ids or classes are not those of the training rows.
    """
    metric, hook = data.spec.metric, data.hooks.get("score")
    table = data.train.where(data.train.frame["id"].isin(oof["id"]).to_numpy())
    ids = table.frame["id"]
    said = align(data.format.decide(oof), ids, "out-of-fold predictions")
    fold = align(folds[folds["id"].isin(ids)], ids, "folds")["fold"]
    grouped = bool(table.frame["group"].notna().all())
    apart = grouped and fold.groupby(table.frame["group"]).nunique().max() == 1
    pooled = score(metric, table.frame if apart else table.frame.drop(columns="group"), said, hook)

    def plain(rows: pd.DataFrame) -> float:
        return score(metric, rows, said.loc[rows.index], hook, interval=False).value

    by_fold: list[FoldScore] = [
        {"fold": int(k), "rows": len(rows), "value": _value_or_none(plain, rows)}
        for k, rows in table.frame.groupby(fold)
    ]
    values = [row["value"] for row in by_fold if row["value"] is not None]
    block = said[columns_of(data.classes)].to_numpy()
    many = data.task.probabilities and not data.task.sums_to_one
    answers = metric.answers(data.task, table.targets, block)
    groups = table.frame["group"].to_numpy() if grouped else None
    return {
        "metric": metric.title,
        "higher": metric.higher,
        "rows": len(table),
        "score": pooled.value,
        "low": pooled.low,
        "high": pooled.high,
        "resampled": "groups" if apart else "rows",
        "named_from": named_from(data.spec.submission, metric) if many else None,
        "folds": int(folds["fold"].max()) + 1,
        "done": len(by_fold),
        "mean": float(np.mean(values)) if values else None,
        "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "by_fold": by_fold,
        "by_class": _worst_first(_by_class(metric, answers), metric.higher),
        "by_group": _worst_first(_by_group(metric, answers, groups), metric.higher),
    }


def _by_class(metric: Metric, answers: Answers) -> list[ClassScore]:
    """`class, rows, value, precision, recall` of each class, in class order; of numbers, which have
    neither precision nor recall, a row for each."""
    if not answers.task.probabilities:
        rows, values = len(answers.targets), metric.class_values(answers)
        return [
            {"class": name, "rows": rows, "value": value, "precision": None, "recall": None}
            for name, value in zip(answers.task.columns, values, strict=True)
        ]
    marks, named = answers.marks, answers.name_classes(metric.cutoff or HALF)
    true, said, hits = (table.sum(axis=0, dtype=int) for table in (marks, named, marks & named))
    return [
        {
            "class": name,
            "rows": int(true[c]),
            "value": value,
            "precision": float(hits[c] / said[c]) if said[c] else None,
            "recall": float(hits[c] / true[c]) if true[c] else None,
        }
        for c, (name, value) in enumerate(
            zip(answers.task.columns, metric.class_values(answers), strict=True)
        )
    ]


def _by_group(metric: Metric, answers: Answers, groups: Array | None) -> list[GroupScore]:
    """`group, rows, value, share` of each group; none where there are no groups."""
    if groups is None or metric.hook is not None:
        return []
    result = metric.rule(answers)
    values = result if isinstance(result, np.ndarray) else None
    losses = values if values is None or not metric.higher else 1 - values
    listed: list[GroupScore] = []
    for name, rows in pd.Series(range(len(groups))).groupby(groups).indices.items():
        share = None
        if values is not None and losses is not None:
            value: float | None = float(values[rows].mean())
            share = float(losses[rows].sum() / losses.sum()) if losses.sum() else None
        else:
            value = _value_or_none(metric.value, answers[np.asarray(rows)])
        listed.append({"group": str(name), "rows": len(rows), "value": value, "share": share})
    return listed


def _worst_first(rows: list[AnyScore], higher: bool) -> list[AnyScore]:
    """The rows by value, those without one last."""
    sign = 1 if higher else -1
    return sorted(rows, key=lambda row: (row["value"] is None, sign * (row["value"] or 0.0)))


def _value_or_none(value: Callable[[T], float], what: T) -> float | None:
    """The value of something; None where the metric has none for it."""
    try:
        return value(what)
    except PredictionError:
        return None
