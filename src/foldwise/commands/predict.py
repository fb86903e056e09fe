"""`predict`: predictions of a trained run, or of a blend of some, for photos from anywhere."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.config.adapter import kinds_of
from foldwise.config.competition import load_competition
from foldwise.config.loading import parse
from foldwise.config.recipe import SettledRecipe, recorded_recipe
from foldwise.data.images.decoding import Progress
from foldwise.data.images.photos import Preparation, decode_photos, look_of, photos_of
from foldwise.ensembling.chain import Chain
from foldwise.ensembling.members import Member
from foldwise.ensembling.pooling import average_folds
from foldwise.errors import RunError, SpecError, nearest
from foldwise.executors import Execute, FoldJob, run_here
from foldwise.jobs import folders_of
from foldwise.kinds.columns import columns_of
from foldwise.kinds.events import Observer
from foldwise.kinds.goal import named_from
from foldwise.store.files import scratch
from foldwise.store.layout import BlendFolder, CompetitionRuns, RunFolder, all_runs
from foldwise.store.predictions import read_predictions
from foldwise.store.run_records import BlendRecord, RunRecord
from foldwise.tasks import task_of
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)

SAYS = ("image", "answer", "confidence", "error")  # the columns before the classes
ALONE: dict[str, object] = {"method": "mean", "fitted": {}, "temperatures": None, "steps": []}


@dataclass(frozen=True)
class PhotoJob(FoldJob):
    """A fold's model that looks at photos."""

    reads_data: ClassVar[bool] = False
    pixels: Path | int  # see `predict_photos`
    target: Path


@dataclass(frozen=True)
class Trained:
    """Finished runs, and the chain that makes one prediction of theirs.

    folds: the numbers of those that predict, the same in each run.
    """

    competition: str
    runs: tuple[Path, ...]
    folds: tuple[int, ...]
    chain: dict[str, object]


def predict(
    workspace: Workspace,
    name: str,
    sources: Sequence[Path],
    threshold: float | None = None,
    progress: Progress | None = None,
    execute: Execute = run_here,
) -> pd.DataFrame:
    """What a run or a blend, by its name or path, says of photos: a row for each, in order.

    Columns `image` (as it was named), `answer`, `confidence`, `error`, and one probability per
    class, in class order: TTA, blend, calibration and thresholds are those of its submission, so
    that test images get the submission's numbers. answer: the most probable class; with many
    labels all that reach the threshold, joined as in the submission, NONE where none does.
    confidence: the probability of the answer; with many labels of its least sure class, named or
    not. threshold: another one than the competition's; with one label per image, which has none,
    an answer below it is NONE, and its confidence what the answer lacks to 1. A photo that cannot
    be read has an error and nothing else. execute: runs the models, see `executor`.

    Raises: RunError, SpecError: see `find_trained`. DataError: see `photos_of`.
    """
    own = find_trained(workspace, name)
    competition = workspace.competition(own.competition)
    spec = load_competition(competition)
    names, files = photos_of(sources, spec.images.readers)
    records = {run: RunRecord.read(RunFolder(run).record) for run in own.runs}
    classes = records[own.runs[0]].classes
    task = task_of(classes, spec.labels.target)
    with scratch(own.runs[0].parent, "predict") as folder:
        looks = {
            run: look_of(recipe_of(competition, run), record) for run, record in records.items()
        }
        seen = [look for look in looks.values() if look is not None]
        pixels, failures = decode_photos(
            files, spec.images.mode, seen, folder, progress, spec.images.readers
        )
        log.info("photos: %d; models: %d", len(files), len(own.runs) * len(own.folds))
        jobs = _jobs(workspace, own, folder, len(files), looks, pixels)
        execute(predict_fold, jobs.values(), lambda event: None)
        members = [_member(run, own.folds, jobs, classes) for run in own.runs]
        chain = parse(Chain, own.chain, f"the chain of {name}", kinds_of(competition))
        probs = average_folds(task, chain, len(own.folds), members)
    probs[list(failures)] = np.nan
    cutoff = 0.0 if task.sums_to_one else named_from(spec.submission, spec.metric)
    join = spec.submission.join
    answers, confidence = task.describe(probs, threshold or cutoff, join)
    said = pd.DataFrame(
        {
            "image": names,
            "answer": answers,
            "confidence": confidence,
            "error": [failures.get(row) for row in range(len(names))],
        }
    )
    return pd.concat([said, pd.DataFrame(probs, columns=columns_of(classes, SAYS))], axis=1)


def as_rows(said: pd.DataFrame) -> list[dict[str, object]]:
    """What `predict` gives as plain values; None where there is nothing."""
    rows = said.to_dict("records")
    return [{str(k): None if pd.isna(v) else v for k, v in row.items()} for row in rows]


