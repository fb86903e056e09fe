"""One command in a forked child, watched: its end, its output, its time and memory, its faults."""

import contextlib
import faulthandler
import mmap
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

Command = Callable[[list[str]], None]  # what a shell would run, given its arguments

ENDS = (0, 1, 2, 130, 143)  # done, the user's error, bad usage, Ctrl-C, SIGTERM
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")
FRAME = re.compile(r'^\s+File "(.+)", line (\d+),? in (\S+)', re.MULTILINE)
LISTED = 40_000  # characters of output that are kept


@dataclass(frozen=True)
class Limits:
    """What a command may take."""

    seconds: float = 20.0
    memory: int = 2 << 30  # bytes, resident


LIMITS = Limits()


@dataclass(frozen=True)
class Strike:
    """A signal at a moment: before the n-th change that the command makes to files, or by time."""

    signal: int
    change: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Fault:
    """Something that must not be. Faults of one kind and place are one finding."""

    kind: str  # one of the kinds in `findings.KINDS`
    place: str


@dataclass(frozen=True)
class Outcome:
    """How a command ended. code: as a shell would say it, minus a signal's number for a signal."""

    code: int
    seconds: float
    changes: int  # that it made to files below its folder
    output: str
    fault: Fault | None


def attempt(
    command: Command,
    arguments: Sequence[str],
    folder: Path,
    limits: Limits = LIMITS,
    strike: Strike | None = None,
) -> Outcome:
    """Run a command in a folder, in a child of its own, with a folder `tmp` beside for temporaries.

    The child is forked, so that what this process has imported need not be imported again.
    """
    temporary = folder.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    log = folder.parent / "output.txt"
    log.write_bytes(b"")  # a child that is struck at once opens none
    with mmap.mmap(-1, 8) as counter:
        begun = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child(command, list(arguments), folder, log, temporary, strike, counter)
        code, broken = _watch(pid, begun, limits, strike)
        seconds, changes = time.monotonic() - begun, int.from_bytes(counter[:8], "little")
    output = log.read_text(encoding="utf-8", errors="replace")
    fault = fault_of(output, code, broken, strike, arguments[0])
    return Outcome(code, seconds, changes, output[-LISTED:], fault)


def _watch(pid: int, begun: float, limits: Limits, strike: Strike | None) -> tuple[int, str]:
    """The child's exit code, and which limit it broke: hang, memory or none."""
    due = strike.seconds if strike else None
    looked = begun
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            heavy = usage.ru_maxrss * 1024 > limits.memory  # kB on Linux
            return os.waitstatus_to_exitcode(status), "memory" if heavy else ""
        now = time.monotonic()
        if due is not None and strike and now - begun >= due:
            os.kill(pid, strike.signal)
            due = None
        if now - looked > 0.05:
            looked = now
            taken = now - begun - _queued(pid)
            broken = "hang" if taken > limits.seconds else ""
            if _resident(pid) > limits.memory:
                broken = "memory"
            if broken:
                return _end(pid), broken
        time.sleep(0.002)


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:  # it has just ended
        return 0
    return pages * mmap.PAGESIZE


def _queued(pid: int) -> float:
    """Seconds that a process waited for a processor, which are no fault of its own."""
    waited = [0.0]
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, IndexError):  # a thread has just ended
            waited.append(int(path.read_text().split()[1]) / 1e9)
    return max(waited)


def _end(pid: int) -> int:
    """Have the child say where it is, then kill it; returns its exit code."""
    os.kill(pid, signal.SIGUSR1)
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _child(
    command: Command,
    arguments: list[str],
    folder: Path,
    log: Path,
    temporary: Path,
    strike: Strike | None,
    counter: mmap.mmap,
) -> NoReturn:
    """The child's whole life."""
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
        faulthandler.enable(sink)
        faulthandler.register(signal.SIGUSR1, sink)
        os.chdir(folder)
        os.environ["TMPDIR"] = str(temporary)
        tempfile.tempdir = None  # asked for anew
        _count_changes(folder, strike, counter)
        command(arguments)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else bool(stop.code)
    except BaseException:  # whatever it is, it is what the user would see
        traceback.print_exc()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
            threading._shutdown()  # as at a real end: threads are waited for
        os._exit(code)


def _count_changes(folder: Path, strike: Strike | None, counter: mmap.mmap) -> None:
    """Count what this process changes below a folder; strike before the change that is meant."""
    home = str(folder)
    count = 0

    def hook(event: str, args: tuple) -> None:
        nonlocal count
        if event == "open":
            path, _, flags = args
            if not flags & WRITES:
                return
        elif event in CHANGES:
            path = args[0]
        else:
            return
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else "/"
        if not name.startswith(home) and name.startswith("/"):
            return
        count += 1
        counter[:8] = count.to_bytes(8, "little")
        if strike and strike.change == count:
            os.kill(os.getpid(), strike.signal)

    sys.addaudithook(hook)


def fault_of(output: str, code: int, broken: str, strike: Strike | None, verb: str) -> Fault | None:
    """What was wrong with a command's end, or None; its place is the last frame, if one is known.

    broken: the limit it broke. strike: the signal it got from us.
    """
    if broken:
        return Fault(broken, _innermost(output) or verb)
    at = output.rfind("Traceback (most recent call last)")
    if at >= 0:
        return Fault("traceback", _last(output[at:]))
    if code in ENDS or (strike and code == -strike.signal):
        return None
    return Fault("traceback", _innermost(output) or f"{verb} ended with {code}")


def _last(text: str) -> str:
    """The last frame of a traceback, and its exception."""
    frames = [*FRAME.finditer(text)]
    if not frames:
        return text.strip().splitlines()[-1][:100]
    after = text[frames[-1].end() :].splitlines()
    raised = next((line for line in after if re.match(r"[A-Za-z_][\w.]*(:|$)", line)), "")
    return f"{_where(frames[-1])} {raised.split(':')[0]}".strip()


def _innermost(output: str) -> str:
    """The innermost frame of foldwise, else of all, in what faulthandler wrote."""
    at = max(output.rfind("Current thread"), output.rfind("Stack (most recent call first)"))
    if at < 0:
        return ""
    frames = [*FRAME.finditer(output[at:])]  # the most recent call comes first
    own = [frame for frame in frames if "/foldwise/" in frame[1]]
    return _where((own or frames)[0]) if frames else ""


def _where(frame: re.Match[str]) -> str:
    """A frame's file below its package's folder, its line and its function."""
    path = re.split(r"/(?:site-packages|src|lib/python[\d.]+)/", frame[1])[-1]
    return f"{path}:{frame[2]} {frame[3]}"
