"""Kills and malformed inputs, as many as fit a time: `torture.py --seconds 600 --seed 0`.

Every trial runs the command line in a child of its own, on a tiny competition. Kills: a command is
struck at a random moment, run again to its end, and every byte compared with an uninterrupted
one's. Inputs: TOML, CSVs, archives and images, malformed by drawn mutations. The last line counts
what must not be; the exit code is 1 where any of it was. The same seed gives the same trials.
"""

import argparse
import contextlib
import importlib
import itertools
import json
import os
import pkgutil
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from torturing.watching import LIMITS, Command, Fault, Limits, Outcome, attempt

ALONE = ("executors.cluster", "executors.node", "executors.worker", "__main__")  # not imported here
STRUCK = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 130, 143)  # exit codes
QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "WANDB_MODE": "disabled",
    "TERM": "dumb",
}


def command_line(arguments: list[str]) -> None:
    """`foldwise` with these arguments."""
    from foldwise.cli import main

    sys.argv = ["foldwise", *arguments]
    main()


def torture(
    seconds: float,
    seed: int,
    kept: Path,
    jobs: int = 1,
    command: Command = command_line,
    limits: Limits = LIMITS,
    only: int | None = None,
) -> Counter[str]:
    """Try for some seconds; returns counts of kills and inputs, and of findings by their kind.

    kept: the folder for findings. jobs: trials at once. only: the one trial to do.
    """
    kept.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter(kills=0, inputs=0)
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        own_environment(Path(folder))
        ends = time.monotonic() + seconds
        lanes = {}
        for first in range(1 if only is not None else jobs):
            numbers = itertools.count(first, jobs) if only is None else iter([only])
            lane = Lane(seed, Path(folder) / f"lane{first}", kept, command, limits)
            pid, pipe = lane.start(numbers, ends)
            lanes[pipe] = pid
        stopped = False
        try:
            _listen({**lanes}, counts)
        except KeyboardInterrupt:
            stopped = True
            print("stopped; what was found so far:", file=sys.stderr)
        finally:
            codes = [_stop(pid) for pid in lanes.values()]
            for pipe in lanes:
                os.close(pipe)
    if any(codes) and not stopped:
        raise RuntimeError("the harness itself failed, see above; what it counted is not all")
    return counts


def own_environment(folder: Path) -> None:
    """Nothing of the user's own reaches a command, and nothing of a command's the user."""
    for name in [
        name for name in os.environ if name.startswith(("KAGGLE_", "WANDB_", "FOLDWISE_"))
    ]:
        del os.environ[name]
    home = folder / "home"
    home.mkdir()
    os.environ.update(QUIET, HOME=str(home))


def import_all() -> None:
    """Import foldwise whole, once, so that no child needs to."""
    import foldwise

    warnings.filterwarnings("ignore", category=FutureWarning)
    for module in pkgutil.walk_packages(foldwise.__path__, "foldwise."):
        if not module.name.endswith(ALONE):
            importlib.import_module(module.name)


def _listen(lanes: dict[int, int], counts: Counter[str]) -> None:
    """Count what the lanes say until all have ended; each finding is counted and printed once."""
    rest, known = dict.fromkeys(lanes, b""), set()
    while lanes:
        for pipe in select.select([*lanes], [], [])[0]:
            data = os.read(pipe, 65536)
            if not data:
                del lanes[pipe]
            *lines, rest[pipe] = (rest[pipe] + data).split(b"\n")
            for said in map(json.loads, lines):
                if "folder" not in said:
                    counts.update(said)
                elif said["folder"] not in known:
                    known.add(said["folder"])
                    counts[said["kind"]] += 1
                    print("found {kind}: {place} ({folder})".format(**said), file=sys.stderr)


def _stop(pid: int) -> int:
    """End a lane with all that it started; returns its exit code."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended
        os.killpg(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Lane:
    """Trials one after the other, in a process of their own; it tells of each through a pipe."""

    def __init__(
        self, seed: int, folder: Path, kept: Path, command: Command, limits: Limits
    ) -> None:
        from torturing.kills import Bases

        self.seed, self.folder, self.kept, self.limits = seed, folder, kept, limits
        self.bases = Bases(folder / "bases", command, limits)

    def start(self, numbers: Iterator[int], ends: float) -> tuple[int, int]:
        """Fork; returns the process's id, which is its group's too, and the pipe to read."""
        reads, self.pipe = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            os.close(self.pipe)
            return pid, reads
        code = 1
        try:
            os.setpgid(0, 0)  # Ctrl-C is the driver's
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.close(reads)
            for number in numbers:
                self.trial(number)
                if time.monotonic() > ends:
                    break
            code = 0
        except BaseException:  # os._exit would hide it
            print(f"at trial {number} of seed {self.seed}:", file=sys.stderr)
            traceback.print_exc()
        finally:
            os._exit(code)

    def tell(self, **said: object) -> None:
        """Send one line to the driver."""
        os.write(self.pipe, json.dumps(said).encode() + b"\n")

    def trial(self, number: int) -> None:
        """Do one trial, and save what it finds."""
        from torturing.findings import save

        folder = self.folder / "trial" / "workspace"
        try:
            for outcome, faults in self.outcomes(number, folder):
                for fault in faults:
                    where = save(self.kept, self.seed, number, self.bases, outcome, fault)
                    self.tell(kind=fault.kind, place=fault.place, folder=str(where))
        finally:
            shutil.rmtree(folder.parent, ignore_errors=True)

    def outcomes(self, number: int, folder: Path) -> Iterator[tuple[Outcome, list[Fault]]]:
        """Each command of a trial with the faults that it shows."""
        from torturing.findings import leftovers
        from torturing.kills import kill
        from torturing.trials import draw, plan, prepare

        kind, _ = draw(self.seed, number)
        folder.parent.mkdir(parents=True)
        if kind == "kill":
            for outcome, faults in kill(plan(self.seed, number), self.bases, folder):
                self.tell(kills=int(outcome.code in STRUCK))
                yield outcome, faults
            return
        made = prepare(self.seed, number, self.bases, folder)
        outcome = attempt(self.bases.command, made.arguments, folder, self.limits)
        faults = [outcome.fault] if outcome.fault else [*leftovers(made.arguments, folder)]
        yield outcome, faults
        self.tell(inputs=made.files)


def last_line(counts: Counter[str]) -> str:
    """All counts in one line."""
    from torturing.findings import KINDS

    found = [f"{words} {counts[kind]}" for kind, words in KINDS.items()]
    return ", ".join([f"kills {counts['kills']}", f"inputs {counts['inputs']}", *found])


def main() -> None:
    """Parse, torture, print the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for findings; else a new one, named")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at once")
    parser.add_argument("--trial", type=int, help="this trial alone, as a finding names it")
    asked = parser.parse_args()
    os.environ.update(QUIET)  # before torch is imported
    kept = (asked.keep or Path(tempfile.mkdtemp(prefix="torture-found-"))).resolve()
    import_all()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    counts = torture(asked.seconds, asked.seed, kept, asked.jobs, only=asked.trial)
    found = any(counted for kind, counted in counts.items() if kind not in ("kills", "inputs"))
    if found:
        print(f"findings: {kept}", file=sys.stderr)
    elif not asked.keep:
        kept.rmdir()
    print(last_line(counts))
    sys.exit(found)


if __name__ == "__main__":
    main()
