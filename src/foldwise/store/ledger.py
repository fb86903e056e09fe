"""The ledger: append-only JSON lines of what happened to every submission file.

Lines of every earlier version can be read. A line that is not understood stops whatever sends: it
may say that a file was sent, which is not to be sent again.
"""

import json
import logging
import os
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, ClassVar, TypedDict, cast

from pydantic import ValidationError

from foldwise.errors import SubmissionError, examples
from foldwise.store.files import disk_errors, hold_lock
from foldwise.store.layout import SubmissionsFolder
from foldwise.store.records import VERSION, Plain, Values

log = logging.getLogger(__name__)

NEWEST = 1  # version of a line; those from before there were any have none
FIELDS = (
    "competition",
    "file",
    "sha256",
    "created",
    "local",
    "public",
    "private",
    "rank",
    "teams",
    "state",
    "ref",
    "tag",
    "error",
)
OPEN = ("intent", "uploaded")  # an attempt to submit whose end nobody wrote down


class OutcomeRow(TypedDict):
    """What is known of a file at its platform; see `submissions`."""

    state: str
    public: float | None
    private: float | None
    rank: int | None
    teams: int | None
    ref: int | None
    error: str | None


class SubmissionRow(OutcomeRow):
    """All that a ledger says of a file; see `submissions`."""

    competition: str
    file: str
    sha256: str | None
    created: str
    local: float | None
    tag: str | None


class LedgerEvent(Values):
    """A line: what happened to a file. An attempt to submit has a tag."""

    event: ClassVar[str]

    time: str  # UTC, ISO 8601
    file: str
    tag: str | None = None


class Written(LedgerEvent):
    """The file was validated and scored here."""

    event = "written"
    competition: str | None = None
    sha256: str
    local: float | None = None


class Intent(LedgerEvent):
    """An attempt begins; nothing is sent yet. Counts are the platform's, as it said before."""

    event = "intent"
    tag: str
    sha256: str
    today: int | None = None
    counted: int
    listed: int


class Uploaded(LedgerEvent):
    """The bytes are at the platform, and do not count yet."""

    event = "uploaded"
    tag: str


class Unsent(LedgerEvent):
    """The attempt does not count, and never will."""

    event = "unsent"
    tag: str
    error: str | None = None


class PlatformOutcome(LedgerEvent):
    """What the platform has made of the file so far."""

    public: float | None = None
    private: float | None = None
    rank: int | None = None
    teams: int | None = None
    ref: int | None = None
    error: str | None = None


class Ready(PlatformOutcome):
    """The file is to be uploaded by hand."""

    event = "ready"


class Sent(PlatformOutcome):
    """The file is at the platform, and counts."""

    event = "sent"


class Scored(PlatformOutcome):
    """The platform has scored it."""

    event = "scored"


class Failed(PlatformOutcome):
    """The platform could not score it."""

    event = "failed"


EVENTS: dict[str, type[LedgerEvent]] = {
    kind.event: kind for kind in (Written, Intent, Uploaded, Unsent, Ready, Sent, Scored, Failed)
}


@dataclass(frozen=True)
class Attempt:
    """An attempt to submit, as its lines tell together.

    state: the last event. time: of that. error: its error. counted, listed: submissions that the
    platform counted and listed before.
    """

    tag: str
    file: str
    state: str
    time: str
    sha256: str | None = None
    ref: int | None = None
    public: float | None = None
    private: float | None = None
    rank: int | None = None
    teams: int | None = None
    error: str | None = None
    counted: int = 0
    listed: int = 0

    def outcome(self) -> OutcomeRow:
        """What became of it, as a row of `submissions` has it."""
        return {
            "state": self.state,
            "public": self.public,
            "private": self.private,
            "rank": self.rank,
            "teams": self.teams,
            "ref": self.ref,
            "error": self.error,
        }


