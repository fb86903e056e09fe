"""The tags of cells that hold any number of them."""

from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.errors import LabelError, examples
from foldwise.kinds.rows import Tags


def split_tags(
    cells: "pd.Series[str]",
    ids: "pd.Series[str]",
    file: Path,
    separator: str = " ",
    none: str | None = None,
) -> Tags:
    """The tags of each cell.

    ids: of the rows, for errors. separator: between two tags. none: the tag that stands for no tag
    at all; "" for an empty cell.

    Raises: LabelError: a cell is empty and none of these is no answer, or a tag stands twice.
    """
    split = {
        cell: tuple(tag for part in cell.split(separator) if (tag := part.strip()))
        for cell in cells.unique()
    }
    if none is None and (empty := cells.map(lambda cell: not split[cell])).any():
        raise LabelError(
            f"{file}: {empty.sum()} rows have no tag, e.g. id {examples(ids[empty], 1)}; if that "
            'is a right answer, write none = "" into [labels]'
        )
    twice = cells.map(lambda cell: len(set(split[cell])) < len(split[cell]))
    if twice.any():
        first = int(np.flatnonzero(twice)[0])
        raise LabelError(
            f"{file}: {twice.sum()} rows repeat a tag, e.g. id {ids.iloc[first]!r}: "
            f"{cells.iloc[first]!r}; is {separator!r} the right separator?"
        )
    mixed = [cell for cell, tags in split.items() if none in tags and len(tags) > 1]
    if mixed:
        raise LabelError(
            f"{file}: {none!r} means no tag, but stands beside others, e.g. {mixed[0]!r}"
        )
    return [tuple(tag for tag in split[cell] if tag != none) for cell in cells]
