"""Run directories: a run's identity, its record, and the predictions of its folds together."""

import functools
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from foldwise.config.budget import seconds_of
from foldwise.config.recipe import APART, SizedRecipe
from foldwise.data.competition import CompetitionData
from foldwise.data.folds import Folds, frame_hash, labels_hash
from foldwise.data.images.cache import ImageCache
from foldwise.errors import RunError, examples
from foldwise.kinds.loss import LOSSES
from foldwise.store.files import hold_lock, sha256_json
from foldwise.store.frames import read_folds, write_csv
from foldwise.store.layout import CompetitionRuns, FoldFolder, RunFolder
from foldwise.store.run_records import BegunWith, RunRecord
from foldwise.store.runs import fold_predictions, predictions_of_test
from foldwise.training.fitting.pseudo import PseudoLabels, pseudo_labels

TRAINING_PACKAGES = ("torch", "timm", "fastai")  # what a run's folds are trained with
UNDO = (
    "undo the change, and the same command goes on; or run it as it is: what was changed makes "
    "another run, trained from its start"
)


@dataclass(frozen=True)
class RunData:
    """What runs are trained on: a competition's data, one scheme's folds, image caches."""

    competition: CompetitionData
    folds: Folds
    caches: Sequence[ImageCache]


@dataclass(frozen=True)
class Run:
    """A recipe with a seed on one scheme's folds, and its directory."""

    folder: Path
    recipe: SizedRecipe
    seed: int
    folds: Folds
    classes: tuple[str, ...]
    record: RunRecord

    @property
    def name(self) -> str:
        """The run's name: that of its directory."""
        return self.folder.name

    @property
    def files(self) -> RunFolder:
        """The run's files."""
        return RunFolder(self.folder)

    def fold(self, number: int) -> FoldFolder:
        """A fold's directory."""
        return self.files.fold(number)

    def unfinished(self) -> list[int]:
        """The folds that are not trained yet."""
        return self.files.unfinished(self.folds.n)

    def planned_folds(self) -> list[int]:
        """The folds to train: all, but for a budget that has no time for all of them."""
        plan = self.record.resolved.get("plan")
        return list(range(self.folds.n)) if plan is None else plan["folds"]

    def oof(self, plain: bool = False) -> pd.DataFrame:
        """Out-of-fold predictions `id, *classes` sorted by id: every id of the scheme once.

        plain: without TTA. Raises: RunError: a fold is unfinished, or predicted other ids.
        """
        self._need_all_folds()
        numbers = range(self.folds.n)
        parts = fold_predictions(self.files, self.folds.frame, self.classes, numbers, plain)
        return pd.concat(parts.values()).sort_values("id", ignore_index=True)

    def test(self, ids: Iterable[str]) -> list[pd.DataFrame]:
        """The test predictions of each fold, rows in the order of ids."""
        self._need_all_folds()
        return [predictions_of_test(self.files, k, self.classes, ids) for k in range(self.folds.n)]

    def _need_all_folds(self) -> None:
        if self.unfinished():
            raise RunError(
                f"{self.name}: folds {examples(self.unfinished(), 10)} of {self.folds.n} are not "
                "trained yet; run `foldwise train` again, it goes on with them (--fold trains one "
                "for which the budget had no time)"
            )


def identity(
    on: RunData, recipe: SizedRecipe, seed: int, pseudo: PseudoLabels | None = None
) -> str:
    """The hash over everything that training depends on; metric and platform are not in it.

    Of settings those count that differ from their defaults, so that an option that is added leaves
    every run where it is; `need_same_settings` compares all of them. The names of the caches stand
    for the images: they have the hash of their contents. Shares, weights and pseudo-labels are in
    it where there are some.
    """
    data = on.competition
    new = {"soft": data.train.soft_hash(), "pseudo": pseudo and pseudo.record}
    return sha256_json(
        {
            "spec": data.spec.training_part(),
            "recipe": recipe.identity(),
            "seed": seed,
            "labels": labels_hash(data.train),
            "images": [cache.folder.name for cache in on.caches],
            "folds": on.folds.sha256,
            **{key: value for key, value in new.items() if value is not None},
        }
    )


