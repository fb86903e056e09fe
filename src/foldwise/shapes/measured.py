"""Numbers: a file with the predicted numbers of a regression."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.errors import DataError, SubmissionError, examples
from foldwise.kinds.answer import Answer
from foldwise.kinds.shape import FormatFile, Shape, SubmissionFormat
from foldwise.shapes.numbers import as_text
from foldwise.tables.text import numeric


class Numbers(Shape):
    """Regression: a column per number, named as in the training file; a single one may differ."""

    holds: ClassVar[Answer] = "numbers"
    usual_metric: ClassVar[str] = "rmse"

    shape: Literal["numbers"] = "numbers"

    def write(self, answers: Array, form: SubmissionFormat) -> pd.DataFrame:
        """A column per number, with ten digits."""
        return form.fill({name: as_text(answers[:, c]) for c, name in enumerate(form.answers)})

    def read(self, frame: pd.DataFrame, form: SubmissionFormat, path: Path) -> Array:
        """Finite numbers. Raises: SubmissionError: a cell is none."""
        values = numeric(frame, form.answers, form.id_column, path)
        wrong = ~np.isfinite(values).all(axis=1)
        if wrong.any():
            row = int(wrong.argmax())
            raise SubmissionError(
                f"{path}: {examples(form.answers)} should be finite numbers; {wrong.sum()} rows "
                f"are not, e.g. id {form.ids[row]!r}: {values[row].tolist()}"
            )
        return values

    def find_answers(self, file: FormatFile, classes: Sequence[str]) -> tuple[str, ...]:
        """All columns beside the ids."""
        if not file.others:
            raise DataError(
                f"{file.path} should have an id column and a column for each number, got "
                f"{', '.join(file.columns)}; download it again"
            )
        return tuple(file.others)

    def check_rows(self, file: FormatFile, ids: Sequence[str], classes: Sequence[str]) -> None:
        """Check the columns against those that are predicted. Raises: DataError: they differ."""
        if len(classes) == len(file.answers) == 1 or tuple(classes) == file.answers:
            return
        raise DataError(
            f"{file.path} should have the columns {examples(classes, 5)} in this order beside the "
            f"ids, as [labels] column names them, got {examples(file.answers, 5)}; correct [labels]"
        )

    def make_answers(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The columns that are predicted."""
        return tuple(classes)
