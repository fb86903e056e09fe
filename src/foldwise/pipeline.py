"""The flows that cross rooms: one function a verb."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise import doctor
from foldwise.data.archives import add_to_raw
from foldwise.data.cache import ImageCache, clear_caches, open_cache
from foldwise.data.competition import CompetitionData, digests, image_caches, load_data
from foldwise.data.folds import Folds, load_folds, read_folds
from foldwise.data.images import Progress, missing_images
from foldwise.data.listing import files_here, rows_here
from foldwise.errors import DataError, SpecError, nearest
from foldwise.executors import FoldTask, run_here
from foldwise.scoring.blend import Blend, blend_runs
from foldwise.scoring.comparing import compare_runs
from foldwise.spec.competition import load_competition
from foldwise.spec.outputs import outputs_of
from foldwise.spec.recipe import Recipe, load_recipe
from foldwise.storage import locked, read_json, replacing
from foldwise.submitting.entry import LEDGER, Entry, send_entry, write_entry
from foldwise.submitting.ledger import submissions
from foldwise.training.events import Observer
from foldwise.training.run import Run, open_runs
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)


def get_data(
    workspace: Workspace, name: str, source: Path | None = None, labels: Path | None = None
) -> dict[str, Any]:
    """Bring a competition's files into its raw folder; returns what is there.

    source: an archive or a folder to take them from; else the `prepare` hook makes them, or they
    are there already. labels: a CSV to write, `path,label` of every training row.
    Raises: DataError: files are missing; the message has the steps.
    """
    raw = workspace.raw(workspace.competition(name).name)
    if source is not None:
        add_to_raw(source, raw)
    data = load_data(workspace, name)
    lacking = [] if "read_image" in data.hooks else missing_images(data.all_rows(), raw)
    if labels is not None:
        table = pd.DataFrame({"path": data.train.frame["path"], "label": data.train.labels()})
        with replacing(labels) as temporary:
            table.to_csv(temporary, index=False)
    return {"raw": str(raw), "train_rows": len(data.train), "test_rows": len(data.test),
            "images_missing": len(lacking), "changes": data.counts}  # fmt: skip


def clear_cache(workspace: Workspace, name: str) -> tuple[int, int]:
    """Remove a competition's image caches; returns their number and bytes. They can be rebuilt.

    Raises: StorageError: one is being built right now.
    """
    return clear_caches(workspace.raw(workspace.competition(name).name).parent / "cache")


@dataclass(frozen=True)
class Plan:
    """What a command trains: the data, each recipe with its image caches, and the folds of all."""

    data: CompetitionData
    recipes: tuple[tuple[Recipe, list[ImageCache]], ...]
    folds: Folds


def planned(
    workspace: Workspace,
    name: str,
    recipes: Sequence[str],
    overrides: Sequence[str],
    only_folds: Sequence[int] | None,
    scheme: str | None,
    progress: Progress | None,
) -> Plan:
    """What to train, with everything made and checked that can be before a training begins.

    Recipes with the same sizes have the same cache. Raises: FoldwiseError: see the rooms.
    """
    data = load_data(workspace, name)
    folder = workspace.competition(name)
    chosen = [load_recipe(folder, r, overrides) for r in recipes or data.spec.submit.recipes]
    for recipe in chosen:
        outputs_of(recipe, data.classes, data.spec.multi)  # what does not fit the task is said now
    for what, count in data.counts.items():
        log.info("%s: %d %s", name, count, what)
    _need_weights(workspace, name, chosen)
    # before the folds: the caches tell which images may be copies
    made = [(r, image_caches(data, r.cache_sizes, r.resize, progress)) for r in chosen]
    folds = scheme_folds(workspace, data, scheme, progress)
    for fold in only_folds or ():
        if not 0 <= fold < folds.n:
            raise SpecError(f"folds are numbered 0 to {folds.n - 1}, got {fold}")
    return Plan(data, tuple(made), folds)


def train(
    workspace: Workspace,
    name: str,
    recipes: Sequence[str] = (),
    overrides: Sequence[str] = (),
    only_folds: Sequence[int] | None = None,
    scheme: str | None = None,
    observe: Observer = lambda event: None,
    progress: Progress | None = None,
) -> list[Run]:
    """Train recipes (those of `[submit]` by default) with all their seeds; returns their runs.

    Finished folds are skipped, and it is said so. only_folds: train these folds alone.
    scheme: another one than that of `[submit]`.
    Raises: FoldwiseError: see the rooms.
    """
    plan = planned(workspace, name, recipes, overrides, only_folds, scheme, progress)
    runs = []
    for recipe, caches in plan.recipes:
        for run in open_runs(workspace.runs, plan.data, recipe, plan.folds, caches):
            runs.append(run)
            wanted = run.unfinished()
            if only_folds is not None:
                wanted = [k for k in wanted if k in only_folds]
            if not wanted:
                log.info("%s: all folds asked for are trained already; skipped", run.name)
                continue
            if len(wanted) < run.folds.n and only_folds is None:
                log.info("%s: %d of %d folds are trained already", run.name,
                         run.folds.n - len(wanted), run.folds.n)  # fmt: skip
            tasks = [
                FoldTask(workspace.root, workspace.data, workspace.runs, name, run.folder, k)
                for k in wanted
            ]
            run_here(run_fold, tasks, observe)
    return runs


def run_fold(task: FoldTask, observe: Observer) -> None:
    """Train the fold of a task: the function that executors map."""
    from foldwise.training.fold import train_fold

    train_fold(fold_inputs(task), observe)


def fold_inputs(task: FoldTask) -> Any:
    """What training a task's fold needs (a training.fold.FoldInputs), from disk."""
    from foldwise.training.fold import FoldInputs

    workspace = Workspace(task.root, task.data, task.runs)
    data = load_data(workspace, task.competition)
    record = read_json(task.run / "run.json")
    return FoldInputs(
        run=task.run.name,
        folder=task.run / f"fold{task.fold}",
        recipe=Recipe.model_validate(record["recipe"]).settled(record["resolved"]),
        seed=record["seed"],
        fold=task.fold,
        folds=Folds(record["scheme"], read_folds(task.run / "folds.csv"), record["folds_sha256"]),
        caches=tuple(
            open_cache(task.data / task.competition / "cache" / name) for name in record["caches"]
        ),
        train=data.train,
        test=data.test,
        mode=data.spec.images.mode,
    )


