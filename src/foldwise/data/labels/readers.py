"""Label readers for CSVs: a class column, one column per class, or a list of tags in a cell."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.config.competition import CompetitionSpec
from foldwise.config.templates import columns_of
from foldwise.data.labels.folders import read_filenames, read_folders
from foldwise.data.labels.rows import Reader, Rows, Tags, image_paths
from foldwise.data.labels.sqlite import read_sqlite
from foldwise.errors import DataError, LabelError, SpecError, examples, nearest
from foldwise.tables.text import (
    REPEATED,
    join_on_id,
    numeric,
    one_row_each,
    read_table,
    unique_ids,
)

ROUNDED = 0.02  # how far a row's shares may be from 1: 0.33 three times
TIES = "rows with equal shares that got the first such class as label"


def read_class_column(spec: CompetitionSpec, raw: Path, given: Sequence[str] | None) -> Rows:
    """One column holds the class name. Raises: DataError, LabelError: see `csv_rows`."""
    column = str(spec.labels.column)
    source, file, counts = csv_rows(spec, raw, [column])
    _need_column(source, column, file)
    return _rows(spec, raw, source, [(name,) for name in source[column]], file, counts)


def read_class_columns(spec: CompetitionSpec, raw: Path, given: Sequence[str] | None) -> Rows:
    """One column per class: 1 (or 1.0, true) in those of the row's classes, else 0.

    With `[labels] soft` the cells are shares; see `_soft_rows` for what a row's label is then.
    Raises: SpecError: nothing names the class columns. DataError: one is missing.
            LabelError: a cell is no 0 or 1, or a single-label row has not exactly one 1; or cells
            are no shares.
    """
    order = tuple(spec.labels.classes or given or ())
    if spec.labels.soft and given:
        order = tuple(given)  # the class order, which shares stand in
    if not order:
        raise SpecError(
            'format = "class_columns" needs the class columns: in the format file (shape = '
            '"wide"), or as [labels] classes'
        )
    source, file, counts = csv_rows(spec, raw, order)
    for name in order:
        _need_column(source, name, file)
    values = numeric(source, order, spec.labels.id, file)  # (n, C)
    if spec.labels.soft:
        return _soft_rows(spec, values, _rows(spec, raw, source, [], file, counts, order))
    _check_hot(spec, source, values, order, file)
    names = np.asarray(order, dtype=object)
    tags = [tuple(names[row == 1]) for row in values]
    return _rows(spec, raw, source, tags, file, counts, tuple(given or order))


def _soft_rows(spec: CompetitionSpec, values: np.ndarray, rows: Rows) -> Rows:
    """Rows with shares: a row's label is its largest share's class, of equal ones the first.

    With many labels it has those whose share is at least 1/2. values: the shares, (n, C).
    Raises: LabelError: a share is outside 0 to 1, or a single-label row's do not sum to 1.
    """
    wrong = ((values < 0) | (values > 1)).any(axis=1)
    if not spec.multi:
        wrong |= np.abs(values.sum(axis=1) - 1) > ROUNDED
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        whole = "" if spec.multi else " and sum to 1 in each row"
        raise LabelError(
            f"{rows.file}: shares of classes should be 0 to 1{whole}, in {wrong.sum()} of "
            f"{len(values)} rows they are not, e.g. id {rows.ids.iloc[row]!r} has "
            f"{', '.join(f'{value:g}' for value in values[row][:5])}; divide votes by their number"
        )
    names = np.asarray(rows.order, dtype=object)
    if spec.multi:
        return replace(rows, tags=[tuple(names[row >= 0.5]) for row in values], shares=values)
    largest = values == values.max(axis=1, keepdims=True)
    ties = int((largest.sum(axis=1) > 1).sum())
    return replace(
        rows,
        tags=[(names[code],) for code in largest.argmax(axis=1)],
        shares=values / values.sum(axis=1, keepdims=True),
        counts=rows.counts | ({TIES: ties} if ties else {}),
    )


def read_delimited(spec: CompetitionSpec, raw: Path, given: Sequence[str] | None) -> Rows:
    """One column holds any number of tags with a separator between them.

    Raises: LabelError: a cell is empty, and `[labels] none` does not allow it, or it repeats a tag.
    """
    column = str(spec.labels.column)
    source, file, counts = csv_rows(spec, raw, [column])
    _need_column(source, column, file)
    tags = split_tags(spec, source[column], source[spec.labels.id], file)
    return _rows(spec, raw, source, tags, file, counts)


def split_tags(spec: CompetitionSpec, cells: pd.Series, ids: pd.Series, file: Path) -> Tags:
    """The tags of each cell; the tag of `[labels] none` stands for no tag at all.

    Where class columns hold the labels, an empty cell (of corrections) says so.

    Raises: LabelError: a cell is empty and none of these is no answer, or a tag stands twice.
    """
    separator, none = spec.labels.separator, spec.labels.none
    if spec.labels.format == "class_columns":
        none = ""
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


READERS: dict[str, Reader] = {
    "class_column": read_class_column,
    "class_columns": read_class_columns,
    "delimited": read_delimited,
    "filename": read_filenames,
    "folder": read_folders,
    "sqlite": read_sqlite,
}


def csv_rows(
    spec: CompetitionSpec, raw: Path, labels: Sequence[str]
) -> tuple[pd.DataFrame, Path, dict[str, int]]:
    """The rows of `[files] train`, joined with those of `labels`; the file with the labels; counts.

    Rows that repeat an id are one row where they agree in all that is read of them, and counted.
    labels: the columns with the labels. Raises: DataError: a file or column is missing.
    LabelError: ids are wrong.
    """
    id, path = spec.labels.id, raw / str(spec.files.train)
    source, again = _one_each(spec, read_table(path, [id]), labels)
    _one_image_per_id(spec, source, path, raw)
    unique_ids(source, id, path, spec.labels.column)
    if not spec.files.labels or spec.files.labels == spec.files.train:
        return source, path, {REPEATED: again} if again else {}
    labels_path = raw / spec.files.labels
    more, again_there = _one_each(spec, read_table(labels_path, [id]), labels)
    unique_ids(more, id, labels_path, spec.labels.column)
    joined = join_on_id(source, more, id, f"{path.name} and {labels_path.name}")
    again += again_there
    return joined, labels_path, {REPEATED: again} if again else {}


def _one_each(
    spec: CompetitionSpec, source: pd.DataFrame, labels: Sequence[str]
) -> tuple[pd.DataFrame, int]:
    """The rows without those that say again what an id's row says; and the number of these."""
    read = [name for path in spec.images.path or () for name in columns_of(path)]
    own = (spec.labels.group, spec.labels.weight)
    named = [*labels, *read, *(name for name in own if name)]
    return one_row_each(_once(spec, source), spec.labels.id, named)


