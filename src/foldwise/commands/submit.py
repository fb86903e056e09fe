"""`submit`, the main job: from raw files to an entry in the ledger."""

import functools
import logging
from collections.abc import Sequence

from foldwise import doctor
from foldwise.commands.planning import QUIET, SUBMITTED, Session, is_begun
from foldwise.commands.train import train
from foldwise.data.competition import load_data, same_sources
from foldwise.data.opened import OpenCompetition
from foldwise.ensembling.blend import blend_runs
from foldwise.errors import DataError, RunError
from foldwise.reporting.summing import sum_up
from foldwise.store import ledger
from foldwise.store.files import hold_lock
from foldwise.store.layout import submissions_of
from foldwise.submitting.entry import Entry, send_entry, write_entry
from foldwise.submitting.fetching import ask_first
from foldwise.submitting.parts import board_parts
from foldwise.training.fitting.run import UNDO, Run, need_same_data

log = logging.getLogger(__name__)


def submit(
    competition: OpenCompetition,
    dry_run: bool = False,
    again: bool = False,
    resend: bool = False,
    session: Session = QUIET,
) -> Entry:
    """The main job: check, train, blend, write, validate, score, send, enter in the ledger.

    Whatever of it is done already is skipped, and it is said so. dry_run stops before the upload.
    Before anything is trained the tables are checked, and the platform is asked whether it will
    take a file; it is asked once more before the file is sent.
    again, resend: see `send_once`.
    Raises: DataError: `check` finds errors. PlatformError: see `ask_first` and `send_entry`.
            RunError: the data changed meanwhile. SubmissionError: the ledger is not understood.
            StorageError: another submit of this is at work.
    """
    data, name = competition.data, competition.name
    with hold_lock(competition.files.submit_lock, f"submitting {name}", wait=False):
        practice = data.spec.platform.practice
        ledger.read_ledger(
            submissions_of(competition.workspace, name, practice).ledger
        )  # all understood?
        ready = functools.cache(lambda: _need_ready(competition, dry_run))
        if not all(is_begun(competition, recipe) for recipe in data.spec.submit.recipes):
            ready()  # before images are decoded
        training: list[bool] = []

        def before() -> None:
            training.append(True)
            ready()

        runs = train(competition, SUBMITTED, session=session, before=before)
        if training:
            _need_same(competition, runs)
        parts = board_parts(competition)
        blended = blend_runs(competition.files.path, data, runs, parts=parts)
        entry = write_entry(competition, blended)
        if dry_run:
            log.info("%s: dry run, nothing is sent", entry.file.name)
            return entry
        entry = send_entry(competition, entry, again, resend)
        if session.track:
            sum_up(competition.files.path, data, blended, entry)
        return entry


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
