"""What the files of a competition's data folder say, but for its raw files and tables."""

from typing import Any

from pydantic import Field

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
    def upgraded(cls, value: Any, version: int) -> Any:
        """Earlier ones are a list of entries."""
        return {"of": None, "entries": value} if isinstance(value, list) else value


class PreparedRecord(Record):
    """prepared.json: the adapter whose `prepare` has run."""

    adapter_sha256: str


class FindingsRecord(Record):
    """findings.json: what was found in the data, by the verb that looked."""

    check: Plain | None = None
    submit: Plain | None = None