def find_trained(workspace: Workspace, name: str) -> Trained:
    """The run or blend of a name or path. Of a run the folds that are done are enough.

    Raises: SpecError: nothing is called so. RunError: a fold or a run is not there (any more), or
            a member came from elsewhere.
    """
    folder = _folder(workspace, name)
    competition = folder.parent.name
    if RunFolder(folder).begun:
        _run_record(RunFolder(folder))
        done = RunFolder(folder).finished()
        if not done:
            raise RunError(
                f"{folder.name}: no fold is trained yet; run `foldwise train "
                f"{competition}`, it goes on with them"
            )
        return Trained(competition=competition, runs=(folder,), folds=tuple(done), chain=ALONE)
    record = BlendRecord.read(BlendFolder(folder).record)
    runs = []
    for member in record.members:
        run = CompetitionRuns(folder.parent).run(member.name)
        if member.oof is not None or not run.begun:
            raise RunError(
                f"{folder.name}: member {member.name!r} "
                + (
                    "came from elsewhere, as a file of predictions"
                    if member.oof is not None
                    else f"should be the run {run.path}, which is gone"
                )
                + "; predict with one of its runs instead"
            )
        if _run_record(run).identity != member.identity:
            raise RunError(
                f"{folder.name}: {run.path} is another run than the one that was blended; "
                f"run `foldwise blend {competition}` and use that one"
            )
        runs.append(run.path)
    return Trained(
        competition=competition,
        runs=tuple(runs),
        folds=tuple(range(record.folds)),
        chain=record.chain,
    )


def predict_fold(job: PhotoJob, observe: Observer) -> None:
    """Predict the photos of a job: the function that executors map."""
    from foldwise.training.applying import predict_photos
    from foldwise.training.speed.machine import computing_with, threads

    workspace = Workspace(root=job.root, data=job.data, runs=job.runs)
    recipe = recipe_of(workspace.competition(job.competition), job.run)
    with computing_with(job.cpus or threads()):
        fold = RunFolder(job.run).fold(job.fold)
        predict_photos(fold.path, recipe, job.pixels, job.target)


def recipe_of(competition: Path, run: Path) -> SettledRecipe:
    """The settled recipe of a run's directory. competition: the competition's folder."""
    record = RunRecord.read(RunFolder(run).record)
    return recorded_recipe(competition, record.recipe, run.name).settle(record.resolved)


def _jobs(
    workspace: Workspace,
    own: Trained,
    folder: Path,
    count: int,
    looks: Mapping[Path, Preparation | None],
    pixels: Mapping[Preparation, Path],
) -> dict[tuple[Path, int], PhotoJob]:
    """A job for each run and fold; pixels: of each look. Predictions come into the folder."""
    jobs = {}
    for run in own.runs:
        look, recipe = looks[run], recipe_of(workspace.competition(own.competition), run)
        seen: Path | int = count if look is None else pixels[look]
        for fold in own.folds:
            jobs[run, fold] = PhotoJob(
                **folders_of(workspace, own.competition),
                run=run,
                fold=fold,
                pixels=seen,
                target=folder / f"{run.name}-{fold}.parquet",
                cpus=recipe.cpus,
                gpus=recipe.gpus,
                memory=recipe.memory,
                beside=len(own.runs) * len(own.folds),
            )
    return jobs


def _member(
    run: Path,
    folds: Sequence[int],
    jobs: Mapping[tuple[Path, int], PhotoJob],
    classes: Sequence[str],
) -> Member:
    """A run as a member of the chain, whose test set are the photos."""

    def test(number: int) -> Array:
        frame = read_predictions(jobs[run, folds[number]].target, classes)
        return frame[columns_of(classes)].to_numpy()

    return Member(
        name=run.name,
        identity="",
        oof=lambda: np.empty((0, len(classes))),
        test=test,
        facts={},
    )


def _run_record(run: RunFolder) -> RunRecord:
    """A run's record. Raises: RunError: it lacks what predicting needs."""
    record = RunRecord.read(run.record)
    if record.resolved.get("batch_size") is None:
        raise RunError(
            f"{run.name} was made by an earlier version of foldwise, which did not write down "
            f"all that predicting needs; run `foldwise train {run.path.parent.name}` again"
        )
    return record


def _folder(workspace: Workspace, name: str) -> Path:
    """The directory of a run or blend. Raises: SpecError: there is none; the nearest is named."""
    known = {
        each.name: each.path
        for folder in all_runs(workspace)
        for each in (*folder.runs(), *folder.blends())
    }
    given = Path(name).expanduser()
    for folder in (known.get(name), given):
        if folder and (RunFolder(folder).begun or BlendFolder(folder).finished):
            return folder.resolve()
    if any(name == folder.parent.name for folder in known.values()):
        own = sorted(each for each, folder in known.items() if folder.parent.name == name)
        raise SpecError(
            f"expected a run or a blend, got the competition {name!r}; it has: {', '.join(own)}"
        )
    raise SpecError(f"no run or blend is called {name!r}{nearest(name, [*known])}")
