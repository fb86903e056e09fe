"""Exactly once: a file reaches a platform one time, whatever breaks on the way.

An attempt has a tag, which stands in the ledger before anything is sent and in the submission's
description at the platform, so that after any end of this process the platform can be asked.
docs/platforms.md tells it in words, with a table of what happens after each fault.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from foldwise.errors import PlatformError, UnclearError
from foldwise.store import ledger
from foldwise.store.files import hold_lock
from foldwise.store.layout import SubmissionsFolder
from foldwise.store.ledger import Attempt, OutcomeRow
from foldwise.submitting.platforms import Listed, Quota, Receipt, Remote

log = logging.getLogger(__name__)

MARGIN = 5.0  # seconds after a timeout until a request is surely over
LATEST = 600.0  # seconds after which what is neither listed nor counted never came
FINAL_EVENTS = {
    "complete": "scored",
    "error": "failed",
}  # a platform's status -> the ledger's event


@dataclass(frozen=True)
class Outgoing:
    """A file that is to be sent: its ledger, its bytes' SHA-256, its local score."""

    book: Path
    file: Path
    sha256: str
    local: float
    higher: bool  # a higher score is better
    timeout: float  # seconds that one call to the platform may take


def send_once(
    out: Outgoing, connect: Callable[[], Remote], again: bool = False, resend: bool = False
) -> Receipt:
    """Send a file unless its bytes are at the platform; wait for its score.

    One lock per competition is held over asking, intent, sending and confirming.
    again: send bytes that are there already. resend: send although an earlier attempt's end is
    unclear.

    Raises: PlatformError: the platform refused, or could not be asked; nothing was sent.
            UnclearError: it may have been sent, and nobody can tell; the message says what to do.
            StorageError: another process sends for this competition.
    """
    with hold_lock(
        SubmissionsFolder(out.book.parent).send_lock,
        "a submission to this competition",
        wait=False,
    ):
        done = _at_platform(out.book, out.sha256)
        if done and done.state != "sent" and not again:
            log.info("%s: submitted already; nothing is sent twice (--again does)", done.file)
            return stored_receipt(done.outcome())
        remote = connect()
        listed = remote.submissions()
        _settle_open(out, remote, listed, resend)
        done = _at_platform(out.book, out.sha256)
        if done and done.ref and not again:
            log.info(
                "%s: submitted already, as number %d; nothing is sent twice (--again does)",
                done.file,
                done.ref,
            )
            return _await_score(out, remote, done.tag, done.ref)
        tag, ref = _send(out, remote, listed)
        return _await_score(out, remote, tag, ref)


def examine(remote: Remote, file: Path | None = None) -> Quota:
    """What may be sent, once the platform has nothing against it.

    file: the one that is to be sent; None: nothing is trained yet.
    Raises: PlatformError: it takes no files, none of this team, or no more of them.
            UnreachedError: it could not be asked.
    """
    remote.examine(file)
    quota = remote.quota()
    if quota.left < 1:
        kept = f"{file} is kept" if file else "nothing was trained"
        if quota.for_good:
            raise PlatformError(
                f"all submissions to this competition are used up ({quota.total} sent in all), and "
                f"none comes back; {kept}: choose among those that are sent on the platform's page"
            )
        raise PlatformError(
            f"today's submissions are used up ({quota.today} sent); {kept}: run the same command "
            f"after 00:00 UTC, in {_until_midnight()}"
            + ("" if file else ", or train now: the same command with --dry-run")
        )
    return quota


def refresh(book: Path, remote: Remote) -> int:
    """Enter scores that have arrived since; returns the number of new ledger lines."""
    listed = {row.ref: row for row in remote.submissions()}
    count = 0
    for attempt in ledger.attempts(book, strict=False):
        row = listed.get(attempt.ref or 0)
        if row and row.status in FINAL_EVENTS:
            news = {"public": row.public, "private": row.private}
            same = all(v is None or v == getattr(attempt, k) for k, v in news.items())
            if attempt.state != FINAL_EVENTS[row.status] or not same:
                _enter_end(book, attempt, row)
                count += 1
    return count


