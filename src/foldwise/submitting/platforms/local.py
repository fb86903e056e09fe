"""A leaderboard on this machine, for practice and for classes: a truth file makes a platform."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.data.grouped import balanced_groups, deal
from foldwise.data.holdout import read_truth
from foldwise.errors import PlatformError, SubmissionError, examples
from foldwise.kinds.shape import SubmissionFormat
from foldwise.shapes.submission import read_submission
from foldwise.store.data_records import BoardEntry, BoardRecord, PartsRecord
from foldwise.store.files import hold_lock, sha256_file, sha256_json
from foldwise.store.layout import DataFolder, PlatformFolder
from foldwise.submitting.platforms import Destination, Parcel, Receipt

log = logging.getLogger(__name__)

TEAM = "you"
PARTS = ("public", "private")
BOARD_SEED = 42  # of the split of a truth without a column `part`
PUBLIC_SHARE = 0.5  # of its rows, which are public


class Local(Destination):
    """A leaderboard on this machine, for practice."""

    practice: ClassVar[bool] = True

    name: Literal["local"] = "local"

    @property
    def title(self) -> str:
        """Its name for people."""
        return "the practice board"

    def send(self, parcel: Parcel) -> Receipt:
        """Score the file against the truth and enter it on the board.

        The platform's folder holds `truth.csv` (`id`, `label` or one column per class, and perhaps
        `part`: public, private or ignored; and `group`) and `entries/<team>.csv`, submissions of
        others, which are on the board from the start. Without `part` the rows are split once by a
        seed, as parts.json then says: stratified, groups whole. Rank 1 is the best private score.

        Raises: PlatformError: the truth is missing, or does not fit the competition.
                SubmissionError: the file breaks a rule.
        """
        board = enter(parcel, parcel.file)
        rank, teams = place_of_team(board, parcel.spec.metric.higher)
        return Receipt(
            state="scored",
            message=f"on the local leaderboard: place {rank} of {teams}",
            public=board[-1].public,
            private=board[-1].private,
            rank=rank,
            teams=teams,
        )

    def parts(
        self, data: Path, shape: SubmissionFormat, units: Callable[[Sequence[str] | None], int]
    ) -> dict[str, int]:
        """The parts by the truth. Raises: PlatformError: it is not what it should be."""
        return {part: units(ids) for part, ids in part_ids(data, shape).items()}


def enter(parcel: Parcel, file: Path | None = None) -> list[BoardEntry]:
    """The board's entries, each scored, as they are written to the platform's folder.

    file: of the team's own, which becomes the last entry. Entries are scored anew where the truth,
    the metric, its constants or their files have changed; those whose file is gone or no longer
    valid are left out then, with a warning. Raises: as `Local.send` does.
    """
    home = DataFolder(parcel.data).platform
    with hold_lock(home.lock, "the local leaderboard"):
        truth = _truth(home, parcel.shape)
        metric = parcel.spec.metric.model_dump(mode="json")
        of = sha256_json([sha256_file(home.truth), metric])
        mine = []
        if file:
            mine = [_with_scores(BoardEntry(team=TEAM, file=file.name), parcel, file, truth)]
        board = [
            entry
            for entry in _board(home, parcel, truth, of)
            if file is None or entry.file != file.name
        ]
        BoardRecord(of=of, entries=(*board, *mine)).write(home.board)
    return board + mine


def part_ids(data: Path, shape: SubmissionFormat) -> dict[str, list[str]]:
    """The ids of the public and of the private part; nothing where there is no truth yet.

    data: the competition's data folder. Raises: PlatformError: the truth does not fit.
    """
    home = DataFolder(data).platform
    if not home.truth.is_file():
        return {}
    with hold_lock(home.lock, "the local leaderboard"):
        truth = _truth(home, shape)
    return {part: [*truth.loc[truth["part"] == part, "id"]] for part in PARTS}


def place_of_team(board: Sequence[BoardEntry], higher: bool = False) -> tuple[int, int]:
    """The place of the team's best entry by private score, and the number of teams.

    higher: a higher score is better.
    """
    best: dict[str, float] = {}
    scored = ((entry.team, entry.private) for entry in board if entry.private is not None)
    for team, score in scored:
        value = score * (-1 if higher else 1)
        best[team] = min(value, best.get(team, value))
    return 1 + sum(v < best[TEAM] for t, v in best.items() if t != TEAM), len(best)


def _board(home: PlatformFolder, parcel: Parcel, truth: pd.DataFrame, of: str) -> list[BoardEntry]:
    """The board's entries, with scores of `of`: a hash of truth and metric."""
    saved = BoardRecord.read_if_there(home.board) or BoardRecord()
    teams = {entry.team for entry in saved.entries}
    others = [BoardEntry(team=team) for team in home.entries() if team not in teams]
    board = []
    for entry in (*saved.entries, *others):
        file = parcel.file.parent / entry.file if entry.file else home.entry(entry.team)
        same = not file.is_file() or sha256_file(file) == entry.sha256
        if saved.of == of and same and entry.private is not None:
            board.append(entry)
            continue
        try:
            board.append(_with_scores(entry, parcel, file, truth))
        except SubmissionError as error:
            log.warning(
                "the local leaderboard leaves out an entry of %r, which cannot be scored: %s",
                entry.team,
                error,
            )
    return board


