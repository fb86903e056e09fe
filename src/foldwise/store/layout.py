"""Where everything lies that foldwise writes: a class for each kind of folder.

Names of files and folders, and how a finished one is told from an unfinished one, stand here alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from foldwise.workspace import Workspace

FOLD, DONE = "fold", "done.json"  # begins the name of a fold's folder; its record
PACKED = "-packed"  # ends the name of a recompressed cache's folder: its pixels are others


@dataclass(frozen=True)
class Folder:
    """A folder of a known kind."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name


class NamedFile:
    """A file, or a folder of no known kind, that has a fixed name inside a Folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: Folder, owner: type) -> Path:
        return folder.path / self.name


class MarkedFolder(Folder):
    """A folder that is whole once its record is there: that is written last."""

    record: ClassVar[NamedFile]

    @property
    def finished(self) -> bool:
        """Whether everything is there."""
        return self.record.is_file()


class FoldFolder(MarkedFolder):
    """One fold of a run: weights, predictions, and a record that is written last."""

    record = NamedFile(DONE)
    lock = NamedFile(".lock")
    weights = NamedFile("weights.safetensors")
    oof = NamedFile("oof.parquet")
    oof_plain = NamedFile("oof_plain.parquet")
    test = NamedFile("test.parquet")
    test_plain = NamedFile("test_plain.parquet")
    history = NamedFile("history.json")
    checkpoint = NamedFile("checkpoint.pt")
    pseudo = NamedFile("pseudo.parquet")
    rates = NamedFile("rates.parquet")
    augmented = NamedFile("augmented.parquet")
    maps = NamedFile("maps.parquet")

    @property
    def number(self) -> int:
        """The fold's number, from 0."""
        return int(self.name.removeprefix(FOLD))

    def predictions(self, part: str, plain: bool) -> Path:
        """The predictions of a part, `oof` or `test`. plain: without test-time augmentation."""
        return self.path / f"{part}{'_plain' if plain else ''}.parquet"

    def files(self) -> tuple[Path, ...]:
        """The files whose hashes the record has."""
        predicted = (self.oof, self.oof_plain, self.test, self.test_plain)
        return (self.weights, *predicted, self.history)

    def rate_search(self, stage: int) -> Path:
        """What the finder of learning rates suggests for a stage, and its curve."""
        return self.path / f"lr-{stage}.json"

    def rate_searches(self) -> dict[str, Path]:
        """The files of `rate_search` that are there, by the stage's number."""
        return {p.stem.removeprefix("lr-"): p for p in sorted(self.path.glob("lr-*.json"))}


class RunFolder(Folder):
    """A run: its record, a copy of its folds, and a folder for each of them."""

    record = NamedFile("run.json")
    folds = NamedFile("folds.csv")
    lock = NamedFile(".lock")
    report = NamedFile("report.html")

    @property
    def begun(self) -> bool:
        """Whether there is such a run."""
        return self.record.is_file()

    def fold(self, number: int) -> FoldFolder:
        """A fold's folder, whether it is there or not."""
        return FoldFolder(self.path / f"{FOLD}{number}")

    def there(self) -> list[FoldFolder]:
        """The folders of folds that are there, finished or not, by number."""
        folders = [FoldFolder(path) for path in self.path.glob(f"{FOLD}[0-9]*")]
        return sorted(folders, key=lambda fold: fold.number)

    def folds_with(self, what: str) -> list[FoldFolder]:
        """The folders of folds that have a table for reports, by number.

        what: `rates`, `augmented` or `maps`.
        """
        return [fold for fold in self.there() if getattr(fold, what).is_file()]

    def finished(self) -> list[int]:
        """The numbers of the folds that are finished, in order."""
        return [fold.number for fold in self.there() if fold.finished]

    def unfinished(self, count: int) -> list[int]:
        """The numbers of the folds, of so many, that are not finished."""
        return [number for number in range(count) if not self.fold(number).finished]


class BlendFolder(MarkedFolder):
    """A blend: its predictions, and a record that is written last."""

    record = NamedFile("blend.json")
    lock = NamedFile(".lock")
    oof = NamedFile("oof.parquet")
    test = NamedFile("test.parquet")
    thresholds = NamedFile("thresholds.csv")
    report = NamedFile("report.html")


