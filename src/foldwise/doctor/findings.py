"""Findings: what check has to say."""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from foldwise.store.data_records import FindingsRecord
from foldwise.store.layout import DataFolder


class GroupCounts(TypedDict):
    """The column of the groups, and how many of them train and test have, and both."""

    column: str
    train: int
    test: int | None
    shared: int | None


class FormatFacts(TypedDict):
    """The format file, or what stands for it, and its size."""

    file: str
    rows: int
    columns: int
    shape: str


class ImageFacts(TypedDict):
    """Numbers of files, of different sizes and by mode; lowest and highest width and height."""

    files: int
    sizes: int
    width: list[int]
    height: list[int]
    modes: dict[str, int]


class FoldFacts(TypedDict):
    """A fold scheme, the rows of its smallest and its largest fold, and what is settled."""

    kind: str
    n: int
    seed: int
    smallest: int
    largest: int
    saved: bool
    copies_together: bool


class Understood(TypedDict, total=False):
    """What was understood: what the task says of its targets, and the keys below.

    classes: the share of the training rows of each. numbers: `low, high, mean, deviation` of each
    column of a regression. changes: numbers of rows by what was done. copies: numbers of images
    and of their rows. folds: by scheme.
    """

    task: str
    train_rows: int
    test_rows: int
    classes: dict[str, float]
    labels_per_row: float
    rows_without_label: int
    numbers: dict[str, dict[str, float]]
    format: FormatFacts
    metric: str
    image_mode: str
    changes: dict[str, int]
    groups: GroupCounts
    images: ImageFacts
    levels: str
    copies: dict[str, int]
    folds: dict[str, FoldFacts]
    group_alone: dict[str, object]


@dataclass
class Findings:
    """What `check` found: `errors` stop a run, `warnings` want a look, `facts` were understood.

    parts: the part of the competition that an error or a warning is about, by its text.
    """

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: Understood = field(default_factory=Understood)
    parts: dict[str, str] = field(default_factory=dict)

    def assign(self, part: str) -> None:
        """Note that errors and warnings which belong to no part yet are about this one."""
        for message in (*self.errors, *self.warnings):
            self.parts.setdefault(message, part)

    @property
    def ok(self) -> bool:
        """True where nothing stops a run."""
        return not self.errors

    def document(self) -> dict[str, object]:
        """The findings as one JSON document: `ok, errors, warnings, facts`."""
        found = {"errors": self.errors, "warnings": self.warnings, "facts": self.facts}
        return {"ok": self.ok, **deepcopy(found)}

    def save(self, home: Path, by: str) -> None:
        """Keep them for reports, in a competition's data folder, under who looked.

        by: `check`, which looks at every image, or `submit`, which does not. Folds are left out:
        whether they are saved yet is a fact of the moment.
        """
        path = DataFolder(home).findings
        if not home.is_dir():  # nothing has been downloaded
            return
        known = FindingsRecord.read_if_there(path) or FindingsRecord()
        facts = {key: value for key, value in self.facts.items() if key != "folds"}
        found = {**self.document(), "facts": facts}
        if getattr(known, by) != found:
            known.model_copy(update={by: found}).write(path)
