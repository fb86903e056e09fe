"""Findings: what check has to say."""

from dataclasses import asdict, dataclass, field
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


class Understood(TypedDict, total=False):
    """What was understood: what the task says of its targets, and the keys below.

    classes: the share of the training rows of each. changes: numbers of rows by what was done.
    copies: numbers of images and of their rows. folds: by scheme.
    """

    task: str
    train_rows: int
    test_rows: int
    classes: dict[str, float]
    format: dict[str, object]
    metric: str
    image_mode: str
    changes: dict[str, int]
    groups: GroupCounts
    images: dict[str, object]
    levels: str
    copies: dict[str, int]
    folds: dict[str, dict[str, object]]
    group_alone: dict[str, object]


@dataclass
class Findings:
    """What `check` found: `errors` stop a run, `warnings` want a look, `facts` were understood."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: Understood = field(default_factory=Understood)

    @property
    def ok(self) -> bool:
        """True where nothing stops a run."""
        return not self.errors

    def document(self) -> dict[str, object]:
        """The findings as one JSON document: `ok, errors, warnings, facts`."""
        return {"ok": self.ok, **asdict(self)}

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
