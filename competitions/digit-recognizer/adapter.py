"""Digits as rows of a CSV: Kaggle gives them no ids, and the row itself is the image."""

from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import DataError, ImageError


def read_labels(spec: CompetitionSpec, raw: Path) -> pd.DataFrame:
    """Training rows `id, label, pixels`, called train-1, train-2, ...: test counts from 1 too."""
    rows = [(f"train-{n}", *line.split(",", 1)) for n, line in _lines(raw / "train.csv", "label,")]
    return pd.DataFrame(rows, columns=["id", "label", "pixels"])


def read_test(spec: CompetitionSpec, raw: Path) -> pd.DataFrame:
    """Test rows `id, pixels`; the sample submission counts them from 1."""
    return pd.DataFrame(_lines(raw / "test.csv"), columns=["id", "pixels"]).astype(str)


def read_image(spec: CompetitionSpec, row: "pd.Series[str]") -> np.ndarray:
    """The row's pixels as uint8 (28, 28, 1)."""
    try:
        return np.array(row["pixels"].split(","), dtype=np.uint8).reshape(28, 28, 1)
    except (ValueError, OverflowError) as error:
        raise ImageError(f"expected 784 pixels from 0 to 255 ({error})") from error


def _lines(path: Path, first: str = "") -> list[tuple[int, str]]:
    """The lines below the header, numbered from 1. Raises: DataError: one is of another shape."""
    columns = first + ",".join(f"pixel{number}" for number in range(28 * 28))
    header, *lines = path.read_text(encoding="utf-8-sig", errors="replace").split() or [""]
    bad = [n for n, line in enumerate(lines, 2) if line.count(",") != columns.count(",")]
    if header != columns or bad or not lines:
        got = f"the header {header[:9]!r} and {len(bad)} of {len(lines)} odd lines, e.g. {bad[:3]}"
        raise DataError(f"{path}: expected {columns[:9]}...,pixel783, got {got}; get it again")
    return list(enumerate(lines, start=1))
