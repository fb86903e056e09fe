"""SubmissionFormat: the format file's columns and its ids, in the platform's order."""

from dataclasses import dataclass
from pathlib import Path

from foldwise.data.tables import read_table, unique_ids
from foldwise.errors import DataError


@dataclass(frozen=True)
class SubmissionFormat:
    """What a submission must look like: one row per test id, one probability column per class."""

    id_column: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The header, in order."""
        return [self.id_column, *self.classes]


def read_format(path: Path) -> SubmissionFormat:
    """The format file; its first column is the id, the others are the classes in class order.

    Raises: DataError: it is missing, damaged, or has fewer than two class columns.
            LabelError: an id is empty or repeated.
    """
    frame = read_table(path)
    id_column, *classes = list(frame.columns)
    if len(classes) < 2:
        raise DataError(
            f"{path} should have an id column and one column per class, "
            f"got {', '.join(frame.columns)}"
        )
    ids = unique_ids(frame, id_column, path)
    return SubmissionFormat(id_column, tuple(classes), tuple(ids))
