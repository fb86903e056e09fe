"""Blends: the predictions of several members become one, written into a directory of its own."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.data.competition import CompetitionData
from foldwise.ensembling.calibrate import best_temperature, calibration_error, reliability
from foldwise.ensembling.chain import Chain, as_record
from foldwise.ensembling.crossfit import (
    CrossFit,
    crossfit,
    parts_of,
    simplest,
    slots_of,
)
from foldwise.ensembling.forecast import averaging_gain, drawn_gain, expected_score, units_of
from foldwise.ensembling.goal import fold_costs, goal_of, within_noise
from foldwise.ensembling.members import Member, of_files, of_run, oof_stack, split_member
from foldwise.ensembling.pooling import each_fold, final, for_the_mean, pool_of
from foldwise.ensembling.thresholds import suits_labels, sweep
from foldwise.errors import RunError, SpecError
from foldwise.kinds.blending import BLENDINGS, Blending, Stack
from foldwise.kinds.columns import columns_of
from foldwise.kinds.goal import Goal
from foldwise.metrics.scoring import Score, of_smaller, score
from foldwise.store.files import hold_lock, sha256_json
from foldwise.store.frames import write_csv
from foldwise.store.layout import BlendFolder, CompetitionRuns
from foldwise.store.predictions import predictions_frame, read_predictions, write_predictions
from foldwise.store.run_records import BlendRecord, MemberRecord, PartRecord, ScoreRecord
from foldwise.training.fitting.run import Run

log = logging.getLogger(__name__)

ALL = "all"  # the board of all test rows
CHAIN_VERSION = 5  # of blend.json: others are made anew


@dataclass(frozen=True)
class Blend:
    """A blend's directory, its members and all their OOF scores.

    members: those that are runs. member_scores: of all members, by name. score: cross-fitted.
    record: its `method` is the one that `auto` took.
    """

    folder: Path
    members: tuple[Run, ...]
    member_scores: dict[str, Score]
    score: Score
    classes: tuple[str, ...]
    record: BlendRecord

    @property
    def expected(self) -> Score:
        """What a board of all test rows should show; see `forecast.expected_score`."""
        return Score(**self.record.expected.plain())

    @property
    def method(self) -> str:
        """The blend's method."""
        return self.record.method

    def oof(self) -> pd.DataFrame:
        """Out-of-fold predictions `id, *classes`, sorted by id: those of the cross-fitted chain."""
        return read_predictions(BlendFolder(self.folder).oof, self.classes)

    def test(self) -> pd.DataFrame:
        """Test predictions `id, *classes`, averaged over the folds."""
        return read_predictions(BlendFolder(self.folder).test, self.classes)

    def made_of(self) -> dict[str, object]:
        """What a manifest says of the blend: all of the record but its long parts."""
        long = ("by_fold", "reliability")
        return {key: value for key, value in self.record.plain().items() if key not in long}

    def table(self) -> list[dict[str, object]]:
        """Rows for people: what `auto` tried, else the members' scores and the blend's.

        Of `auto`: `method, metric, cross_fitted, in_sample`; `difference` to the best cross-fitted
        score, and whether it is `within_noise` of it; `chosen`.
        """
        if self.record.tried:
            return [*self.record.tried]
        rows = [
            {"run": name, **asdict(each), "in_sample": None}
            for name, each in self.member_scores.items()
        ]
        own = {"run": self.folder.name, **asdict(self.score)}
        return [*rows, {**own, "in_sample": self.record.in_sample}]


def blend_runs(
    folder: Path,
    data: CompetitionData,
    runs: Sequence[Run],
    method: Blending | None = None,
    members: Sequence[str] = (),
    parts: Mapping[str, int] | None = None,
) -> Blend:
    """Blend finished runs, into a directory of their own below folder, written once.

    method: by default that of `[submit]`.
    members: others, each as NAME=OOF,TEST, besides those of `[[submit.member]]`.
    parts: the parts of the board whose sizes are known, by name; see `board_parts`.

    Raises: RunError: runs of different folds, or an unfinished one. SpecError: two members of
            one name. PredictionError: a member's file is not what it should be.
    """
    method = method or data.spec.submit.blend
    if len({run.folds.sha256 for run in runs}) > 1:
        raise RunError(
            "runs of different folds cannot be blended: "
            + ", ".join(f"{run.name} has {run.folds.sha256[:8]}" for run in runs)
        )
    for run in runs:
        if run.unfinished():
            run.oof()  # says what is missing
    frame = runs[0].folds.frame
    frame = frame[frame["fold"] >= 0].sort_values("id", ignore_index=True)
    joined = _members(data, runs, list(frame["id"]), members)
    spec = data.spec
    part = spec.model_dump(mode="json", include={"metric", "submission"})
    key = sha256_json(
        [
            CHAIN_VERSION,
            BLENDINGS.dump(method, mode="json"),
            spec.submit.chain,
            part,
            parts or {},
            *(member.identity for member in joined),
        ]
    )
    target = CompetitionRuns(folder).blend(f"blend-{BLENDINGS.name_of(method)}-{key[:8]}")
    with hold_lock(target.lock, f"the blend {target.name}"):
        if target.finished:
            log.info("%s: blended already; skipped", target.name)
        else:
            _make(target, data, joined, frame, method, parts or {})
    record = BlendRecord.read(target.record)
    scores = {member.name: Score(**member.score.plain()) for member in record.members}
    own = Score(**record.score.plain())
    return Blend(
        folder=target.path,
        members=tuple(runs),
        member_scores=scores,
        score=own,
        classes=data.classes,
        record=record,
    )


