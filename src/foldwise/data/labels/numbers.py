"""The label format of numbers: a column, or several, each a target of regression."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from foldwise.config.competition import CompetitionSpec
from foldwise.data.labels.tables import TableLabels
from foldwise.errors import LabelError
from foldwise.kinds.answer import Target
from foldwise.kinds.rows import Rows
from foldwise.tables.text import numeric


class Number(TableLabels):
    """Regression: one column, or several, hold the numbers to predict."""

    format: Literal["number"] = "number"
    # The column with the number, or several of them. Example: "age"
    column: tuple[str, ...] = Field(min_length=1, examples=["<the column with the number>"])

    @field_validator("column", mode="before", json_schema_input_type=str | tuple[str, ...])
    @classmethod
    def _several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @property
    def target(self) -> Target:
        """Numbers."""
        return "numbers"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read for ids and labels."""
        return self.id, *self.column

    def read(self, spec: CompetitionSpec, raw: Path, classes: Sequence[str] | None) -> Rows:
        """The rows of the table.

        Raises: DataError, LabelError: see `source`; or a cell is no finite number.
        """
        rows = self.source(spec, raw, self.column)
        values = numeric(rows.source, self.column, self.id, rows.file)
        wrong = ~np.isfinite(values).all(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            raise LabelError(
                f"{rows.file}: {', '.join(map(repr, self.column))} should hold finite numbers, "
                f"{wrong.sum()} of {len(values)} rows do not, e.g. id {rows.ids.iloc[row]!r} has "
                f"{values[row].tolist()}; correct these rows"
            )
        return replace(rows, numbers=values, order=self.column)

    @model_validator(mode="after")
    def _no_classes(self) -> "Number":
        for key in ("classes", "merge", "overrides"):
            if getattr(self, key):
                raise ValueError(f'[labels] {key} is of classes, and format = "number" has none')
        return self
