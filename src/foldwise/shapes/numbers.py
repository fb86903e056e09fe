"""Numbers in a submission file's cells, and the column that holds an answer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foldwise.arrays import Array
from foldwise.errors import DataError, SpecError, SubmissionError, nearest
from foldwise.kinds.shape import FormatFile, Shape

DIGITS = "%.10g"  # 10 significant digits: 120 rounded values still sum to 1 within 1e-8


class OneColumn(Shape):
    """A shape whose answers stand in one column."""

    # The column with the answer; by default the only one beside the id. Example: "label"
    column: str | None = None

    def find_answers(self, file: FormatFile, classes: Sequence[str]) -> tuple[str, ...]:
        """The column that is named, or the only one beside the ids."""
        others = file.others
        answer = self.column or (others[-1] if others else "")
        if answer not in others or (len(others) > 1 and self.column is None):
            raise self.misfit(file, "an id column and one answer column")
        return (answer,)

    def misfit(self, file: FormatFile, wanted: str) -> DataError:
        """The error that a format file has other columns than those that are wanted."""
        return DataError(
            f"{file.path} should have {wanted} for shape = {self.shape!r}, got "
            f"{', '.join(file.columns)}; name them as [submission] id and column"
        )

    def make_answers(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The column's name, else `label`."""
        return (self.column or "label",)


def need_classes(named: Sequence[str], classes: Sequence[str]) -> None:
    """Check that `[submission]` names no other classes. Raises: SpecError: it does."""
    for name in named:
        if name not in classes:
            raise SpecError(f"[submission] names a class {name!r}{nearest(name, list(classes))}")


def as_text(values: Array) -> list[str]:
    """Numbers (n,) as a file's cells."""
    return [DIGITS % value for value in values]


def check_probabilities(path: Path, values: Array, ids: Sequence[str]) -> None:
    """Check the numbers of rows (n, columns). Raises: SubmissionError: some are outside 0 to 1."""
    outside = ((values < 0) | (values > 1)).any(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise SubmissionError(
            f"{path}: probabilities should lie in 0..1; {outside.sum()} rows do not, e.g. id "
            f"{ids[row]!r}: {values[row].min():g} to {values[row].max():g}"
        )
