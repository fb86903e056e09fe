"""Tables that foldwise writes: CSV and parquet, whole or absent."""

from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.errors import StorageError
from foldwise.store.files import need_readable, replace_file


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as CSV without its index, atomically."""
    with replace_file(path) as temporary:
        frame.to_csv(temporary, index=False)


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as parquet without its index, atomically."""
    with replace_file(path) as temporary:
        frame.to_parquet(temporary, index=False)


def read_stored(path: Path) -> pd.DataFrame:
    """The frame in a parquet file that foldwise wrote.

    Raises: StorageError: it may not be read, or is damaged.
    """
    need_readable(path)
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path} should hold a table that foldwise wrote, but is damaged ({error}); remove it "
            "and run the same command again"
        ) from error


def read_folds(path: Path) -> pd.DataFrame:
    """The frame `id, fold` of a folds file."""
    return pd.read_csv(path, dtype={"id": str, "fold": np.int64}, keep_default_na=False)
