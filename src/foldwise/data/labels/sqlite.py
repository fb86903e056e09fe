"""Label format of SQLite: a query's column is the class, or rules over its columns decide it."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from foldwise.arrays import Array
from foldwise.config.competition import CompetitionSpec
from foldwise.data.labels.paths import image_paths
from foldwise.data.labels.tables import TableLabels
from foldwise.errors import DataError, LabelError, examples, nearest
from foldwise.kinds.rows import Rows
from foldwise.kinds.settings import Strict
from foldwise.tables.text import REPEATED_ROWS, one_row_each, unique_ids

LEFT_OUT = "rows left out for a failure code"
TRUE = ("1", "1.0", "true", "yes")


class Limits(Strict):
    """The smallest and the largest number that pass; 0 is no limit."""

    min: float = 0  # The smallest number that passes; 0 is no limit. Example: 1
    max: float = 0  # The largest number that passes; 0 is no limit. Example: 4


class Rules(Strict):
    """Rules over a query's columns that decide between two classes.

    In this order: a row with a failure code is left out; a path below a no-folder is no, below a
    yes-folder yes; a set flag or a number outside its limits is no; the rest is yes.
    """

    yes: str = "yes"  # The class of the rows that pass. Example: "like"
    no: str = "no"  # The class of the rows that do not pass. Example: "pass"
    path: str = "path"  # The column with the path whose folders count. Example: "file"
    yes_folders: tuple[str, ...] = ()  # Folders whose rows pass. Example: ["kept"]
    no_folders: tuple[str, ...] = ()  # Folders whose rows do not pass. Example: ["rejected"]
    # Limits of columns with one number. Example: {num_people = {min = 1, max = 1}}
    number: dict[str, Limits] = Field(default_factory=dict)
    # Limits of each number in columns with several, separated by commas. Example: {ages = {min =
    # 18}}
    every: dict[str, Limits] = Field(default_factory=dict)
    # Flag columns: a row with 1, true or yes does not pass. Example: ["is_group"]
    forbidden: tuple[str, ...] = ()
    # Codes of failure by column: such rows are left out. Example: {status = ["error"]}
    failed: dict[str, tuple[str, ...]] = Field(default_factory=dict)

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


class Sqlite(TableLabels):
    """The rows of a SQL query; a column holds the class, or rules decide it."""

    format: Literal["sqlite"] = "sqlite"
    # SQL that selects the rows. Example: "SELECT path, label FROM pics"
    query: str = Field(min_length=1, examples=["SELECT path, label FROM pics"])
    column: str | None = None  # The column with the class. Example: "label"
    # Rules over the columns that decide between two classes, instead of `column`. Example:
    # {forbidden = ["is_group"]}
    rules: Rules | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read for ids and labels."""
        return self.id, *(self.rules.columns() if self.rules else [str(self.column)])

    def read(self, spec: CompetitionSpec, raw: Path, classes: Sequence[str] | None) -> Rows:
        """The rows of the query.

        Raises: DataError: the file is no SQLite database, the query fails or lacks a column.
                LabelError: ids are wrong, or a rule's column holds no number.
        """
        path = raw / str(spec.files.train)
        rules, column = self.rules, self.column
        source = query(path, self.query, self.columns)
        counts: dict[str, int] = {}
        if rules and rules.failed:
            failed = np.zeros(len(source), dtype=bool)
            for name, codes in rules.failed.items():
                failed |= source[name].isin(codes).to_numpy()
            counts = {LEFT_OUT: int(failed.sum())} if failed.any() else {}
            source = source[~failed].reset_index(drop=True)
        source, again = one_row_each(source, self.id, source.columns)
        counts |= {REPEATED_ROWS: again} if again else {}
        unique_ids(source, self.id, path, column)
        if rules:
            yes = decide_rows(source, rules, self.id, path)
            tags = [(rules.yes,) if is_yes else (rules.no,) for is_yes in yes]
        else:
            tags = [(label,) for label in source[str(column)]]
        paths = None
        if spec.images.path:
            paths = image_paths(source, spec.images.path, self.id, path, raw)
        order = (rules.no, rules.yes) if rules else None
        return Rows(
            source=source,
            ids=source[self.id],
            tags=tags,
            file=path,
            order=order,
            paths=paths,
            counts=counts,
        )

    @model_validator(mode="after")
    def _column_or_rules(self) -> "Sqlite":
        if bool(self.column) == bool(self.rules):
            raise ValueError('[labels] format = "sqlite" needs either column or [labels.rules]')
        return self


