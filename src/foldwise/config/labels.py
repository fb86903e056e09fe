"""Labels: how a competition's ids, labels and groups are read, a kind for each format."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pandas as pd
from pydantic import Field, field_validator, model_validator

from foldwise.errors import SpecError
from foldwise.kinds.answer import Target
from foldwise.kinds.bounds import inside
from foldwise.kinds.family import Family, Kind
from foldwise.kinds.rows import Rows, Tags

if TYPE_CHECKING:
    from foldwise.config.competition import CompetitionSpec


class Labels(Kind):
    """How ids, labels and groups are read: what every format has, and what others ask of it."""

    reads_tables: ClassVar[bool] = False  # [files] train and solution are what it reads
    hook: ClassVar[str | None] = None  # the hook of adapter.py that it needs

    format: str
    id: str = "id"  # The id column of every CSV but the format file. Example: "image_id"
    # A column of numbers by which a row's training loss is multiplied. Example: "votes"
    weight: str | None = None
    # The classes in order, where the format file does not name them. Example: ["cat", "dog"]
    classes: tuple[str, ...] | None = None
    # The column whose rows belong together and are never split between folds: a site, a patient.
    # Example: "site"
    group: str | None = None
    # Classes that become another one, by the old name. Example: {puma = "cougar"}
    merge: dict[str, str] = Field(default_factory=dict)
    # A CSV `id,label` of corrections, in the competition's folder. Example: "corrections.csv"
    overrides: str | None = None

    def read(self, spec: "CompetitionSpec", raw: Path, classes: Sequence[str] | None) -> Rows:
        """The training rows, as they stand in the download.

        spec: the competition, whose labels these are. raw: its raw folder. classes: the format
        file's class columns, where it has some.

        Raises: DataError: a file or column is missing. LabelError: ids or labels are wrong.
        """
        raise SpecError(
            f'[labels] format = "{self.format}" reads nothing by itself; give its class in '
            "adapter.py a method read(self, spec, raw, classes) that returns Rows"
        )

    def split(self, cells: "pd.Series[str]", ids: "pd.Series[str]", file: Path) -> Tags:
        """The labels that cells of corrections or of a hook stand for, one of each row.

        ids: of the rows, for errors. file: named in errors.

        Raises: LabelError: a cell is no list of labels, where the format has several to a row.
        """
        return [(cell,) for cell in cells]

    @property
    def many(self) -> bool:
        """True where an image has any number of labels."""
        return False

    @property
    def target(self) -> Target:
        """What a row's label is."""
        return "labels" if self.many else "class"

    @property
    def soft_shares(self) -> bool:
        """True where training takes shares of classes in the place of labels."""
        return False

    @property
    def group_column(self) -> str | None:
        """The column of groups."""
        return self.group

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders below raw whose images are the training rows; () where a file has them."""
        return ()

    @property
    def prefix(self) -> str:
        """What is put before training ids."""
        return ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read for ids and labels, class columns aside."""
        return (self.id,)

    @field_validator("overrides")
    @classmethod
    def _inside_folder(cls, value: str | None) -> str | None:
        return inside(value, "the competition's folder")

    @field_validator("classes")
    @classmethod
    def _different(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        names = value or ()
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"every class must be named once, {twice!r} is named twice")
        return value

    @model_validator(mode="after")
    def _merged_once(self) -> "Labels":
        chains = [old for old, new in self.merge.items() if new in self.merge]
        if chains:
            raise ValueError(f"[labels] merge: {chains[0]!r} leads to a label that is merged too")
        return self


LABELS = Family(
    base=Labels,
    key="format",
    package="foldwise.data.labels",
    known={
        "class_column": "tables:ClassColumn",  # a CSV column holds the class
        "class_columns": "columns:ClassColumns",  # a CSV column per class: one-hot or multi-hot
        "delimited": "tables:Delimited",  # a CSV column holds any number of tags
        "number": "numbers:Number",  # a CSV column holds a number, or several do
        "filename": "folders:FileName",  # a regular expression finds the class in an image's path
        "folder": "folders:FolderName",  # the folder below a root is the class
        "sqlite": "sqlite:Sqlite",  # a query's column, or rules over its columns
        "hook": "hook:HookLabels",  # read_labels in adapter.py
    },
    called="label format",
)
