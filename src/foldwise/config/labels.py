"""Labels: how a competition's ids, labels and groups are read."""

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from foldwise.kinds.bounds import inside
from foldwise.kinds.settings import Strict

TABLES = ("class_column", "class_columns", "delimited", "sqlite")  # formats that read [files] train
FOLDERS = ("filename", "folder")  # formats that list the images below [labels] roots
TAKEN = ("path", "root", "folder", "name", "inner")  # their own columns: no group of a pattern

# the keys that only some formats know
KEYS = {
    "column": ("class_column", "delimited", "sqlite"),
    "separator": ("delimited", "hook"),
    "none": ("delimited", "hook"),
    "roots": FOLDERS,
    "pattern": FOLDERS,
    "query": ("sqlite",),
    "rules": ("sqlite",),
    "multi": ("class_columns", "hook"),
    "soft": ("class_columns",),
    "id_prefix": TABLES,
}
NEEDS = {
    "class_column": ("column",),
    "delimited": ("column",),
    "filename": ("roots", "pattern"),
    "folder": ("roots",),
    "sqlite": ("query",),
}
EXAMPLES = {
    "column": '"<the label column>"',
    "roots": '["train"]',
    "pattern": "'(?P<label>.+)_\\d+\\.jpg$'",
    "query": '"SELECT path, label FROM pics"',
}


class Limits(Strict):
    """The smallest and the largest number that pass; 0 is no limit."""

    min: float = 0
    max: float = 0


class Rules(Strict):
    """Rules over a query's columns that decide between two classes.

    In this order: a row with a failure code is left out; a path below a no-folder is no, below a
    yes-folder yes; a set flag or a number outside its limits is no; the rest is yes.
    """

    yes: str = "yes"  # the names of the two classes
    no: str = "no"
    path: str = "path"  # the column whose folders count
    yes_folders: tuple[str, ...] = ()
    no_folders: tuple[str, ...] = ()
    number: dict[str, Limits] = Field(
        default_factory=dict
    )  # limits of a column with one number: num_people
    every: dict[str, Limits] = Field(
        default_factory=dict
    )  # limits of each number of a comma-separated column: ages
    forbidden: tuple[str, ...] = ()  # flag columns: 1 (or true, yes) makes a row no
    failed: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # failure codes by column

    def columns(self) -> list[str]:
        """The columns that the rules read."""
        path = [self.path] if self.yes_folders or self.no_folders else []
        return list(
            dict.fromkeys([*path, *self.number, *self.every, *self.forbidden, *self.failed])
        )

    @model_validator(mode="after")
    def _two(self) -> "Rules":
        if self.yes == self.no:
            raise ValueError(f"yes and no must be two classes, both are {self.yes!r}")
        return self


class Labels(Strict):
    """How ids, labels and groups are read."""

    format: Literal[
        "class_column",  # a CSV column holds the class
        "class_columns",  # one CSV column per class: one-hot, or multi-hot with multi = true
        "delimited",  # a CSV column holds any number of tags
        "filename",  # a regular expression finds the class in an image's path
        "folder",  # the folder below a root is the class
        "sqlite",  # a query's column, or rules over its columns
        "hook",  # read_labels in adapter.py
    ]
    id: str = "id"  # the id column of every CSV but the format file
    id_prefix: str = ""  # put before training ids where test has the same ones for other images
    column: str | None = None  # the label column
    multi: bool = False  # an image may have several labels, or none
    soft: bool = False  # class columns hold shares of 0 to 1, as annotators' votes give them
    weight: str | None = None  # column of numbers that say how much a row counts in the loss
    separator: str = Field(default=" ", min_length=1)  # between two tags of a cell
    none: str | None = None  # the tag (or an empty cell) that says: none of these
    roots: tuple[str, ...] = ()  # folders of training images, searched to any depth
    # searched in the path below the root (`bird/a_17.jpg`); named groups: label, id, group
    pattern: str | None = None
    query: str | None = None  # SQL whose columns are the rows' columns
    rules: Rules | None = None
    classes: tuple[str, ...] | None = None  # class order where the format file has none
    group: str | None = None  # column whose rows belong together: site, patient, driver
    merge: dict[str, str] = Field(default_factory=dict)  # old label -> new label
    overrides: str | None = None  # a CSV `id,label` of corrections in the competition's folder

    @property
    def many(self) -> bool:
        """True where an image has any number of labels."""
        return self.multi or self.format == "delimited"

    @property
    def group_column(self) -> str | None:
        """The column of groups: a CSV's, or the pattern's own."""
        own = "group" if self.pattern and "group" in re.compile(self.pattern).groupindex else None
        return self.group or own

    @field_validator("overrides")
    @classmethod
    def _inside_folder(cls, value: str | None) -> str | None:
        return inside(value, "the competition's folder")

    @field_validator("roots")
    @classmethod
    def _inside_raw(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(inside(root, "the raw folder")) for root in value)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            groups = re.compile(value or "").groupindex
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{value!r} is no regular expression: {error}") from None
        for name in groups:
            if name in TAKEN:
                raise ValueError(f"no group can be called {name!r}, a column of foldwise's own")
        return value

    @field_validator("classes")
    @classmethod
    def _different(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        names = value or ()
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"every class must be named once, {twice!r} is named twice")
        return value

    @model_validator(mode="after")
    def _complete(self) -> "Labels":
        for key in NEEDS.get(self.format, ()):
            if not getattr(self, key):
                raise ValueError(f'[labels] format = "{self.format}" needs {key} = {EXAMPLES[key]}')
        for key, formats in KEYS.items():
            if key in self.model_fields_set and self.format not in formats:
                known = " or ".join(f'"{name}"' for name in formats)
                raise ValueError(f"[labels] {key} belongs to format = {known}")
        if self.format == "filename" and "label" not in re.compile(self.pattern or "").groupindex:
            raise ValueError("[labels] pattern needs a named group (?P<label>...)")
        if self.format == "sqlite" and bool(self.column) == bool(self.rules):
            raise ValueError('[labels] format = "sqlite" needs either column or [labels.rules]')
        if self.soft and (self.merge or self.overrides):
            raise ValueError(
                "[labels] merge and overrides change whole labels, and with soft = true a row has "
                "shares of several; change these in the file, and leave merge and overrides out"
            )
        chains = [old for old, new in self.merge.items() if new in self.merge]
        if chains:
            raise ValueError(f"[labels] merge: {chains[0]!r} leads to a label that is merged too")
        return self