def _rows(
    spec: CompetitionSpec,
    raw: Path,
    source: pd.DataFrame,
    tags: Tags,
    file: Path,
    counts: dict[str, int],
    order: tuple[str, ...] | None = None,
) -> Rows:
    id, template = spec.labels.id, spec.images.path
    paths = image_paths(source, template, id, file, raw) if template else None
    return Rows(source, source[id], tags, file, order, paths, counts)


def _once(spec: CompetitionSpec, source: pd.DataFrame) -> pd.DataFrame:
    """The rows with ids of `[images] skip` standing once: they are left out as a whole later."""
    if not spec.images.skip:
        return source
    shown = spec.labels.id_prefix + source[spec.labels.id]
    again = shown.isin(spec.images.skip) & shown.duplicated()
    return source[~again].reset_index(drop=True)


def _one_image_per_id(spec: CompetitionSpec, source: pd.DataFrame, path: Path, raw: Path) -> None:
    """Raises: LabelError: an id has several images: they would be one prediction together."""
    repeated = source[spec.labels.id].duplicated(keep=False)
    if not repeated.any() or not spec.images.path:
        return
    several = source[repeated]
    images = pd.Series(image_paths(several, spec.images.path, spec.labels.id, path, raw))
    counts = images.groupby(several[spec.labels.id].to_numpy()).nunique()
    if (counts > 1).any():
        raise LabelError(
            f"{path}: {(counts > 1).sum()} values of {spec.labels.id!r} have several images, e.g. "
            f"{counts.idxmax()!r} has {counts.max()}; one prediction from several images is "
            "beyond this version: choose the image's own id column, or keep one image of each"
        )


def _need_column(source: pd.DataFrame, column: str, file: Path) -> None:
    if column not in source.columns:
        raise DataError(f"{file} should have a column {column!r}{nearest(column, [*source])}")


def _check_hot(
    spec: CompetitionSpec,
    source: pd.DataFrame,
    values: np.ndarray,
    order: Sequence[str],
    file: Path,
) -> None:
    """Raises: LabelError: a cell is neither 0 nor 1, or a single-label row has not one 1."""
    ids = source[spec.labels.id]
    wrong = ~np.isin(values, (0, 1)).all(axis=1)
    if not spec.multi:
        wrong |= values.sum(axis=1) != 1
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    if spec.multi:
        raise LabelError(
            f"{file}: class columns should hold 0 and 1, {wrong.sum()} of {len(values)} rows do "
            f"not, e.g. id {ids.iloc[row]!r} has {values[row].max():g}; correct these rows"
        )
    others = source.iloc[row].drop([spec.labels.id, *order])
    unknown = [str(c) for c in others.index if others[c].lower() in ("1", "1.0", "true")]
    hint = f", and has 1 in {examples(unknown)}, no class of the format file" if unknown else ""
    raise LabelError(
        f"{file}: every row should hold a single 1 and zeros, {wrong.sum()} of {len(values)} "
        f"do not, e.g. id {ids.iloc[row]!r} sums to {values[row].sum():g}{hint}; correct these "
        "rows, or write multi = true where an image may have several labels"
    )
