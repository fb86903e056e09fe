"""Trials before a training: does everything run, at which rate, on what images? No run is left."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, TypedDict, TypeVar

import pandas as pd

from foldwise.commands.planning import QUIET, SUBMITTED, Selection, Session, make_plan
from foldwise.data.opened import OpenCompetition
from foldwise.errors import Interrupted, SpecError
from foldwise.executors import FoldJob
from foldwise.jobs import fold_inputs, folders_of
from foldwise.kinds.events import Event, FoldStarted
from foldwise.store.files import scratch
from foldwise.store.frames import write_csv
from foldwise.store.layout import RunFolder
from foldwise.store.run_records import FoldRecord, RunRecord
from foldwise.training.fitting.run import RunData, open_runs

if TYPE_CHECKING:
    from foldwise.training.fitting.fold import FoldInputs


class TrialRow(TypedDict):
    """What a trial of a recipe ran, see `fast`."""

    recipe: str
    fold: int
    stages: int
    batches: int
    validation_rows: int
    test_rows: int
    precision: str
    device: str
    seconds: float
    images_per_second: float | None


class SheetRow(TypedDict):
    """Where a sheet of training images lies, see `show_batch`."""

    recipe: str
    fold: int
    images: int
    sheet: str


Row = TypeVar("Row")


def fast(
    competition: OpenCompetition, selection: Selection = SUBMITTED, session: Session = QUIET
) -> list[TrialRow]:
    """Train a few batches of a fold in every stage of each recipe, and predict a few rows.

    Returns one dict per recipe: `recipe, fold, stages, batches` (all that were trained),
    `validation_rows, test_rows` (predicted), `precision, device, seconds, images_per_second` (None
    where there are no batches). Weights and predictions are written and removed; folds and image
    caches stay.
    Raises: FoldwiseError: as training does. Interrupted: by Ctrl-C.
    """
    rows: list[TrialRow] = []
    with _trials(competition, selection, session) as jobs:
        from foldwise.training.fitting.fold import (
            train_fold,  # loads torch; plans are checked first
        )
        from foldwise.training.trial import few

        for job in jobs:
            inputs = few(fold_inputs(job, competition.data))
            started: list[FoldStarted] = []

            def watch(event: Event, started: list[FoldStarted] = started) -> None:
                if isinstance(event, FoldStarted):
                    started.append(event)
                session.observe(event)

            train_fold(inputs, watch)
            done = FoldRecord.read(inputs.files.record)
            resolved = RunRecord.read(RunFolder(job.run).record).resolved
            held = inputs.folds.of(inputs.train.frame["id"]) == job.fold
            rows.append(
                {
                    "recipe": inputs.recipe.name,
                    "fold": job.fold,
                    "stages": len(inputs.recipe.stage),
                    "batches": started[0].batches,
                    "validation_rows": int(held.sum()),
                    "test_rows": len(inputs.test),
                    "precision": resolved["precision"],
                    "device": resolved["device"],
                    "seconds": done.seconds,
                    "images_per_second": done.images_per_second,
                }
            )
    return rows


def find_lr(
    competition: OpenCompetition, selection: Selection = SUBMITTED, session: Session = QUIET
) -> list[dict[str, object]]:
    """What the learning-rate finder suggests for each recipe's first stage, on one fold.

    Returns one dict per recipe: `recipe, fold, precision`, a rate by the name of each of the
    finder's methods, and `curve`: the file runs/<competition>/lr-<recipe>.csv, `rate,loss` after
    each batch. Nothing is trained beyond the search.
    Raises: SpecError: a recipe has no stage. RunError: see `find_rate`. FoldwiseError: the rooms.
    """

    def row(inputs: "FoldInputs") -> dict[str, object]:
        from foldwise.training.trial import search

        recipe, found = inputs.recipe, search(inputs)
        path = competition.files.rate_curve(recipe.name)
        write_csv(path, pd.DataFrame({"rate": found.rates, "loss": found.losses}))
        return {
            "recipe": recipe.name,
            "fold": inputs.fold,
            "precision": recipe.precision,
            **found.suggestions,
            "curve": str(path),
        }

    return _of_stages(competition, selection, session, "--find-lr", row)


def show_batch(
    competition: OpenCompetition, selection: Selection = SUBMITTED, session: Session = QUIET
) -> list[SheetRow]:
    """Save a sheet of augmented training images, with their labels, as each recipe's last stage
    sees them; train nothing.

    Returns one dict per recipe: `recipe, fold, images` (their number), and `sheet`: the file
    runs/<competition>/batch-<recipe>.png.
    Raises: SpecError: a recipe has no stage. FoldwiseError: the rooms.
    """

    def row(inputs: "FoldInputs") -> SheetRow:
        from foldwise.training.trial import sheet

        name = inputs.recipe.name
        path = competition.files.batch_sheet(name)
        images = sheet(inputs, path)
        return {"recipe": name, "fold": inputs.fold, "images": images, "sheet": str(path)}

    return _of_stages(competition, selection, session, "--show-batch", row)


def _of_stages(
    competition: OpenCompetition,
    selection: Selection,
    session: Session,
    option: str,
    row: Callable[["FoldInputs"], Row],
) -> list[Row]:
    """A row for each recipe, made from what training a fold of it needs.

    Raises: SpecError: a recipe trains nothing, so the option has nothing to look at.
    """
    rows = []
    with _trials(competition, selection, session) as jobs:
        for job in jobs:
            inputs = fold_inputs(job, competition.data)
            recipe = inputs.recipe
            if not recipe.stage:
                raise SpecError(
                    f"{option} needs a recipe with a [[stage]], and recipe {recipe.name} has none "
                    f'(model = "{recipe.model}"); name another one with --recipe'
                )
            rows.append(row(inputs))
    return rows


@contextmanager
def _trials(
    competition: OpenCompetition, selection: Selection, session: Session
) -> Iterator[list[FoldJob]]:
    """A job of a fold for each recipe's first seed, in a runs folder of their own.

    It is removed afterwards, so nothing takes them for runs. Stages have one epoch.
    """
    selection = replace(selection, folds=(selection.folds or (0,))[:1])
    plan = make_plan(competition, selection, session.progress)
    with scratch(Path(gettempdir()), "foldwise-trial") as runs:
        where = folders_of(replace(competition.workspace, runs=runs), competition.name)
        jobs = [
            FoldJob(**where, run=run.folder, fold=fold)
            for recipe, caches in plan.recipes
            for run in open_runs(
                runs,
                RunData(competition=competition.data, folds=plan.folds, caches=caches),
                recipe.short(),
            )
            for fold in selection.folds or ()
        ]
        try:
            yield jobs
        except (Interrupted, KeyboardInterrupt) as stop:  # what is said of these promises to go on
            number = getattr(stop, "number", signal.SIGINT)
            raise Interrupted("stopped; nothing of the trial was kept", number) from None
