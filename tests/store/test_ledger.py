"""The ledger loses nothing: two writers, a torn last line, later events over earlier ones."""

import json
import subprocess
import sys
from pathlib import Path

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


def test_lines_that_are_no_events_are_left_out(tmp_path: Path) -> None:
    book = tmp_path / "ledger.jsonl"
    book.write_text('[1]\n\n{"other": 1}\n"text"\n\xff\n', encoding="latin-1")
    assert ledger.read(book) == []


def test_two_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    book = tmp_path / "ledger.jsonl"
    program = (
        "import sys\nfrom pathlib import Path\nfrom foldwise.store import ledger\n"
        "for i in range(40):\n"
        "    ledger.append(Path(sys.argv[1]), 'written', f'{sys.argv[2]}{i}.csv', note='x' * 3000)"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(book), who]) for who in ("a", "b")
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    lines = book.read_text().splitlines()
    assert len(lines) == 80
    files = {json.loads(line)["file"] for line in lines}
    assert files == {f"{who}{i}.csv" for who in "ab" for i in range(40)}