def _truth(home: PlatformFolder, shape: SubmissionFormat) -> pd.DataFrame:
    """The truth of every id that is asked for, each in a part. Raises: PlatformError."""
    path = home.truth
    if not path.is_file():
        raise PlatformError(f"the local platform has no truth at {path}; `foldwise data` makes it")
    truth = read_truth(path, shape.task)
    for what, ids in (
        ("are missing", sorted({*shape.ids} - {*truth["id"]})),
        ("are unknown", sorted({*truth["id"]} - {*shape.ids})),
    ):
        if ids:
            raise PlatformError(
                f"{path} should hold the {len(shape.ids)} ids of the test set; {len(ids)} {what}: "
                f"{examples(ids)}; correct the file (rows of part `ignored` count in no score)"
            )
    if "part" not in truth:
        truth["part"] = _halves(home, truth, shape)
    for part in PARTS:
        if not (truth["part"] == part).any():
            found = examples(truth["part"].unique())
            raise PlatformError(
                f"{path} should have rows of both parts, {' and '.join(PARTS)}, got {found} in "
                f"{len(truth)} rows; correct the column `part`, or leave it out (then two rows or "
                "groups are needed)"
            )
    return truth


def _halves(home: PlatformFolder, truth: pd.DataFrame, shape: SubmissionFormat) -> Array:
    """The part of each row, (n,): split once for these ids, and kept."""
    ids = sorted(truth["id"])
    saved = PartsRecord.read_if_there(home.parts)
    if saved is None or saved.ids != sha256_json(ids):
        rows = truth.set_index("id").loc[ids]  # their order in the file does not matter
        task = shape.task
        hot = task.strata(task.targets(rows))
        n = round(1 / PUBLIC_SHARE)
        if "group" in rows:
            fold = balanced_groups(hot, rows["group"].to_numpy(dtype=str), n, BOARD_SEED)
        else:
            fold = deal(hot, np.arange(len(rows)), n, BOARD_SEED)
        public = tuple(id for id, of in zip(ids, fold, strict=True) if of == 0)
        saved = PartsRecord(
            seed=BOARD_SEED, share=PUBLIC_SHARE, ids=sha256_json(ids), public=public
        )
        saved.write(home.parts)
    return np.where(truth["id"].isin(saved.public), *PARTS)


def _with_scores(entry: BoardEntry, parcel: Parcel, file: Path, truth: pd.DataFrame) -> BoardEntry:
    """The entry with the metric on the public and on the private part, and the file's hash."""
    predictions = read_submission(file, parcel.shape)
    scores: dict[str, object] = {"sha256": sha256_file(file)}
    for part in PARTS:
        half = truth[truth["part"] == part].reset_index(drop=True)
        rows = predictions[predictions["id"].isin(half["id"])]
        scores[part] = round(parcel.grade(half.drop(columns="part"), rows), 6)
    return entry.model_copy(update=scores)
