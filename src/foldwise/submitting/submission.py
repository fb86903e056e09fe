"""Submission files: written in the format file's shape, read back, validated."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.data.formats import SubmissionFormat
from foldwise.data.predictions import align
from foldwise.data.tables import numeric, read_table
from foldwise.errors import DataError, LabelError, SubmissionError, examples
from foldwise.storage import replacing

TOLERANCE = 1e-5  # rows may sum to 1 within this; graders are known that refuse 1.1e-5
DIGITS = "%.10g"  # 10 significant digits: 120 rounded values still sum to 1 within 1e-8


def write_submission(path: Path, predictions: pd.DataFrame, shape: SubmissionFormat) -> None:
    """Write predictions `id, *classes` with the shape's header and row order, atomically.

    Rows are renormalised last, in float64.
    Raises: PredictionError: an id of the shape is missing, or there are others.
    """
    rows = align(predictions, shape.ids, "predictions to submit")
    probs = rows[list(shape.classes)].to_numpy(dtype=np.float64)
    frame = pd.DataFrame(probs / probs.sum(axis=1, keepdims=True), columns=list(shape.classes))
    frame.insert(0, shape.id_column, list(shape.ids))
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format=DIGITS)


def read_submission(path: Path, shape: SubmissionFormat) -> pd.DataFrame:
    """A validated submission as predictions `id, *classes`, in the file's row order.

    The rules are Kaggle's and DrivenData's together: the same header, every id once and in the
    format file's order, finite numbers in 0..1, rows that sum to 1.

    Raises: SubmissionError: a rule is broken; the message says which, how often and where.
    """
    try:
        frame = read_table(path)
        if list(frame.columns) != shape.columns:
            raise SubmissionError(_header_error(path, list(frame.columns), shape.columns))
        _check_ids(path, frame[shape.id_column], shape.ids)
        values = numeric(frame, shape.classes, shape.id_column, path)
    except (DataError, LabelError) as error:
        raise SubmissionError(str(error)) from error
    _check_values(path, values, shape.ids)
    result = pd.DataFrame(values, columns=list(shape.classes))
    result.insert(0, "id", frame[shape.id_column])
    return result


def _header_error(path: Path, got: Sequence[str], expected: Sequence[str]) -> str:
    if sorted(got) == sorted(expected):
        return f"{path}: the columns should be in the format file's order {examples(expected, 4)}"
    missing = [c for c in expected if c not in got]
    extra = [c for c in got if c not in expected]
    return (
        f"{path}: the header should be that of the format file; missing: "
        f"{examples(missing) or 'none'}; unknown: {examples(extra) or 'none'}"
    )


def _check_ids(path: Path, ids: pd.Series, expected: Sequence[str]) -> None:
    if list(ids) == list(expected):
        return
    repeated = ids[ids.duplicated()].unique()
    if len(repeated):
        raise SubmissionError(
            f"{path}: every id should stand once, {len(repeated)} stand twice or more, "
            f"e.g. {examples(repeated)}"
        )
    missing = [id for id in expected if id not in set(ids)]
    extra = ids[~ids.isin(list(expected))]
    if missing or len(extra):
        raise SubmissionError(
            f"{path}: expected the format file's {len(expected)} ids; {len(missing)} are missing "
            f"({examples(missing)}), {len(extra)} are unknown ({examples(extra)})"
        )
    first = next(i for i, (a, b) in enumerate(zip(ids, expected, strict=True)) if a != b)
    raise SubmissionError(
        f"{path}: rows should be in the format file's order; row {first + 1} is "
        f"{ids.iloc[first]!r}, expected {expected[first]!r}"
    )


def _check_values(path: Path, values: np.ndarray, ids: Sequence[str]) -> None:
    outside = ((values < 0) | (values > 1)).any(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise SubmissionError(
            f"{path}: probabilities should lie in 0..1; {outside.sum()} rows do not, e.g. id "
            f"{ids[row]!r}: {values[row].min():g} to {values[row].max():g}"
        )
    sums = values.sum(axis=1)
    off = np.abs(sums - 1) > TOLERANCE
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise SubmissionError(
            f"{path}: every row should sum to 1 within {TOLERANCE:g}; {off.sum()} do not, e.g. id "
            f"{ids[row]!r} sums to {sums[row]:.9g}"
        )
