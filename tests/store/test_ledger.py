"""The ledger loses nothing: two writers, a torn last line, later events over earlier ones."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foldwise.errors import SubmissionError
from foldwise.store import ledger


def test_events_about_a_file_become_one_row(tmp_path: Path) -> None:
    book = tmp_path / "ledger.jsonl"
    ledger.append(book, "written", "a.csv", sha256="s1", local=0.5)
    ledger.append(book, "written", "b.csv", sha256="s2", local=0.4)
    ledger.append(book, "scored", "a.csv", public=0.6, private=0.7, rank=3, teams=9)
    first, second = ledger.submissions(book, "tiny")
    assert (first["file"], first["local"], first["public"], first["rank"]) == ("a.csv", 0.5, 0.6, 3)
    assert (first["state"], second["state"]) == ("scored", "written")
    assert second["public"] is None
    assert set(ledger.FIELDS) == set(first)
    assert ledger.find_bytes(book, "s2") == {**second, "competition": ""}
    assert ledger.find_bytes(book, "s3") is None


def test_no_ledger_is_no_submission(tmp_path: Path) -> None:
    assert ledger.submissions(tmp_path / "none.jsonl", "tiny") == []


def test_a_torn_last_line_loses_only_itself(tmp_path: Path) -> None:
    book = tmp_path / "ledger.jsonl"
    ledger.append(book, "written", "a.csv", sha256="s1")
    with book.open("a") as handle:
        handle.write('{"time": "2026", "event": "writ')
    ledger.append(book, "written", "b.csv", sha256="s2")
    assert [row["file"] for row in ledger.submissions(book, "tiny")] == ["a.csv", "b.csv"]
    assert book.read_text().count("\n") == 3


OLD = [
    {
        "time": "2026-11-02T10:00:00Z",
        "event": "written",
        "file": "a.csv",
        "competition": "tiny",
        "sha256": "s1",
        "local": 0.5,
    },
    {
        "time": "2026-11-02T10:00:01Z",
        "event": "ready",
        "file": "a.csv",
        "public": None,
        "private": None,
        "rank": None,
        "teams": None,
    },
    {"time": "2026-11-03T10:00:00Z", "event": "scored", "file": "a.csv", "public": 0.6},
    {
        "time": "2026-11-04T10:00:00Z",
        "event": "written",
        "file": "b.csv",
        "competition": "tiny",
        "sha256": "s2",
        "local": 0.4,
    },
    {
        "time": "2026-11-04T10:00:01Z",
        "event": "intent",
        "file": "b.csv",
        "tag": "fw-1",
        "sha256": "s2",
        "today": 1,
        "counted": 3,
        "listed": 2,
    },
    {"time": "2026-11-04T10:00:02Z", "event": "uploaded", "file": "b.csv", "tag": "fw-1"},
    {
        "time": "2026-11-04T10:00:03Z",
        "event": "sent",
        "file": "b.csv",
        "tag": "fw-1",
        "ref": 7,
        "later": [1],
    },
    {
        "time": "2026-11-04T10:01:00Z",
        "event": "failed",
        "file": "b.csv",
        "tag": "fw-1",
        "public": None,
        "private": None,
        "error": "no",
    },
    {
        "time": "2026-11-05T10:00:01Z",
        "event": "intent",
        "file": "b.csv",
        "tag": "fw-2",
        "sha256": "s2",
        "today": 0,
        "counted": 4,
        "listed": 3,
    },
    {
        "time": "2026-11-05T10:00:02Z",
        "event": "unsent",
        "file": "b.csv",
        "tag": "fw-2",
        "error": "stopped",
    },
]  # of every kind, as they were before lines had versions
BOOK = "".join(json.dumps(line) + "\n" for line in OLD)


def test_a_ledger_from_before_versions_is_read_whole(tmp_path: Path) -> None:
    book = tmp_path / "ledger.jsonl"
    book.write_text(BOOK)
    assert [entry.event for entry in ledger.read_ledger(book)] == [line["event"] for line in OLD]
    assert {line["event"] for line in OLD} == {*ledger.EVENTS}
    assert ledger.read_ledger(book)[6].plain()["later"] == [1]
    first, second = ledger.submissions(book, "tiny")
    assert (first["state"], first["public"], first["sha256"]) == ("scored", 0.6, "s1")
    assert (second["state"], second["ref"], second["error"]) == ("unsent", 7, "stopped")
    one, two = ledger.attempts(book, "s2")
    assert one == ledger.Attempt(
        tag="fw-1",
        file="b.csv",
        state="failed",
        time="2026-11-04T10:01:00Z",
        sha256="s2",
        ref=7,
        error="no",
        counted=3,
        listed=2,
    )
    assert (two.state, two.ref, two.counted) == ("unsent", None, 4)
    ledger.append(book, "scored", "b.csv", tag="fw-1", public=0.1)
    assert book.read_text().startswith(BOOK)
    assert json.loads(book.read_text().splitlines()[-1])["version"] == 1
    assert ledger.attempts(book)[0].public == 0.1


@pytest.mark.parametrize(
    ("line", "got"),
    [
        ('{"time": "t", "event": "withdrawn", "file": "a.csv"}', "'withdrawn'"),
        ('{"time": "t", "event": "sent", "file": "a.csv", "version": 2}', "'sent' of version 2"),
        ('{"time": "t", "event": "intent", "file": "a.csv", "tag": "x"}', "'intent' without a val"),
        ('{"time": "t", "event": "sent", "file": "a.csv", "ref": {}}', "'sent' without a valid 'r"),
        ('{"other": 1}', "None"),
        ("[1]", r"'\[1\]'"),
    ],
)
def test_a_line_that_is_not_understood_stops_whatever_sends_and_is_shown_by_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, line: str, got: str
) -> None:
    book = tmp_path / "ledger.jsonl"
    book.write_text(f"{BOOK}{line}\n")
    message = rf"ledger.jsonl, line 11: expected one of the events 'written', .*, got {got}"
    for reading in (ledger.read_ledger, ledger.attempts):
        with pytest.raises(SubmissionError, match=f"{message}.*: update foldwise. Nothing is sent"):
            reading(book)
    with pytest.raises(SubmissionError, match=message):
        ledger.find_bytes(book, "s1")
    assert len(ledger.submissions(book, "tiny", strict=False)) == 2
    assert re.search(rf"{message}.*; the line is left out", caplog.text)


def test_what_is_no_json_is_a_torn_line(tmp_path: Path) -> None:
    book = tmp_path / "ledger.jsonl"
    book.write_text('\n{"time": "2026\n\xff\n', encoding="latin-1")
    assert ledger.read_ledger(book) == []


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    book = tmp_path / "ledger.jsonl"
    program = (
        "import sys\nfrom pathlib import Path\nfrom foldwise.store import ledger\n"
        "for i in range(40):\n"
        "    name = f'{sys.argv[2]}{i}.csv'\n"
        "    ledger.append(Path(sys.argv[1]), 'written', name, sha256='s', note='x' * 3000)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(book), who]) for who in ("a", "b")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    lines = book.read_text().splitlines()
    assert len(lines) == 80
    files = {json.loads(line)["file"] for line in lines}
    assert files == {f"{who}{i}.csv" for who in "ab" for i in range(40)}


def test_an_event_that_nobody_could_read_is_not_written(tmp_path: Path) -> None:
    book = tmp_path / "ledger.jsonl"
    message = "expected one of the states 'written', .* got 'queued'; correct what the platform's"
    with pytest.raises(SubmissionError, match=message):
        ledger.append(book, "queued", "a.csv")
    assert not book.exists()