def stored_receipt(row: OutcomeRow) -> Receipt:
    """What is known of a submission from its ledger lines."""
    message = f"place {row['rank']} of {row['teams']}" if row["rank"] else row["state"]
    if row["state"] == "failed":
        why = row["error"] or "it gives no reason"
        message = f"the platform could not score the file: {why}; see your submissions on its page"
    return Receipt(
        state=row["state"],
        message=message,
        public=row["public"],
        private=row["private"],
        rank=row["rank"],
        teams=row["teams"],
        ref=row["ref"],
    )


def _at_platform(book: Path, sha256: str) -> Attempt | None:
    """The last attempt with these bytes that the platform has; None without one."""
    known = [row for row in ledger.attempts(book, sha256) if row.ref]
    return known[-1] if known else None


def _settle_open(out: Outgoing, remote: Remote, listed: Sequence[Listed], resend: bool) -> None:
    """Find out how attempts ended whose end was not written down, and write it down.

    Raises: UnclearError: the one for this file's bytes stays unclear, and resend is False.
    """
    for attempt in ledger.attempts(out.book):
        match = _find_tag(listed, attempt.tag)
        if attempt.ref or (attempt.state not in ledger.OPEN and not match):
            continue
        if match:  # also one that was thought lost, and appeared late
            _enter(out.book, attempt, "sent", ref=match.ref)
        elif attempt.state == "intent":  # its bytes never were there
            _enter(out.book, attempt, "unsent", error="stopped before the upload was done")
        elif resend and attempt.sha256 == out.sha256:
            _enter(out.book, attempt, "unsent", error="unclear; sent again on request")
        else:
            try:
                _settle(out, remote, attempt)
            except UnclearError as unclear:
                if attempt.sha256 == out.sha256:
                    raise
                log.warning("%s", unclear)


def _settle(out: Outgoing, remote: Remote, attempt: Attempt) -> int | None:
    """Ask the platform whether an uploaded attempt counts; its number, or None if it does not.

    Its tag is looked for, at once and after its request must be over. Without the tag it does not
    count if the platform has counted nothing since that it does not also list, for ten minutes.
    Raises: UnclearError: something was counted that is not listed, the ten minutes are not over,
            or nobody answers.
    """
    try:
        match = _find_tag(remote.submissions(), attempt.tag)
        if not match:
            _wait_until(_time(attempt) + timedelta(seconds=out.timeout + MARGIN))
            listed = remote.submissions()
            match = _find_tag(listed, attempt.tag)
            counted = remote.quota().total - attempt.counted
            news = _valid(listed) - attempt.listed
    except PlatformError as error:
        raise UnclearError(f"{_unclear(out, attempt)}, for {error}") from error
    if match:
        _enter(out.book, attempt, "sent", ref=match.ref)
        return match.ref
    if counted > news:
        raise UnclearError(
            f"{_unclear(out, attempt)}: {counted} submissions were counted since, {news} are "
            "listed, none with its tag"
        )
    certain = _time(attempt) + timedelta(seconds=max(LATEST, out.timeout + MARGIN))
    if datetime.now(UTC) < certain:
        raise UnclearError(
            f"{_unclear(out, attempt)}: it is neither listed nor counted so far; if that is so "
            f"after {certain:%H:%M:%S} UTC too, the same command sends it"
        )
    _enter(out.book, attempt, "unsent", error="the platform neither lists nor counts it")
    return None


