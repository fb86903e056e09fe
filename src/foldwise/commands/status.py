"""`status`: runs and submissions, from files, and if asked from platforms."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from foldwise.config.competition import load_competition
from foldwise.data.opened import OpenCompetition
from foldwise.errors import PlatformError, SpecError
from foldwise.reporting import syncing
from foldwise.reporting.comparing import RunRow, compare_runs
from foldwise.reporting.headline import Head
from foldwise.reporting.headline import headline as head
from foldwise.reporting.standing import Stand, headline_of, stand
from foldwise.reporting.summary import RunSummary, run_summary
from foldwise.reporting.summing import join_scores
from foldwise.store.layout import manifest_of, submissions_of
from foldwise.store.ledger import SubmissionRow, submissions
from foldwise.store.manifests import Headline
from foldwise.submitting.fetching import update
from foldwise.submitting.platforms import Quota, destination
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)


class QuotaRow(TypedDict):
    """What of a platform's quota is used, see `Quota`."""

    today: int
    total: int
    left: int
    for_good: bool


class Standing(Stand):
    """How a competition's submissions stand, see `read_standing`."""

    quota: QuotaRow | None


class HeadedSummary(RunSummary):
    """A run's scores with its headline, see `summary`."""

    headline: Head


def status(workspace: Workspace, name: str | None = None) -> list[SubmissionRow]:
    """The submissions of a competition, or of all: see `ledger.submissions` for the keys."""
    rows = []
    for each in [name] if name else workspace.names():
        practice = load_competition(workspace.competition(each)).platform.practice
        rows += submissions(submissions_of(workspace, each, practice).ledger, each, strict=False)
    return rows


def read_standing(workspace: Workspace, name: str, ask: bool = False) -> Standing:
    """How a competition's submissions stand: `submissions`, `agreement` and `quota`.

    submissions, agreement: see `stand`. quota: submissions `today`, in `total` and `left`, None
    where the platform was not asked. ask: ask it, where it can be, for late scores and its board
    too; that it does not answer is a warning.
    Raises: DataError: the file is no board.
    """
    spec = load_competition(workspace.competition(name))
    quota: QuotaRow | None = None
    if ask and destination(spec).can_ask:
        book = submissions_of(workspace, name, spec.platform.practice).ledger
        try:
            quota = _quota_row(update(spec, book, workspace.data / name))
        except PlatformError as error:
            log.warning("%s", error)
    if quota:
        for row in status(workspace, name):
            join_scores(workspace.runs / name, name, Path(row["file"]).stem, row)
    return {**stand(workspace, spec), "quota": quota}


def _quota_row(quota: Quota) -> QuotaRow:
    return {
        "today": quota.today,
        "total": quota.total,
        "left": quota.left,
        "for_good": quota.for_good,
    }


def sync(workspace: Workspace, name: str | None = None) -> tuple[int, list[Path]]:
    """Send a competition's offline W&B runs, or those of all; see `syncing.sync`.

    Raises: SpecError: there is no key. PlatformError: the server takes nothing now.
    """
    if syncing.key() is None:
        raise SpecError(
            f"expected a key for W&B at {syncing.server()}, found none; run `wandb login`, or set "
            "WANDB_API_KEY, and run the same command again"
        )
    sent, left = 0, list[Path]()
    for each in [name] if name else workspace.names():
        workspace.competition(each)
        done, others = syncing.sync(workspace.runs / each)
        sent, left = sent + done, left + others
    return sent, left


def headline(competition: OpenCompetition, what: str | Path) -> Head:
    """What is to be known first of a run or a blend: see `headline_of`.

    what: its name, or a submission file, for the blend that it was made of.
    """
    if isinstance(what, Path):
        blend = Headline.read(manifest_of(what)).blend
        what = str(blend and blend.directory)
    return headline_of(competition.workspace, competition.data, what)


def headlines(competition: OpenCompetition, runs: Sequence[str]) -> list[Head]:
    """The `headline` of each of some runs, by name."""
    rows = compare_runs(competition.files.path, competition.data)
    return [headline_of(competition.workspace, competition.data, run, rows) for run in runs]


def summary(competition: OpenCompetition, run: str) -> HeadedSummary:
    """A run or a blend by folds, classes and groups, with its `headline`: see `run_summary`."""
    told = run_summary(competition.workspace, competition.name, run, competition.data)
    rows = compare_runs(competition.files.path, competition.data)
    if any(row["run"] == run for row in rows):
        return {**told, "headline": head(told, rows)}
    return {**told, "headline": headline_of(competition.workspace, competition.data, run, rows)}


def compare(competition: OpenCompetition) -> list[RunRow]:
    """The runs of a competition side by side, best first: see `compare_runs` for the keys."""
    return compare_runs(competition.files.path, competition.data)
