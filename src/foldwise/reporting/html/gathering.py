"""What the page of a run or a blend says: read from its directory, as plain values; nothing is
computed anew that the directory does not hold, and torch is not needed."""

from typing import TypedDict, cast

from foldwise.data.competition import CompetitionData, load_data
from foldwise.reporting.comparing import (
    BlendRow,
    Difference,
    RunRow,
    against,
    compare_blends,
    compare_runs,
    scores_of,
)
from foldwise.reporting.headline import Head, headline
from foldwise.reporting.html import numbers
from foldwise.reporting.html.changes import HistoryRow, commands, what_changed
from foldwise.reporting.html.pictures import SeenRecipe
from foldwise.reporting.html.traces import (
    AugmentedRow,
    FoldTrace,
    RateRows,
    Search,
    augmented_of,
    finder_of,
    folds_of,
    maps_of,
    rates_of,
)
from foldwise.reporting.standing import blend_named, board_of
from foldwise.reporting.summary import RunSummary, made_by, read_run
from foldwise.store.data_records import FindingsRecord
from foldwise.store.frames import read_folds
from foldwise.store.layout import BlendFolder, CompetitionRuns, RunFolder, data_of, runs_of
from foldwise.store.predictions import read_predictions
from foldwise.store.records import Plain
from foldwise.store.run_records import BlendRecord, FoldRecord
from foldwise.workspace import Workspace

SHIFTED = 5  # places at which each view is seen with tta_shift
CURVES = {"before": "blend alone", "after": "after the steps"}  # of reliability, in blend.json


class CompetitionFacts(TypedDict):
    """What a competition is called, and where."""

    name: str
    title: str
    platform: str
    page: str | None


class PageFacts(TypedDict):
    """What is known of a competition's data, see `facts`."""

    competition: CompetitionFacts
    train_rows: int
    test_rows: int
    classes: int
    corrections: dict[str, int]
    findings: Plain


class Views(Difference):
    """What test-time augmentation gains, see `_tta`."""

    views: int
    mean: float | None
    plain: float | None


class FileHash(TypedDict):
    """A file of a fold with its hash."""

    fold: int
    file: str
    sha256: str


class BlendMember(TypedDict):
    """A member of a blend, see `_of_blend`."""

    member: str
    score: float
    low: float | None
    high: float | None
    weight: object


class BlendTold(BlendRow):
    """What a page says of a blend itself, see `_of_blend`."""

    record: Plain
    members_table: list[BlendMember]
    recipes: list[str]


class Extras(TypedDict):
    """What not every page has, see `_of_run` and `_of_blend`."""

    record: Plain | None
    rates: RateRows | None
    finder: list[Search]
    tta: Views | None
    augmented: list[AugmentedRow]
    maps: numbers.Maps
    commands: list[str]
    hashes: list[FileHash]
    change: HistoryRow | None
    blend: BlendTold | None


class PageParts(numbers.OutOfFoldNumbers, Extras):
    """What a page says beside the facts."""

    headline: Head
    folds: list[FoldTrace]


class RunPage(PageFacts, PageParts):
    """All that the page of a run or a blend shows, see `gather`."""

    run: str
    runs: list[RunRow]


NOTHING: Extras = {
    "record": None,
    "rates": None,
    "finder": [],
    "tta": None,
    "augmented": [],
    "maps": {},
    "commands": [],
    "hashes": [],
    "change": None,
    "blend": None,
}


def gather(workspace: Workspace, name: str, what: str) -> RunPage:
    """All that the page of a run or a blend shows; lists of dicts are its tables.

    Keys: `run`, `runs` (see `compare_runs`), `headline`, and those of `facts`,
    `numbers.of_predictions`, and `_of_run` or `_of_blend`; of what there is not, None or empty.
    Raises: RunError: see `read_run` and `blend_named`.
    """
    data, folder = load_data(workspace, name), runs_of(workspace, name)
    rows = compare_runs(folder.path, data)
    if folder.blend(what).finished:
        told = _of_blend(workspace, data, folder.blend(what), rows)
    else:
        told = _of_run(workspace, data, folder.run(what), rows)
    return {**facts(workspace, data), "run": what, "runs": rows, **told}


def facts(workspace: Workspace, data: CompetitionData) -> PageFacts:
    """What is known of a competition's data.

    Keys: `competition`: `name, title, platform, page`; `train_rows, test_rows, classes`;
    `corrections`: counts by what was ignored or changed; `findings`: what `check` and `submit`
    found (see `doctor.Findings.save`), by which of them.
    """
    found = FindingsRecord.read_if_there(data_of(workspace, data.spec.name).findings)
    return {
        "competition": {
            "name": data.spec.name,
            "title": data.spec.title,
            "platform": data.spec.platform.name,
            "page": data.spec.platform.page,
        },
        "train_rows": len(data.train),
        "test_rows": len(data.test),
        "classes": len(data.classes),
        "corrections": data.counts,
        "findings": found.plain() if found else {},
    }