def query(path: Path, sql: str, needed: Sequence[str]) -> pd.DataFrame:
    """The rows of a query as text; NULL is "". The database is opened for reading alone.

    Raises: DataError: no such file, no database, the query fails, gives no row or lacks a column.
    """
    if not path.is_file():
        raise DataError(f"expected the file {path}, found none")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            cursor = connection.execute(sql)
            columns = [entry[0] for entry in cursor.description or ()]
            records = cursor.fetchall()
        finally:
            connection.close()
    except (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.Warning) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{path}: [labels] query fails: {why}; it is {sql!r}") from error
    except sqlite3.DatabaseError as error:
        raise DataError(f"{path} is no SQLite database ({error}); download it again") from error
    twice = [column for column in columns if columns.count(column) > 1]
    if twice:
        raise DataError(
            f"{path}: [labels] query should give every column a name of its own, "
            f"{twice[0]!r} stands twice; rename one with AS"
        )
    for column in needed:
        if column not in columns:
            raise DataError(
                f"{path}: [labels] query should give a column {column!r}{nearest(column, columns)}"
            )
    if not records:
        raise DataError(f"{path}: [labels] query gives no row; it is {sql!r}")
    values = zip(*records, strict=True)
    return pd.DataFrame(
        {c: pd.Series(_text(v), dtype=str) for c, v in zip(columns, values, strict=True)}
    )


def decide_rows(source: pd.DataFrame, rules: Rules, id: str, path: Path) -> Array:
    """Which rows are yes, bool (n,), by the rules in their stated order (see `Rules`).

    Raises: LabelError: a cell of a rule's column is no number.
    """
    yes = np.ones(len(source), dtype=bool)
    for column, limits in rules.number.items():
        values = _numbers(source[column], column, source[id], path)
        yes &= _within(values, limits)
    for column, limits in rules.every.items():
        cells = source[column].str.split(",").explode().str.strip()
        cells = cells[cells != ""]
        numbers = _numbers(cells, column, source[id].loc[cells.index], path)
        outside = cells.index[~_within(numbers, limits)]
        yes &= ~source.index.isin(outside)
    for column in rules.forbidden:
        yes &= ~source[column].str.lower().isin(TRUE).to_numpy()
    yes |= _below(source, rules.path, rules.yes_folders)
    return yes & ~_below(source, rules.path, rules.no_folders)


def _below(source: pd.DataFrame, column: str, folders: Sequence[str]) -> Array:
    """Which rows' paths lie in one of the folders, bool (n,)."""
    found = np.zeros(len(source), dtype=bool)
    for folder in folders:
        inner = f"/{folder.strip('/')}/"
        found |= ("/" + source[column]).str.contains(inner, regex=False).to_numpy()
    return found


def _within(values: Array, limits: Limits) -> Array:
    low = values >= limits.min if limits.min else np.ones(len(values), dtype=bool)
    return low & (values <= limits.max) if limits.max else low


def _numbers(cells: "pd.Series[str]", column: str, ids: "pd.Series[str]", path: Path) -> Array:
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        raise LabelError(
            f"{path}: {bad.sum()} values of {column!r} should be numbers, e.g. "
            f"{examples(cells[bad], 1)} of id {examples(ids[bad], 1)}; leave such rows out with "
            f'[labels.rules.failed] {column} = ["<the code>"]'
        )
    return values


def _text(values: Sequence[object]) -> list[str]:
    """Values as text: NULL is "", and a REAL 1.0 is the integer's "1"."""
    whole = (int(v) if isinstance(v, float) and v.is_integer() else v for v in values)
    return ["" if value is None else str(value) for value in whole]
