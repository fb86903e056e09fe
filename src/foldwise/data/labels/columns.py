"""The label format with one column per class: 0 and 1, or shares."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import model_validator

from foldwise.arrays import Array
from foldwise.config.competition import CompetitionSpec
from foldwise.data.labels.tables import TableLabels
from foldwise.data.labels.tags import split_tags
from foldwise.errors import LabelError, SpecError, examples
from foldwise.kinds.rows import Rows, Tags
from foldwise.tables.text import numeric

ROUNDED = 0.02  # how far a row's shares may be from 1: 0.33 three times
TIES = "rows with equal shares that got the first such class as label"


class ClassColumns(TableLabels):
    """A column per class: 1 (or 1.0, true) where the row has the class, else 0."""

    format: Literal["class_columns"] = "class_columns"
    multi: bool = False  # Whether an image may have several labels, or none. Example: true
    # Whether the columns hold shares from 0 to 1, as votes of annotators give them. Example: true
    soft: bool = False

    def read(self, spec: CompetitionSpec, raw: Path, classes: Sequence[str] | None) -> Rows:
        """The rows of the table.

        With `soft` the cells are shares; see `_soft_rows` for what a row's label is then.
        Raises: SpecError: nothing names the class columns. DataError: one is missing.
                LabelError: a cell is no 0 or 1, or a single-label row has not exactly one 1; or
                cells are no shares.
        """
        order = tuple(self.classes or classes or ())
        if self.soft and classes:
            order = tuple(classes)  # the class order, which shares stand in
        if not order:
            raise SpecError(
                'format = "class_columns" needs the class columns: in the format file (shape = '
                '"wide"), or as [labels] classes'
            )
        rows = self.source(spec, raw, order)
        values = numeric(rows.source, order, self.id, rows.file)  # (n, C)
        if self.soft:
            return self._soft_rows(values, replace(rows, order=order))
        self._check_hot(rows, values, order)
        names = np.asarray(order, dtype=object)
        tags = [tuple(names[row == 1]) for row in values]
        return replace(rows, tags=tags, order=tuple(classes or order))

    def split(self, cells: "pd.Series[str]", ids: "pd.Series[str]", file: Path) -> Tags:
        """The labels of each cell, with blanks between them; an empty cell has none."""
        if not self.multi:
            return super().split(cells, ids, file)
        return split_tags(cells, ids, file, none="")

    @property
    def many(self) -> bool:
        """True where an image has any number of labels."""
        return self.multi

    @property
    def soft_shares(self) -> bool:
        """True where training takes shares of classes in the place of labels."""
        return self.soft

    @model_validator(mode="after")
    def _whole_labels(self) -> "ClassColumns":
        if self.soft and (self.merge or self.overrides):
            raise ValueError(
                "[labels] merge and overrides change whole labels, and with soft = true a row has "
                "shares of several; change these in the file, and leave merge and overrides out"
            )
        return self

    def _soft_rows(self, values: Array, rows: Rows) -> Rows:
        """Rows with shares: a row's label is its largest share's class, of equal ones the first.

        With many labels it has those whose share is at least 1/2. values: the shares, (n, C).
        Raises: LabelError: a share is outside 0 to 1, or a single-label row's do not sum to 1.
        """
        wrong = ((values < 0) | (values > 1)).any(axis=1)
        if not self.multi:
            wrong |= np.abs(values.sum(axis=1) - 1) > ROUNDED
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            whole = "" if self.multi else " and sum to 1 in each row"
            raise LabelError(
                f"{rows.file}: shares of classes should be 0 to 1{whole}, in {wrong.sum()} of "
                f"{len(values)} rows they are not, e.g. id {rows.ids.iloc[row]!r} has "
                f"{', '.join(f'{value:g}' for value in values[row][:5])}; "
                "divide votes by their number"
            )
        names = np.asarray(rows.order, dtype=object)
        if self.multi:
            return replace(rows, tags=[tuple(names[row >= 0.5]) for row in values], shares=values)
        largest = values == values.max(axis=1, keepdims=True)
        ties = int((largest.sum(axis=1) > 1).sum())
        return replace(
            rows,
            tags=[(names[code],) for code in largest.argmax(axis=1)],
            shares=values / values.sum(axis=1, keepdims=True),
            counts=rows.counts | ({TIES: ties} if ties else {}),
        )

    def _check_hot(self, rows: Rows, values: Array, order: Sequence[str]) -> None:
        """Raises: LabelError: a cell is neither 0 nor 1, or a single-label row has not one 1."""
        source, ids, file = rows.source, rows.ids, rows.file
        wrong = ~np.isin(values, (0, 1)).all(axis=1)
        if not self.multi:
            wrong |= values.sum(axis=1) != 1
        if not wrong.any():
            return
        row = int(np.flatnonzero(wrong)[0])
        if self.multi:
            raise LabelError(
                f"{file}: class columns should hold 0 and 1, {wrong.sum()} of {len(values)} rows "
                f"do not, e.g. id {ids.iloc[row]!r} has {values[row].max():g}; correct these rows"
            )
        others = source.iloc[row].drop([self.id, *order])
        unknown = [str(c) for c in others.index if others[c].lower() in ("1", "1.0", "true")]
        hint = f", and has 1 in {examples(unknown)}, no class of the format file" if unknown else ""
        raise LabelError(
            f"{file}: every row should hold a single 1 and zeros, {wrong.sum()} of {len(values)} "
            f"do not, e.g. id {ids.iloc[row]!r} sums to {values[row].sum():g}{hint}; correct these "
            "rows, or write multi = true where an image may have several labels"
        )