def append(ledger: Path, event: str, file: str, **fields: object) -> LedgerEvent:
    """Append one event about a submission file, by its name in EVENTS, and return it.

    The write is one call under a kernel lock, so two writers do not mix; a line that a crash tore
    is closed first and stays unread. Raises: SubmissionError: there is no such event.
    """
    if event not in EVENTS:  # a platform of a competition's own
        raise SubmissionError(
            f"expected one of the states {examples(EVENTS, 9)} of a submission, got {event!r}; "
            "correct what the platform's `send` gives"
        )
    entry = EVENTS[event].model_validate({"time": now(), "file": file, **fields})
    values = {VERSION: NEWEST, "time": entry.time, "event": event, **entry.plain()}
    line = json.dumps(values, ensure_ascii=False).encode() + b"\n"
    lock = SubmissionsFolder(ledger.parent).ledger_lock
    with hold_lock(lock, "the ledger"), disk_errors(ledger), ledger.open("ab+") as handle:
        if handle.tell() and _last_byte(handle) != b"\n":
            line = b"\n" + line
        handle.write(line)
        handle.flush()
        os.fsync(handle.fileno())
    return entry


def read_ledger(ledger: Path, strict: bool = True) -> list[LedgerEvent]:
    """The ledger's events in order; a line that a crash tore is left out.

    strict: False: a line that is not understood is left out too, with a warning.
    Raises: SubmissionError: a line is not understood.
    """
    if not ledger.is_file():
        return []
    events = []
    for number, line in enumerate(ledger.read_bytes().splitlines(), 1):
        try:
            values = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            continue
        try:
            events.append(_parse_event(values))
        except ValueError as error:
            wrong = (
                f"{ledger}, line {number}: expected one of the events {examples(EVENTS, 9)}, got "
                f"{error}; a later version of foldwise may have written it: update foldwise"
            )
            if strict:
                raise SubmissionError(
                    f"{wrong}. Nothing is sent meanwhile, for the line may say that a file was sent"
                ) from error
            log.warning("%s; the line is left out", wrong)
    return events


def _parse_event(values: object) -> LedgerEvent:
    """The event of a line's values. Raises: ValueError: it is not understood; says what it is."""
    if not isinstance(values, dict):
        raise ValueError(f"{str(values)[:40]!r}")
    name = values.get("event")
    if name not in EVENTS:
        raise ValueError(repr(name)[:40])
    if values.get(VERSION, 0) > NEWEST:
        raise ValueError(f"{name!r} of version {values[VERSION]}")
    known = {key: value for key, value in values.items() if key not in ("event", VERSION)}
    try:
        return EVENTS[name].model_validate(known)
    except ValidationError as error:
        keys = [".".join(map(str, each["loc"])) for each in error.errors()]
        raise ValueError(f"{name!r} without a valid {examples(keys)}") from error


def submissions(ledger: Path, competition: str, strict: bool = True) -> list[SubmissionRow]:
    """One dict per submission file in order of creation, later events laid over earlier ones.

    Keys: `competition, file, sha256, created, local, public, private, rank, teams, state, ref, tag,
    error`; what is not known is None. `state` is the last event, `error` its error.
    strict: see `read_ledger`.
    """
    found: dict[str, Plain] = {}
    for entry in read_ledger(ledger, strict):
        row = found.setdefault(
            entry.file,
            {**dict.fromkeys(FIELDS), "competition": competition, "created": entry.time},
        )
        row.update(_values_of(entry, FIELDS))
        row |= {"state": entry.event, "error": getattr(entry, "error", None)}
    return [cast(SubmissionRow, row) for row in found.values()]  # FIELDS are its keys


def attempts(ledger: Path, sha256: str | None = None, strict: bool = True) -> list[Attempt]:
    """The attempts to submit, in order, of all files or of those with these bytes.

    strict: see `read_ledger`.
    """
    found: dict[str, Plain] = {}
    for entry in read_ledger(ledger, strict):
        if entry.tag:
            row = found.setdefault(entry.tag, {})
            row |= _values_of(entry, Attempt.__dataclass_fields__)
            row |= {"state": entry.event, "error": getattr(entry, "error", None)}
    rows = [Attempt(**row) for row in found.values()]
    return [row for row in rows if sha256 in (None, row.sha256)]


def _values_of(entry: LedgerEvent, keys: Container[str]) -> Plain:
    """What an event says of these keys."""
    return {k: v for k, v in entry.plain().items() if k in keys and v is not None}


def find_bytes(ledger: Path, sha256: str) -> SubmissionRow | None:
    """The latest submission with these bytes, as `submissions` gives it; None without one."""
    same = [row for row in submissions(ledger, "") if row["sha256"] == sha256]
    return same[-1] if same else None


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _last_byte(handle: IO[bytes]) -> bytes:
    handle.seek(-1, os.SEEK_END)
    return handle.read(1)
