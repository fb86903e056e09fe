"""What a run, its folds and a blend say of themselves."""

from pathlib import Path
from typing import ClassVar, cast

from pydantic import Field

from foldwise.errors import RunError
from foldwise.store.files import read_json, write_json
from foldwise.store.records import Plain, Record, Values


class BegunWith(Values):
    """What a run was begun with: hashes of the data, and versions of the packages that train."""

    labels: str
    soft: str | None
    spec: str
    versions: dict[str, str]


class RunRecord(Record):
    """run.json: what a run is made of; written once, before its folds."""

    competition: str
    recipe: Plain
    data: Plain | None = None  # the training settings of competition.toml
    seed: int
    identity: str
    scheme: str
    folds_sha256: str
    classes: tuple[str, ...]
    caches: tuple[str, ...]
    resolved: Plain = Field(default_factory=dict)
    begun_with: BegunWith | None = None
    levels: tuple[float, float] | None = None  # of deep images

    error: ClassVar = RunError

    @classmethod
    def remedy(cls, path: Path) -> str:
        """What to do about a run that cannot be used."""
        return f"run `foldwise train {path.parent.parent.name}` again, and remove {path.parent}"


class FoldRecord(Record):
    """done.json of a fold: what its training took, and the hashes of its files; written last."""

    fold: int
    seconds: float
    sha256: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    images_per_second: float | None = None
    epochs: tuple[Plain, ...] = ()  # `epoch, seconds, images_per_second`
    stopped_early_after_epoch: int | None = None
    memory_bytes: int | None = None
    device_memory_bytes: int | None = None

    error: ClassVar = RunError

    @classmethod
    def remedy(cls, path: Path) -> str:
        """What to do about a fold that cannot be used."""
        run = path.parent.parent
        return f"run `foldwise train {run.parent.name}` again, and remove {path.parent}"


class RateSearch(Record):
    """What the finder of learning rates found for a stage.

    suggestions: a rate by the method's name. rates, losses: the curve; a run that is made again
    knows the suggestions alone.
    """

    suggestions: dict[str, float]
    rates: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()


class ScoreRecord(Values):
    """A metric's value with its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class PartRecord(ScoreRecord):
    """What a part of a board should show, and how many rows or groups it has."""

    units: int
    of: str  # rows, or groups


class MemberRecord(Values):
    """A member of a blend. A member from elsewhere has the names of its files, too."""

    name: str
    identity: str
    score: ScoreRecord
    oof: str | None = None
    test: str | None = None


class BlendRecord(Record):
    """blend.json: members, scores, and the chain that made its predictions; written last."""

    asked: str
    method: str
    metric: str
    score: ScoreRecord
    averaging_gain: float
    expected: ScoreRecord
    parts: dict[str, PartRecord]
    folds: int
    in_sample: float
    blend_alone: float
    decided_apart: float | None
    reliability: dict[str, Plain] = Field(default_factory=dict)
    members: tuple[MemberRecord, ...]
    chain: Plain
    steps: tuple[Plain, ...]
    by_fold: tuple[Plain, ...]
    tried: tuple[Plain, ...]

    error: ClassVar = RunError

    @classmethod
    def remedy(cls, path: Path) -> str:
        """What to do about a blend that cannot be used."""
        return f"run `foldwise blend {path.parent.parent.name}` again"


def read_history(path: Path) -> list[dict[str, float]]:
    """The losses and metrics of each epoch of a fold; none where there is no file."""
    return cast(list[dict[str, float]], read_json(path)) if path.is_file() else []


def write_history(path: Path, epochs: list[dict[str, float]]) -> None:
    """Write the losses and metrics of each epoch of a fold."""
    write_json(path, epochs)