def _send(out: Outgoing, remote: Remote, listed: Sequence[Listed]) -> tuple[str, int]:
    """One attempt: its intent, the upload, its number; returns tag and number."""
    quota = examine(remote, out.file)
    _warn_if_worse(out)
    tag = f"fw-{secrets.token_hex(5)}"
    ledger.append(
        out.book,
        "intent",
        out.file.name,
        tag=tag,
        sha256=out.sha256,
        today=quota.today,
        counted=quota.total,
        listed=_valid(listed),
    )
    attempt = _attempt(out.book, tag)
    try:
        ref = remote.upload(
            out.file, f"{out.file.stem} [{tag}]", lambda: _enter(out.book, attempt, "uploaded")
        )
    except UnclearError as error:
        log.warning("%s; asking whether it counts", error)
        found = _settle(out, remote, _attempt(out.book, tag))
        if found is None:  # LATEST is over already
            raise PlatformError(f"{error}; nothing was sent: run the same command again") from error
        return tag, found
    except PlatformError as error:
        _enter(out.book, attempt, "unsent", error=str(error))
        raise
    _enter(out.book, attempt, "sent", ref=ref)
    log.info("%s: submitted as number %d, %d left today", out.file.name, ref, quota.left - 1)
    return tag, ref


def _await_score(out: Outgoing, remote: Remote, tag: str, ref: int) -> Receipt:
    """Ask for the score until it is there, FOLDWISE_POLL seconds at most (600)."""
    attempt = _attempt(out.book, tag)
    ends = time.monotonic() + float(os.environ.get("FOLDWISE_POLL") or 600)
    pause = 1.0
    while attempt.state == "sent":
        try:
            row = remote.one(ref)
            if row.status in FINAL_EVENTS:
                _enter_end(out.book, attempt, row)
                break
            trouble = ""
        except PlatformError as error:
            trouble = f" ({error})"
        if time.monotonic() + pause > ends:
            log.warning(
                "submission %d has no score yet%s; `foldwise status` fetches it", ref, trouble
            )
            return Receipt(state="sent", message="sent; its score is still to come", ref=ref)
        time.sleep(pause)
        pause = min(2 * pause, 30)
    return stored_receipt(_attempt(out.book, tag).outcome())


def _attempt(book: Path, tag: str) -> Attempt:
    """What the ledger knows by now of the attempt with a tag."""
    return next(row for row in ledger.attempts(book) if row.tag == tag)


def _enter(book: Path, attempt: Attempt, event: str, **fields: object) -> None:
    ledger.append(book, event, attempt.file, tag=attempt.tag, **fields)


def _enter_end(book: Path, attempt: Attempt, row: Listed) -> None:
    _enter(
        book,
        attempt,
        FINAL_EVENTS[row.status],
        public=row.public,
        private=row.private,
        error=row.error or None,
    )


def _find_tag(listed: Sequence[Listed], tag: str) -> Listed | None:
    return next((row for row in listed if f"[{tag}]" in row.description), None)


def _valid(listed: Sequence[Listed]) -> int:
    """The number of submissions that a platform counts: those without an error."""
    return sum(row.status != "error" for row in listed)


def _time(attempt: Attempt) -> datetime:
    return datetime.fromisoformat(attempt.time)


def _wait_until(moment: datetime) -> None:
    left = (moment - datetime.now(UTC)).total_seconds()
    if left > 0:
        log.info("waiting %.0f seconds, until that request is surely over", left)
        time.sleep(left)


def _until_midnight() -> str:
    now = datetime.now(UTC)
    minutes = (24 * 60) - (now.hour * 60 + now.minute)
    return f"{minutes // 60} h {minutes % 60} min"


def _unclear(out: Outgoing, attempt: Attempt) -> str:
    return (
        f"it is unclear whether {attempt.file} was submitted at {attempt.time} (look for "
        f"{attempt.tag} in the list of your submissions): the same command asks again, "
        f"`foldwise submit {out.book.parent.name} --resend` sends it once more"
    )


def _warn_if_worse(out: Outgoing) -> None:
    sent = [
        (row["local"], row["file"])
        for row in ledger.submissions(out.book, "")
        if row["ref"] and row["local"]
    ]
    if not sent:
        return
    best, file = (max if out.higher else min)(sent, key=lambda each: each[0])
    if out.local < best if out.higher else out.local > best:
        log.warning(
            "the local score %.6g is worse than the best one sent, %.6g (%s)",
            out.local,
            best,
            file,
        )