def versions() -> dict[str, str]:
    """The versions of the packages that train, without what tells their builds apart."""
    return {package: version(package).partition("+")[0] for package in TRAINING_PACKAGES}


def _begun_with(data: CompetitionData) -> BegunWith:
    """What a run is begun with and its folds read again, each on its own."""
    return BegunWith(
        labels=labels_hash(data.train),
        soft=data.train.soft_hash(),
        spec=sha256_json(data.spec.training_part()),
        versions=versions(),
    )


def need_same_data(folder: Path, data: CompetitionData) -> None:
    """Check that the data are those that a run was begun with, as far as its record tells.

    Raises: RunError: labels or settings were changed since; the message has the remedy.
    """
    begun, now = RunRecord.read(RunFolder(folder).record).begun_with, _begun_with(data)
    for key, what in (
        ("labels", "the ids, labels or groups"),
        ("soft", "the shares or weights of the labels"),
        ("spec", "[files], [labels] or [images] of competition.toml"),
    ):
        if begun is not None and getattr(begun, key) != getattr(now, key):
            raise RunError(f"{folder.name}: {what} are not those it was begun with; {UNDO}")


def need_same_settings(
    folder: Path, record: RunRecord, recipe: SizedRecipe, data: CompetitionData
) -> None:
    """Check that all settings are those of a run's record, defaults included.

    Settings that a run's identity leaves out may have other defaults in another version of
    foldwise. Raises: RunError: one has; the message has the remedy.
    """
    then = {**record.recipe, **(record.data or {})}
    now = {**recipe.as_record(), **data.spec.training_settings()}
    place = different(then, {key: now[key] for key in then if key in now and key not in APART})
    if place is not None:
        key, old, new = place
        raise RunError(
            f"{folder.name} was trained with {key} = {old}, which is {new} now; if this is a new "
            f"default of foldwise's, write the old one into the recipe or competition.toml, or "
            f"remove {folder}, and it is trained from its start"
        )


def different(then: object, now: object, place: str = "") -> tuple[str, str, str] | None:
    """Where two plain values differ in what both have: the keys that lead there, and both values.

    None where they do not. Of lists the lengths count too.
    """
    if isinstance(then, dict) and isinstance(now, dict):
        pairs = [(key, then[key], now[key]) for key in then if key in now]
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = [(str(k), *pair) for k, pair in enumerate(zip(then, now, strict=True))]
    else:
        return None if then == now else (place, json.dumps(then), json.dumps(now))
    inner = (different(one, other, f"{place}.{key}".strip(".")) for key, one, other in pairs)
    return next((found for found in inner if found is not None), None)


def need_same_versions(folder: Path) -> None:
    """Check that a run's folds are trained by one version of each package.

    Raises: RunError: there are others now than when it was begun.
    """
    begun = RunRecord.read(RunFolder(folder).record).begun_with
    for package, now in versions().items():
        then = begun.versions[package] if begun is not None else now
        if then != now:
            raise RunError(
                f"{folder.name} was begun with {package} {then}, and here is {now}: folds of both "
                f"could not be made again; install {package}=={then}, and the same command goes "
                f"on, or remove {folder}, and it is trained from its start"
            )