class ReproductionFolder(Folder):
    """A workspace in which a submission is made again."""

    record = NamedFile("begun.json")
    runs = NamedFile("runs")
    folds = NamedFile("folds")
    submission = NamedFile("submission.csv")
    oof = NamedFile("oof.csv")

    def competition(self, name: str) -> Path:
        """The folder of the competition's own files."""
        return self.path / "competitions" / name


class CompetitionRuns(Folder):
    """The runs folder of a competition: runs, blends, and what is made beside them."""

    report = NamedFile("report.html")
    tracked = NamedFile("wandb")
    submit_lock = NamedFile(".submit.lock")
    reproduce_lock = NamedFile(".reproduce.lock")

    def run(self, name: str) -> RunFolder:
        """A run's folder, whether it is there or not."""
        return RunFolder(self.path / name)

    def blend(self, name: str) -> BlendFolder:
        """A blend's folder, whether it is there or not."""
        return BlendFolder(self.path / name)

    def runs(self) -> list[RunFolder]:
        """The runs, by name."""
        return [RunFolder(path.parent) for path in sorted(self.path.glob("*/run.json"))]

    def blends(self) -> list[BlendFolder]:
        """The finished blends, by name."""
        return [BlendFolder(path.parent) for path in sorted(self.path.glob("*/blend.json"))]

    def trained(self, recipe: str | None = None) -> bool:
        """Whether any fold is finished. recipe: of a recipe of this name."""
        runs = "*" if recipe is None else f"{recipe}-s*"
        return any(self.path.glob(f"{runs}/{FOLD}*/{DONE}"))

    def rate_curve(self, recipe: str) -> Path:
        """The curve of the finder of learning rates."""
        return self.path / f"lr-{recipe}.csv"

    def batch_sheet(self, recipe: str) -> Path:
        """A sheet of augmented training images."""
        return self.path / f"batch-{recipe}.png"

    def reproduction(self, submission: str) -> ReproductionFolder:
        """The folder in which a submission is made again. submission: its file's stem."""
        return ReproductionFolder(self.path / f".reproduce-{submission}")

    def summed_up(self, submission: str) -> Path:
        """What W&B was told of a submission. submission: its file's stem."""
        return self.tracked / f"{submission}.json"


class TrackedRun(Folder):
    """A run of W&B's, as W&B writes it."""

    lock = NamedFile(".writing.lock")  # held while it is written


class FoldsFolder(Folder):
    """The fold schemes of a competition."""

    def frame(self, scheme: str) -> Path:
        """The folds of a scheme."""
        return self.path / f"{scheme}.csv"

    def record(self, scheme: str) -> Path:
        """What a scheme's folds were made from; written last."""
        return self.path / f"{scheme}.json"

    def lock(self, scheme: str) -> Path:
        """The lock of a scheme."""
        return self.path / f".{scheme}.lock"


class CacheFolder(MarkedFolder):
    """An image cache, of raw or of recompressed pixels."""

    record = NamedFile("done.json")
    plan = NamedFile("plan.json")
    raw = NamedFile("pixels.u8")
    packed = NamedFile("pixels.pack")
    rows = NamedFile("rows.bin")
    part = NamedFile("pixels.part")

    @property
    def lock(self) -> Path:
        """The lock of the cache, whether raw or recompressed."""
        return self.path.with_name(f"{self.name.removesuffix(PACKED)}.lock")

    @property
    def recompressed(self) -> bool:
        """Whether it holds recompressed pixels."""
        return self.name.endswith(PACKED)

    def pixels(self, recompressed: bool) -> Path:
        """The file with the pixels of the finished cache."""
        return self.packed if recompressed else self.raw

    def of_kind(self, recompressed: bool) -> "CacheFolder":
        """The cache of the same images with pixels of a kind. This is the raw one."""
        return CacheFolder(self.path.with_name(f"{self.name}{PACKED}")) if recompressed else self


class CachesFolder(Folder):
    """The image caches of a competition, and what is known of its images."""

    levels = NamedFile("levels.json")
    sources = NamedFile("sources.parquet")
    shipped = NamedFile("shipped.json")

    def cache(self, name: str) -> CacheFolder:
        """An image cache, whether it is there or not."""
        return CacheFolder(self.path / name)

    def finished(self) -> list[CacheFolder]:
        """The caches that are whole, by name."""
        return [cache for cache in self.begun() if cache.finished]

    def begun(self) -> list[CacheFolder]:
        """The caches that are finished or begun, by name."""
        found = {
            path.parent for name in ("plan", "done") for path in self.path.glob(f"*/{name}.json")
        }
        return [CacheFolder(path) for path in sorted(found)]

    def digests(self, kind: str) -> Path:
        """The digests of decoded pixels. kind: their mode, and levels that they depend on."""
        return self.path / f"pixels-{kind}.parquet"


