"""What the files of a competition's data folder say, but for its raw files and tables."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from foldwise.errors import ImageError
from foldwise.store.records import Plain, Record, Values


class FoldsRecord(Record):
    """What a scheme's folds were made from, and the hash of their rows; written last."""

    scheme: Plain = Field(default_factory=dict)
    labels: str = ""
    duplicates: str = ""  # a hash of the copies that the folds keep together
    copies: int = 0
    sha256: str


class HoldoutRecord(Record):
    """holdout.json: the ids of the test set that was split off, and what it was split by."""

    holdout: Plain
    labels: str
    ids: tuple[str, ...]


class SolutionRecord(Record):
    """solution.json: which solution the truth was read from, and how."""

    bytes: int
    changed: int  # nanoseconds
    ids: str  # their hash
    classes: tuple[str, ...]
    labels: Plain


class PartsRecord(Record):
    """parts.json: which ids of a truth are public; the others are private."""

    seed: int
    share: float
    ids: str  # their hash
    public: tuple[str, ...]


class BoardEntry(Values):
    """An entry of a local leaderboard; those of other teams have no file. Scores come later."""

    team: str
    file: str | None = None
    sha256: str | None = None
    public: float | None = None
    private: float | None = None


class BoardRecord(Record):
    """board.json: the entries, and a hash of the truth and the metric that they were scored by."""

    of: str | None = None
    entries: tuple[BoardEntry, ...] = ()

    @classmethod
    def upgrade(cls, value: object, version: int) -> object:
        """Earlier ones are a list of entries."""
        return {"of": None, "entries": value} if isinstance(value, list) else value


class PreparedRecord(Record):
    """prepared.json: the adapter whose `prepare` has run."""

    adapter_sha256: str


class FindingsRecord(Record):
    """findings.json: what was found in the data, by the verb that looked."""

    check: Plain | None = None
    submit: Plain | None = None


class CachePlan(Record):
    """plan.json: the rows of an image cache that is being built; nothing where it is just begun."""

    shape: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()


class CacheRecord(CachePlan):
    """done.json of an image cache: what it was made of, and what its files hold; written last."""

    mode: str | None = None
    sources: str | None = None  # a hash of the ids and contents of all sources
    levels: tuple[float, float] | None = None  # of deep images
    named_levels: tuple[float, float] | None = None  # those that are in the cache's name
    packed: bool = False
    modified_ns: int = 0
    rows_sha256: str = ""

    error: ClassVar = ImageError

    @classmethod
    def remedy(cls, path: Path) -> str:
        """What to do about a cache that cannot be used."""
        return f"remove {path.parent} and run the same command again, it is built anew"


class LevelsRecord(Record):
    """levels.json: what all deep images of these sources hold together."""

    sources: str  # a hash of the ids and contents of all sources
    images: int
    floats: int  # images of floating-point pixels
    bits: int
    low: float
    high: float
    before: tuple[tuple[float, ...], ...]  # the levels that earlier versions took


class ShippedRecord(Record):
    """shipped.json: size in bytes, time of change in ns, and SHA-256 of files by their paths."""

    files: dict[str, tuple[int, int, str]] = Field(default_factory=dict)

    @classmethod
    def upgrade(cls, value: object, version: int) -> object:
        """Earlier ones have the files alone."""
        return value if version else {"files": value}


class BegunRecord(Record):
    """begun.json: what a reproduction was begun with."""

    manifest: str
    package: str
    adapter: str | None
    versions: dict[str, str]
    machine: Plain


class SummedUp(Record):
    """What W&B was told of a submission: its numbers, those of the board among them."""

    public: float | None = None
    private: float | None = None
    rank: int | None = None
    teams: int | None = None
