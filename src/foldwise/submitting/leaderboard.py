"""The leaderboard: a score's place on a downloaded one, medals, and what local scores foretell."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

from foldwise.errors import DataError
from foldwise.kinds.bounds import short
from foldwise.store.ledger import SubmissionRow
from foldwise.tables.text import read_table
from foldwise.tables.unpacking import is_archive, unpack

log = logging.getLogger(__name__)

BOARD_COLUMNS = ("teamid", "teamname", "score")  # needed of a board, in any case
FEWEST_SUBMISSIONS = 3  # submissions from which something is said
RECENT = 5  # submissions whose ranks must still go together


class PlacedRow(SubmissionRow):
    """A submission with its place on the board, see `rank_rows`."""

    percentile: float | None
    medal: str | None


class Together(TypedDict):
    """How two scores of the same submissions go together, see `agreement`."""

    submissions: int
    correlation: float | None
    gap: float | None


class Agreement(TypedDict):
    """How local, public and private scores go together, see `agreement`."""

    local_public: Together
    local_private: Together
    public_private: Together
    stopped: bool | None
    verdict: str


def read_leaderboard(path: Path, higher: bool) -> pd.DataFrame:
    """A board with a row per team, best first: `team` (str), `score` (float64).

    path: the CSV that Kaggle sends, or its zip. Today's has a row per team (Rank, TeamId, TeamName,
    LastSubmissionDate, Score, ...), older ones (TeamId, TeamName, SubmissionDate, Score) a row per
    improvement, of which a team's best counts. Rows without a score are left out, and with a
    warning those whose score is no finite number.
    higher: a higher score is better.

    Raises: DataError: the file is no board, or none of its scores is a number.
    """
    frame = _packed_table(path) if is_archive(path.name) else read_table(path)
    shown = [*frame.columns]
    frame.columns = frame.columns.str.lower()
    if not {*BOARD_COLUMNS} <= {*frame.columns} or not frame.columns.is_unique:
        raise DataError(
            f"{path} should have the columns TeamId, TeamName and Score, as Kaggle's leaderboards "
            f"have, got {', '.join(shown)}; download it again from the competition's page"
        )
    board = pd.DataFrame({"team": frame["teamname"], "id": frame["teamid"]})
    board["score"] = _scores(frame, path)
    board = board.dropna(subset="score")
    board = board.sort_values("score", ascending=not higher, kind="stable").drop_duplicates("id")
    return board[["team", "score"]].reset_index(drop=True)


def _scores(frame: pd.DataFrame, path: Path) -> "pd.Series[float]":
    """The scores of a board's rows as float64, NaN where there is none; see `read_leaderboard`."""
    text = frame["score"].str.strip()
    scores = pd.to_numeric(text, errors="coerce").astype(np.float64)
    scores = scores.where(np.isfinite(scores))
    odd = frame[scores.isna() & (text != "")]
    if not len(odd):
        return scores
    example = f"team {short(odd['teamname'].iloc[0])} has {short(odd['score'].iloc[0])}"
    if scores.isna().all():
        raise DataError(
            f"{path}: scores should be finite numbers, none of {len(frame)} is, e.g. {example}; "
            "download it again from the competition's page"
        )
    log.warning(
        "%s: scores should be finite numbers, %d of %d are not, e.g. %s; places are counted "
        "without these rows",
        path,
        len(odd),
        len(frame),
        example,
    )
    return scores


def _packed_table(path: Path) -> pd.DataFrame:
    """The one table in an archive. Raises: DataError: it is damaged, or holds other files."""
    if not path.is_file():
        raise DataError(f"expected the file {path}, found none")
    with tempfile.TemporaryDirectory() as folder:
        unpack(path, Path(folder))
        files = [file for file in Path(folder).rglob("*") if file.is_file()]
        if len(files) != 1:
            raise DataError(
                f"{path} should be a leaderboard's CSV, or a zip of that alone, got "
                f"{len(files)} files; download it again"
            )
        return read_table(files[0])


def place(scores: Sequence[float], score: float, higher: bool) -> tuple[int, int, float]:
    """The rank of a score on a board, the number of teams, and the percentile.

    rank: 1 + the number of strictly better scores. percentile: 100 · rank / teams, so 4.2 is among
    the best 4.2 %. A score below all others is counted as one more team.
    """
    others = np.asarray(scores, dtype=np.float64)
    rank = 1 + int((others > score if higher else others < score).sum())
    teams = max(len(others), rank)
    return rank, teams, percentile(rank, teams)


def percentile(rank: int, teams: int) -> float:
    """The share of the teams up to a rank, in percent: 4.2 is among the best 4.2 %."""
    return round(100 * rank / teams, 2)


