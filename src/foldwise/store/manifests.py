"""Manifests: what submissions were made of, beside their files."""

from pathlib import Path
from typing import ClassVar, Self, cast

from pydantic import Field

from foldwise.errors import StorageError, SubmissionError, examples
from foldwise.store.files import read_json, sha256_json, write_json
from foldwise.store.records import VERSION, Plain, Record, Values
from foldwise.store.run_records import ScoreRecord

HASH_KEY = "manifest_sha256"  # of everything else in the manifest


class Interval(Values):
    """A score with its 95 % interval, as far as it is known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class BlendSaid(Values):
    """What a manifest says first of its blend."""

    directory: str | None = None
    expected: Interval | None = None  # of a board
    parts: Plain | None = None  # of the board


class RunName(Values):
    """A run of a manifest of any version."""

    run: str


class Headline(Values):
    """What reports need of a manifest of any version; what it does not say is None."""

    local: Interval | None = None
    blend: BlendSaid | None = None
    runs: tuple[RunName, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """The headline in a file; nothing is known where there is no file (any more)."""
        return cls.model_validate(read_json(path)) if path.is_file() else cls()


class ManifestRun(Values):
    """What it takes to train a run again."""

    run: str
    recipe: Plain
    seed: int
    resolved: Plain
    identity: str | None = None
    rates: dict[str, dict[str, dict[str, float]]] = Field(
        default_factory=dict
    )  # by fold, file and method
    weights_sha256: str | None = None


class ManifestFolds(Values):
    """The folds of a manifest's runs."""

    scheme: str
    sha256: str


class Manifest(Record):
    """All that it takes to make a submission again. Keys of tables are those of `describe`."""

    competition: str
    sha256: str
    local: ScoreRecord
    spec: Plain
    data: Plain
    blend: Plain
    runs: tuple[ManifestRun, ...]
    teachers: tuple[ManifestRun, ...]
    folds: ManifestFolds
    code: Plain
    versions: dict[str, str]
    machine: Plain
    manifest_sha256: str

    error: ClassVar = SubmissionError

    @classmethod
    def remedy(cls, path: Path) -> str:
        """What to do about a manifest that cannot be used."""
        return "make the submission again with the version of foldwise that wrote it"

    @classmethod
    def read(cls, path: Path) -> Self:
        """The manifest in a file, as it was written.

        Raises: SubmissionError: it is damaged or was altered, is from before it told everything, or
                is of a later version.
        """
        try:
            told = cast(Plain, read_json(path))
        except StorageError as error:
            raise SubmissionError(
                f"{path} is no manifest any more: {error.__cause__}; restore it from version "
                "control"
            ) from error
        needed = (name for name, field in cls.model_fields.items() if field.is_required())
        if lacking := [name for name in needed if name not in told]:
            commit = told.get("code", {}).get("commit")
            raise SubmissionError(
                f"{path} should tell all that it takes to make its submission again, but lacks "
                f"{examples(lacking)}: an earlier version of foldwise wrote it; make it with that "
                f"one (commit {commit or 'unknown'})"
            )
        manifest = cls.parse(told, path)
        names = [run.recipe["name"] for run in (*manifest.runs, *manifest.teachers)]
        if _hash(told) != told[HASH_KEY] or any(
            Path(name).name != name for name in names
        ):  # of files
            raise SubmissionError(
                f"{path} was altered after it was written; restore it from version control"
            )
        return manifest


def write_manifest(path: Path, told: Plain) -> None:
    """Write a manifest with its version and the hash of all that it says."""
    told = {VERSION: Manifest.newest, **told}
    write_json(path, {**told, HASH_KEY: _hash(told)})


def _hash(told: Plain) -> str:
    """Of the values as they stand in the file: a typed reading may have left some out."""
    return sha256_json({key: value for key, value in told.items() if key != HASH_KEY})