def scheme_folds(
    workspace: Workspace,
    data: CompetitionData,
    scheme: str | None = None,
    progress: Progress | None = None,
) -> Folds:
    """The folds of a scheme, by default the one that `submit` uses; made and saved once.

    Raises: SpecError: no such scheme. FoldError: see `load_folds`. ImageError: copies are to be
            kept together, and images are missing or unreadable.
    """
    scheme = scheme or data.spec.submit.folds
    if scheme not in data.spec.folds:
        raise SpecError(f"no fold scheme is called {scheme!r}{nearest(scheme, [*data.spec.folds])}")
    folder = workspace.data / data.spec.name / "folds"
    definition = data.spec.folds[scheme]
    same = digests(data, progress) if definition.duplicates else None
    return load_folds(data.train, scheme, definition, folder, same)


def _need_weights(workspace: Workspace, name: str, recipes: Sequence[Recipe]) -> None:
    """Ask for the recipes' weights files and drop path: an error now, not after much decoding."""
    from foldwise.training.models import build_model, weights_file
    from foldwise.training.streams import seeded

    for recipe in recipes:
        if not any((workspace.runs / name).glob(f"{recipe.name}-s*/fold*/done.json")):
            weights_file(recipe)
            if recipe.drop_path:  # only the model itself tells
                with seeded(0, "drop path"):
                    build_model(recipe.model_copy(update={"weights": "none"}), 2, 3)


