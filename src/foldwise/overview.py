"""What there is: competitions, runs and submissions; from files, and if asked from platforms."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from foldwise.data.competition import load_data
from foldwise.data.listing import files_here, rows_here
from foldwise.errors import PlatformError, SpecError
from foldwise.reporting import tracking
from foldwise.reporting.summing import join_scores
from foldwise.scoring.comparing import compare_runs
from foldwise.spec.competition import load_competition
from foldwise.submitting.entry import LEDGER
from foldwise.submitting.fetching import BOARD, can_ask, update
from foldwise.submitting.leaderboard import agreement, placed, read_leaderboard
from foldwise.submitting.ledger import submissions
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)


def status(workspace: Workspace, name: str | None = None) -> list[dict[str, Any]]:
    """The submissions of a competition, or of all: see `ledger.submissions` for the keys."""
    rows = []
    for each in [name] if name else workspace.names():
        practice = load_competition(workspace.competition(each)).practice
        rows += submissions(workspace.submissions(each, practice) / LEDGER, each)
    return rows


def standing(workspace: Workspace, name: str, ask: bool = False) -> dict[str, Any]:
    """How a competition's submissions stand: `submissions`, `agreement` and `quota`.

    submissions: the rows of `status`, with `percentile` and `medal`; see `placed`. The board of
    public scores is data/<name>/leaderboard.csv, where there is one.
    agreement: see `leaderboard.agreement`. quota: submissions `today`, in `total` and `left`, None
    where the platform was not asked. ask: ask it, where it can be, for late scores and its board
    too; that it does not answer is a warning.
    Raises: DataError: the file is no board.
    """
    spec = load_competition(workspace.competition(name))
    quota, higher = None, spec.metric.higher
    if ask and can_ask(spec):
        book = workspace.submissions(name, spec.practice) / LEDGER
        try:
            quota = asdict(update(spec, book, workspace.data / name))
        except PlatformError as error:
            log.warning("%s", error)
    rows = status(workspace, name)
    if quota:
        for row in rows:
            join_scores(workspace.runs / name, name, Path(row["file"]).stem, row)
    board = workspace.data / name / BOARD
    scores = [*read_leaderboard(board, higher)["score"]] if board.is_file() else None
    return {"submissions": placed(rows, scores, higher), "agreement": agreement(rows, higher),
            "quota": quota}  # fmt: skip


def sync(workspace: Workspace, name: str | None = None) -> tuple[int, list[Path]]:
    """Send a competition's offline W&B runs, or those of all; see `tracking.sync`.

    Raises: SpecError: there is no key.
    """
    if not tracking.has_key():
        raise SpecError(
            f"expected a key for W&B at {tracking.server()}, found none; run `wandb login`, or set "
            "WANDB_API_KEY, and run the same command again"
        )
    sent, left = 0, list[Path]()
    for each in [name] if name else workspace.names():
        workspace.competition(each)
        done, others = tracking.sync(workspace.runs / each)
        sent, left = sent + done, left + others
    return sent, left


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
