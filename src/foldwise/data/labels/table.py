"""LabelTable: the checked rows of one part of a competition, whatever they were read from."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.config.competition import CompetitionSpec
from foldwise.data.labels.corrections import correct
from foldwise.data.labels.paths import image_paths
from foldwise.errors import DataError, LabelError, SpecError, alike, examples, nearest
from foldwise.kinds.rows import Rows, Tags
from foldwise.kinds.targets import Targets
from foldwise.tables.text import numeric, read_table, unique_ids
from foldwise.tasks import Task, task_of

SHARES, WEIGHT = "shares", "weight"  # columns of what training takes instead, and how much


@dataclass(frozen=True)
class LabelTable:
    """Rows of one part of a competition.

    frame: `id` (str, unique), `path` (str relative to raw; missing with a read_image hook),
           `group` (str or missing), and for training rows the task's target columns (see
           `Task.frame`). Optionally what training takes in the target's place, `shares` (of each
           class in class order, a float64 array (C,) per row), and `weight` (>= 0, of the row in
           the loss). Folds, metrics and reports know neither.
    source: the row that each id was read from as strings, same order, for hooks and checks.
    task: what is predicted.
    counts: what was ignored, left out or changed in reading, by what it is.
    """

    frame: pd.DataFrame
    source: pd.DataFrame
    task: Task
    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in class order."""
        return self.task.columns

    @property
    def targets(self) -> Targets:
        """The targets of training rows."""
        return self.task.targets(self.frame)

    def marks(self) -> Array:
        """1 where a row has a class, uint8 (n, C)."""
        return self.task.marks(self.targets)

    def soft_hash(self) -> str | None:
        """A hash over shares and weights that does not depend on the order of rows; None: none."""
        own = [name for name in (SHARES, WEIGHT) if name in self.frame]
        digest = hashlib.sha256("\x1f".join(own).encode())
        frame = self.frame.sort_values("id")
        for name in own:
            digest.update(np.stack([*frame[name]]).astype(np.float64).tobytes())
        return digest.hexdigest() if own else None

    def labels(self, separator: str = " ") -> "pd.Series[str]":
        """The label of each row as text; of several, joined."""
        return self.task.text(self.targets, separator)

    def where(self, keep: Array) -> "LabelTable":
        """The rows where keep, bool (n,), is True."""
        frame, source = (part[keep].reset_index(drop=True) for part in (self.frame, self.source))
        return replace(self, frame=frame, source=source)

    def without(self, ids: Sequence[str]) -> "LabelTable":
        """The table without these ids."""
        return self.where(~self.frame["id"].isin(ids).to_numpy()) if ids else self


def read_train(
    spec: CompetitionSpec, raw: Path, folder: Path, classes: Sequence[str] | None = None
) -> LabelTable:
    """The training rows by `[labels] format`, corrected as the spec says.

    folder: the competition's own. classes: the format file's class order, where it has one.
    Raises: DataError: a file or column is missing. LabelError: ids or labels are wrong.
    """
    rows = spec.labels.read(spec, raw, classes)
    if spec.labels.prefix:
        rows = replace(rows, ids=spec.labels.prefix + rows.ids)
    return label_table(correct(rows, spec, folder), spec, classes)


def read_test(spec: CompetitionSpec, raw: Path, task: Task, asked: pd.DataFrame) -> LabelTable:
    """The test rows, without labels: those of `[files] test`, else of the format file.

    asked: the format file's rows, each id once, with a column `id`. Raises: as `read_train` does.
    """
    template = spec.images.test_path or spec.images.path
    if spec.files.test is None:
        source, id, file = asked, "id", raw / str(spec.files.format)
    else:
        id, file = spec.labels.id, raw / spec.files.test
        source = read_table(file, [id])
    ids = unique_ids(source, id, file)
    paths = image_paths(source, template, id, file, raw) if template else None
    rows = Rows(source=source, ids=ids, tags=[], file=file, paths=paths)
    return unlabelled_table(rows, spec, task)


def unlabelled_table(rows: Rows, spec: CompetitionSpec, task: Task) -> LabelTable:
    """Test rows as a table without targets; their groups may be unknown."""
    frame = _frame(rows, spec, need_group=False)
    return LabelTable(frame=frame, source=rows.source, task=task)


def label_table(rows: Rows, spec: CompetitionSpec, given: Sequence[str] | None) -> LabelTable:
    """A reader's rows as a table with targets in class order.

    Raises: LabelError: a label is empty or no class, or weights are wrong.
            SpecError: shares are asked for, and there are none.
    """
    order = class_order(rows, spec, given)
    frame = _frame(rows, spec)
    _check_tags(rows.tags, order, rows)
    _add_soft(frame, rows, spec)
    task = task_of(order, spec.labels.target)
    targets = task.frame(task.encode(rows))
    whole = pd.concat([frame, targets], axis=1)
    return LabelTable(frame=whole, source=rows.source, task=task, counts=rows.counts)