def _members(
    data: CompetitionData, runs: Sequence[Run], ids: list[str], more: Sequence[str]
) -> list[Member]:
    """The runs and the members from elsewhere."""
    test_ids = list(data.test.frame["id"])
    joined = [of_run(run, ids, test_ids) for run in runs]
    home = data.raw.parent
    files = [(each.name, home / each.oof, home / each.test) for each in data.spec.submit.member]
    for name, oof, test in [*files, *map(split_member, more)]:
        if name in [member.name for member in joined]:
            raise SpecError(
                f"members of a blend should have different names, {name!r} is there "
                "twice; rename one"
            )
        joined.append(of_files(name, oof, test, data.task, ids, test_ids))
    return joined


@dataclass(frozen=True)
class Fitted:
    """A blend before it is written.

    parts: what `fit` was cross-fitted over, (n,), see `parts_of`.
    chain: for test rows, see `for_the_mean`. oof: cross-fitted predictions (n, C). test: those that
    are submitted, (n_test, C). gain: of averaging the folds, in the metric, better is above 0.
    tried: see `Blend.table`.
    """

    method: str
    goal: Goal
    stack: Stack
    parts: Array
    fit: CrossFit
    chain: Chain
    oof: Array
    test: Array
    gain: float
    tried: list[dict[str, object]]


def fit_blend(
    data: CompetitionData,
    members: Sequence[Member],
    ids: "pd.Series[str]",
    folds: Array,
    method: Blending,
    folder: Path,
) -> Fitted:
    """Fit a method, or all of its candidates, and average the folds' test predictions.

    ids, folds: of the out-of-fold rows, (n,). folder: for predictions that do not fit into memory.
    """
    goal, count, task = goal_of(data, ids), int(folds.max()) + 1, data.task
    parts = parts_of(goal, folds)
    stack = oof_stack(members, len(folds), task, folder)
    slots = slots_of(goal) if data.spec.submit.chain == "auto" else ()
    candidates, fits = method.candidates(len(members), task), {}
    for each in candidates:
        name = BLENDINGS.name_of(each)
        log.info("%s: fitting %s", folder.name, name)
        fits[name] = crossfit(stack, goal, parts, each, slots)
    chosen, tried = _compare_methods(fits, stack, goal, parts)
    fit = fits[chosen]
    weights = goal.column_weights if goal.log_loss else None
    single = best_temperature(task, goal.targets, fit.without_steps(stack, parts), weights)
    pool = pool_of(task, fit.chain, count, members, single, weights)
    chain = for_the_mean(fit.chain, pool)
    test, oof = final(chain, pool), fit.oof(stack, parts)
    if goal.log_loss:
        gain = averaging_gain(pool, test, weights)
    else:
        by_fold = each_fold(task, fit.chain, count, members)
        gain = drawn_gain(goal, oof, pool, test, by_fold, count)
    return Fitted(
        method=chosen,
        goal=goal,
        stack=stack,
        parts=parts,
        fit=fit,
        chain=chain,
        oof=oof,
        test=test,
        gain=gain,
        tried=[] if candidates == [method] else tried,
    )


