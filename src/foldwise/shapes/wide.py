"""Wide: a probability column per class."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.errors import DataError, SubmissionError, examples
from foldwise.kinds.shape import FormatFile, Shape, SubmissionFormat
from foldwise.shapes.numbers import as_text, check_probabilities
from foldwise.tables.text import numeric

TOLERANCE = 1e-5  # rows may sum to 1 within this; graders are known that refuse 1.1e-5


class Wide(Shape):
    """A column per class, with its probability."""

    column_per_class: ClassVar[bool] = True

    shape: Literal["wide"] = "wide"

    def write(self, answers: Array, form: SubmissionFormat) -> pd.DataFrame:
        """One probability column per class."""
        return form.fill({name: as_text(answers[:, c]) for c, name in enumerate(form.classes)})

    def read(self, frame: pd.DataFrame, form: SubmissionFormat, path: Path) -> Array:
        """Probabilities in 0..1; with one label per image each row sums to 1."""
        values = numeric(frame, form.classes, form.id_column, path)
        check_probabilities(path, values, form.ids)
        sums = values.sum(axis=1)
        off = np.abs(sums - 1) > TOLERANCE
        if off.any() and form.task.sums_to_one:
            row = int(np.flatnonzero(off)[0])
            raise SubmissionError(
                f"{path}: every row should sum to 1 within {TOLERANCE:g}; {off.sum()} do not, "
                f"e.g. id {form.ids[row]!r} sums to {sums[row]:.9g}"
            )
        return values

    def find_answers(self, file: FormatFile, classes: Sequence[str]) -> tuple[str, ...]:
        """The columns of the classes, or all beside the ids."""
        others = file.others
        if len(others) < 2:
            raise DataError(
                f"{file.path} should have an id column and one column per class, got "
                f"{', '.join(file.columns)}; where one column is the whole answer, write "
                '[submission] shape = "positive", "label", "top" or "tags"'
            )
        lacking = [name for name in classes if name not in others]
        if lacking:
            raise DataError(
                f"{file.path} should have a column for every class of [labels] classes, it "
                f"lacks {examples(lacking)}; correct one of the two"
            )
        return tuple(c for c in others if c in classes) if classes else tuple(others)

    def make_answers(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The classes."""
        return tuple(classes)
