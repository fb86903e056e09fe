"""The harness of kills and malformed inputs: it finds planted faults, and foldwise has none."""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from torturing import kills, trials
from torturing.findings import leftovers, save
from torturing.kills import Bases, Plan, kill
from torturing.watching import Command, Fault, Limits, Outcome, Strike, attempt

LINE = re.compile(
    r"kills (\d+), inputs (\d+), tracebacks (\d+), hangs (\d+), over 2 GB (\d+), "
    r"bytes that differ (\d+), leftovers (\d+)"
)
KILLED = Plan("check", ((signal.SIGKILL, "change", 0.9),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that a command works in."""
    made = tmp_path / "workspace"
    made.mkdir()
    return made


def ended(command: Command, folder: Path, seconds: float = 20.0, **more: int) -> Outcome:
    return attempt(command, ["verb"], folder, Limits(seconds, **more))


def quiet(arguments: list[str]) -> None:
    """A command that does nothing."""


def test_a_command_that_ends_well_has_no_fault(folder: Path) -> None:
    def works(arguments: list[str]) -> None:
        Path("made.txt").write_text(f"by {arguments[0]}")
        print("said")

    outcome = ended(works, folder)
    assert (outcome.code, outcome.fault, outcome.changes) == (0, None, 1)
    assert outcome.output == "said\n"
    assert (folder / "made.txt").read_text() == "by verb"


@pytest.mark.parametrize("code", [1, 2, 130, 143])
def test_a_users_error_is_no_fault(folder: Path, code: int) -> None:
    assert ended(lambda arguments: sys.exit(code), folder).fault is None
    odd = ended(lambda arguments: sys.exit(7), folder).fault
    assert odd == Fault("traceback", "verb ended with 7")


def test_an_error_that_escapes_is_a_traceback_named_by_its_last_frame(folder: Path) -> None:
    def raises(arguments: list[str]) -> None:
        int("no number")

    fault = ended(raises, folder).fault
    assert fault is not None
    assert fault.kind == "traceback"
    assert re.search(r"test_torture.py:\d+ raises ValueError$", fault.place)


def test_a_crash_is_a_traceback(folder: Path) -> None:
    def crashes(arguments: list[str]) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    outcome = ended(crashes, folder)
    assert outcome.code == -signal.SIGSEGV
    assert outcome.fault is not None
    assert "crashes" in outcome.fault.place


def test_a_hang_is_ended_and_says_where(folder: Path) -> None:
    def hangs(arguments: list[str]) -> None:
        time.sleep(60)

    fault = ended(hangs, folder, seconds=0.2).fault
    assert fault is not None
    assert fault.kind == "hang"
    assert "hangs" in fault.place


def test_memory_above_the_limit_ends_a_command(folder: Path) -> None:
    def grows(arguments: list[str]) -> None:
        kept = [b"x" * (1 << 20) for _ in range(200)]
        time.sleep(60 + len(kept))

    fault = ended(grows, folder, memory=100 << 20).fault
    assert fault is not None
    assert fault.kind == "memory"


def test_a_strike_comes_before_the_change_that_is_meant(folder: Path) -> None:
    def writes(arguments: list[str]) -> None:
        for name in "abc":
            Path(name).write_text(name)

    strike = Strike(signal.SIGKILL, change=3)
    outcome = attempt(writes, ["verb"], folder, strike=strike)
    assert (outcome.code, outcome.fault) == (-signal.SIGKILL, None)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]


def test_a_child_that_is_struck_at_once_has_said_nothing(folder: Path) -> None:
    strike = Strike(signal.SIGKILL, seconds=0.0)
    outcome = attempt(lambda arguments: time.sleep(5), ["verb"], folder, Limits(20), strike)
    assert (outcome.code, outcome.output, outcome.fault) == (-signal.SIGKILL, "", None)


@pytest.mark.parametrize("name", [".unpack-x1", ".predict-x1", ".new-x1", ".a.csv.host-12.tmp"])
def test_what_an_ended_command_leaves_is_a_leftover(folder: Path, name: str) -> None:
    assert [*leftovers(["verb"], folder)] == []
    (folder / name).mkdir()
    (fault,) = leftovers(["verb"], folder)
    assert fault.kind == "leftover"


def faults_of(command: Command, folder: Path, plan: Plan = KILLED) -> list[Fault]:
    home = Path(tempfile.mkdtemp(dir=folder))
    bases = Bases(home / "bases", command, Limits())
    return [fault for _, faults in kill(plan, bases, home / "workspace") for fault in faults]


def test_bytes_that_differ_after_a_kill_are_found(folder: Path) -> None:
    def steady(arguments: list[str]) -> None:
        Path("first").write_text("1")
        Path("data.bin").write_bytes(b"always")

    def random_bytes(arguments: list[str]) -> None:
        steady(arguments)
        Path("data.bin").write_bytes(os.urandom(8))

    assert faults_of(steady, folder) == []
    (fault,) = faults_of(random_bytes, folder)
    assert fault == Fault("differs", "check: data.bin")


def test_what_a_kill_leaves_for_good_is_found(folder: Path) -> None:
    def leaves(arguments: list[str]) -> None:
        temporary = Path(f".data.{os.getpid()}.tmp")
        temporary.write_text("x")
        temporary.rename("data.bin")

    def fails_then(arguments: list[str]) -> None:
        if Path("data.bin").exists():
            sys.exit(1)
        Path("data.bin").write_text("x")
        Path("more").write_text("x")

    (fault,) = faults_of(leaves, folder)
    assert fault == Fault("leftover", "check: .data.N.tmp")
    (fault,) = faults_of(fails_then, folder)
    assert fault.kind == "differs"
    assert fault.place.startswith("check: exit 1 instead of 0")


def test_the_same_seed_gives_the_same_trials(tmp_path: Path) -> None:
    bases = Bases(tmp_path / "bases", quiet, Limits())
    seen = set()
    for number in range(200):
        kind, rng = trials.draw(5, number)
        seen.add(kind)
        assert trials.draw(5, number)[1].getstate() == rng.getstate()
        if kind in ("competition", "recipe", "table", "archive", "image") and number < 20:
            twice = []
            for turn in "ab":
                folder = tmp_path / turn / str(number)
                made = trials.prepare(5, number, bases, folder)
                twice.append((made, kills.bytes_of(folder)))
            assert twice[0] == twice[1]
    assert seen == {"kill", *trials.INPUTS}
    assert trials.plan(5, 0) == Plan.draw(random.Random("5/0")) or trials.draw(5, 0)[0] != "kill"


def test_a_finding_is_kept_once_with_all_to_run_it_again(tmp_path: Path) -> None:
    bases = Bases(tmp_path / "bases", quiet, Limits())
    number = next(n for n in range(100) if trials.draw(0, n)[0] == "table")
    outcome = Outcome(1, 0.1, 0, "Traceback …", None)
    found = Fault("traceback", "a.py:1 f ValueError")
    where = save(tmp_path / "found", 0, number, bases, outcome, found)
    told = (where / "command.txt").read_text()
    assert f"--seed 0 --trial {number}" in told
    assert (where / "output.txt").read_text() == "Traceback …"
    assert (where / "workspace" / "competitions" / "tiny").is_dir()
    assert save(tmp_path / "found", 0, number + 1, bases, outcome, found) == where
    assert (where / "command.txt").read_text() == told


PLANTED = """
import sys, time, os
from pathlib import Path
import torture
from torturing.watching import Limits

def planted(arguments):
    Path("made").write_text(os.urandom(4).hex() if arguments[0] == "check" else "x")
    if arguments[0] == "data":
        raise ZeroDivisionError("planted")
    if arguments[0] == "new":
        time.sleep(60)
    if arguments[0] == "list":
        Path(".new-left").write_text("x")

def main():
    counts = torture.torture(
        float(sys.argv[1]), 0, Path(sys.argv[2]), 1, planted, Limits(seconds=0.2)
    )
    print(torture.last_line(counts))

main()
"""


def program(repository: Path, *arguments: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(repository / "src"), str(repository / "benchmarks")])
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *arguments],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )


def test_ctrl_c_ends_it_with_the_line_so_far(repository: Path, tmp_path: Path) -> None:
    found = tmp_path / "found"
    process = program(repository, "-c", PLANTED, "600", str(found))
    assert process.stderr is not None
    for said in process.stderr:
        if said.startswith("found traceback"):
            break
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert "stopped; what was found so far" in errors
    line = LINE.search(printed)
    assert line
    assert int(line[3]) >= 1
    assert [*found.glob("traceback-*/workspace")]


@pytest.mark.slow
def test_it_runs_for_some_seconds_and_finds_nothing(repository: Path, tmp_path: Path) -> None:
    program_file = str(repository / "benchmarks" / "torture.py")
    found = tmp_path / "found"
    process = program(
        repository,
        program_file,
        "--seconds",
        "8",
        "--seed",
        "0",
        "--jobs",
        "1",
        "--keep",
        str(found),
    )
    printed, errors = process.communicate(timeout=300)
    line = LINE.fullmatch(printed.strip())
    assert line, errors
    told = [path.read_text() for path in found.glob("*/*.txt")]
    assert (process.returncode, [*map(int, line.groups()[2:])]) == (0, [0] * 5), told
    assert int(line[2]) > 0
