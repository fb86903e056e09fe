"""Columns of classes in our frames: a class may have any name, also that of one of our columns."""

from collections.abc import Iterable, Sequence

OWN_COLUMNS = (
    "id",
    "path",
    "group",
    "label",
    "part",
    "shares",
    "weight",
)  # columns of foldwise's own
MARK = "class:"


def columns_of(classes: Iterable[str], own: Sequence[str] = OWN_COLUMNS) -> list[str]:
    """The column of each class in a frame: its name, or `class:<name>` where that name is our own.

    So is that of a class called `class:id`: no two classes have one column. own: the frame's other
    columns; by default those of label tables, truths and predictions.
    """
    return [MARK + name if _bare(name) in own else name for name in classes]


def classes_of(columns: Iterable[str]) -> list[str]:
    """The classes that columns of classes stand for; undoes `columns_of`."""
    return [c.removeprefix(MARK) if _bare(c) in OWN_COLUMNS else c for c in columns]


def _bare(name: str) -> str:
    while name.startswith(MARK):
        name = name.removeprefix(MARK)
    return name