def _add_soft(frame: pd.DataFrame, rows: Rows, spec: CompetitionSpec) -> None:
    """Put `shares` and `weight` into a frame, where `[labels]` says so. Raises: see label_table."""
    if spec.labels.soft_shares:
        if rows.shares is None:
            raise SpecError(
                "[labels] soft = true reads shares from class columns, but read_labels in "
                "adapter.py gives labels; leave soft out"
            )
        frame[SHARES] = list(rows.shares)
    if spec.labels.weight is None:
        return
    column = spec.labels.weight
    if column not in rows.source.columns:
        raise DataError(
            f"{rows.file} should have the weight column {column!r}{nearest(column, [*rows.source])}"
        )
    named = rows.source.assign(id=[*rows.ids])
    weights = numeric(named, [column], "id", rows.file)[:, 0]
    if (weights < 0).any() or not weights.any():
        bad = frame.loc[weights < 0, "id"]
        found = f"{len(bad)} are less, e.g. of id {examples(bad, 1)}" if len(bad) else "all are 0"
        raise LabelError(
            f"{rows.file}: weights in {column!r} should be 0 or more, and not all 0; "
            f"{found}; correct the column"
        )
    frame[WEIGHT] = weights


def class_order(rows: Rows, spec: CompetitionSpec, given: Sequence[str] | None) -> list[str]:
    """The class order: the format file's, else `[labels] classes`, else the reader's, else sorted.

    Sorted as numbers where all names are numbers, equal ones (10, 1e1) and NaN as text: the order
    depends on the set of names alone.
    Raises: LabelError: two names look the same, but are written in two Unicode forms.
    """
    for known in (given, spec.labels.classes, rows.order):
        if known:
            return list(dict.fromkeys(spec.labels.merge.get(name, name) for name in known))
    present = list({tag: None for tags in rows.tags for tag in tags if tag})
    _check_forms(present, rows)
    try:
        return sorted(present, key=_as_number)
    except ValueError:
        return sorted(present)


def _as_number(name: str) -> tuple[bool, float, str]:
    """A sort key. Raises: ValueError: the name is no number."""
    number = float(name)
    unknown = math.isnan(number)
    return unknown, 0.0 if unknown else number, name


def _check_forms(names: Sequence[str], rows: Rows) -> None:
    """Raises: LabelError: two classes are the same text in two Unicode forms."""
    forms: dict[str, str] = {}
    for name in names:
        other = forms.setdefault(normalize("NFC", name), name)
        if other != name:
            raise LabelError(
                f"{rows.file}: every class should be written in one way{alike([name], [other])}, "
                "or merge them with [labels.merge]"
            )


def _check_tags(tags: Tags, order: Sequence[str], rows: Rows) -> None:
    """Raises: LabelError: a label is not among the classes, or there is but one class."""
    if len(order) < 2 and not rows.order:
        raise LabelError(f"{rows.file}: expected at least two classes, got {examples(order)}")
    known = set(order)
    bad = [row for row, labels in enumerate(tags) if not known.issuperset(labels)]
    if bad:
        first = bad[0]
        name = next(tag for tag in tags[first] if tag not in known)
        raise LabelError(
            f"{rows.file}: {len(bad)} labels are not among the {len(order)} classes, e.g. "
            f"{name!r} of id {rows.ids.iloc[first]!r}{nearest(name, list(order))}"
        )


def _frame(rows: Rows, spec: CompetitionSpec, need_group: bool = True) -> pd.DataFrame:
    """The frame `id, path, group` of some rows; groups may be unknown where they are not needed."""
    frame = pd.DataFrame({"id": rows.ids.astype(str).reset_index(drop=True)})
    frame["path"] = rows.paths
    group, source = spec.labels.group_column, rows.source
    if group is None or (group not in source.columns and not need_group):
        frame["group"] = None
        return frame
    if group not in source.columns:
        raise DataError(
            f"{rows.file} should have the group column {group!r}{nearest(group, [*source])}"
        )
    empty = (source[group] == "").to_numpy()
    if empty.any():
        raise LabelError(
            f"{rows.file}: {empty.sum()} rows have no {group!r}, e.g. id "
            f"{examples(frame.loc[empty, 'id'], 1)}; give each its own group"
        )
    frame["group"] = source[group].reset_index(drop=True)
    return frame
