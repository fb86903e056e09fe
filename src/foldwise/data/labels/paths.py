"""The image of each row of a table, by the templates of `[images] path`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.config.templates import columns_of, fill
from foldwise.errors import DataError, SpecError, examples, nearest
from foldwise.tables.listing import as_on_disk, present
from foldwise.tables.text import paths_inside


def image_paths(
    source: pd.DataFrame, templates: Sequence[str], id: str, file: Path, raw: Path
) -> list[str]:
    """The path below raw of each row's image, by the templates of `[images] path`.

    A template is filled with the row's columns; `{id}` is the id column. With several templates a
    row has the one whose file exists, or the first where none does.
    Raises: SpecError: a column is missing. DataError: a path leaves the raw folder, or several of
            a row's files exist.
    """
    options = [as_on_disk(raw, _fill(source, template, id, file)) for template in templates]
    if len(options) == 1:
        return options[0]
    there = np.array([present(raw, paths) for paths in options])  # (templates, n)
    several = np.flatnonzero(there.sum(axis=0) > 1)
    if len(several):
        both = [paths[several[0]] for paths in options]
        raise DataError(
            f"{file}: every row should have one image, {len(several)} have several, e.g. "
            f"{examples(both)}; give [images] path a template that tells them apart"
        )
    chosen = there.argmax(axis=0)
    return [options[number][row] for row, number in enumerate(chosen)]


def _fill(source: pd.DataFrame, template: str, id: str, file: Path) -> list[str]:
    columns = {name: id if name == "id" else name for name in columns_of(template)}
    for name in columns.values():
        if name not in source.columns:
            raise SpecError(
                f"[images] path = {template!r}: {file.name} has no column {name!r}"
                f"{nearest(name, [*source])}"
            )
    cells = {name: list(source[column]) for name, column in columns.items()}
    paths = fill(template, cells, len(source))
    paths_inside(paths, source[id], file)
    return paths
