"""The ledger: append-only JSON lines of what happened to every submission file."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foldwise.store.files import disk_errors, locked

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


def append(ledger: Path, event: str, file: str, **fields: Any) -> dict[str, Any]:
    """Append one event about a submission file and return the line's values.

    event: `written` (validated and scored here), `ready` (to be uploaded by hand); of an attempt,
    which has a `tag`: `intent` (before anything is sent), `uploaded` (the bytes are there, it does
    not count yet), `sent` (it counts), `unsent` (it does not), `scored` or `failed` (what the
    platform made of it). The write is one call under a kernel lock, so two writers do not mix; a
    line that a crash tore is closed first and stays unread.
    """
    entry = {"time": now(), "event": event, "file": file, **fields}
    line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
    lock = ledger.with_name(".ledger.lock")
    with locked(lock, "the ledger"), disk_errors(ledger), ledger.open("ab+") as handle:
        if handle.tell() and _last_byte(handle) != b"\n":
            line = b"\n" + line
        handle.write(line)
        handle.flush()
        os.fsync(handle.fileno())
    return entry


def read(ledger: Path) -> list[dict[str, Any]]:
    """The ledger's lines in order; a torn or foreign line is left out."""
    if not ledger.is_file():
        return []
    entries = []
    for line in ledger.read_bytes().splitlines():
        try:
            entry = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            continue
        if isinstance(entry, dict) and "event" in entry and "file" in entry:
            entries.append(entry)
    return entries


def submissions(ledger: Path, competition: str) -> list[dict[str, Any]]:
    """One dict per submission file in order of creation, later events laid over earlier ones.

    Keys: `competition, file, sha256, created, local, public, private, rank, teams, state, ref, tag,
    error`; what is not known is None. `state` is the last event, `error` its error.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in read(ledger):
        row = found.setdefault(
            entry["file"],
            {**dict.fromkeys(FIELDS), "competition": competition, "created": entry["time"]},
        )
        row.update({k: v for k, v in entry.items() if k in FIELDS and v is not None})
        row |= {"state": entry["event"], "error": entry.get("error")}
    return list(found.values())


def attempts(ledger: Path, sha256: str | None = None) -> list[dict[str, Any]]:
    """One dict per attempt to submit, in order, of all files or of those with these bytes.

    Its later lines are laid over its `intent`; `state` is the last event, `error` its error.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in read(ledger):
        if entry.get("tag"):
            row = found.setdefault(entry["tag"], {"begun": entry["time"]})
            row.update({k: v for k, v in entry.items() if v is not None})
            row |= {"state": entry["event"], "error": entry.get("error")}
    return [row for row in found.values() if sha256 in (None, row.get("sha256"))]


def find_bytes(ledger: Path, sha256: str) -> dict[str, Any] | None:
    """The latest submission with these bytes, as `submissions` gives it; None without one."""
    same = [row for row in submissions(ledger, "") if row["sha256"] == sha256]
    return same[-1] if same else None


def now() -> str:
    """The time in UTC, ISO 8601 to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _last_byte(handle: Any) -> bytes:
    handle.seek(-1, os.SEEK_END)
    return handle.read(1)
