"""An entry to a leaderboard: file, manifest and ledger lines, from a blend to a receipt."""

import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from foldwise.data.competition import CompetitionData
from foldwise.data.opened import OpenCompetition
from foldwise.ensembling.blend import Blend
from foldwise.errors import DataError
from foldwise.metrics.scoring import Score, score
from foldwise.shapes.submission import read_submission, write_submission
from foldwise.store import ledger
from foldwise.store.files import scratch, sha256_file
from foldwise.store.layout import SubmissionsFolder, manifest_of, submissions_of
from foldwise.store.manifests import write_manifest
from foldwise.submitting import manifest
from foldwise.submitting.fetching import save_board
from foldwise.submitting.leaderboard import place, read_leaderboard
from foldwise.submitting.platforms import Parcel, Receipt, Remote, destination
from foldwise.submitting.sending import Outgoing, send_once, stored_receipt

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A validated and scored submission file; `receipt` once the platform has it."""

    file: Path
    sha256: str
    score: Score  # of the blend's OOF, through the same writer
    member_scores: dict[str, Score]
    expected: Score  # of a board with all test rows; see `scoring.forecast`
    receipt: Receipt | None = None


def write_entry(competition: OpenCompetition, blend: Blend) -> Entry:
    """Write, read back, validate and score the blend's submission, with manifest and ledger line.

    The same bytes are not written twice: an earlier file with them is the entry then.
    Raises: SubmissionError: the file breaks a rule; nothing is kept of it.
    """
    data = competition.data
    home = submissions_of(competition.workspace, competition.name, data.spec.platform.practice)
    folder = home.path
    with scratch(folder, "new") as temporary:
        candidate = temporary / "submission.csv"
        write_submission(candidate, blend.test(), data.format)
        read_submission(candidate, data.format)
        digest = sha256_file(candidate)
        own = score_through_file(data, blend.oof(), temporary / "oof.csv")
        earlier = ledger.find_bytes(home.ledger, digest)
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        file = folder / (earlier["file"] if earlier else f"{stamp}-{blend.folder.name}.csv")
        if earlier and file.is_file():
            log.info("%s: written already with these bytes; skipped", file.name)
        else:
            write_manifest(manifest_of(file), manifest.describe(competition, blend, own, digest))
            if not earlier:  # before the file itself: a crash in between leaves a line, to be found
                ledger.append(
                    home.ledger,
                    "written",
                    file.name,
                    competition=data.spec.name,
                    sha256=digest,
                    local=round(own.value, 6),
                )
            candidate.rename(file)
    return Entry(
        file=file,
        sha256=digest,
        score=own,
        member_scores=blend.member_scores,
        expected=blend.expected,
    )


def send_entry(
    competition: OpenCompetition, entry: Entry, again: bool = False, resend: bool = False
) -> Entry:
    """Send the file to its platform, unless its bytes are there already; enter the outcome.

    again, resend: see `send_once`. Raises: PlatformError: the platform refused, or could not be
    asked. UnclearError: it may have the file; the message says what to do.
    """
    parcel = _parcel(competition, entry)
    book = SubmissionsFolder(entry.file.parent).ledger
    known = ledger.find_bytes(book, entry.sha256)
    if known and known["state"] == "scored" and not again:  # perhaps by hand
        log.info("%s: submitted already; nothing is sent twice (--again does)", entry.file.name)
        return replace(entry, receipt=stored_receipt(known))
    platform = destination(competition.spec)
    if platform.can_ask:
        return replace(entry, receipt=_over_the_network(entry, parcel, again, resend))
    receipt = platform.send(parcel)
    outcome = {k: v for k, v in asdict(receipt).items() if k not in ("state", "message")}
    if known is None or not {"state": receipt.state, **outcome}.items() <= known.items():
        ledger.append(book, receipt.state, entry.file.name, **outcome)
    return replace(entry, receipt=receipt)


def _over_the_network(entry: Entry, parcel: Parcel, again: bool, resend: bool) -> Receipt:
    """Send over the network once; with a public score the receipt has its place on the board."""
    platform, higher = destination(parcel.spec), parcel.spec.metric.higher
    remotes: list[Remote] = []

    def connect() -> Remote:
        remotes.append(platform.connect(parcel.spec.name))
        return remotes[-1]

    book = SubmissionsFolder(entry.file.parent).ledger
    out = Outgoing(
        book=book,
        file=entry.file,
        sha256=entry.sha256,
        local=entry.score.value,
        higher=higher,
        timeout=platform.timeout,
    )
    receipt = send_once(out, connect, again, resend)
    if remotes and receipt.public is not None and (board := save_board(remotes[-1], parcel.data)):
        try:
            scores = read_leaderboard(board, higher)["score"].to_list()
        except DataError as error:  # the submission is there all the same
            log.warning("%s", error)
            return receipt
        rank, teams, _ = place(scores, receipt.public, higher)
        message = f"place {rank} of {teams} on the public leaderboard"
        receipt = replace(receipt, rank=rank, teams=teams, message=message)
    return receipt


def score_through_file(data: CompetitionData, oof: pd.DataFrame, path: Path) -> Score:
    """The metric of OOF predictions that were written and read back as a submission is."""
    shape = data.format.for_ids(list(oof["id"]))
    write_submission(path, oof, shape)
    return score(
        data.spec.metric, data.train.frame, read_submission(path, shape), data.hooks.get("score")
    )


def _parcel(competition: OpenCompetition, entry: Entry) -> Parcel:
    data = competition.data

    def grade(truth: pd.DataFrame, predictions: pd.DataFrame) -> float:
        hook = data.hooks.get("score")
        return score(data.spec.metric, truth, predictions, hook, interval=False).value

    return Parcel(
        spec=data.spec,
        file=entry.file,
        shape=data.format,
        grade=grade,
        data=competition.workspace.data / competition.name,
    )
