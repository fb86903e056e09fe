"""Sending exactly once: the ledger's lines, what is skipped, what stops an upload, late scores."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foldwise.errors import PlatformError, StorageError, UnclearError, UnreachedError
from foldwise.store import ledger
from foldwise.store.files import hold_lock, sha256_file
from foldwise.submitting.fetching import save_board
from foldwise.submitting.platforms import kaggle
from foldwise.submitting.sending import Outgoing, refresh, send_once
from standin import REPLIED, Competition, Standin, Team

SLUG = "leaves"


def grade(content: bytes) -> tuple[float, float]:
    """The number of lines as the public score, of characters as the private one."""
    if not content.startswith(b"id,"):
        raise ValueError("Submission has no column 'id'")
    return content.count(b"\n"), len(content)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    for name in [*os.environ]:
        if name.startswith("KAGGLE_"):
            monkeypatch.delenv(name)
    with Standin() as running:
        running.host(Competition(SLUG, grade, teams=[Team("Oaks", 1.5), Team("Elms", 3.5)]))
        from kagglesdk import kaggle_env

        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, running.url)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
        monkeypatch.setenv("KAGGLE_USERNAME", running.world.username)
        monkeypatch.setenv("KAGGLE_KEY", running.world.key)
        monkeypatch.setenv("FOLDWISE_TIMEOUT", "1")
        monkeypatch.setenv("FOLDWISE_POLL", "3")
        monkeypatch.setattr("foldwise.submitting.sending.MARGIN", 0.1)
        yield running


def outgoing(folder: Path, name: str = "one.csv", text: str = "id,a\n1,1\n", local: float = 0.5):
    file = folder / "subs" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    book = file.parent / "ledger.jsonl"
    digest = sha256_file(file)
    if not any(row.file == name for row in ledger.read_ledger(book)):
        ledger.append(book, "written", name, sha256=digest, local=local)
    return Outgoing(book, file, digest, local, higher=False, timeout=1.0)


def connect() -> kaggle.KaggleCompetition:
    return kaggle.connect(SLUG)


def events(out: Outgoing) -> list[str]:
    return [entry.event for entry in ledger.read_ledger(out.book)]


def test_a_file_is_sent_scored_and_not_sent_again(
    server: Standin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = outgoing(tmp_path)
    receipt = send_once(out, connect)
    assert (receipt.state, receipt.public, receipt.private) == ("scored", 2.0, None)
    assert events(out) == ["written", "intent", "uploaded", "sent", "scored"]
    (made,) = server.world.submissions
    (attempt,) = ledger.attempts(out.book)
    assert made.description == f"one [{attempt.tag}]"
    assert made.content == out.file.read_bytes()
    calls = len(server.journal)
    with caplog.at_level(logging.INFO):
        assert send_once(out, connect).public == 2.0
    assert "one.csv: submitted already; nothing is sent twice (--again does)" in caplog.text
    assert len(server.journal) == calls  # nobody was asked
    assert send_once(out, connect, again=True).state == "scored"
    assert len(server.world.submissions) == 2
    assert len({a.tag for a in ledger.attempts(out.book)}) == 2


def test_the_same_bytes_under_another_name_are_not_sent(server: Standin, tmp_path: Path) -> None:
    send_once(outgoing(tmp_path), connect)
    send_once(outgoing(tmp_path, "two.csv"), connect)
    assert len(server.world.submissions) == 1


def test_what_stops_an_upload_is_said_before_it(server: Standin, tmp_path: Path) -> None:
    facts, out = server.world.competitions[SLUG], outgoing(tmp_path)
    for field, value, message in [
        ("notebooks_only", True, "leaves takes notebooks, not files .*kaggle competitions submit"),
        ("disabled", True, "leaves takes no submissions now; .*one.csv is kept"),
        ("rules", False, "you have not joined leaves; accept its rules at .*/leaves/rules"),
        ("daily", 0, r"today's submissions are used up \(0 sent\); .* after 00:00 UTC, in \d+ h"),
    ]:
        before = getattr(facts, field)
        setattr(facts, field, value)
        with pytest.raises(PlatformError, match=message):
            send_once(out, connect)
        setattr(facts, field, before)
    empty = outgoing(tmp_path, "empty.csv", "")
    with pytest.raises(PlatformError, match=r"empty\.csv is empty; remove it and run"):
        send_once(empty, connect)
    assert not server.calls("StartSubmissionUpload")
    assert events(out) == ["written", "written"]


def test_what_makes_an_upload_worthless_is_a_warning(
    server: Standin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.world.competitions[SLUG].deadline = datetime(2020, 5, 4, tzinfo=UTC)
    send_once(outgoing(tmp_path, local=0.5), connect)
    assert "leaves ended on 2020-05-04: a late submission is scored and has no place" in caplog.text
    assert "worse" not in caplog.text
    receipt = send_once(outgoing(tmp_path, "two.csv", "id,a\n1,0\n", local=0.75), connect)
    assert receipt.private == 9.0  # shown after the deadline
    assert "the local score 0.75 is worse than the best one sent, 0.5 (one.csv)" in caplog.text


def test_a_higher_score_can_be_the_better_one(
    server: Standin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    send_once(replace(outgoing(tmp_path, local=0.5), higher=True), connect)
    two = outgoing(tmp_path, "two.csv", "id,a\n1,0\n", local=0.75)
    send_once(replace(two, higher=True), connect)
    assert "worse" not in caplog.text


def test_a_file_that_the_platform_cannot_score_is_failed(server: Standin, tmp_path: Path) -> None:
    out = outgoing(tmp_path, text="no header\n")
    receipt = send_once(out, connect)
    assert receipt.state == "failed"
    assert "could not score the file: Submission has no column 'id'; see your" in receipt.message
    assert send_once(replace(out, file=out.file), connect) == receipt  # nothing is sent again
    assert len(server.world.submissions) == 1


ODD = [  # as rows of the platform's JSON, over one that is in order
    {"publicScore": "None"},
    {"publicScore": "NaN", "privateScore": "inf"},
    {"publicScore": None},
    {"publicScore": 0.5},
    {"status": "SUBMISSION_STATUS_COMPLETE"},
    {"status": "RESCORING"},
    {"status": None},
    {"status": 7},
    {"date": "yesterday"},
    {"date": None},
    {"description": None},
    {"errorDescription": None},
    {"ref": None},
    {"ref": "x"},
    {"totalBytes": "many"},
]


def test_odd_rows_among_old_submissions_stop_nothing(server: Standin, tmp_path: Path) -> None:
    for number, odd in enumerate(ODD):
        server.world.add(SLUG, f"old {number}", b"id,a\n").odd = odd
    out = outgoing(tmp_path)
    server.world.competitions[SLUG].daily = 100
    assert send_once(out, connect).public == 2.0
    rows = {row.description: row for row in connect().submissions()}
    assert len(rows) == len(ODD) + 1 - 2  # those without a number cannot be told apart
    assert rows["old 0"].public is rows["old 1"].public is rows["old 1"].private is None
    assert (rows["old 3"].public, rows["old 4"].status) == (0.5, "complete")
    assert rows["old 5"].status == "rescoring"
    assert refresh(out.book, connect()) == 0


def test_a_score_with_an_unknown_status_is_still_to_come(
    server: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDWISE_POLL", "0.1")
    out = outgoing(tmp_path)
    server.on(
        "CreateSubmission",
        REPLIED,
        lambda: server.world.submissions[0].odd.update(status="RESCORING"),
    )
    assert send_once(out, connect).state == "sent"
    server.world.submissions[0].odd.clear()
    assert refresh(out.book, connect()) == 1


def test_a_reply_that_is_no_object_or_lost_its_number_is_one_line(server: Standin) -> None:
    server.world.add(SLUG, "old", b"id,a\n").odd = {"ref": None}
    with pytest.raises(UnreachedError, match="the submission is there: is the network up"):
        connect().one(1000)
    server.fail("ListSubmissions", "list 200", times=None)
    with pytest.raises(UnreachedError, match="an answer that is not Kaggle's"):
        connect().submissions()


def test_a_busy_upload_is_tried_again_when_the_server_says(
    server: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("foldwise.submitting.platforms.kaggle_client.time.sleep", pauses.append)
    server.fail("PUT", "429")
    server.fail("PUT", "500")
    assert send_once(outgoing(tmp_path), connect).state == "scored"
    assert pauses[:2] == [1, 2]  # as Retry-After says; without one our own
    assert len(server.calls("PUT")) == 3
    server.fail("PUT", "503", times=None)
    two = outgoing(tmp_path, "two.csv", "id,a\n1,0\n")
    with pytest.raises(PlatformError, match=r"the upload of .*two\.csv failed \(HTTP 503\)"):
        send_once(two, connect)
    assert len(server.calls("PUT")) == 6
    assert len(server.world.submissions) == 1


def test_all_submissions_and_todays_are_told_apart(server: Standin, tmp_path: Path) -> None:
    server.world.add(SLUG, "old", b"id,a\n").date = datetime(2026, 1, 1, tzinfo=UTC)
    server.world.competitions[SLUG].total = 1
    with pytest.raises(
        PlatformError,
        match=r"all submissions .* used up \(1 sent in all\), and "
        r"none comes back; .*one\.csv is kept",
    ):
        send_once(outgoing(tmp_path), connect)


def test_a_score_that_does_not_come_is_fetched_later(
    server: Standin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    facts, out = server.world.competitions[SLUG], outgoing(tmp_path)
    facts.pending = None
    receipt = send_once(out, connect)
    assert (receipt.state, receipt.ref) == ("sent", 1000)
    assert "submission 1000 has no score yet; `foldwise status` fetches it" in caplog.text
    assert refresh(out.book, connect()) == 0
    facts.pending = 0
    assert refresh(out.book, connect()) == 1
    assert ledger.submissions(out.book, "")[0]["public"] == 2.0
    assert refresh(out.book, connect()) == 0
    facts.deadline = datetime(2020, 5, 4, tzinfo=UTC)  # private scores come after it
    assert refresh(out.book, connect()) == 1
    assert ledger.submissions(out.book, "")[0]["private"] == 9.0


def test_all_pages_are_read(server: Standin, tmp_path: Path) -> None:
    for number in range(230):
        server.world.add(SLUG, f"old {number}", b"id,a\n")
    found = connect().submissions()
    assert [row.ref for row in found] == [*range(1229, 999, -1)]
    assert found[-1].description == "old 0"
    assert len(server.calls("ListSubmissions")) == 3


def test_two_submissions_at_once_are_refused(server: Standin, tmp_path: Path) -> None:
    out = outgoing(tmp_path)
    with hold_lock(out.book.with_name(".send.lock"), "a test"):
        with pytest.raises(StorageError, match="a submission to this competition is already at"):
            send_once(out, connect)


def test_what_stays_unclear_is_sent_again_only_on_request(server: Standin, tmp_path: Path) -> None:
    out = outgoing(tmp_path)
    server.fail("CreateSubmission", "reset", after=True)  # accepted, and the reply is lost
    server.world.competitions[SLUG].hidden = 10**6  # counted, and never listed
    for _ in range(2):
        with pytest.raises(UnclearError, match=r"unclear whether one\.csv was submitted at"):
            send_once(out, connect)
    assert len(server.world.submissions) == 1
    other = outgoing(tmp_path, "two.csv", "id,a\n1,0\n")
    assert send_once(other, connect).state == "scored"  # another file waits for nobody
    assert send_once(out, connect, resend=True).state == "scored"
    assert len(server.world.submissions) == 3
    server.world.competitions[SLUG].hidden = 0
    assert refresh(out.book, connect()) == 0


def test_the_leaderboard_is_kept_as_a_file(server: Standin, tmp_path: Path) -> None:
    out = outgoing(tmp_path)
    send_once(out, connect)
    path = save_board(connect(), tmp_path / "data")
    assert path == tmp_path / "data" / "leaderboard.csv"
    assert [line.split(",")[2] for line in path.read_text().splitlines()] == [
        "TeamName",
        "Oaks",
        "tester",
        "Elms",
    ]
    files = [p.name for p in (tmp_path / "data").rglob("[!.]*") if p.is_file()]
    assert files == ["leaderboard.csv"]
