"""What jobs do, wherever they run: train a fold, or settle what a run leaves open."""

import functools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypedDict

import pandas as pd

from foldwise.config.recipe import Recipe, SizedRecipe, recorded_recipe
from foldwise.data.competition import CompetitionData, image_caches, load_data
from foldwise.data.folds import Folds
from foldwise.data.images.cache import ImageCache, open_cache
from foldwise.data.images.resizing import Resizing
from foldwise.data.opened import OpenCompetition
from foldwise.errors import StorageError
from foldwise.executors import Execute, FoldJob, Job
from foldwise.kinds.events import Observer
from foldwise.metrics.out_of_fold import epoch_score
from foldwise.store.data_records import CachePlan
from foldwise.store.files import hold_lock
from foldwise.store.frames import read_folds
from foldwise.store.layout import CacheFolder, RunFolder
from foldwise.store.run_records import RunRecord
from foldwise.training.fitting.run import Open, Run, need_same_data, need_same_versions, settle
from foldwise.workspace import Workspace

if TYPE_CHECKING:
    from foldwise.training.fitting.fold import FoldInputs

log = logging.getLogger(__name__)

CELLS = 10_000_000  # rows times classes up to which each epoch is scored


@dataclass(frozen=True)
class Knock(Job):
    """A question whether there is a place for a recipe's folds."""

    recipe: str

    reads_data: ClassVar[bool] = False

    @property
    def what(self) -> str:
        """The recipe's name, for people."""
        return f"recipe {self.recipe}"


@dataclass(frozen=True)
class SettleJob(Job):
    """What a run leaves open, to be settled where it will be trained."""

    open: Open
    caches: tuple[str, ...]  # names

    @property
    def what(self) -> str:
        """The recipe's name, for people."""
        return f"recipe {self.open.recipe.name}"


class Folders(TypedDict):
    """Where a job finds what it works on: fields of every job."""

    root: Path
    data: Path
    runs: Path
    competition: str


def folders_of(workspace: Workspace, name: str) -> Folders:
    """The folders of a competition's jobs."""
    return Folders(root=workspace.root, data=workspace.data, runs=workspace.runs, competition=name)


def _workspace_of(job: Job) -> Workspace:
    """The workspace of a job's folders."""
    return Workspace(root=job.root, data=job.data, runs=job.runs)


def knock(competition: OpenCompetition, execute: Execute, recipes: Iterable[Recipe]) -> None:
    """Ask an executor for places, before hours are spent on image caches.

    Raises: ClusterError: no node has what a recipe asks for, or some node cannot take part.
    """
    where = folders_of(competition.workspace, competition.name)
    execute(
        _do_nothing,
        [
            Knock(
                **where,
                recipe=recipe.name,
                cpus=recipe.cpus or 1,
                gpus=recipe.gpus,
                memory=recipe.memory,
            )
            for recipe in recipes
        ],
        lambda event: None,
    )


def _do_nothing(job: Knock, observe: Observer) -> None:
    pass


def jobs_of(
    competition: OpenCompetition, run: Run, folds: Iterable[int], beside: int
) -> list[FoldJob]:
    """A job for each of a run's folds. beside: jobs that will want a place at the same time."""
    recipe, where = run.recipe, folders_of(competition.workspace, competition.name)
    cpus = recipe.cpus or run.record.resolved.get("threads")
    return [
        FoldJob(
            **where,
            run=run.folder,
            fold=fold,
            cpus=cpus,
            gpus=recipe.gpus,
            memory=recipe.memory,
            beside=beside,
        )
        for fold in folds
    ]


def record_of(job: FoldJob) -> RunRecord:
    """The record of a job's run."""
    return RunRecord.read(RunFolder(job.run).record)


def run_fold(job: FoldJob, observe: Observer, data: CompetitionData | None = None) -> None:
    """Train the fold of a job: the function that executors map.

    data: those of the competition where they are loaded already; else they are read from disk.
    """
    from foldwise.training.fitting.fold import train_fold
    from foldwise.training.speed.machine import computing_with, threads

    count = job.cpus or record_of(job).resolved.get("threads")
    _await(job)
    with computing_with(count or threads()):
        train_fold(fold_inputs(job, data), observe)


