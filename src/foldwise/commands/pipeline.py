"""The flows that cross rooms: one function a verb."""

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise import doctor
from foldwise.config.adapter import kinds_of
from foldwise.config.budget import share_of
from foldwise.config.competition import load_competition, repeated
from foldwise.config.recipe import SizedRecipe, load_recipe
from foldwise.data.competition import (
    CompetitionData,
    digests,
    image_caches,
    load_data,
    same_sources,
)
from foldwise.data.folds import Folds, load_folds
from foldwise.data.images.cache import ImageCache, clear_caches
from foldwise.data.images.decoding import Progress, missing_images
from foldwise.data.leftovers import leftovers
from foldwise.ensembling.blend import Blend, blend_runs
from foldwise.errors import DataError, RunError, SpecError, nearest
from foldwise.executors import Execute, FoldJob, run_here
from foldwise.jobs import fold_inputs as fold_inputs
from foldwise.jobs import jobs_of, knock, settling
from foldwise.jobs import run_fold as run_fold
from foldwise.kinds.blending import BLENDINGS
from foldwise.kinds.events import Observer
from foldwise.metrics.out_of_fold import score_of
from foldwise.reporting.summing import sum_up
from foldwise.reporting.tracking import Tracker, tracked
from foldwise.store import ledger
from foldwise.store.files import locked, replacing
from foldwise.store.layout import data_of, runs_of, submissions_of
from foldwise.submitting.entry import Entry, send_entry, write_entry
from foldwise.submitting.fetching import ask_first, fetch
from foldwise.submitting.parts import board_parts
from foldwise.submitting.platforms import destination
from foldwise.tables.archives import add_to_raw, still_packed
from foldwise.tasks.outputs import outputs_of
from foldwise.training.fitting.run import UNDO, Run, need_same_data, need_same_versions, open_runs
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)


def get_data(
    workspace: Workspace, name: str, source: Path | None = None, labels: Path | None = None
) -> dict[str, Any]:
    """Bring a competition's files into its raw folder; returns what is there.

    source: an archive or a folder to take them from; else the `prepare` hook makes them, they are
    there already, or they are downloaded where the platform allows it and there are credentials.
    labels: a CSV to write, `path,label` of every training row.
    Raises: DataError: files are missing; the message has the steps. PlatformError: the platform
            refused the download, or could not be asked.
    """
    raw = workspace.raw(workspace.competition(name).name)
    spec = load_competition(workspace.competition(name))
    if source is not None:
        add_to_raw(source, raw, spec)
    elif destination(spec).can_ask:
        fetch(spec, raw)
    data = load_data(workspace, name)
    lacking = [] if "read_image" in data.hooks else missing_images(data.all_rows(), raw)
    if labels is not None:
        table = pd.DataFrame({"path": data.train.frame["path"], "label": data.train.labels()})
        with replacing(labels) as temporary:
            table.to_csv(temporary, index=False)
    left = leftovers(data)
    return {
        "raw": str(raw),
        "train_rows": len(data.train),
        "test_rows": len(data.test),
        "images_missing": len(lacking),
        "missing": [path for _, path in lacking[:1]],
        "packed": still_packed(raw, spec),
        "changes": data.counts | left.counts(),
        "unused": left.warnings(),
    }


def clear_cache(workspace: Workspace, name: str) -> tuple[int, int]:
    """Remove a competition's image caches; returns their number and bytes. They can be rebuilt.

    Raises: StorageError: one is being built right now.
    """
    return clear_caches(data_of(workspace, workspace.competition(name).name).caches)


def recipes_of(
    folder: Path, names: Sequence[str], overrides: Sequence[str] = ()
) -> list[SizedRecipe]:
    """A competition's recipes; `auto` sizes and interpolation are those of their weights.

    Raises: SpecError: a recipe is named twice; or see `load_recipe` and `as_weights`.
    """
    if wrong := repeated(names):
        raise SpecError(wrong)
    recipes = [load_recipe(folder, name, overrides) for name in names]
    if all(recipe.weights == "none" and recipe.image_size != "auto" for recipe in recipes):
        return [recipe.sized((0, 0), "bilinear") for recipe in recipes]
    from foldwise.training.models.building import as_weights  # loads torch

    return [as_weights(recipe) for recipe in recipes]


def caches_of(
    data: CompetitionData, recipe: SizedRecipe, progress: Progress | None = None
) -> list[ImageCache]:
    """The image caches of a recipe's stages, see `image_caches`; recipes of one size share them."""
    return image_caches(data, recipe.cache_sizes, recipe.resize, progress, recipe.interpolation)


