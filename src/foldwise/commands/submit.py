"""`submit`, the main job: from raw files to an entry in the ledger."""

import functools
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from foldwise import doctor
from foldwise.commands.planning import (
    QUIET,
    SUBMITTED,
    Selection,
    Session,
    blending_of,
    is_begun,
)
from foldwise.commands.train import train
from foldwise.data.competition import load_data, same_sources
from foldwise.data.opened import OpenCompetition
from foldwise.ensembling.blend import blend_runs
from foldwise.errors import DataError, RunError, SpecError, examples
from foldwise.reporting.summing import sum_up
from foldwise.store import ledger
from foldwise.store.files import hold_lock, replace_file
from foldwise.store.layout import submissions_of
from foldwise.submitting.entry import Entry, send_entry, write_entry
from foldwise.submitting.fetching import ask_first
from foldwise.submitting.parts import board_parts
from foldwise.training.fitting.run import UNDO, Run, need_same_data

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """What is submitted, where it is not what `[submit]` says.

    selection: its recipes, and of their folds those that are trained now, where others are trained
    already. budget: a time to fit the training to, as in `train`. blend: the name of a method.
    out: a file that is also written, with the bytes of the submission.
    """

    selection: Selection = SUBMITTED
    budget: str | None = None
    blend: str | None = None
    out: Path | None = None


AS_SPECIFIED = Choice()


def submit(
    competition: OpenCompetition,
    dry_run: bool = False,
    again: bool = False,
    resend: bool = False,
    session: Session = QUIET,
    choice: Choice = AS_SPECIFIED,
) -> Entry:
    """The main job: check, train, blend, write, validate, score, send, enter in the ledger.

    Whatever of it is done already is skipped, and it is said so. dry_run stops before the upload.
    Before anything is trained the tables are checked, and the platform is asked whether it will
    take a file; it is asked once more before the file is sent.
    again, resend: see `send_once`.
    Raises: DataError: `check` finds errors. PlatformError: see `ask_first` and `send_entry`.
            RunError: the data changed meanwhile, or folds are left untrained. SpecError: the choice
            cannot be. SubmissionError: the ledger is not understood.
            StorageError: another submit of this is at work.
    """
    competition = _with_choice(competition, choice)
    data, name = competition.data, competition.name
    with hold_lock(competition.files.submit_lock, f"submitting {name}", wait=False):
        practice = data.spec.platform.practice
        ledger.read_ledger(
            submissions_of(competition.workspace, name, practice).ledger
        )  # all understood?
        ready = functools.cache(lambda: _need_ready(competition, dry_run))
        if not all(
            is_begun(competition, recipe) for recipe in choice.selection.recipes_in(competition)
        ):
            ready()  # before images are decoded
        training: list[bool] = []

        def before(opened: Sequence[Run]) -> None:
            training.append(True)
            for run in opened:
                _need_all_folds(run, choice)
            ready()

        runs = train(competition, choice.selection, choice.budget, session, before)
        if training:
            _need_same(competition, runs)
        parts = board_parts(competition)
        blended = blend_runs(competition.files.path, data, runs, parts=parts)
        entry = write_entry(competition, blended)
        if choice.out:
            with replace_file(choice.out) as temporary:
                shutil.copyfile(entry.file, temporary)
            log.info("%s: written to %s as well", entry.file.name, choice.out)
        if dry_run:
            log.info("%s: dry run, nothing is sent", entry.file.name)
            return entry
        entry = send_entry(competition, entry, again, resend)
        if session.track:
            sum_up(competition.files.path, data, blended, entry)
        return entry


def _with_choice(competition: OpenCompetition, choice: Choice) -> OpenCompetition:
    """The competition with the chosen blend method in its spec, which the manifest then tells.

    Raises: SpecError: there is no such method, or the other file cannot be there.
    """
    practice = competition.spec.platform.practice
    own = submissions_of(competition.workspace, competition.name, practice).path.resolve()
    if (out := choice.out) and (out.is_dir() or own in out.resolve().parents):
        what = "a folder" if out.is_dir() else "in the folder that foldwise keeps submissions in"
        raise SpecError(
            f"expected --out with a file to write elsewhere, got {out}, which is {what}; give for "
            "example --out ~/mine.csv"
        )
    if choice.blend is None:
        return competition
    method, spec = blending_of(competition, choice.blend), competition.spec
    chosen = spec.model_copy(update={"submit": spec.submit.model_copy(update={"blend": method})})
    return replace(competition, data=replace(competition.data, spec=chosen))


def _need_all_folds(run: Run, choice: Choice) -> None:
    """Check that all folds of a run will be trained. Raises: RunError: some are left out."""
    chosen = choice.selection.folds
    left = sorted({*run.unfinished()} - {*(run.planned_folds() if chosen is None else chosen)})
    if not left:
        return
    why = "the budget has no time for" if chosen is None else "--fold leaves out"
    advice = "give more time" if chosen is None else "leave out --fold"
    raise RunError(
        f"{run.name}: a submission needs all {run.folds.n} folds, and {why} {len(left)} of them "
        f"({examples(left, 10)}), which are not trained yet; {advice}, or train them with the same "
        f"options first: foldwise train NAME --recipe {run.recipe.name} --fold {left[0]}"
    )


def _need_ready(competition: OpenCompetition, dry_run: bool) -> None:
    """Check the tables, and ask the platform whether it will take a file.

    Raises: DataError: `check` finds errors. PlatformError: see `ask_first`.
    """
    # without images: the cache looks closer
    findings = doctor.examine(competition, images=False)
    for warning in findings.warnings:
        log.warning("%s: %s", competition.name, warning)
    if not findings.ok:
        raise DataError(" | ".join(findings.errors))
    if not dry_run:
        ask_first(competition.spec)


def _need_same(competition: OpenCompetition, runs: Sequence[Run]) -> None:
    """Check that labels and images on disk still are those that runs were trained on.

    Raises: RunError: they changed while folds were trained.
    """
    data = load_data(competition.workspace, competition.name)
    for run in runs:
        need_same_data(run.folder, data)
    caches = {folder for run in runs for folder in run.record.caches}
    if caches and not same_sources(data, sorted(caches)):
        raise RunError(
            f"{competition.name}: the images are not those that its runs were begun with; {UNDO}"
        )
