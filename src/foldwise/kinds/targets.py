"""Targets: the truth of some rows, as their task encodes it."""

from dataclasses import dataclass

from foldwise.arrays import Array, RowIndex


@dataclass(frozen=True, eq=False)
class Targets:
    """The truth of n rows; what `values` hold is known to the task that made them.

    values: of a multi-class task the class numbers, int64 (n,); of a multi-label task 1 where a row
    has a label, uint8 (n, C); of a regression task numbers, float64 (n, C).
    """

    values: Array

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: RowIndex) -> "Targets":
        """The targets of some rows: their numbers, a mask (n,), or a slice."""
        return Targets(self.values[rows])
