"""Kills: a command is struck at a random moment, run again to its end, and all bytes compared."""

import hashlib
import json
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torturing import samples
from torturing.watching import Command, Fault, Limits, Outcome, Strike, attempt

STAMP = re.compile(r"\d{8}-\d{6}(?=-)|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?Z?")
# what a run's own time and memory are, hashes of texts that hold them, and the code, which may be
# edited meanwhile
CHANGING = {
    "seconds",
    "images_per_second",
    "memory_bytes",
    "device_memory_bytes",
    "created",
    "time",
    "modified_ns",
    "manifest_sha256",
    "package_sha256",
}
# in no hash: for reports alone, or what training needs to go on, with the times it took so far
ASIDE = (
    "rates.parquet",
    "augmented.parquet",
    "maps.parquet",
    "checkpoint.pt",
    "sources.parquet",
    "pixels-L.parquet",
    "pixels-RGB.parquet",
)  # the last two: rows as threads ended
SIGNALS = (*[signal.SIGKILL] * 8, signal.SIGTERM, signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Scenario:
    """A command whose bytes are compared. begin: makes the folder that it starts in."""

    weight: int
    arguments: Callable[[Path], list[str]]  # of the workspace as it begins
    start: str = "trained"  # see `Bases`


def _submission(root: Path) -> str:
    return next((root / "data" / "tiny" / "submissions").glob("*.csv")).name


def _blend(root: Path) -> str:
    return next((root / "runs" / "tiny").glob("blend-*")).name


SCENARIOS: Mapping[str, Scenario] = {
    "submit": Scenario(5, lambda root: ["submit", "tiny", "--no-track"], "raw"),
    "data": Scenario(3, lambda root: ["data", "tiny", "--from", "tiny.zip"], "packed"),
    "prepare": Scenario(3, lambda root: ["train", "tiny", "--show-batch", "--no-track"], "raw"),
    "check": Scenario(1, lambda root: ["check", "tiny"], "raw"),
    "predict": Scenario(
        2, lambda root: ["predict", _blend(root), "data/tiny/raw/images", "--out", "said.csv"]
    ),
    "blend": Scenario(2, lambda root: ["blend", "tiny", "--method", "geometric"]),
    "report": Scenario(2, lambda root: ["report", "tiny"]),
    "reproduce": Scenario(3, lambda root: ["reproduce", _submission(root)]),
    "host": Scenario(2, lambda root: ["new", "fresh", "--from", "download", "--host"], "download"),
}


@dataclass
class Bases:
    """The folders that commands begin in, each made once; how uninterrupted commands end."""

    folder: Path
    command: Command
    limits: Limits
    whole: dict[str, tuple[Outcome, dict[str, str]]] = field(default_factory=dict)

    def start(self, name: str) -> Path:
        """The folder of a name: raw, packed, download, bare (no data) or trained."""
        target = self.folder / name / "workspace"
        if not target.exists():
            half = self.folder / f"{name}.half" / "workspace"
            half.parent.mkdir(parents=True)
            self._make(name, half)
            half.parent.rename(target.parent)
        return target

    def _make(self, name: str, target: Path) -> None:
        if name == "raw":
            samples.write_competition(target)
            return
        samples.copy(self.start("raw"), target)
        data = target / "data" / "tiny"
        if name == "trained":
            submit = SCENARIOS["submit"].arguments(target)
            made = attempt(self.command, submit, target, Limits(10 * self.limits.seconds))
            if made.code != 0:
                raise RuntimeError(f"the tiny competition should be submitted, got:\n{made.output}")
        elif name == "packed":
            samples.pack(data / "raw", target / "tiny.zip")
            shutil.rmtree(data / "raw")
        elif name == "bare":
            shutil.rmtree(data / "raw")
        elif name == "download":
            samples.write_download(target)

    def uninterrupted(self, name: str) -> tuple[Outcome, dict[str, str]]:
        """How a scenario's command ends when nothing happens to it, and what is there then."""
        if name not in self.whole:
            folder = self.folder / f"whole-{name}" / "workspace"
            arguments = begin(name, self, folder)
            outcome = attempt(self.command, arguments, folder, Limits(10 * self.limits.seconds))
            self.whole[name] = outcome, bytes_of(folder)
            shutil.rmtree(folder.parent)
        return self.whole[name]


def begin(name: str, bases: Bases, folder: Path) -> list[str]:
    """Make the workspace of a scenario; returns its command's arguments."""
    scenario = SCENARIOS[name]
    samples.copy(bases.start(scenario.start), folder)
    return scenario.arguments(folder)


@dataclass(frozen=True)
class Plan:
    """Which command is struck, with what, and where: shares of its changes or of its time."""

    scenario: str
    strikes: tuple[tuple[int, str, float], ...]

    @classmethod
    def draw(cls, rng: random.Random) -> "Plan":
        """A plan of one to three strikes."""
        names, weights = zip(*((name, s.weight) for name, s in SCENARIOS.items()), strict=True)
        (name,) = rng.choices(names, weights)
        count = rng.choices((1, 2, 3), (6, 2, 1))[0]
        return cls(
            name,
            tuple(
                (rng.choice(SIGNALS), rng.choice(("change", "change", "seconds")), rng.random())
                for _ in range(count)
            ),
        )


def kill(plan: Plan, bases: Bases, folder: Path) -> Iterator[tuple[Outcome, list[Fault]]]:
    """Strike a command as planned, then let it end; each attempt with the faults that it shows."""
    whole, expected = bases.uninterrupted(plan.scenario)
    arguments = begin(plan.scenario, bases, folder)
    limits = Limits(max(bases.limits.seconds, 10 * whole.seconds), bases.limits.memory)
    if whole.fault:
        yield whole, [whole.fault]
        return
    for number, by, share in plan.strikes:
        strike = (
            Strike(number, change=1 + int(share * max(1, whole.changes)))
            if by == "change"
            else Strike(number, seconds=share * whole.seconds)
        )
        struck = attempt(bases.command, arguments, folder, limits, strike)
        yield struck, [struck.fault] if struck.fault else []
    last = attempt(bases.command, arguments, folder, limits)
    faults = [last.fault] if last.fault else []
    if not faults:
        faults = [*compare(plan.scenario, whole, expected, last, bytes_of(folder))]
    yield last, faults


def compare(
    name: str, whole: Outcome, expected: dict[str, str], last: Outcome, found: dict[str, str]
) -> Iterator[Fault]:
    """Faults: another exit code, bytes that differ from the uninterrupted command's, leftovers."""
    if last.code != whole.code:
        said = STAMP.sub("…", " ".join(last.output.split()))[-120:]
        yield Fault("differs", f"{name}: exit {last.code} instead of {whole.code}: {said}")
        return
    for path, digest in expected.items():
        if path not in found:
            yield Fault("differs", f"{name}: {path} is missing")
        elif found[path] != digest:
            yield Fault("differs", f"{name}: {path}")
    extra = found.keys() - expected.keys()
    for path in sorted(extra):
        if str(Path(path).parent) not in extra:
            yield Fault("leftover", f"{name}: {without_chance(Path(path).name)}")


def without_chance(name: str) -> str:
    """A temporary's name without the part that differs each time."""
    return re.sub(r"^(\.[a-z]+-).*", r"\1*", re.sub(r"[0-9a-f]*[0-9][0-9a-f]*", "N", name))


def bytes_of(folder: Path) -> dict[str, str]:
    """A hash of each file's bytes by its path, without times and locks; folders have none."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = STAMP.sub("STAMP", path.relative_to(folder).as_posix())
        if name.endswith("lock"):
            continue
        if path.is_dir() or path.name in ASIDE:
            found[name] = ""
        else:
            found[name] = hashlib.sha256(_steady(path)).hexdigest()
    return found


def _steady(path: Path) -> bytes:
    """A file's bytes without what changes from one time to the next."""
    if path.suffix not in (".json", ".jsonl", ".html", ".csv"):
        return path.read_bytes()
    text = STAMP.sub("STAMP", path.read_text(errors="surrogateescape"))
    if path.suffix == ".json":
        return json.dumps(_without_times(json.loads(text)), indent=1).encode()
    if path.suffix == ".jsonl":
        lines = [_without_times(json.loads(line)) for line in text.splitlines()]
        return json.dumps(lines, indent=1).encode()
    return text.encode(errors="surrogateescape")


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key not in CHANGING}
    return [_without_times(each) for each in value] if isinstance(value, list) else value
