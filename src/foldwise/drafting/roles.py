"""Roles: which table holds the training rows, the labels, the test rows, the format file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from foldwise.drafting.matching import ImageIndex, Match, is_path, locate, match
from foldwise.drafting.survey import Survey, Table

FORMAT_NAMES = r"sample.?sub|submission|^sample"
SOLUTION = r"solution|truth|answers"
TEST = r"test|valid|^val"
LABEL_NAMES = r"label|target|annot"
ID_NAMES = r"(^|_|\b)(id|image|img|name|file|filename|uid|key)(_|\b|$)|[a-z]Id$|UID$"
REPEATED_SHARE = 0.1  # the share of rows whose id may stand in several
ID_CANDIDATES = 12  # columns of a table that are tried as ids


@dataclass(frozen=True)
class TableRole:
    """Training or test rows: their id column, how they lead to images, ids left out of them."""

    rows: pd.DataFrame
    id: str
    image: Match
    repeated: tuple[str, ...] = ()  # stood in several rows


@dataclass(frozen=True)
class Roles:
    """The tables by their key of [files]; the rows of train and test (else the format file's)."""

    files: dict[str, Table]
    train: TableRole | None = None
    test: TableRole | None = None

    @property
    def answers(self) -> list[str]:
        """The format file's columns but its ids."""
        return self.files["format"].columns[1:] if "format" in self.files else []

    @property
    def ids_collide(self) -> bool:
        """True where ids stand in train and test for different images."""
        train, test = self.train, self.test
        if not train or not test or train.image.templates == test.image.templates != ():
            return False
        return bool(train.rows[train.id].isin(test.rows[test.id]).any())


def find_roles(found: Survey) -> Roles:
    """The tables' roles by their names, their ids and the images that these lead to."""
    shape = next(
        (t for t in found.tables if _name_fits(t, FORMAT_NAMES) and len(t.columns) > 1), None
    )
    solution = next((t for t in found.tables if t is not shape and _name_fits(t, SOLUTION)), None)
    rest = [t for t in found.tables if t not in (shape, solution)]
    images = ImageIndex(found.images)
    ids = shape.frame.iloc[:, 0] if shape else pd.Series(dtype=str)
    train, part = _best(rest, {*ids}, [*shape.columns] if shape else [], images)
    labels = test = asked = None
    if train and part:
        rest = [t for t in rest if t is not train]
        labels, rows = _join(part, rest)
        if labels and _name_fits(train, LABEL_NAMES) and not _name_fits(labels, LABEL_NAMES):
            train, labels = labels, train
        part = replace(part, rows=rows, image=locate(rows, part.id, images, "train"))
    if shape:
        test, asked = _find_test(shape, rest, part.id if part else "id", images)
    files = {"train": train, "labels": labels, "test": test, "format": shape, "solution": solution}
    named = {key: table for key, table in files.items() if table}
    return Roles(files=named, train=part, test=asked)


def _find_test(
    shape: Table, tables: Sequence[Table], id: str, images: ImageIndex
) -> tuple[Table | None, TableRole]:
    """The table of the test rows, if there is one, and the rows that the format file asks for.

    id: the column with the ids of the training rows.
    """
    ids = shape.frame.iloc[:, 0]
    test = next((t for t in tables if {*t.frame.get(id, [])} == {*ids}), None)
    rows, id = (test.frame, id) if test else (shape.frame.assign(id=ids), "id")
    return test, TableRole(rows=rows, id=id, image=locate(rows, id, images, "test"))


def _join(part: TableRole, tables: Sequence[Table]) -> tuple[Table | None, pd.DataFrame]:
    """The table with the labels of a part's ids, if there is one, and the rows joined with it.

    Ids that stand several times cannot be joined.
    """
    ids = sorted(part.rows[part.id])
    pairs = [] if part.repeated else tables
    labels = next((t for t in pairs if sorted(t.frame.get(part.id, [])) == ids), None)
    if labels is None:
        return None, part.rows
    extra = [part.id, *(c for c in labels.columns if c not in part.rows.columns)]
    return labels, part.rows.merge(labels.frame[extra], on=part.id, validate="one_to_one")


def _best(
    tables: Sequence[Table], asked: set[str], known: list[str], images: ImageIndex
) -> tuple[Table, TableRole] | tuple[None, None]:
    """The table and id column that suit best as the training rows.

    A few rows may have the id of another; both are left out. asked: the format file's ids.
    """
    likely = {*known, *(c for t in tables for c in t.columns if asked and asked == {*t.frame[c]})}
    most = max((len(table.frame) for table in tables), default=0)
    found: list[tuple[float, Table, TableRole]] = []
    for table in (t for t in tables if len(t.columns) > 1):
        frame, base = table.frame, 3 * _name_fits(table, "train") - 6 * _name_fits(table, TEST)
        base += _name_fits(table, LABEL_NAMES)
        for column in [c for c in table.columns if _nearly_unique(frame[c])][:ID_CANDIDATES]:
            again = frame[column].duplicated(keep=False)
            rows = frame[~again].reset_index(drop=True)
            image, path = match(rows, column, images, "train"), is_path(rows[column])
            points = 2 * (column in likely) + bool(re.search(ID_NAMES, column, re.I)) + path / 2
            if image.share < (0.5 if again.any() else 0 if points else 0.1):
                continue
            here = len(rows) <= len(asked) and rows[column].isin(asked).mean() > 0.5
            if base + 4 * image.share - 6 * here >= 0:
                repeated = tuple(frame.loc[again, column].unique())
                part = TableRole(rows=rows, id=column, image=image, repeated=repeated)
                points += base + 7 * image.share - 6 * path - again.any() / 2
                found.append((points + 3 * len(rows) / most, table, part))
    return max(found, key=lambda entry: entry[0])[1:] if found else (None, None)


def _nearly_unique(cells: "pd.Series[str]") -> bool:
    """True where a column may hold ids: no empty cell, no decimals, few cells that come again."""
    decimal = cells.head(50).str.fullmatch(r"-?\d+\.\d*(e-?\d+)?|-?\d+e-?\d+").all()
    few = cells.duplicated(keep=False).mean() <= REPEATED_SHARE
    return bool(not decimal and few and (cells != "").all())


def _name_fits(table: Table, pattern: str) -> bool:
    """True where a CSV's name fits."""
    return not table.sql and bool(re.search(pattern, Path(table.name).name, re.I))
