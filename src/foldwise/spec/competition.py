"""CompetitionSpec: the facts of a competition, from its competition.toml."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from foldwise.errors import SpecError, nearest
from foldwise.spec.loading import Strict, parse, read_toml


class Files(Strict):
    """CSV files, relative to the raw folder."""

    train: str  # one row per training image
    test: str  # one row per test image
    format: str  # the submission format file (sample submission)
    labels: str | None = None  # the labels, where they are not columns of `train`

    def names(self) -> list[str]:
        """The distinct file names, in the order in which they are read."""
        listed = (self.train, self.labels, self.test, self.format)
        return list(dict.fromkeys(name for name in listed if name))

    @field_validator("train", "test", "format", "labels")
    @classmethod
    def _inside_raw(cls, value: str | None) -> str | None:
        return _relative(value)


class Labels(Strict):
    """How ids, labels and groups are read from the CSVs."""

    format: Literal["class_column", "class_columns", "hook"]
    id: str = "id"  # the id column of every CSV but the format file, whose first column it is
    column: str | None = None  # the label column of `class_column`
    classes: tuple[str, ...] | None = None  # class order where the format file has none
    group: str | None = None  # column whose rows belong together: site, patient, driver

    @model_validator(mode="after")
    def _complete(self) -> "Labels":
        if self.format == "class_column" and self.column is None:
            raise ValueError('[labels] format = "class_column" needs column = "<the label column>"')
        if self.format != "class_column" and self.column is not None:
            raise ValueError('[labels] column belongs to format = "class_column"')
        return self


class Images(Strict):
    """Where an id's image lies and how it is read."""

    path: str | None = "{id}.jpg"  # template over the columns of the id's CSV row; null with a hook
    test_path: str | None = None  # the same for test rows, where it differs
    folders: tuple[str, ...] = ()  # folders that the download holds, named in the steps to get them
    mode: Literal["L", "RGB", "RGBA"] = "RGB"  # channels that the model sees
    skip: tuple[str, ...] = ()  # ids left out on purpose, counted in every report

    @field_validator("path", "test_path")
    @classmethod
    def _inside_raw(cls, value: str | None) -> str | None:
        return _relative(value)

    @property
    def channels(self) -> int:
        """The number of channels of a cached image."""
        return len(self.mode)


class Metric(Strict):
    """The competition's own metric with its constants."""

    name: Literal["log_loss", "hook"] = "log_loss"
    clip: float = Field(default=1e-15, gt=0, lt=0.1)  # probabilities are clipped to [clip, 1-clip]
    rescale: bool = True  # divide each row by its sum first, as Kaggle does


class FoldScheme(Strict):
    """A named way to split the training rows."""

    kind: Literal["stratified", "group", "stratified_group"]
    n: int = Field(default=5, ge=2, le=100)
    seed: int = Field(default=0, ge=0)
    allow_missing: tuple[str, ...] = ()  # classes that a fold's training part may lack


class Submit(Strict):
    """What `submit` trains and blends."""

    recipes: tuple[str, ...] = Field(min_length=1)
    folds: str = "default"
    blend: Literal["mean", "geometric"] = "mean"


class CompetitionSpec(Strict):
    """The facts of one competition."""

    name: str
    title: str
    platform: Literal["local", "kaggle", "drivendata"]
    slug: str | None = None  # the platform's own name for the competition
    page: str | None = None  # where a person reads about it and downloads the data
    files: Files
    labels: Labels
    images: Images = Images()
    metric: Metric = Metric()
    folds: dict[str, FoldScheme]
    submit: Submit

    @model_validator(mode="after")
    def _consistent(self) -> "CompetitionSpec":
        for name in self.folds:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise ValueError(f"[folds.{name}]: a name is letters, digits, _ and - only")
        if self.submit.folds not in self.folds:
            found = nearest(self.submit.folds, list(self.folds))
            raise ValueError(f"[submit] folds = {self.submit.folds!r} is no [folds.*] table{found}")
        for name, scheme in self.folds.items():
            if scheme.kind != "stratified" and self.labels.group is None:
                raise ValueError(f"[folds.{name}] kind = {scheme.kind!r} needs [labels] group")
        return self

    @property
    def practice(self) -> bool:
        """True when the leaderboard is on this machine; its ledger is then data, not history."""
        return self.platform == "local"

    def training_part(self) -> dict[str, object]:
        """What training depends on; metric, platform and fold definitions are left out."""
        return self.model_dump(mode="json", include={"files", "labels", "images"})


def load_competition(folder: Path) -> CompetitionSpec:
    """The spec in folder/competition.toml; its name is the folder's.

    Raises: SpecError: a key is unknown, missing or wrong, or a recipe of `[submit]` is missing.
    """
    path = folder / "competition.toml"
    spec = parse(CompetitionSpec, {"name": folder.name, **read_toml(path)}, str(path))
    available = recipe_names(folder)
    for recipe in spec.submit.recipes:
        if recipe not in available:
            found = nearest(recipe, available)
            raise SpecError(f"{path}: [submit] recipes: recipes/{recipe}.toml is missing{found}")
    return spec


def recipe_names(folder: Path) -> list[str]:
    """The names of a competition's recipes, sorted."""
    return sorted(p.stem for p in (folder / "recipes").glob("*.toml"))


def _relative(value: str | None) -> str | None:
    if value is not None and (Path(value).is_absolute() or ".." in Path(value).parts):
        raise ValueError(f"{value!r} must be a path inside the raw folder")
    return value
