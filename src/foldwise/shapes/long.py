"""Long: a row for each id and class."""

from collections.abc import Sequence
from pathlib import Path
from re import escape, match
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import field_validator

from foldwise.arrays import Array
from foldwise.errors import DataError
from foldwise.kinds.shape import FormatFile, SubmissionFormat
from foldwise.shapes.cells import Coded
from foldwise.shapes.numbers import as_text, check_probabilities
from foldwise.tables.text import numeric


class Long(Coded):
    """A row per id and class, with the probability.

    With three columns the second one names the class; with two the first one is a text of id and
    class, as `row` has it.
    """

    row_per_id: ClassVar[bool] = False
    keys_made: ClassVar[tuple[str, ...]] = ("class",)

    shape: Literal["long"] = "long"
    # With two columns: the text in the first one. Example: "{id}:{class}"
    row: str = "{id}_{class}"

    @field_validator("row")
    @classmethod
    def _has_both(cls, value: str) -> str:
        for field in ("{id}", "{class}"):
            if field not in value:
                raise ValueError(f"[submission] row must hold {field}, got {value!r}")
        return value

    def write(self, answers: Array, form: SubmissionFormat) -> pd.DataFrame:
        """A row per id and class with its probability."""
        rows, columns = self._cells(form)
        return form.fill({form.columns[-1]: as_text(answers[rows, columns])})

    def read(self, frame: pd.DataFrame, form: SubmissionFormat, path: Path) -> Array:
        """A probability in 0..1 per row."""
        values = numeric(frame, [form.columns[-1]], form.id_column, path)
        check_probabilities(path, values, list(frame[form.id_column]))
        rows, columns = self._cells(form)
        answers = np.zeros((len(form.ids), len(form.classes)))
        answers[rows, columns] = values[:, 0]
        return answers

    def keys(self, form: SubmissionFormat) -> list[str]:
        """All columns but the last."""
        return form.columns[:-1]

    def find_answers(self, file: FormatFile, classes: Sequence[str]) -> tuple[str, ...]:
        """The last of two or three columns."""
        others = file.others
        answer = self.column or (others[-1] if others else "")
        fits = len(others) in (1, 2) and answer == file.columns[-1]
        if not fits or len(file.header) != len(file.columns):
            raise self.misfit(file, "two or three columns, the answers in the last,")
        return (answer,)

    def find_ids(self, file: FormatFile, classes: Sequence[str]) -> list[str]:
        """With two columns an id is what stands beside its class."""
        keys = file.frame[file.id_column]
        if len(file.frame.columns) != 2:
            return list(keys)
        names = "|".join(escape(self.code(name)) for name in classes)
        known = f"(?:{names})" if names else "(.+)"
        pattern = escape(self.row).replace(escape("{id}"), "(?P<id>.+)")
        pattern = pattern.replace(escape("{class}"), known)
        found = [match(f"^{pattern}$", key) for key in keys]
        if not all(found):
            bad = keys.iloc[found.index(None)]
            raise DataError(
                f"{file.path}: {file.id_column!r} should read {self.row!r}, e.g. not "
                f"{bad!r}; correct [submission] row or [labels] classes"
            )
        return [hit["id"] for hit in found if hit]

    def blank_rows(
        self, ids: Sequence[str], classes: Sequence[str], columns: Sequence[str], id_column: str
    ) -> pd.DataFrame:
        """One for each id and class."""
        rows = super().blank_rows(ids, classes, columns, id_column)
        rows = rows.loc[np.repeat(rows.index, len(classes))].reset_index(drop=True)
        names = [self.code(name) for name in classes] * len(ids)
        if len(columns) == 2:
            parts = zip(rows[id_column], names, strict=True)
            rows[id_column] = [
                self.row.replace("{id}", id).replace("{class}", name) for id, name in parts
            ]
        else:
            rows[next(c for c in columns if c not in (id_column, columns[-1]))] = names
        return rows

    def check_rows(self, file: FormatFile, ids: Sequence[str], classes: Sequence[str]) -> None:
        """One for each id and class."""
        want = self.blank_rows(ids, classes, list(file.frame.columns), file.id_column)
        keys = list(file.frame.columns[:-1])
        if sorted(map(tuple, want[keys].values)) != sorted(map(tuple, file.frame[keys].values)):
            raise DataError(
                f"{file.path} should have one row for each of {len(ids)} ids and "
                f"{len(classes)} classes, it has {len(file.frame)} rows"
            )

    def _cells(self, form: SubmissionFormat) -> tuple[Array, Array]:
        """The number of the id and of the class of each row."""
        standard = form.for_ids(form.ids).frame[form.columns[:-1]]
        position = {key: number for number, key in enumerate(map(tuple, standard.to_numpy()))}
        keys = map(tuple, form.frame[form.columns[:-1]].to_numpy())
        numbers = np.array([position[key] for key in keys], dtype=np.int64)
        return numbers // len(form.classes), numbers % len(form.classes)
