"""Predictions frames: `id` and one float64 probability column per class, in class order.

The frame `id, *classes` has the columns that `columns_of` gives its classes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from foldwise.arrays import Array
from foldwise.errors import PredictionError, examples, strays
from foldwise.kinds.columns import classes_of, columns_of
from foldwise.store.files import need_readable, replace_file

MANY_CLASSES = 1000  # above this, files hold float32
BUFFERED_NUMBERS = 4_000_000  # numbers in memory before they are written: 32 MB


def predictions_frame(ids: Iterable[str], probs: Array, classes: Sequence[str]) -> pd.DataFrame:
    """The frame `id, *classes` of probs (n, C).

    Raises: PredictionError: see `check_predictions`.
    """
    frame = pd.DataFrame(np.asarray(probs, dtype=np.float64), columns=columns_of(classes))
    frame.insert(0, "id", pd.Series(list(ids), dtype=str))
    return check_predictions(frame, classes, "predictions")


def check_predictions(frame: pd.DataFrame, classes: Sequence[str], what: str) -> pd.DataFrame:
    """The frame itself, checked.

    Raises: PredictionError: other columns than `id, *classes`, a repeated id, or a number that
            is not finite.
    """
    expected = ["id", *columns_of(classes)]
    if list(frame.columns) != expected:
        raise PredictionError(
            f"{what}: expected the columns {examples(expected)} in class order, "
            f"got {examples(frame.columns)}"
        )
    repeated = frame.loc[frame["id"].duplicated(), "id"]
    if len(repeated):
        raise PredictionError(
            f"{what}: {len(repeated)} ids are predicted twice, e.g. {examples(repeated)}"
        )
    values = frame.iloc[:, 1:].to_numpy()
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise PredictionError(
            f"{what}: {bad.sum()} of {len(frame)} rows hold numbers that are not finite, "
            f"e.g. id {examples(frame.loc[bad, 'id'], 1)}; the training diverged: lower lr"
        )
    return frame


def align(frame: pd.DataFrame, ids: Iterable[str], what: str) -> pd.DataFrame:
    """The frame's rows in the order of ids.

    Raises: PredictionError: an id is missing, or the frame has others.
    """
    have = pd.Index(frame["id"])
    wanted = pd.Index(list(ids), dtype=have.dtype)
    missing, extra = wanted.difference(have), have.difference(wanted)
    if len(missing) or len(extra):
        raise PredictionError(
            f"{what}: expected each of {len(wanted)} ids once; "
            f"got {strays(missing=list(missing), unknown=list(extra))}"
        )
    rows: pd.DataFrame = frame.set_index("id").loc[wanted]
    return rows.rename_axis("id").reset_index()


def write_predictions(path: Path, frame: pd.DataFrame) -> None:
    """Write a predictions frame as parquet, atomically; float32 above 1,000 classes."""
    with open_writer(path, classes_of(frame.columns[1:])) as add:
        add(frame["id"], frame.iloc[:, 1:].to_numpy())


@contextmanager
def open_writer(
    path: Path, classes: Sequence[str]
) -> Iterator[Callable[[Iterable[str], Array], None]]:
    """A function add(ids, probs) that writes rows as they come; the file is whole or absent.

    It holds about HELD numbers at most. Float32 above 1,000 classes.
    Raises: PredictionError: numbers that are not finite.
    """
    kind = pa.float32() if len(classes) > MANY_CLASSES else pa.float64()
    schema = pa.schema([("id", pa.string()), *((name, kind) for name in columns_of(classes))])
    held: list[pd.DataFrame] = []

    with (
        replace_file(path) as temporary,
        temporary.open("wb") as handle,
        ParquetWriter(handle, schema) as writer,
    ):

        def flush() -> None:
            if held:
                frame = check_predictions(pd.concat(held), classes, "predictions")
                writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
                held.clear()

        def add(ids: Iterable[str], probs: Array) -> None:
            frame = pd.DataFrame(np.asarray(probs, dtype=np.float64), columns=columns_of(classes))
            frame.insert(0, "id", pd.Series(list(ids), dtype=str))
            held.append(frame)
            if sum(map(len, held)) * len(classes) > BUFFERED_NUMBERS:
                flush()

        yield add
        flush()


def read_predictions(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    """A predictions frame from parquet, float64, checked. Raises: PredictionError."""
    need_readable(path)
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise PredictionError(f"{path} cannot be read ({error}); remove its run folder") from error
    if list(frame.columns) == ["id", *classes]:  # files from before classes had any name
        frame.columns = pd.Index(["id", *columns_of(classes)])
    return check_predictions(
        frame.astype({column: np.float64 for column in frame.columns[1:]}), classes, str(path)
    )