def _await(job: FoldJob) -> None:
    """Wait until no other process holds the fold, or the job's patience is at an end.

    On a cluster that process has lost its node or its driver, and ends within seconds.
    """
    ends = time.monotonic() + job.patience
    while time.monotonic() < ends:
        try:
            with hold_lock(RunFolder(job.run).fold(job.fold).lock, job.what, wait=False):
                return
        except StorageError:
            time.sleep(0.5)


def fold_inputs(job: FoldJob, data: CompetitionData | None = None) -> "FoldInputs":
    """What training a job's fold needs, from disk.

    data: see `run_fold`.
    Raises: RunError: data or versions are not those that the run was begun with.
    """
    from foldwise.training.fitting.fold import FoldInputs

    workspace = _workspace_of(job)
    if data is None:
        data = load_data(workspace, job.competition)
    need_same_data(job.run, data)
    need_same_versions(job.run)
    record, run = record_of(job), RunFolder(job.run)
    folder = workspace.competition(job.competition)
    recipe = recorded_recipe(folder, record.recipe, run.name)
    return FoldInputs(
        run=job.run.name,
        folder=run.fold(job.fold).path,
        recipe=recipe.settle(record.resolved),
        seed=record.seed,
        fold=job.fold,
        folds=Folds(name=record.scheme, frame=read_folds(run.folds), sha256=record.folds_sha256),
        caches=_caches(job, data, recipe, record.caches),
        train=data.train,
        test=data.test,
        mode=data.spec.images.mode,
        score=_epoch_score(data, len(record.classes)),
    )


def _epoch_score(
    data: CompetitionData, classes: int
) -> Callable[[pd.DataFrame], float | None] | None:
    """The metric of predictions; None where it takes long after an epoch, or who knows how long."""
    if not data.spec.metric.each_epoch or len(data.train) * classes > CELLS:
        return None
    return functools.partial(epoch_score, data=data)


def _caches(
    job: Job, data: CompetitionData, recipe: SizedRecipe, names: Sequence[str]
) -> tuple[ImageCache, ...]:
    """The image caches of these names; on a node that does not have them they are built.

    Their names tell what the pixels were made from, so others cannot be taken for them.
    """
    caches = [data.home.caches.cache(name) for name in names]
    if not all(cache.finished for cache in caches):
        log.info("%s: building image caches in %s", job.what, data.home.caches.path)
        for cache in caches:
            _begin(cache)
        image_caches(data, recipe.cache_sizes, Resizing.of(recipe))
    return tuple(open_cache(cache.path) for cache in caches)


def _begin(cache: CacheFolder) -> None:
    """Mark a cache as begun: it will be raw or recompressed as its name says, whatever disk space
    there is here."""
    with hold_lock(cache.lock, f"the image cache {cache.name}"):
        if not cache.plan.is_file() and not cache.finished:
            CachePlan().write(cache.plan)


def settle_there(job: SettleJob, observe: Observer) -> dict[str, object]:
    """What `auto` and a budget become on the machine that runs the job; see `settle`.

    On a CPU the number of threads is among it: results depend on it.
    """
    from foldwise.training.speed.machine import computing_with, threads
    from foldwise.training.speed.sharing import part_of_gpu

    recipe = job.open.recipe
    data = load_data(_workspace_of(job), job.competition)
    caches = _caches(job, data, recipe, job.caches) if recipe.budget else ()
    with computing_with(job.cpus or threads()), part_of_gpu(job.gpus):
        values = settle(data, caches, job.open)
    return values | ({"threads": job.cpus} if values["device"] == "cpu" else {})


def make_settler(
    competition: OpenCompetition,
    execute: Execute,
    observe: Observer,
    caches: Sequence[ImageCache],
    beside: int,
) -> Callable[[Open], dict[str, object]]:
    """A function that has what a recipe leaves open settled by an executor."""

    def settled(left: Open) -> dict[str, object]:
        recipe = left.recipe
        job = SettleJob(
            **folders_of(competition.workspace, competition.name),
            open=left,
            caches=tuple(cache.folder.name for cache in caches),
            cpus=recipe.cpus,
            gpus=recipe.gpus,
            memory=recipe.memory,
            beside=beside,
        )
        return execute(settle_there, [job], observe)[0]

    return settled