def _of_run(
    workspace: Workspace, data: CompetitionData, run: RunFolder, rows: list[RunRow]
) -> PageParts:
    """What a run's page says beside the facts.

    Keys: `summary`; `record`: the run's; `folds`: see `folds_of`; `rates, finder, augmented, maps`:
    see `traces`; `tta`: see `_tta`; `change`: see `what_changed`; `commands`; `hashes`: `fold,
    file, sha256`.
    """
    competition = workspace.competition(data.spec.name)
    runs = CompetitionRuns(run.path.parent)
    record, folds, oof = read_run(runs, run.name, data)
    maps = maps_of(run)
    told = numbers.of_predictions(data, folds, oof, maps, cast(SeenRecipe, record.recipe))
    summary: RunSummary = {**told["summary"], **made_by(run.name, record)}
    done = [row["fold"] for row in summary["by_fold"]]
    numbers.add_shares(summary["by_class"], data, [run.fold(k).test for k in done])
    own = next(row for row in rows if row["run"] == run.name)
    made = {k: FoldRecord.read(run.fold(k).record) for k in done}
    return {
        **NOTHING,
        **told,
        "summary": summary,
        "headline": headline(summary, rows),
        "record": record.plain(),
        "folds": folds_of(run, summary["by_fold"]),
        "rates": rates_of(run),
        "finder": finder_of(run),
        "tta": _tta(run, data, own, record.recipe),
        "augmented": augmented_of(run),
        "maps": maps,
        "change": next(
            row for row in what_changed(competition, runs, rows) if row["run"] == run.name
        ),
        "commands": commands(workspace, data, record),
        "hashes": [
            {"fold": k, "file": file, "sha256": digest}
            for k, fold in made.items()
            for file, digest in fold.sha256.items()
        ],
    }


def _tta(run: RunFolder, data: CompetitionData, own: RunRow, recipe: Plain) -> Views | None:
    """What test-time augmentation gains: `views` (how many), `mean, plain`, `difference, error,
    verdict`.

    plain: the mean over the folds of the score without it, as mean is with it. None where there is
    none. own: the run's row of `compare_runs`.
    """
    views = len(recipe["tta"]) * (SHIFTED if recipe.get("tta_shift") else 1)
    if views == 1:
        return None
    done = [k for k, value in enumerate(own["fold_scores"]) if value is not None]
    plain = scores_of(run, read_folds(run.folds), done, data, plain=True)
    without: RunRow = {**own, **plain}
    return {
        "views": views,
        "mean": own["mean"],
        "plain": plain["mean"],
        **against(own, without),
    }


def _of_blend(
    workspace: Workspace, data: CompetitionData, blend: BlendFolder, rows: list[RunRow]
) -> PageParts:
    """What a blend's page says beside the facts.

    Keys: `summary`; `folds`: as there; `blend`: its row of `compare_blends`, `record`,
    `members_table` (`member, score, low, high, weight`), and the `recipes` of its runs.
    """
    runs = CompetitionRuns(blend.path.parent)
    blends = compare_blends(runs.path, data, rows)
    row = blend_named(blends, data, blend.name)
    record = BlendRecord.read(blend.record)
    folds = read_folds(runs.run(row["best_member"]).folds)
    oof = read_predictions(blend.oof, data.classes)
    told = numbers.of_predictions(data, folds, oof)
    numbers.add_shares(told["summary"]["by_class"], data, [blend.test])
    curves = record.reliability
    weights = record.chain["fitted"].get("weights")
    members: list[BlendMember] = [
        {
            "member": each.name,
            "score": each.score.value,
            "low": each.score.low,
            "high": each.score.high,
            "weight": weights and weights[number],
        }
        for number, each in enumerate(record.members)
    ]
    recipes = [each["recipe"] for each in rows if each["run"] in row["members"]]
    return {
        **NOTHING,
        **told,
        "headline": headline(row, [*rows, *blends], board_of(workspace, data.spec, row)),
        "folds": [
            {"fold": each["fold"], "rows": each["rows"], "value": each["value"]}
            for each in told["summary"]["by_fold"]
        ],
        "reliability": {CURVES[key]: curve["curve"] for key, curve in curves.items()},
        "calibration_error": {
            CURVES[key]: curve["calibration_error"] for key, curve in curves.items()
        },
        "blend": {
            **row,
            "record": record.plain(),
            "members_table": members,
            "recipes": [*dict.fromkeys(recipes)],
        },
    }