@dataclass(frozen=True)
class Plan:
    """What a command trains: the data, each recipe with its image caches, and the folds of all."""

    data: CompetitionData
    recipes: tuple[tuple[SizedRecipe, list[ImageCache]], ...]
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
    chosen = recipes_of(folder, recipes or data.spec.submit.recipes, overrides)
    for recipe in chosen:
        outputs_of(recipe, data.task)  # what does not fit the task is said now
    for what, count in data.counts.items():
        log.info("%s: %d %s", name, count, what)
    _need_weights(workspace, name, chosen)
    # before the folds: the caches tell which images may be copies
    made = [(recipe, caches_of(data, recipe, progress)) for recipe in chosen]
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
    budget: str | None = None,
    track: bool = False,
    execute: Execute = run_here,
    before: Callable[[], None] = lambda: None,
) -> list[Run]:
    """Train recipes (those of `[submit]` by default) with all their seeds; returns their runs.

    Finished folds are skipped, and it is said so. only_folds: train these folds alone.
    scheme: another one than that of `[submit]`. budget: the time for all of it, as 30m; recipes
    have equal shares of it, and each is fitted to its own (see config/budget.py). track: in W&B
    too. execute: runs the folds, see `executor`; all at once, but those that wait for a teacher or
    have a budget. before: called before folds are trained, if there are some to train.
    Raises: FoldwiseError: see the rooms.
    """
    since = time.monotonic()
    if budget is not None:
        count = len(recipes or load_competition(workspace.competition(name)).submit.recipes)
        overrides = [*overrides, f"budget={share_of(budget, count)}"]
    if execute is not run_here:
        folder = workspace.competition(name)
        chosen = recipes or load_competition(folder).submit.recipes
        knock(workspace, name, execute, [load_recipe(folder, one, overrides) for one in chosen])
    plan = planned(workspace, name, recipes, overrides, only_folds, scheme, progress)
    beside = sum(len(recipe.seeds) for recipe, _ in plan.recipes)
    beside *= plan.folds.n if only_folds is None else len(only_folds)
    runs: list[Run] = []
    todo: list[FoldJob] = []
    with tracked(workspace.runs / name, plan.data.spec, observe, track) as (both, tracker):
        for recipe, caches in plan.recipes:
            if runs and (recipe.pseudo or recipe.budget):
                execute(run_fold, todo, both)
                todo, since = [], time.monotonic()  # its time begins
            settled = None
            if execute is not run_here:
                settled = settling(workspace, name, execute, both, caches, beside)
            opened = open_runs(
                workspace.runs, plan.data, recipe, plan.folds, caches, only_folds, since, settled
            )
            for run in opened:
                if wanted := _wanted(run, only_folds):
                    need_same_versions(run.folder)
                todo += jobs_of(workspace, name, run, wanted, beside)
            if todo:
                before()
            runs += opened
        execute(run_fold, todo, both)
        if track and todo:
            for run in runs:
                _tell_score(tracker, run, plan.data)
    return runs


def _tell_score(tracker: Tracker, run: Run, data: CompetitionData) -> None:
    """Tell W&B a run's score out of fold, once all its folds are done."""
    if not run.unfinished():
        value = score_of(run.oof(), data, run.name)
        if value is not None:
            tracker.scored(run.name, {"oof_score": value, "metric": data.spec.metric.title})


def _wanted(run: Run, only_folds: Sequence[int] | None) -> list[int]:
    """The folds of a run to train: without those that are done already, which is said."""
    chosen = run.planned_folds() if only_folds is None else only_folds
    wanted = [k for k in run.unfinished() if k in chosen]
    if not wanted:
        log.info("%s: all folds asked for are trained already; skipped", run.name)
    elif len(wanted) < len(chosen):
        log.info(
            "%s: %d of %d folds are trained already",
            run.name,
            len(chosen) - len(wanted),
            len(chosen),
        )
    return wanted


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
    folder = data_of(workspace, data.spec.name).folds.path
    definition = data.spec.folds[scheme]
    same = digests(data, progress) if definition.duplicates else None
    return load_folds(data.train, scheme, definition, folder, same)


