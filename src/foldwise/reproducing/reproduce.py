"""A submission made again: trained in a folder of its own, blended, written, compared."""

import functools
import logging
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foldwise.commands.planning import caches_of
from foldwise.config.recipe import SizedRecipe, recorded_recipe
from foldwise.data.competition import digests
from foldwise.data.folds import Folds, load_folds
from foldwise.data.images.cache import ImageCache
from foldwise.data.images.decoding import Progress
from foldwise.data.opened import OpenCompetition, open_competition
from foldwise.ensembling.blend import Blend, blend_runs
from foldwise.errors import DataError, SubmissionError
from foldwise.executors import FoldJob, run_here
from foldwise.jobs import folders_of, run_fold
from foldwise.kinds.events import Observer
from foldwise.reproducing.differences import check_data, other_differences
from foldwise.reproducing.scratch import find_manifest, scratch
from foldwise.shapes.submission import read_submission, write_submission
from foldwise.store.data_records import FoldsRecord
from foldwise.store.files import sha256_file
from foldwise.store.layout import ReproductionFolder, data_of
from foldwise.store.manifests import Manifest, ManifestRun
from foldwise.store.run_records import RateSearch
from foldwise.submitting.entry import score_through_file
from foldwise.training.fitting.pseudo import pseudo_labels
from foldwise.training.fitting.run import Run, RunData, open_run
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)

ROUNDING = 1e-6  # between two answers: what other orders of float32 sums leave after a training
FEWEST_DIGITS = 3  # digits after the point; answers that agree to fewer are different ones


@dataclass(frozen=True)
class Reproduction:
    """What came of making a submission again.

    same: the same bytes. close: no answer is different beyond LEAST digits. largest: difference
    between two answers, in `rows` of the file's ids; None where the first file is not here.
    local, again: the local scores of the first time and of this one. differences: in code,
    versions, machine, specs. kept: the folder of what was made; None after the same bytes.
    """

    file: str
    sha256: str
    same: bool
    close: bool
    verdict: str
    largest: float | None
    rows: int | None
    local: float
    again: float
    differences: tuple[str, ...]
    kept: str | None

    def lines(self) -> list[str]:
        """The outcome as people read it."""
        lines = [f"file    {self.file}", f"verdict {self.verdict}"]
        if self.largest is not None and not self.same:
            lines.append(f"largest difference {self.largest:.2g}, rows that differ: {self.rows}")
        change = f"{self.again - self.local:+.2g}"
        lines.append(f"local   {self.local:.6f} then, {self.again:.6f} now ({change})")
        if not self.same:
            why = (
                "see the differences above"
                if self.differences
                else ("nothing else is different; on a GPU only deterministic = true repeats bytes")
            )
            lines.append(f"why     {why}")
        if self.kept:
            own = ReproductionFolder(Path(self.kept)).submission.name
            lines.append(f"kept    {self.kept}, with {own}, to look into; remove it freely")
        return lines


def reproduce(
    workspace: Workspace,
    submission: str,
    observe: Observer = lambda event: None,
    progress: Progress | None = None,
) -> Reproduction:
    """Make a submission again from its manifest, and compare the file.

    submission: its file's name, path or stem. Spec, recipes and whatever was measured or found are
    the manifest's; image caches are shared; runs, submissions and ledger stay as they are. A
    reproduction that was stopped goes on, unless code or versions changed since.

    Raises: SubmissionError: there is no such submission, or it cannot be made again. DataError: the
            data are others. StorageError: another reproduction of the competition is at work.
    """
    path = find_manifest(workspace, submission)
    told = Manifest.read(path)
    file = path.with_suffix(".csv")
    if file.is_file() and sha256_file(file) != told.sha256:
        raise SubmissionError(
            f"{file} is not the file that its manifest tells of (its bytes have "
            "changed); restore it, or remove it"
        )
    from foldwise.training.speed.machine import computing_with  # loads torch

    differences = _warn(other_differences(told, workspace))
    with scratch(workspace, path, told) as here:
        again = open_competition(here, told.competition)
        differences += _warn(check_data(told, again.data, again.folder))
        with computing_with(told.machine["threads"]):
            blend = _make_blend(again, workspace, told, observe, progress)
            made = _compare_submission(again, blend, told, file, differences)
        if made.same:
            shutil.rmtree(here.root)
    return made


def _warn(differences: Iterable[str]) -> tuple[str, ...]:
    lines = tuple(differences)
    for line in lines:
        log.warning("%s", line)
    return lines


