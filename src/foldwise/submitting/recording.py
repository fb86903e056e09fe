"""Scores that a person read on a platform's page, entered in the ledger."""

import logging
from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path

from foldwise.config.competition import CompetitionSpec, load_competition
from foldwise.errors import SubmissionError, nearest
from foldwise.store import ledger
from foldwise.store.layout import submissions_of
from foldwise.store.ledger import SubmissionRow
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)


def record(
    workspace: Workspace,
    file: str,
    public: float | None = None,
    private: float | None = None,
    rank: int | None = None,
    teams: int | None = None,
) -> str:
    """Enter what a platform said of a submission; returns the competition's name.

    file: a submission's path, or its bare name in any ledger. The same numbers are not entered
    twice; others are the newer line.
    Raises: SubmissionError: no ledger knows the file, or a number cannot be one of its metric.
    """
    spec, book, row = _find_submission(workspace, file)
    given = {"public": public, "private": private, "rank": rank, "teams": teams}
    said = {key: value for key, value in given.items() if value is not None}
    _check(spec, said, said.get("rank", row["rank"]), said.get("teams", row["teams"]))
    if row["state"] == "scored" and said.items() <= row.items():
        log.info("%s: these numbers are recorded already; nothing is changed", row["file"])
    else:
        ledger.append(book, "scored", row["file"], **said)
    return spec.name


def _find_submission(
    workspace: Workspace, file: str
) -> tuple[CompetitionSpec, Path, SubmissionRow]:
    """The competition, the ledger and the row of a submission file."""
    name, found, others = Path(file).name, [], []
    for competition in workspace.names():
        spec = load_competition(workspace.competition(competition))
        book = submissions_of(workspace, competition, spec.platform.practice).ledger
        rows = {row["file"]: row for row in ledger.submissions(book, competition, strict=False)}
        others += [*rows]
        if name in rows:
            found.append((spec, book, rows[name]))
    if not found:
        raise SubmissionError(
            f"expected a submission file that a ledger knows, got {file!r}{nearest(name, others)}; "
            "`foldwise status` lists them"
        )
    if len(found) > 1:  # the path tells which
        path = Path(file).resolve().parent
        several = [spec.name for spec, _, _ in found]
        found = [entry for entry in found if entry[1].parent.resolve() == path] or found
        if len(found) > 1:
            raise SubmissionError(
                f"expected one submission called {name!r}, got those of {' and '.join(several)}; "
                f"give its path, as {found[0][1].parent / name}"
            )
    return found[0]


def _check(
    spec: CompetitionSpec, said: Mapping[str, float], rank: float | None, teams: float | None
) -> None:
    """Raises: SubmissionError: a score is outside the metric's range, or a place outside 1 to all.

    said: the numbers that are new. rank, teams: what the ledger will say.
    """
    low, high = spec.metric.range
    bounds = f"from {low:g} up" if high == inf else f"of {low:g} to {high:g}"
    bounds = "that is finite" if low == -inf else bounds
    again = (
        f"look again at {spec.platform.page or 'its page'}; e.g. --record --public 0.48 --rank 12"
    )
    for key in ("public", "private"):
        value = said.get(key, 0.0)
        if not (isfinite(value) and low <= value <= high):
            raise SubmissionError(
                f"--{key}: expected {spec.metric.title} {bounds}, got {value:g}; {again}"
            )
    if said.get("teams", 1) < 1:
        raise SubmissionError(f"--teams: expected 1 team or more, got {said['teams']}; {again}")
    if rank is not None and (rank < 1 or (teams is not None and rank > teams)):
        most = f"1 to {teams}, the number of teams" if teams else "1 up"
        raise SubmissionError(f"--rank: expected a place from {most}, got {rank}; {again}")
