"""Findings: each kind of fault at one place once, in a folder of its own, with all to run again."""

import hashlib
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from torturing.kills import Bases, Plan, begin, without_chance
from torturing.trials import draw, plan, prepare
from torturing.watching import Fault, Outcome

KINDS = {
    "traceback": "tracebacks",
    "hang": "hangs",
    "memory": "over 2 GB",
    "differs": "bytes that differ",
    "leftover": "leftovers",
}
TEMPORARY = re.compile(r"\.(unpack|predict|new|inner|reproduce)-.*|.*\.tmp")


def leftovers(arguments: list[str], folder: Path) -> Iterator[Fault]:
    """Faults: temporary files and folders that lie about when a command has ended by itself."""
    temporary = folder.parent / "tmp"
    for path in (*folder.rglob("*"), *temporary.glob("*")):
        if path.parent == temporary or TEMPORARY.fullmatch(path.name):
            yield Fault("leftover", f"{arguments[0]}: {without_chance(path.name)}")


def save(kept: Path, seed: int, number: int, bases: Bases, outcome: Outcome, fault: Fault) -> Path:
    """Write a finding into its folder, unless it is there: workspace, command, output."""
    name = hashlib.sha256(fault.place.encode()).hexdigest()[:8]
    folder = kept / f"{fault.kind}-{name}"
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return folder
    kind, _ = draw(seed, number)
    if kind == "kill":
        planned = plan(seed, number)
        arguments = begin(planned.scenario, bases, folder / "workspace")
        how = _struck(planned)
    else:
        arguments = prepare(seed, number, bases, folder / "workspace").arguments
        how = f"malformed: {kind}"
    (folder / "output.txt").write_text(outcome.output, errors="replace")
    (folder / "command.txt").write_text(
        f"{fault.kind}: {fault.place}\n{how}\n"
        f"cd {folder / 'workspace'} && foldwise {shlex.join(arguments)}\n"
        f"python benchmarks/torture.py --seed {seed} --trial {number}\n",
        errors="replace",
    )
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    return folder


def _struck(planned: Plan) -> str:
    """What was done to a command, in words."""
    return "killed: " + "; ".join(
        f"signal {number} at {share:.3f} of its {'changes' if by == 'change' else 'time'}"
        for number, by, share in planned.strikes
    )
