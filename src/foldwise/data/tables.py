"""CSV files read as text: ids stay strings, nothing is guessed, what is wrong is said."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.errors import DataError, LabelError, examples, nearest


def read_table(path: Path, required: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV as a frame of strings; an empty cell is "".

    Raises: DataError: the file is missing, empty or no CSV, or lacks a required column.
    """
    if not path.is_file():
        raise DataError(f"expected the file {path}, found none")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty; download it again") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a readable CSV: {' '.join(str(error).split())}") from error
    if len(frame) and not isinstance(frame.index, pd.RangeIndex):  # first cells became row names
        raise DataError(
            f"{path}: rows should have {len(frame.columns)} cells as the header has, got more in "
            "the first row; put cells that hold a comma into quotes, and remove commas at line ends"
        )
    for column in required:
        if column not in frame.columns:
            found = nearest(column, list(frame.columns)[:20])
            raise DataError(f"{path} should have a column {column!r}{found}")
    if frame.empty:
        raise DataError(f"{path} has a header but no rows; download it again")
    return frame


def unique_ids(
    frame: pd.DataFrame, column: str, path: Path, label: str | None = None
) -> "pd.Series[str]":
    """The id column, checked; label names the label column, for a better message.

    Raises: LabelError: an id is empty or stands in two rows.
    """
    ids = frame[column]
    if (ids == "").any():
        row = int(np.flatnonzero(ids == "")[0]) + 2
        raise LabelError(f"{path}: {(ids == '').sum()} rows have no {column!r}, e.g. line {row}")
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        differ = ""
        if label is not None and label in frame.columns:
            several = frame[ids.isin(repeated)].groupby(column, sort=False)[label].unique()
            several = several[several.map(len) > 1]
            if len(several):
                differ = (f" ({len(several)} of them with different labels, e.g. "
                          f"{several.index[0]!r}: {examples(several.iloc[0])})")  # fmt: skip
        raise LabelError(
            f"{path}: every {column!r} must stand in one row, {len(repeated)} stand in several, "
            f"e.g. {examples(repeated)}{differ}; remove the extra rows"
        )
    return ids


def paths_inside(paths: Iterable[str], ids: Iterable[str], path: Path) -> None:
    """Check image paths, one for each id, read from the file `path`.

    Links that lie in the raw folder are the user's own, and followed; no archive brings any.
    Raises: DataError: one is absolute, leaves the raw folder, or is no path.
    """
    outside = [(id, p) for id, p in zip(ids, paths, strict=True)
               if p.startswith("/") or ".." in p.split("/") or "\0" in p]  # fmt: skip
    if outside:
        id, wrong = outside[0]
        raise DataError(
            f"{path}: image paths must stay inside raw, {len(outside)} do not, e.g. not {wrong!r} "
            f"of id {id!r}; correct the file, or get it again from the competition's own page"
        )


def join_on_id(left: pd.DataFrame, right: pd.DataFrame, id: str, names: str) -> pd.DataFrame:
    """Both tables joined one to one on the id column; a column that both have is left's.

    Raises: LabelError: an id stands in one of the two only.
    """
    for one, other in ((left, right), (right, left)):
        lonely = one.loc[~one[id].isin(other[id]), id]
        if len(lonely):
            where = names if one is left else " and ".join(reversed(names.split(" and ")))
            raise LabelError(
                f"{where} should hold the same ids; {len(lonely)} of {len(one)} are only in the "
                f"first, e.g. {examples(lonely)}"
            )
    extra = [c for c in right.columns if c == id or c not in left.columns]
    joined = left.merge(right[extra], on=id, how="left", validate="one_to_one")
    assert len(joined) == len(left)
    return joined


def numeric(frame: pd.DataFrame, columns: Sequence[str], id: str, path: Path) -> np.ndarray:
    """The columns as float64, shape (rows, columns); true and false count as 1 and 0.

    Raises: LabelError: a cell is empty, no number, or not finite.
    """
    text = frame[list(columns)]
    values = np.empty(text.shape, dtype=np.float64)
    for position, column in enumerate(columns):
        cells = text[column].str.strip().str.lower().replace({"true": "1", "false": "0"})
        values[:, position] = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column_at = bad[0]
        raise LabelError(
            f"{path}: {len(bad)} cells should be finite numbers, e.g. {id} "
            f"{frame[id].iloc[row]!r} has {text.iloc[row, column_at]!r} in {columns[column_at]!r}"
        )
    return values
