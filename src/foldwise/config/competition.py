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

    # The table of the training images, a row for each (CSV; with the label format `sqlite` the
    # database). Example: "train.csv"
    train: str | None = None
    # The table of their labels, where they are not columns of `train`; joined on the id. Example:
    # "train_labels.csv"
    labels: str | None = None
    # The table of the test images; without it the rows of the format file are the test set.
    # Example: "test.csv"
    test: str | None = None
    # The submission format file, which platforms call sample submission. Example:
    # "sample_submission.csv"
    format: str | None = None
    # With `platform = "local"` alone: the labels of the test rows, read as those of `train` are.
    # Example: "solution.csv"
    solution: str | None = None
    # Other files that the hooks of `adapter.py` read. Example: ["annotations.json"]
    extra: tuple[str, ...] = ()

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
    """Where the images lie and how they are read."""

    # Where the image of a row lies: a template over the row's columns. Of several templates, the
    # one whose file exists counts. Example: "train/{id}.png"
    path: tuple[str, ...] | None = ("{id}.jpg",)
    # The same for test rows, where it differs. Example: "test/{id}.png"
    test_path: tuple[str, ...] | None = None
    # Folders of images that the download holds, named where `data` says what to download. Example:
    # ["train", "test"]
    folders: tuple[str, ...] = ()
    # The channels that the model sees: grey, colour, or colour with transparency. Example: "L"
    mode: Literal["L", "RGB", "RGBA"] = "RGB"
    # Ids that are left out on purpose; every report counts them. Example: ["ZJ000017"]
    skip: tuple[str, ...] = ()
    # Which values become black and white in images of more than 8 bits; by default the range of the
    # data. Example: [0, 4095]
    range: tuple[FiniteFloat, FiniteFloat] | None = None
    # Image readers that are asked before foldwise's, as one of `adapter.py` for another format.
    # Example: ["jpeg_xl"]
    readers: tuple[Annotated[ImageReader, READERS], ...] = ()

    @field_validator("range")
    @classmethod
    def _check_rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and value[0] >= value[1]:
            raise ValueError(f"should be [low, high], e.g. [0, 4095], got {list(value)}")
        return value

    @field_validator(
        "path", "test_path", mode="before", json_schema_input_type=str | tuple[str, ...] | None
    )
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
    """Makes a test set of some training rows, of whole groups if there are any."""

    # The share of the training rows that becomes the test set; 1 / `fraction` is rounded. Example:
    # 0.25
    fraction: float = Field(default=0.2, ge=0.05, le=0.5)
    seed: Seed = 42  # The seed of the split. Example: 42


class Outside(Strict):
    """A blend member from elsewhere: CSV or parquet files `id, *classes` below `data/NAME`."""

    name: str = Field(min_length=1)  # What reports call the member. Example: "theirs"
    # Its out-of-fold predictions of the training rows, made with the folds of `[submit]`. Example:
    # "oof.csv"
    oof: str
    test: str  # Its predictions of the test rows. Example: "test.csv"

    @field_validator("oof", "test")
    @classmethod
    def _inside_data(cls, value: str) -> str | None:
        return inside(value, "the competition's data folder")


class Submit(Strict):
    """What `submit` trains and blends."""

    # The recipes that are trained and blended, by name. Example: ["baseline"]
    recipes: tuple[str, ...] = Field(min_length=1)
    folds: str = "default"  # The fold scheme, by the name of its `[folds.NAME]`. Example: "by_site"
    # How the runs become one prediction: a blend method. Example: "climb"
    blend: Annotated[Blending, BLENDINGS] = Field(default_factory=lambda: BLENDINGS.parse({}))
    # What follows the blend: calibration, thresholds or cut points, as the metric asks, or nothing.
    # Example: "none"
    chain: Literal["auto", "none"] = "auto"
    # Predictions made outside foldwise that join the blend. Example: [{name = "theirs", oof =
    # "oof.csv", test = "test.csv"}]
    member: tuple[Outside, ...] = ()

    @field_validator("recipes")
    @classmethod
    def _different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := repeated_name(value):
            raise ValueError(wrong)
        return value


class CompetitionSpec(Strict):
    """The facts of a competition."""

    beside: ClassVar[tuple[str, ...]] = BESIDE

    name: Name
    title: str  # The competition's name for people. Example: "Ten kinds of birds"
    platform: Annotated[Platform, PLATFORMS]  # Where submissions go: a platform. Example: "kaggle"
    files: Files = Files()  # The files of the download.
    labels: Annotated[Labels, LABELS]  # How ids, labels and groups are read: a label format.
    images: Images = Images()  # Where the images lie and how they are read.
    # What submissions are scored by: a metric. Example: "f1"
    metric: Annotated[Metric, METRICS] = Field(default_factory=lambda: METRICS.parse({}))
    # What the submission file holds: a shape. Example: {shape = "wide"}
    submission: Annotated[Shape, SHAPES] = Field(default_factory=lambda: SHAPES.parse({}))
    # Makes a test set of some training rows, for a practice board. Example: {fraction = 0.2}
    holdout: Holdout | None = None
    # Fold schemes by name. Example: {default = {kind = "stratified", n = 5, seed = 42}}
    folds: dict[str, Annotated[FoldScheme, FOLDS]]
    submit: Submit  # What `submit` trains and blends. Example: {recipes = ["baseline"]}

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