def _make(
    target: BlendFolder,
    data: CompetitionData,
    members: list[Member],
    folds: pd.DataFrame,
    method: Blending,
    parts_of_board: Mapping[str, int],
) -> None:
    """Fit the blend and write the directory's files, the record last."""
    fold = folds["fold"].to_numpy()
    made = fit_blend(data, members, folds["id"], fold, method, target.path)
    goal, fit, stack, parts = made.goal, made.fit, made.stack, made.parts
    scores = [_score(data, folds["id"], stack.of(m, slice(None))) for m in range(len(members))]
    for path, table, probs in (
        (target.oof, folds, made.oof),
        (target.test, data.test.frame, made.test),
    ):
        write_predictions(path, predictions_frame(table["id"], probs, data.classes))
    if fit.trials and suits_labels(goal):
        write_csv(target.thresholds, sweep(fit.before(stack, parts), goal))
    saved = read_predictions(target.oof, data.classes)
    probs = saved[columns_of(data.classes)].to_numpy()
    own = _score(data, folds["id"], probs)
    sizes = {ALL: units_of(data.test, data.train), **parts_of_board}
    boards = forecasts(data, folds["id"], probs, own, made.gain, sizes)
    kind = "groups" if data.train.frame["group"].notna().all() else "rows"
    BlendRecord(
        asked=BLENDINGS.name_of(method),
        method=made.method,
        metric=goal.metric.title,
        score=_score_record(own),
        averaging_gain=made.gain,
        expected=_score_record(boards.pop(ALL)),
        parts={
            part: PartRecord(units=sizes[part], of=kind, **asdict(each))
            for part, each in boards.items()
        },
        folds=int(fold.max()) + 1,
        **_values(made),
        members=tuple(
            MemberRecord.model_validate(
                {
                    "name": member.name,
                    "identity": member.identity,
                    "score": _score_record(each),
                    **member.facts,
                }
            )
            for member, each in zip(members, scores, strict=True)
        ),
        chain=as_record(made.chain),
        steps=tuple(map(asdict, fit.trials)),
        by_fold=tuple(map(as_record, fit.by_fold)),
        tried=tuple(made.tried),
    ).write(target.record)


def _score_record(own: Score) -> ScoreRecord:
    return ScoreRecord(**asdict(own))


def forecasts(
    data: CompetitionData,
    ids: "pd.Series[str]",
    probs: Array,
    own: Score,
    gain: float,
    sizes: Mapping[str, int],
) -> dict[str, Score]:
    """What boards of some sizes should show, by their names.

    ids, probs, own: the out-of-fold rows, their predictions (n, C) and score. gain: of averaging.
    """
    frame = data.format.decide(predictions_frame(ids, probs, data.classes))
    metric, units = data.spec.metric, units_of(data.train, data.train)
    smaller = of_smaller(metric, data.train.frame, frame, [*sizes.values()])
    return {
        name: expected_score(own, gain, metric, units, size, smaller[k] if smaller else None)
        for k, (name, size) in enumerate(sizes.items())
    }


class Checked(TypedDict):
    """What a record says of a fit beside its score.

    blend_alone: cross-fitted, without steps. decided_apart: what the score would be if each fold's
    own labels had no part in deciding which steps are kept, None where there are none to decide on.
    reliability: for log loss, before the steps and after them.
    """

    in_sample: float
    blend_alone: float
    decided_apart: float | None
    reliability: NotRequired[dict[str, dict[str, object]]]


def _values(made: Fitted) -> Checked:
    """What the record says of a fit beside its score."""
    fit, stack, goal, folds = made.fit, made.stack, made.goal, made.parts
    rows, before = np.arange(len(folds)), fit.before(stack, folds)
    found: Checked = {
        "in_sample": goal.value(fit.in_sample(stack, folds), rows),
        "blend_alone": goal.value(before, rows),
        "decided_apart": goal.value(fit.decided_apart(stack, folds), rows) if fit.trials else None,
    }
    if goal.log_loss:
        curves = {
            name: reliability(goal.task, goal.targets, probs)
            for name, probs in (("before", before), ("after", made.oof))
        }
        found["reliability"] = {
            name: {"calibration_error": calibration_error(curve), "curve": curve}
            for name, curve in curves.items()
        }
    return found


def _compare_methods(
    fits: dict[str, CrossFit], stack: Stack, goal: Goal, folds: Array
) -> tuple[str, list[dict[str, object]]]:
    """The method to take, and a row per method that was tried: see `Blend.table`.

    By the cross-fitted score, the simpler one within noise. That the choice is made on the rows
    that it is scored on flatters it a little, by less the fewer methods stand out.
    """
    rows = np.arange(len(folds))
    costs, by_fold, samples = {}, {}, {}
    for name, fit in fits.items():
        oof = fit.oof(stack, folds)
        costs[name], by_fold[name] = goal.cost(oof, rows), fold_costs(goal, oof, rows, folds)
        samples[name] = goal.value(fit.in_sample(stack, folds), rows)
    chosen, best = simplest(costs, by_fold), min(costs, key=lambda name: costs[name])
    sign = -1 if goal.metric.higher else 1
    return chosen, [
        {
            "method": name,
            "metric": goal.metric.title,
            "cross_fitted": sign * costs[name],
            "in_sample": samples[name],
            "difference": sign * (costs[name] - costs[best]),
            "within_noise": name == best or within_noise(by_fold[name], by_fold[best]),
            "chosen": name == chosen,
        }
        for name in fits
    ]


def _score(data: CompetitionData, ids: "pd.Series[str]", probs: Array) -> Score:
    """The metric of what a file would say of these rows, with its interval."""
    frame = data.format.decide(predictions_frame(ids, probs, data.classes))
    return score(data.spec.metric, data.train.frame, frame, data.hooks.get("score"))