def _need_weights(workspace: Workspace, name: str, recipes: Sequence[SizedRecipe]) -> None:
    """Ask for the recipes' weights files, and whether their models take what the recipes say of
    sizes, drop path and the head: an error now, not after much decoding."""
    from foldwise.training.fitting.streams import seeded
    from foldwise.training.models.building import build_model, weights_file, weights_size
    from foldwise.training.models.sizes import check_sizes

    for recipe in recipes:
        if not _begun(workspace, name, recipe.name):
            weights_file(recipe)
            check_sizes(recipe, weights_size(recipe))
            if recipe.drop_path or recipe.head == "fastai":
                with seeded(0, "drop path"):  # only the model itself tells
                    build_model(recipe.model_copy(update={"weights": "none"}), 2, 3)


def _begun(workspace: Workspace, name: str, recipe: str) -> bool:
    """Whether any fold of a recipe of this name is done; without one there is much to train."""
    return runs_of(workspace, name).trained(recipe)


def blend(
    workspace: Workspace,
    name: str,
    recipes: Sequence[str] = (),
    method: str | None = None,
    members: Sequence[str] = (),
) -> Blend:
    """The blend of trained recipes (those of `[submit]` by default) with all their seeds.

    members: from elsewhere, each as NAME=OOF,TEST. Raises: see `blend_runs`.
    """
    data, folder = load_data(workspace, name), workspace.competition(name)
    chosen = recipes_of(folder, recipes or data.spec.submit.recipes)
    caches = [caches_of(data, recipe) for recipe in chosen]
    folds = scheme_folds(workspace, data)  # after the caches, as in `train`
    runs = [
        run
        for recipe, its_own in zip(chosen, caches, strict=True)
        for run in open_runs(workspace.runs, data, recipe, folds, its_own)
    ]
    parts = board_parts(workspace, data)
    try:
        by = BLENDINGS.parse(method, kinds_of(folder)) if method else None
    except ValueError as error:
        raise SpecError(str(error)) from None
    return blend_runs(workspace.runs / name, data, runs, by, members, parts)


def submit(
    workspace: Workspace,
    name: str,
    dry_run: bool = False,
    observe: Observer = lambda event: None,
    progress: Progress | None = None,
    again: bool = False,
    resend: bool = False,
    track: bool = False,
    execute: Execute = run_here,
) -> Entry:
    """The main job: check, train, blend, write, validate, score, send, enter in the ledger.

    Whatever of it is done already is skipped, and it is said so. dry_run stops before the upload.
    Whether the platform will take a file is asked before anything is trained, and once more before
    it is sent.
    again, resend: see `send_once`. track: in W&B too. execute: see `train`.
    Raises: DataError: `check` finds errors. PlatformError: see `ask_first` and `send_entry`.
            RunError: the data changed meanwhile. SubmissionError: the ledger is not understood.
            StorageError: another submit of this is at work.
    """
    workspace.competition(name)
    with locked(runs_of(workspace, name).submit_lock, f"submitting {name}", wait=False):
        data = load_data(workspace, name)
        findings = doctor.examine(workspace, data, images=False)  # the cache looks closer
        for warning in findings.warnings:
            log.warning("%s: %s", name, warning)
        if not findings.ok:
            raise DataError(" | ".join(findings.errors))
        ledger.read(
            submissions_of(workspace, name, data.spec.platform.practice).ledger
        )  # all understood?
        ask = functools.cache(lambda: None if dry_run else ask_first(data.spec))
        if not all(_begun(workspace, name, recipe) for recipe in data.spec.submit.recipes):
            ask()  # before images are decoded
        runs = train(
            workspace,
            name,
            observe=observe,
            progress=progress,
            track=track,
            execute=execute,
            before=ask,
        )
        _need_same(workspace, name, runs)
        parts = board_parts(workspace, data)
        blended = blend_runs(workspace.runs / name, data, runs, parts=parts)
        entry = write_entry(workspace, data, blended)
        if dry_run:
            log.info("%s: dry run, nothing is sent", entry.file.name)
            return entry
        entry = send_entry(workspace, data, entry, again, resend)
        if track:
            sum_up(workspace.runs / name, data, blended, entry)
        return entry


def _need_same(workspace: Workspace, name: str, runs: Sequence[Run]) -> None:
    """Check that labels and images still are those that runs were trained on.

    Raises: RunError: they changed while folds were trained.
    """
    data = load_data(workspace, name)
    for run in runs:
        need_same_data(run.folder, data)
    caches = {folder for run in runs for folder in run.record.caches}
    if caches and not same_sources(data, sorted(caches)):
        raise RunError(f"{name}: the images are not those that its runs were begun with; {UNDO}")