def open_run(
    runs: Path,
    on: RunData,
    recipe: SizedRecipe,
    seed: int,
    settled: Callable[[], Mapping[str, object]],
    pseudo: PseudoLabels | None = None,
) -> Run:
    """The run's directory, with run.json and a copy of the folds written the first time.

    settled: gives what `auto` becomes; asked for a new run alone, afterwards the record counts.
    pseudo: what the folds take from a teacher; it is written too, and recorded under `resolved`.

    Raises: RunError: the directory was made with other folds.
    """
    data, folds = on.competition, on.folds
    digest = identity(on, recipe, seed, pseudo)
    run = CompetitionRuns(runs / data.spec.name).run(f"{recipe.name}-s{seed}-{digest[:8]}")
    with hold_lock(run.lock, f"the run {run.name}"):
        if pseudo is not None:
            pseudo.write(run)
        if not run.begun:
            write_csv(run.folds, folds.frame)
            levels = next((cache.levels for cache in on.caches if cache.levels), None)
            RunRecord(
                competition=data.spec.name,
                recipe=recipe.as_record(),
                data=data.spec.training_settings(),
                seed=seed,
                identity=digest,
                scheme=folds.name,
                folds_sha256=folds.sha256,
                classes=data.classes,
                caches=tuple(cache.folder.name for cache in on.caches),
                begun_with=_begun_with(data),
                resolved={**settled(), **({"pseudo": pseudo.record} if pseudo else {})},
                # of deep images, for photos that `predict` is given
                **({"levels": (levels.low, levels.high)} if levels else {}),
            ).write(run.record)
    record = RunRecord.read(run.record)
    need_same_settings(run.path, record, recipe, data)
    copied = frame_hash(read_folds(run.folds), folds.duplicates)
    if record.folds_sha256 != folds.sha256 or copied != folds.sha256:
        raise RunError(
            f"{run.path} was made with other folds ({record.folds_sha256[:8]}, now "
            f"{folds.sha256[:8]}); its predictions cannot be mixed with these: remove the "
            "directory, or restore the folds"
        )
    return Run(
        folder=run.path,
        recipe=recipe,
        seed=seed,
        folds=folds,
        classes=data.classes,
        record=record,
    )


@dataclass(frozen=True)
class Open:
    """What a recipe leaves open, and all but the data that settling it takes."""

    recipe: SizedRecipe
    folds: Folds
    rows: int  # in the training part of a fold
    wanted: tuple[int, ...]  # folds to plan for
    seconds: float  # that are left of a budget


def settle(data: CompetitionData, caches: Sequence[ImageCache], left: Open) -> dict[str, object]:
    """What `auto` and a budget become on this machine: `resolved` of run.json.

    Raises: RunError: see `tuning.settle`. SpecError: the budget is too short.
    """
    from foldwise.training.fitting import tuning

    ends = time.monotonic() + left.seconds
    recipe, channels = left.recipe, data.spec.images.channels
    values = tuning.settle(recipe, left.rows, len(data.classes), channels, left.folds.n)
    if recipe.loss == "auto":
        values["loss"] = LOSSES.name_of(recipe.loss_for(data.task.usual_loss))
    if recipe.cpus and values["device"] == "cpu":  # results depend on it
        values["threads"] = recipe.cpus
    if recipe.budget and recipe.stage:
        from foldwise.training.fitting.timing import plan

        values["plan"] = plan(
            RunData(competition=data, folds=left.folds, caches=caches),
            recipe.settle(values),
            left.rows,
            left.wanted,
            lambda: ends - time.monotonic(),
        ).model_dump(mode="json")
    return values


def open_runs(
    runs: Path,
    on: RunData,
    recipe: SizedRecipe,
    only_folds: Sequence[int] | None = None,
    since: float | None = None,
    settled: Callable[[Open], Mapping[str, object]] | None = None,
) -> list[Run]:
    """The runs of a recipe, one per seed, on the same data.

    For a recipe with a budget: only_folds, those to plan for, by default all; since, when its time
    began, as time.monotonic() has it, by default now. settled: gives what the recipe leaves open,
    by default `settle` on this machine.

    Raises: RunError: see `open_run` and `pseudo_labels`. SpecError: the budget is too short.
    """
    began = time.monotonic() if since is None else since
    data, folds = on.competition, on.folds
    taken = [pseudo_labels(runs, data, recipe, seed, folds) for seed in recipe.seeds]

    @functools.cache
    def settle_once() -> Mapping[str, object]:
        rows = int((folds.frame["fold"] > 0).sum())
        rows += len(taken[0].tables[0]) if taken[0] else 0
        wanted = tuple(range(folds.n) if only_folds is None else only_folds)
        seconds = began + seconds_of(recipe.budget) - time.monotonic() if recipe.budget else 0.0
        left = Open(recipe=recipe, folds=folds, rows=rows, wanted=wanted, seconds=seconds)
        return settled(left) if settled else settle(data, on.caches, left)

    return [
        open_run(runs, on, recipe, seed, settle_once, pseudo)
        for seed, pseudo in zip(recipe.seeds, taken, strict=True)
    ]