class PlatformFolder(Folder):
    """A practice competition's own platform: its truth and its board."""

    lock = NamedFile(".lock")
    truth_lock = NamedFile(".holdout.lock")
    truth = NamedFile("truth.csv")
    board = NamedFile("board.json")
    parts = NamedFile("parts.json")
    holdout = NamedFile("holdout.json")
    solution = NamedFile("solution.json")

    def entry(self, team: str) -> Path:
        """The submission of another team."""
        return self.path / "entries" / f"{team}.csv"

    def entries(self) -> dict[str, Path]:
        """The submissions of other teams by their names, in order."""
        return {path.stem: path for path in sorted((self.path / "entries").glob("*.csv"))}


class DataFolder(Folder):
    """A competition's data: the platform's files, and what was made from them."""

    raw = NamedFile("raw")
    copies = NamedFile("copies.csv")
    findings = NamedFile("findings.json")
    prepared = NamedFile("prepared.json")
    prepare_lock = NamedFile(".prepare.lock")
    leaderboard = NamedFile("leaderboard.csv")
    board_lock = NamedFile(".board.lock")
    board_download = NamedFile("board")
    download = NamedFile("download")
    download_lock = NamedFile(".download.lock")
    raw_lock = NamedFile(".raw.lock")
    unreadable = NamedFile("unreadable.txt")
    format = NamedFile("submission_format.csv")  # of a practice competition that has none

    @property
    def folds(self) -> FoldsFolder:
        """The fold schemes."""
        return FoldsFolder(self.path / "folds")

    @property
    def caches(self) -> CachesFolder:
        """The image caches."""
        return CachesFolder(self.path / "cache")

    @property
    def platform(self) -> PlatformFolder:
        """The practice competition's platform."""
        return PlatformFolder(self.path / "platform")

    def files_to_ship(self) -> tuple[Path, ...]:
        """The files, and folders of files, that a cluster's nodes need of it."""
        return self.raw, self.prepared, self.platform.holdout


class SubmissionsFolder(Folder):
    """A competition's submissions: files, their manifests, and the ledger."""

    ledger = NamedFile("ledger.jsonl")
    ledger_lock = NamedFile(".ledger.lock")
    send_lock = NamedFile(".send.lock")

    def file(self, stem: str) -> Path:
        """A submission file by its name without ending."""
        return self.path / f"{stem}.csv"

    def manifests(self) -> list[Path]:
        """The manifests that are there."""
        return [*self.path.glob("*.json")]


class SuppliedFolder(Folder):
    """A folder of a cluster's node that is filled once."""

    lock = NamedFile(".lock")
    done = NamedFile("done")


def lock_of(file: Path) -> Path:
    """The lock of a file to which several processes add."""
    return file.with_suffix(".lock")


def manifest_of(file: Path) -> Path:
    """The manifest of a submission file."""
    return file.with_suffix(".json")


def runs_of(workspace: Workspace, competition: str) -> CompetitionRuns:
    """The runs folder of a competition."""
    return CompetitionRuns(workspace.runs / competition)


def all_runs(workspace: Workspace) -> Iterator[CompetitionRuns]:
    """The runs folders of all competitions that have one."""
    return (CompetitionRuns(path) for path in sorted(workspace.runs.glob("*")) if path.is_dir())


def data_of(workspace: Workspace, competition: str) -> DataFolder:
    """The data folder of a competition."""
    return DataFolder(workspace.data / competition)


def submissions_of(workspace: Workspace, competition: str, practice: bool) -> SubmissionsFolder:
    """The submissions folder of a competition."""
    return SubmissionsFolder(workspace.submissions(competition, practice))


def all_submissions(workspace: Workspace) -> Sequence[SubmissionsFolder]:
    """The submissions folders of all competitions that have one."""
    folders = (workspace.root / "submissions").glob("*"), workspace.data.glob("*/submissions")
    return [SubmissionsFolder(path) for each in folders for path in each]
