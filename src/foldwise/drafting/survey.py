"""Survey: what lies in a folder, before anything is known about it: tables, images, the rest."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldwise.data.images.opening import open_image
from foldwise.data.labels.sqlite import query
from foldwise.errors import DataError
from foldwise.tables.listing import CLUTTER, files_below, is_image, readable
from foldwise.tables.text import is_index, read_table

OPENED = 48  # images opened, to see sizes and modes
SHOWN_COLUMNS = 8  # columns of a table named in a line
NOT_UTF8 = "its name is no UTF-8; rename it"
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz")
TABLE_SUFFIXES = (".csv", ".db", ".sqlite", ".sqlite3")


@dataclass(frozen=True, eq=False)
class Table:
    """A CSV or a database's table: `frame` holds text alone. `sql` reads the latter."""

    name: str  # the file, relative to the folder
    frame: pd.DataFrame
    sql: str | None = None

    @property
    def columns(self) -> list[str]:
        """The header, in order."""
        return list(self.frame.columns)

    def line(self) -> str:
        """The table in one line."""
        counts = self.frame[self.columns[:SHOWN_COLUMNS]].nunique()
        shown = ", ".join(f"{column} ({n} value{'s' * (n != 1)})" for column, n in counts.items())
        more = (
            f" and {len(self.columns) - SHOWN_COLUMNS} more"
            if len(self.columns) > SHOWN_COLUMNS
            else ""
        )
        return f"{self.name}: {len(self.frame)} rows, columns {shown}{more}"


@dataclass(frozen=True)
class Survey:
    """What lies in a folder; images and others are paths relative to it.

    sizes: (width, height) of some dozens of images from all folders; modes: theirs, as Pillow
    names them. unreadable: files that should be a table or an image, with what is wrong.
    """

    tables: list[Table]
    images: tuple[str, ...]
    others: tuple[str, ...]
    sizes: list[tuple[int, int]]
    modes: list[str]
    unreadable: dict[str, str]


def survey(folder: Path) -> Survey:
    """What lies in a folder: every table is read, every folder listed, a few images opened.

    Raises: DataError: there is no such folder, or it holds neither a table nor an image.
    """
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "nothing"
        raise DataError(
            f"expected the folder of an unpacked download at {folder}, got {kind}; unpack the "
            "download first, then name its folder"
        )
    paths, odd = files_below(folder, CLUTTER)
    unreadable = {readable(path): NOT_UTF8 for path in paths if readable(path) != path}
    paths = [path for path in paths if readable(path) == path]
    images = [path for path in paths if is_image(path)]
    others = [
        path for path in paths if not is_image(path) and not path.lower().endswith(TABLE_SUFFIXES)
    ]
    if len(others) == len(paths) and not any(path.endswith(".json") for path in others):
        raise DataError(
            f"expected tables (.csv, .db) or images in {folder}, got {len(others)} other files"
            f"{', e.g. ' + repr(others[0]) if others else ''}; unpack the download's archives "
            "first, then name the folder"
        )
    others += [readable(path) for path in odd]
    found = Survey(
        tables=[],
        images=tuple(images),
        others=tuple(others),
        sizes=[],
        modes=[],
        unreadable=unreadable,
    )
    some = {*images[:: -(-len(images) // OPENED) or 1]}
    for path in paths:
        try:
            if path.lower().endswith(TABLE_SUFFIXES):
                found.tables.extend(_tables(folder, path))
            elif path in some:
                with open_image(folder / path) as opened:
                    found.sizes.append(opened.size)
                    found.modes.append(opened.mode)
        except (DataError, sqlite3.Error) as error:
            found.unreadable[path] = str(error).replace(f"{folder}/", "")
    return found


def _tables(folder: Path, path: str) -> list[Table]:
    """The tables of a CSV or a database."""
    if path.lower().endswith(".csv"):
        frame = read_table(folder / path)
        index = is_index(frame) and len(frame.columns) > 1
        own = frame.drop(columns=frame.columns[0]) if index else frame
        return [Table(name=path, frame=own)]
    names = query(folder / path, "SELECT name FROM sqlite_master WHERE type = 'table'", [])
    queries = ['SELECT * FROM "{}"'.format(n.replace('"', '""')) for n in names["name"]]
    return [Table(name=path, frame=query(folder / path, sql, []), sql=sql) for sql in queries]
