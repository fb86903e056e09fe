"""CompetitionSpec: the facts of a competition, from its competition.toml."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, FiniteFloat, field_validator, model_validator

from foldwise.config.adapter import kinds_of
from foldwise.config.labels import LABELS, Labels
from foldwise.config.loading import parse, read_toml
from foldwise.config.templates import columns_of
from foldwise.errors import SpecError, nearest
from foldwise.kinds.blending import BLENDINGS, Blending
from foldwise.kinds.bounds import Name, Seed, inside
from foldwise.kinds.folds import FOLDS, FoldScheme
from foldwise.kinds.metric import METRICS, Metric
from foldwise.kinds.platform import PLATFORMS, Platform
from foldwise.kinds.reader import READERS, ImageReader
from foldwise.kinds.settings import Strict
from foldwise.kinds.shape import SHAPES, Shape

BESIDE = ("public_share", "slug", "page")  # keys of a platform that may stand beside it


class Files(Strict):
    """Files of the download, relative to the raw folder."""

    train: str | None = None  # one row per training image (CSV; `sqlite`: the database)
    labels: str | None = None  # the labels, where they are not columns of `train`
    test: str | None = None  # one row per test image; without it the format file's rows count
    format: str | None = None  # the submission format file (sample submission)
    solution: str | None = None  # platform "local": the test rows' labels, read as those of train
    extra: tuple[str, ...] = ()  # other files that the adapter's hooks read

    def names(self) -> list[str]:
        """The distinct file names, in the order in which they are read."""
        listed = (self.train, self.labels, self.test, self.format, self.solution, *self.extra)
        return list(dict.fromkeys(name for name in listed if name))

    @field_validator("train", "labels", "test", "format", "solution")
    @classmethod
    def _inside_raw(cls, value: str | None) -> str | None:
        return inside(value, "the raw folder")

    @field_validator("extra")
    @classmethod
    def _all_inside_raw(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(inside(name, "the raw folder")) for name in value)


class Images(Strict):
    """Where an id's image lies and how it is read."""

    # template over the columns of the id's row; of several the one whose file is there
    path: tuple[str, ...] | None = ("{id}.jpg",)
    test_path: tuple[str, ...] | None = None  # the same for test rows, where it differs
    folders: tuple[str, ...] = ()  # folders that the download holds, named in the steps to get them
    mode: Literal["L", "RGB", "RGBA"] = "RGB"  # channels that the model sees
    skip: tuple[str, ...] = ()  # ids left out on purpose, counted in every report
    # images of more than 8 bits: the values that become black and white; by default from the data
    range: tuple[FiniteFloat, FiniteFloat] | None = None
    # readers of image files that are asked before foldwise's: an adapter's own
    readers: tuple[Annotated[ImageReader, READERS], ...] = ()

    @field_validator("range")
    @classmethod
    def _check_rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and value[0] >= value[1]:
            raise ValueError(f"should be [low, high], e.g. [0, 4095], got {list(value)}")
        return value

    @field_validator("path", "test_path", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("path", "test_path", "folders")
    @classmethod
    def _inside_raw(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return value and tuple(str(inside(path, "the raw folder")) for path in value)

    @field_validator("path", "test_path")
    @classmethod
    def _templates(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for path in value or ([] if value is None else [""]):
            columns_of(path)
        return value

    @property
    def channels(self) -> int:
        """The number of channels of a cached image."""
        return len(self.mode)


class Holdout(Strict):
    """Platform "local" without a test set: some training rows become one, by group if there is."""

    fraction: float = Field(default=0.2, ge=0.05, le=0.5)  # 1 / fraction is rounded
    seed: Seed = 42


class Outside(Strict):
    """A member of the blend from elsewhere: CSV or parquet files `id, *classes` in data/<name>."""

    name: str = Field(min_length=1)
    oof: str  # out-of-fold predictions of the training rows, for the folds of `submit`
    test: str

    @field_validator("oof", "test")
    @classmethod
    def _inside_data(cls, value: str) -> str | None:
        return inside(value, "the competition's data folder")


class Submit(Strict):
    """What `submit` trains and blends."""

    recipes: tuple[str, ...] = Field(min_length=1)
    folds: str = "default"
    blend: Annotated[Blending, BLENDINGS] = Field(default_factory=lambda: BLENDINGS.parse({}))
    chain: Literal["auto", "none"] = "auto"  # calibration, thresholds: as the metric asks, or none
    member: tuple[Outside, ...] = ()

    @field_validator("recipes")
    @classmethod
    def _different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := repeated_name(value):
            raise ValueError(wrong)
        return value


class CompetitionSpec(Strict):
    """The facts of one competition."""

    beside: ClassVar[tuple[str, ...]] = BESIDE

    name: Name
    title: str
    platform: Annotated[Platform, PLATFORMS]
    files: Files = Files()
    labels: Annotated[Labels, LABELS]
    images: Images = Images()
    metric: Annotated[Metric, METRICS] = Field(default_factory=lambda: METRICS.parse({}))
    submission: Annotated[Shape, SHAPES] = Field(default_factory=lambda: SHAPES.parse({}))
    holdout: Holdout | None = None
    folds: dict[str, Annotated[FoldScheme, FOLDS]]
    submit: Submit

    @model_validator(mode="before")
    @classmethod
    def _platform_as_table(cls, values: object) -> object:
        """Keys of `[platform]` may stand by themselves, at the top of the file."""
        if not isinstance(values, dict) or "platform" not in values:
            return values
        table = values["platform"]
        beside = [key for key in BESIDE if key in values]
        if not beside or not isinstance(table, str | dict):
            return values
        table = {"name": table} if isinstance(table, str) else table
        for key in beside:
            if key in table:
                raise ValueError(f"{key!r} stands both in [platform] and before it: keep one")
        rest = {key: value for key, value in values.items() if key not in beside}
        return {**rest, "platform": {**table, **{key: values[key] for key in beside}}}

    @model_validator(mode="after")
    def _consistent(self) -> "CompetitionSpec":
        for name in self.folds:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
                raise ValueError(
                    f"[folds.{name}]: a name is letters, digits, _ and - only, at most 100"
                )
        if self.submit.folds not in self.folds:
            found = nearest(self.submit.folds, list(self.folds))
            raise ValueError(f"[submit] folds = {self.submit.folds!r} is no [folds.*] table{found}")
        for name, scheme in self.folds.items():
            if scheme.grouped and self.labels.group_column is None:
                raise ValueError(f"[folds.{name}] kind = {scheme.kind!r} needs [labels] group")
        self._need_files()
        return self

    def _need_files(self) -> None:
        if self.labels.reads_tables and self.files.train is None:
            raise ValueError(f'[labels] format = "{self.labels.format}" needs [files] train')
        if (self.files.format is None) != (self.holdout is not None):
            raise ValueError(
                "a competition has either a format file ([files] format) or a [holdout] that "
                "makes a test set of some training rows"
            )
        if not self.platform.practice and (self.holdout or self.files.solution):
            raise ValueError('[holdout] and [files] solution belong to platform = "local"')
        if self.holdout and (self.files.test or self.files.solution):
            raise ValueError("[holdout] makes the test set: leave out [files] test and solution")
        if self.files.solution and not self.labels.reads_tables:
            tables = (name for name, kind in LABELS.every().items() if kind.reads_tables)
            known = " or ".join(f'"{name}"' for name in tables)
            raise ValueError(f"[files] solution is read by [labels] format = {known} alone")
        if self.labels.merge and self.submission.column_per_class and self.files.format:
            raise ValueError("[labels] merge would leave out a class that the format file asks for")

    @property
    def multi(self) -> bool:
        """True where an image has any number of labels."""
        return self.labels.many

    @property
    def task(self) -> str:
        """`regression`, `multi-label`, `binary` (one probability is asked for) or `multi-class`."""
        if self.labels.target != "class":
            return {"labels": "multi-label", "numbers": "regression"}[self.labels.target]
        two = self.submission.one_of_two or len(self.labels.classes or ()) == 2
        return "binary" if two else "multi-class"

    def training_settings(self) -> dict[str, object]:
        """The same with defaults: what a run's record holds."""
        return self.model_dump(mode="json", include={"files", "labels", "images"})

    def training_part(self) -> dict[str, object]:
        """What training depends on, where it differs from the defaults: `files, labels, images`.

        Metric, platform and fold definitions are left out. That defaults are, too, keeps runs
        where they are when an option is added.
        """
        own = {"files", "labels", "images"}
        return self.model_dump(mode="json", include=own, exclude_defaults=True)


def tables_of_manifest(tables: Mapping[str, object]) -> dict[str, object]:
    """The tables of a spec that a manifest of any version recorded, as this version reads them."""
    own = {
        key: keep_own(table)
        for key, keep_own in (("metric", METRICS.keep_own), ("submission", SHAPES.keep_own))
        if isinstance(table := tables.get(key), Mapping)
    }
    return {**tables, **own}


def load_competition(folder: Path) -> CompetitionSpec:
    """The spec in folder/competition.toml; its name is the folder's.

    Raises: SpecError: a key is unknown, missing or wrong, or a recipe of `[submit]` is missing.
    """
    path = folder / "competition.toml"
    table = {"name": folder.name, **read_toml(path)}
    spec = parse(CompetitionSpec, table, str(path), kinds_of(folder))
    available = recipe_names(folder)
    for recipe in spec.submit.recipes:
        if recipe not in available:
            found = nearest(recipe, available)
            raise SpecError(f"{path}: [submit] recipes: recipes/{recipe}.toml is missing{found}")
    return spec


def need_hooks(spec: CompetitionSpec, hooks: Mapping[str, object], folder: Path) -> None:
    """Check that the hooks that competition.toml asks for are there, before anything is trained.

    Raises: SpecError: one is not.
    """
    needed = {
        f'[labels] format = "{spec.labels.format}"': spec.labels.hook,
        f'[metric] name = "{METRICS.name_of(spec.metric)}"': spec.metric.hook,
    }
    for setting, hook in needed.items():
        if hook and hook not in hooks:
            raise SpecError(
                f"{folder}: {setting} needs {hook} in adapter.py; write it, or choose another "
                f"{setting.split()[1]}"
            )


def recipe_names(folder: Path) -> list[str]:
    """The names of a competition's recipes, sorted."""
    return sorted(p.stem for p in (folder / "recipes").glob("*.toml"))


def repeated_name(recipes: Sequence[str]) -> str | None:
    """What is wrong with a list of recipes' names that has one of them twice; None where none is.

    Two of them would be one run, and count twice in the blend.
    """
    for name in recipes:
        if recipes.count(name) > 1:
            return (
                f"recipes should be different ones, got {name!r} {recipes.count(name)} times; "
                "name it once (its `seeds` train it several times)"
            )
    return None
