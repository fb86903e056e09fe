"""`train`: recipes trained on every fold; what is done already is skipped."""

import functools
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from foldwise.commands.planning import QUIET, SUBMITTED, Selection, Session, make_plan
from foldwise.config.budget import share_of
from foldwise.config.recipe import load_recipe
from foldwise.data.competition import CompetitionData
from foldwise.data.opened import OpenCompetition
from foldwise.executors import FoldJob, run_here
from foldwise.jobs import jobs_of, knock, make_settler, run_fold
from foldwise.metrics.out_of_fold import score_of
from foldwise.reporting.tracking import Tracker, track_runs
from foldwise.training.fitting.run import Run, RunData, need_same_versions, open_runs

log = logging.getLogger(__name__)


def train(
    competition: OpenCompetition,
    selection: Selection = SUBMITTED,
    budget: str | None = None,
    session: Session = QUIET,
    before: Callable[[Sequence[Run]], None] = lambda opened: None,
) -> list[Run]:
    """Train recipes with all their seeds; returns their runs.

    Finished folds are skipped, and it is said so. budget: the time for all of it, as 30m; recipes
    have equal shares of it, and each is fitted to its own (see config/budget.py). All folds are
    handed to the executor at once, but those that wait for a teacher or have a budget. before:
    called with the runs that are opened together before folds are trained, if there are some to
    train.
    Raises: FoldwiseError: see the rooms.
    """
    since, data, execute = time.monotonic(), competition.data, session.execute
    if budget is not None:
        own = f"budget={share_of(budget, len(selection.recipes_in(competition)))}"
        selection = replace(selection, overrides=(*selection.overrides, own))
    here = execute is run_here  # jobs elsewhere read the data for themselves
    if not here:
        _need_places(competition, selection, session)
    train_fold = functools.partial(run_fold, data=data) if here else run_fold
    plan = make_plan(competition, selection, session.progress)
    beside = sum(len(recipe.seeds) for recipe, _ in plan.recipes)
    beside *= plan.folds.n if selection.folds is None else len(selection.folds)
    runs: list[Run] = []
    todo: list[FoldJob] = []
    with track_runs(competition.files.path, data.spec, session.observe, session.track) as (
        observe,
        tracker,
    ):
        for recipe, caches in plan.recipes:
            if runs and (recipe.pseudo or recipe.budget):
                execute(train_fold, todo, observe)
                todo, since = [], time.monotonic()  # its time begins
            opened = open_runs(
                competition.workspace.runs,
                RunData(competition=data, folds=plan.folds, caches=caches),
                recipe,
                selection.folds,
                since,
                None if here else make_settler(competition, execute, observe, caches, beside),
            )
            for run in opened:
                if wanted := _folds_to_train(run, selection.folds):
                    need_same_versions(run.folder)
                todo += jobs_of(competition, run, wanted, beside)
            if todo:
                before(opened)
            runs += opened
        execute(train_fold, todo, observe)
        if session.track and todo:
            for run in runs:
                _tell_score(tracker, run, data)
    return runs


def _need_places(competition: OpenCompetition, selection: Selection, session: Session) -> None:
    """Ask the executor for places for each recipe's folds. Raises: ClusterError: see `knock`."""
    names, folder = selection.recipes_in(competition), competition.folder
    recipes = [load_recipe(folder, name, selection.overrides) for name in names]
    knock(competition, session.execute, recipes)


def _tell_score(tracker: Tracker, run: Run, data: CompetitionData) -> None:
    """Tell W&B a run's score out of fold, once all its folds are done."""
    if not run.unfinished():
        value = score_of(run.oof(), data, run.name)
        if value is not None:
            tracker.log_score(run.name, {"oof_score": value, "metric": data.spec.metric.title})


def _folds_to_train(run: Run, only_folds: Sequence[int] | None) -> list[int]:
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
