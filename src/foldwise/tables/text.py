"""CSV files read as text: ids stay strings, nothing is guessed, what is wrong is said."""

from collections.abc import Iterable, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.errors import (
    DataError,
    LabelError,
    alike,
    examples,
    nearest,
)
from foldwise.kinds.bounds import short, too_long

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
COMPRESSED = (".zip", ".gz", ".bz2", ".xz", ".zst")  # pandas opens these
REPEATED_ROWS = "rows left out that repeat an id and its labels"
INDEX = "Unnamed: 0"  # what pandas calls a first column without a name, as its `to_csv` writes one


def read_table(path: Path, required: Sequence[str] = ()) -> pd.DataFrame:
    """A CSV as a frame of strings; an empty cell is "", a column without a name `Unnamed: <n>`.

    Raises: DataError: the file is missing, empty or no CSV with commas in UTF-8; a column stands
            twice, or a required one is lacking.
    """
    header = read_header(path)
    frame = _parse(path)
    if len(frame) and not isinstance(frame.index, pd.RangeIndex):  # first cells became row names
        raise DataError(
            f"{path}: rows should have {len(frame.columns)} cells as the header has, got more in "
            "the first row; put cells that hold a comma into quotes, and remove commas at line ends"
        )
    for column in required:
        if column not in frame.columns:
            found = _other_separator(header, column) or nearest(column, list(frame.columns)[:20])
            raise DataError(f"{path} should have a column {column!r}{found}")
    if frame.empty:
        raise DataError(f"{path} has a header but no rows; download it again")
    return frame


def read_header(path: Path) -> list[str]:
    """The cells of a CSV's first line, as they are: a column without a name is "".

    Raises: DataError: the file is missing, empty or no CSV, its cells have another separator than a
            comma, or a name stands twice.
    """
    if not path.is_file():
        raise DataError(f"expected the file {path}, found none")
    header = [*_parse(path, header_alone=True).fillna("").iloc[0].astype(str)]
    for mark, name in SEPARATORS.items():
        if len(header) == 1 and len([cell for cell in header[0].split(mark) if cell]) > 1:
            raise DataError(
                f"{path} should have commas between its cells, but has {name}, as in "
                f"{header[0][:60]!r}; save it with commas"
            )
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        places = [str(place) for place, name in enumerate(header, 1) if name == twice[0]]
        raise DataError(
            f"{path}: every column should have a name of its own, {len(set(twice))} names stand "
            f"twice, e.g. {twice[0]!r} in columns {' and '.join(places)}; rename or remove one"
        )
    return header


def is_index(frame: pd.DataFrame) -> bool:
    """True where the first column is no data: it has no name, and counts the rows."""
    if frame.columns[0] != INDEX:
        return False
    cells = pd.to_numeric(frame[INDEX], errors="coerce").to_numpy(dtype=np.float64)
    return bool((np.diff(cells) == 1).all() and cells[0] in (0, 1))


def _parse(path: Path, header_alone: bool = False) -> pd.DataFrame:
    """What pandas reads, all text. header_alone: the first line, as a row.

    Raises: DataError: the file is empty, or no CSV in UTF-8.
    """
    try:
        if path.suffix.lower() not in COMPRESSED and _holds_nul(path):
            raise DataError(f"{path} should be UTF-8 text, {_no_text(path.read_bytes())}")
        return pd.read_csv(
            path,
            header=None if header_alone else "infer",
            nrows=1 if header_alone else None,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty; download it again") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} should be UTF-8 text, {_no_text(path.read_bytes())}") from None
    except pd.errors.ParserError as error:
        why = " ".join(str(error).split())
        hint = "put cells that hold a comma into quotes, and remove commas at line ends"
        if "EOF inside string" in why:
            hint = 'a " opens a cell there that no other closes: correct that line'
        raise DataError(f"{path} is not a readable CSV: {why}; {hint}") from error


def _holds_nul(path: Path) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return data.find(b"\0") >= 0


def _no_text(data: bytes) -> str:
    """What bytes are that should be UTF-8, and what to do."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or data[:1000].count(0) > len(data[:1000]) / 4:
        return "but is UTF-16; save it as UTF-8, e.g. with iconv -f UTF-16 -t UTF-8"
    if 0 in data:
        line = data[: data.index(0)].count(b"\n") + 1
        return f"but holds a NUL byte in line {line}: it is damaged; download it again"
    for number, text in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            text.decode()
        except UnicodeDecodeError:
            shown = text.decode("cp1252", errors="replace")[:60]
            return (
                f"but line {number} is not; in Windows-1252 it reads {shown!r}: save the file "
                "as UTF-8, e.g. with iconv -f WINDOWS-1252 -t UTF-8"
            )
    return "but is not; save it as UTF-8"


def _other_separator(header: Sequence[str], column: str) -> str:
    """A hint where the column stands between other separators than commas; else ""."""
    for mark, name in SEPARATORS.items():
        if any(column in cell.split(mark) for cell in header if mark in cell):
            return f"; its cells are separated by {name}: save it with commas"
    return ""


def one_row_each(frame: pd.DataFrame, id: str, columns: Iterable[str]) -> tuple[pd.DataFrame, int]:
    """The frame without rows that repeat an id and agree in these columns; and their number.

    Columns that the frame has not are passed over. Rows that differ stay, for `unique_ids` to find.
    """
    if not frame[id].duplicated().any():
        return frame, 0
    kept = [name for name in dict.fromkeys([id, *columns]) if name in frame.columns]
    again = frame.duplicated(kept) & (frame[id] != "")
    return frame[~again].reset_index(drop=True), int(again.sum())


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
                differ = (
                    f" ({len(several)} of them with different labels, e.g. "
                    f"{several.index[0]!r}: {examples(several.iloc[0])})"
                )
        what_next = alike(repeated[:1], []) or "; remove the extra rows"
        raise LabelError(
            f"{path}: every {column!r} must stand in one row, {len(repeated)} stand in several, "
            f"e.g. {examples(repeated)}{differ}{what_next}"
        )
    return ids


def paths_inside(paths: Iterable[str], ids: Iterable[str], path: Path) -> None:
    """Check image paths, one for each id, read from the file `path`.

    Links that lie in the raw folder are the user's own, and followed; no archive brings any.
    Raises: DataError: one is absolute, leaves the raw folder, or is no path, as one too long.
    """
    outside = [
        (id, p)
        for id, p in zip(ids, paths, strict=True)
        if p.startswith("/") or ".." in p.split("/") or "\0" in p or too_long(p)
    ]
    if outside:
        id, wrong = outside[0]
        raise DataError(
            f"{path}: image paths must stay inside raw, {len(outside)} do not, e.g. not "
            f"{short(wrong)} of id {short(id)}; correct the file, or get it again from the "
            "competition's own page"
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
                f"first, e.g. {examples(lonely)}{alike(lonely, other[id])}"
            )
    extra = [c for c in right.columns if c == id or c not in left.columns]
    joined = left.merge(right[extra], on=id, how="left", validate="one_to_one")
    assert len(joined) == len(left)
    return joined


def numeric(frame: pd.DataFrame, columns: Sequence[str], id: str, path: Path) -> Array:
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
