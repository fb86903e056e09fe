"""What a run changed: its recipe beside another one's, and the command that makes it again."""

import json
import shlex
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from foldwise.config.recipe import Recipe, load_recipe, recorded_recipe
from foldwise.data.competition import CompetitionData
from foldwise.errors import SpecError
from foldwise.reporting.comparing import UNCOMPARED, Difference, RunRow, against
from foldwise.store.layout import CompetitionRuns
from foldwise.store.run_records import RunRecord
from foldwise.workspace import Workspace

HARDWARE = ("device", "precision", "compile")  # of `resolved`; what else it has, the recipe says


class Change(TypedDict):
    """A setting in which two runs differ, see `record_changes`."""

    key: str
    old: object
    new: object


class HistoryRow(Difference):
    """What a run changed, see `what_changed`."""

    run: str
    score: float | None
    than: str | None
    changes: list[Change]
    begun: str


def what_changed(
    competition: Path, folder: CompetitionRuns, rows: Sequence[RunRow]
) -> list[HistoryRow]:
    """Each run of a folder beside the best finished one that was begun before it, the last first.

    competition: the folder of its TOML files. rows: of `compare_runs`. Without an earlier finished
    run with the same folds, beside the one just before.
    Keys: `run`; `begun` (UTC, by the time of its record); `score`; `than`, the other run; of the
    difference to it `difference, error, verdict` (see `compare_runs`); `changes`: `key, old, new`.
    The first run has None, and no changes.
    """
    begun = {row["run"]: folder.run(row["run"]).record.stat().st_mtime for row in rows}
    order = sorted(rows, key=lambda row: (begun[row["run"]], row["run"]))
    records = {row["run"]: RunRecord.read(folder.run(row["run"]).record) for row in rows}
    found: list[HistoryRow] = []
    for number, row in enumerate(order):
        other = _best_before(order[:number], row)
        found.append(
            {
                "run": row["run"],
                "score": row["score"],
                "than": other["run"] if other else None,
                "changes": record_changes(competition, records[other["run"]], records[row["run"]])
                if other
                else [],
                "begun": datetime.fromtimestamp(begun[row["run"]], UTC).strftime("%Y-%m-%d %H:%M"),
                **(against(row, other) if other else UNCOMPARED),
            }
        )
    return found[::-1]


def _best_before(earlier: Sequence[RunRow], row: RunRow) -> RunRow | None:
    """The best of earlier runs that a run can be compared with, else the last one."""
    folds = row["folds_sha256"]
    alike = [o for o in earlier if o["score"] is not None and o["folds_sha256"] == folds]
    sign = -1 if row["higher"] else 1
    best = min(alike, key=lambda other: sign * (other["score"] or 0.0), default=None)
    return best or (earlier[-1] if earlier else None)


def record_changes(competition: Path, old: RunRecord, new: RunRecord) -> list[Change]:
    """`key, old, new` of all in which two runs' records differ: recipe, seed, folds, hardware.

    A value is None where there is no such key, as of a stage that only one of them has. What a
    record of another version does not know is left out. Nothing differs where only data do.
    """
    was, now = _todays_recipe(competition, old), _todays_recipe(competition, new)
    before, after = dict(_values(old, was)), dict(_values(new, now))
    known, whole = before.keys() & after.keys(), was and now
    keys = [
        key
        for key in dict.fromkeys((*before, *after))
        if key in known or (whole and key not in HARDWARE)
    ]
    return [
        {"key": key, "old": before.get(key), "new": after.get(key)}
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _values(record: RunRecord, recipe: dict[str, object] | None) -> Iterator[tuple[str, object]]:
    """All that changes answers in a run's record, as `key, value`. recipe: see `_todays_recipe`."""
    recipe, resolved = recipe or record.recipe, record.resolved
    stages = resolved.get("plan", {}).get("stage")  # what a budget made of them
    recipe = {**recipe, **({"stage": stages} if stages else {})}
    yield "recipe", recipe["name"]
    yield from flat({k: v for k, v in recipe.items() if k not in ("name", "seeds", *HARDWARE)})
    yield from (("seed", record.seed), ("folds", record.scheme))
    yield from ((key, resolved[key]) for key in HARDWARE if key in resolved)


def _todays_recipe(competition: Path, record: RunRecord) -> dict[str, object] | None:
    """The record's recipe with all keys of today's; None where today's does not take it."""
    try:
        return recorded_recipe(competition, record.recipe, "its record").model_dump(mode="json")
    except SpecError:
        return None


def flat(values: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested values as `key, value`, the key as `--set` has it: stage.0.epochs."""
    if isinstance(values, list) and any(isinstance(value, dict) for value in values):
        values = dict(enumerate(values))
    if not isinstance(values, dict):
        yield prefix, values
        return
    for key, value in values.items():
        yield from flat(value, f"{prefix}.{key}" if prefix else str(key))


def _as_recorded(recipe: Recipe) -> dict[str, object]:
    """A recipe as a run's record has it, as far as no weights have to be asked for it."""
    unknown = recipe.weights != "none" or recipe.image_size == "auto"
    known = recipe if unknown else recipe.with_sizes((0, 0), "bilinear")
    return known.model_dump(mode="json")


def commands(workspace: Workspace, data: CompetitionData, record: RunRecord) -> list[str]:
    """The command that trains a run again, if the recipe's file still says what it takes; else [].

    What was given with --set is what the record says and the file does not.
    """
    folder, name = workspace.competition(data.spec.name), record.recipe["name"]
    words = ["foldwise", "train", data.spec.name, "--recipe", name]
    if record.scheme != data.spec.submit.folds:
        words += ["--scheme", record.scheme]
    try:
        now = _as_recorded(load_recipe(folder, name))
        asked, written = dict(flat(record.recipe)), dict(flat(now))
        sets = [
            f"{key}={json.dumps(value)}"
            for key, value in asked.items()
            if value != written.get(key) and value is not None
        ]
        sets += [
            f"{key}=false" for key in written if key.startswith("augment.") and key not in asked
        ]
        again = _as_recorded(load_recipe(folder, name, sets))
    except SpecError:  # the file has gone, or has other stages
        return []
    if again != _todays_recipe(folder, record):
        return []
    return [shlex.join([*words, *(word for each in sets for word in ("--set", each))])]