def blend(
    workspace: Workspace, name: str, recipes: Sequence[str] = (), method: str | None = None
) -> Blend:
    """The blend of trained recipes (those of `[submit]` by default) with all their seeds.

    Raises: RunError: a recipe is not trained on all folds yet.
    """
    data = load_data(workspace, name)
    folder = workspace.competition(name)
    chosen = [load_recipe(folder, recipe) for recipe in recipes or data.spec.submit.recipes]
    caches = [image_caches(data, recipe.cache_sizes, recipe.resize) for recipe in chosen]
    folds = scheme_folds(workspace, data)  # after the caches, as in `train`
    runs = []
    for recipe, its_own in zip(chosen, caches, strict=True):
        runs += open_runs(workspace.runs, data, recipe, folds, its_own)
    return blend_runs(workspace.runs / name, data, runs, method or data.spec.submit.blend)


def submit(
    workspace: Workspace,
    name: str,
    dry_run: bool = False,
    observe: Observer = lambda event: None,
    progress: Progress | None = None,
) -> Entry:
    """The main job: check, train, blend, write, validate, score, send, enter in the ledger.

    Whatever of it is done already is skipped, and it is said so. dry_run stops before the upload.
    Raises: DataError: `check` finds errors. StorageError: another submit of this is at work.
    """
    workspace.competition(name)
    with locked(workspace.runs / name / ".submit.lock", f"submitting {name}", wait=False):
        data = load_data(workspace, name)
        findings = doctor.examine(workspace, data, images=False)  # the cache looks closer
        for warning in findings.warnings:
            log.warning("%s: %s", name, warning)
        if not findings.ok:
            raise DataError(" | ".join(findings.errors))
        runs = train(workspace, name, observe=observe, progress=progress)
        blended = blend_runs(workspace.runs / name, data, runs, data.spec.submit.blend)
        entry = write_entry(workspace, data, blended)
        if dry_run:
            log.info("%s: dry run, nothing is sent", entry.file.name)
            return entry
        return send_entry(workspace, data, entry)


def status(workspace: Workspace, name: str | None = None) -> list[dict[str, Any]]:
    """The submissions of a competition, or of all: see `ledger.submissions` for the keys."""
    rows = []
    for each in [name] if name else workspace.names():
        practice = load_competition(workspace.competition(each)).practice
        rows += submissions(workspace.submissions(each, practice) / LEDGER, each)
    return rows


def compare(workspace: Workspace, name: str) -> list[dict[str, Any]]:
    """The runs of a competition side by side, best first: see `compare_runs` for the keys."""
    data = load_data(workspace, name)
    return compare_runs(workspace.runs / name, data)


def catalogue(workspace: Workspace) -> list[dict[str, Any]]:
    """One dict per competition: `competition, title, platform, task, metric, rows, state, local,
    public`.

    rows: the number of training rows, None where only reading them would tell. state: `no data`,
    `data`, `trained` or `submitted`. local, public: the best scores, in the metric's direction.
    """
    rows = []
    for name in workspace.names():
        spec = load_competition(workspace.competition(name))
        done = status(workspace, name)
        here = files_here(spec, workspace.raw(name))
        count = rows_here(spec, workspace.raw(name)) if here else None
        trained = any((workspace.runs / name).glob("*/fold*/done.json"))
        state = "submitted" if done else "trained" if trained else "data" if here else "no data"
        best = max if spec.metric.higher else min
        scores = {
            key: best((row[key] for row in done if row[key] is not None), default=None)
            for key in ("local", "public")
        }
        rows.append({
            "competition": name, "title": spec.title, "platform": spec.platform,
            "task": spec.task, "metric": spec.metric.title, "rows": count,
            "state": state, **scores,
        })  # fmt: skip
    return rows