def medal(rank: int, teams: int) -> str | None:
    """`gold`, `silver`, `bronze` or None, by Kaggle's rules for the number of teams.

    They are given at https://www.kaggle.com/progression (read 2026-11-22): percentages are rounded
    down, and the 0.2 % is one more gold medal for every 500 teams. Not every competition awards
    medals; this is what a place would be worth in one that does.
    """
    if teams < 100:
        ends = teams * 10 // 100, teams * 20 // 100, teams * 40 // 100
    elif teams < 250:
        ends = 10, teams * 20 // 100, teams * 40 // 100
    elif teams < 1000:
        ends = 10 + teams // 500, 50, 100
    else:
        ends = 10 + teams // 500, teams * 5 // 100, teams * 10 // 100
    names = ("gold", "silver", "bronze")
    return next((name for name, end in zip(names, ends, strict=True) if rank <= end), None)


def rank_rows(
    rows: Sequence[SubmissionRow], scores: Sequence[float] | None, higher: bool
) -> list[PlacedRow]:
    """Rows of a ledger with `rank`, `teams`, `percentile` and `medal`; what is not known is None.

    The ledger's own rank counts; without one it is the public score's place among `scores`.
    """
    found: list[PlacedRow] = []
    for row in rows:
        rank, teams = row["rank"], row["teams"]
        if rank is None and scores is not None and row["public"] is not None:
            rank, teams, _ = place(scores, row["public"], higher)
        known = None if rank is None or teams is None else (rank, teams)
        found.append(
            {
                **row,
                "rank": rank,
                "teams": teams,
                "percentile": percentile(*known) if known else None,
                "medal": medal(*known) if known else None,
            }
        )
    return found


def agreement(rows: Sequence[SubmissionRow], higher: bool) -> Agreement:
    """How a competition's local, public and private scores go together, over its submissions.

    rows: of the ledger, the oldest first. For each pair, as `local_public`: `submissions` that have
    both, Spearman's rank `correlation` (None where there is none), and the mean `gap`, the second
    score less the first. `stopped`: True where the local score no longer predicts a board, None
    where too few submissions tell; `verdict`: the same in words.

    It has stopped where the last five scored submissions have no positive rank correlation, or
    where the board got worse twice in a row while the local score got better.
    """
    frame = pd.DataFrame([*rows], columns=["local", "public", "private"]).astype(np.float64)
    told: Agreement = {
        "local_public": _together(frame, "local", "public"),
        "local_private": _together(frame, "local", "private"),
        "public_private": _together(frame, "public", "private"),
        "stopped": None,
        "verdict": "",
    }
    most = max(told["local_public"]["submissions"], told["local_private"]["submissions"])
    if most < FEWEST_SUBMISSIONS:
        verdict = (
            f"too few to say: {most} submissions have a local score and a board's, "
            f"{FEWEST_SUBMISSIONS} are needed"
        )
        return {**told, "verdict": verdict}
    reasons = [
        why for board in ("public", "private") if (why := _disagreement(frame, board, higher))
    ]
    verdict = (
        f"nothing says that the local score has stopped predicting the board, over {most} "
        "submissions"
    )
    if reasons:
        verdict = (
            f"the local score has stopped predicting the board: {'; '.join(reasons)}. Do not "
            "choose by it alone: do the folds copy the platform's split (`foldwise check`), and "
            "was anything fitted on the rows that it is computed from?"
        )
    return {**told, "stopped": bool(reasons), "verdict": verdict}


def _together(frame: pd.DataFrame, one: str, two: str) -> Together:
    both = frame[[one, two]].dropna()
    return {
        "submissions": len(both),
        "correlation": _correlation(both),
        "gap": float((both[two] - both[one]).mean()) if len(both) else None,
    }


def _correlation(both: pd.DataFrame) -> float | None:
    """Spearman's: Pearson's correlation of the ranks, of equal values the mean one; None: none."""
    if len(both) < FEWEST_SUBMISSIONS or (both.nunique() < 2).any():
        return None
    ranks = both.rank()  # pandas' own method = "spearman" loads scipy
    return float(np.corrcoef(ranks.to_numpy().T)[0, 1])


def _disagreement(frame: pd.DataFrame, board: str, higher: bool) -> str | None:
    """Why the local score no longer predicts a board, or None."""
    both = frame[["local", board]].dropna()
    recent = _correlation(both.tail(RECENT))
    if len(both) >= RECENT and recent is not None and recent <= 0:
        return (
            f"over the last {RECENT} scored submissions the rank correlation of local and "
            f"{board} score is {recent:.2f}"
        )
    steps = np.diff(both.tail(3).to_numpy(), axis=0) * (1 if higher else -1)  # (2, 2): > 0 better
    if len(steps) == 2 and (steps[:, 0] > 0).all() and (steps[:, 1] < 0).all():
        return (
            f"in each of the last 2 submissions the local score got better and the {board} "
            "score worse"
        )
    return None