def _make_blend(
    here: OpenCompetition,
    workspace: Workspace,
    told: Manifest,
    observe: Observer,
    progress: Progress | None,
) -> Blend:
    """The manifest's blend of its runs, trained again where they are not done yet."""
    runs = [*told.teachers, *told.runs]
    recipes = [
        recorded_recipe(here.folder, each.recipe, f"the manifest's run {each.run}") for each in runs
    ]
    caches = [caches_of(here.data, recipe, progress) for recipe in recipes]
    folds = _folds(here, workspace, told, progress)  # after the caches, as in training
    made = {
        each.run: _train_run(here, each, recipe, folds, its_own, observe)
        for each, recipe, its_own in zip(runs, recipes, caches, strict=True)
    }
    return blend_runs(here.files.path, here.data, [made[each.run] for each in told.runs])


def _folds(
    here: OpenCompetition, workspace: Workspace, told: Manifest, progress: Progress | None
) -> Folds:
    """The manifest's folds: those in the data folder where they are the same, else made anew.

    Raises: DataError: folds made anew are others.
    """
    scheme, wanted = told.folds.scheme, told.folds.sha256
    definition, kept = here.spec.folds[scheme], data_of(workspace, here.name).folds
    same = digests(here.data, progress) if definition.duplicates else None
    saved = FoldsRecord.read_if_there(marker := kept.record(scheme))
    known = saved is not None and saved.sha256 == wanted
    folder = kept.path if known else ReproductionFolder(here.workspace.root).folds
    folds = load_folds(here.data.train, scheme, definition, folder, same)
    if folds.sha256 != wanted:
        raise DataError(
            f"the folds {scheme!r} should be those of the submission ({wanted[:8]}), but this "
            f"version makes others of the same rows ({folds.sha256[:8]}); restore {marker} and its "
            "CSV, or use the submission's own version of foldwise"
        )
    return folds


def _train_run(
    here: OpenCompetition,
    told: ManifestRun,
    recipe: SizedRecipe,
    folds: Folds,
    caches: Sequence[ImageCache],
    observe: Observer,
) -> Run:
    """A run of the manifest, trained again with what was resolved and found the first time."""
    resolved = {key: value for key, value in told.resolved.items() if key != "pseudo"}
    runs, data = here.workspace.runs, here.data
    pseudo = pseudo_labels(runs, data, recipe, told.seed, folds)
    on = RunData(competition=data, folds=folds, caches=caches)
    run = open_run(runs, on, recipe, told.seed, lambda: resolved, pseudo)
    for fold in range(folds.n):
        own = run.fold(fold)
        for file, found in told.rates.get(own.name, {}).items():
            RateSearch(suggestions=found).write(own.path / Path(file).name)
    jobs = [
        FoldJob(**folders_of(here.workspace, here.name), run=run.folder, fold=fold)
        for fold in run.planned_folds()
        if fold in run.unfinished()
    ]
    run_here(functools.partial(run_fold, data=data), jobs, observe)
    if run.record.identity != told.identity:
        log.warning(
            "%s is %s now: something that its training depends on is not as it was",
            told.run,
            run.name,
        )
    return run


def _compare_submission(
    here: OpenCompetition,
    blend: Blend,
    told: Manifest,
    file: Path,
    differences: tuple[str, ...],
) -> Reproduction:
    """The blend's submission, written, read back, scored, and compared with the first one."""
    data, root = here.data, here.workspace.root
    home = ReproductionFolder(root)
    new, largest, rows = home.submission, None, None
    write_submission(new, blend.test(), data.format)
    answers = read_submission(new, data.format)
    own = score_through_file(data, blend.oof(), home.oof)
    digest = sha256_file(new)
    if file.is_file():
        first = read_submission(file, data.format)
        gaps = np.abs(answers.iloc[:, 1:].to_numpy() - first.iloc[:, 1:].to_numpy())
        largest, rows = float(gaps.max()), int(gaps.any(axis=1).sum())
    same = digest == told.sha256
    verdict, close = ("the same bytes", True) if same else verdict_of(largest)
    low, high = told.local.low, told.local.high
    if not close and low is not None and high is not None and low <= own.value <= high:
        verdict += "; the local score is within the interval of the first one"
    return Reproduction(
        file=str(file),
        sha256=digest,
        same=same,
        close=close,
        verdict=verdict,
        largest=largest,
        rows=rows,
        local=told.local.value,
        again=own.value,
        differences=differences,
        kept=None if same else str(root),
    )


def verdict_of(largest: float | None) -> tuple[str, bool]:
    """What a difference between answers means for other bytes, and whether it is small."""
    if largest is None:
        return "other bytes; the first file is not here, so answers cannot be compared", False
    if largest <= ROUNDING:
        return "the same answers within rounding, in other bytes", True
    digits = math.floor(-math.log10(largest))
    if digits >= FEWEST_DIGITS:
        return f"the same answers to {digits} digits", True
    return "different answers", False
