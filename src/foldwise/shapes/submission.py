"""Submission files: written in the format file's shape, read back, validated."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.errors import DataError, LabelError, SubmissionError, examples, strays
from foldwise.kinds.columns import columns_of
from foldwise.kinds.shape import SubmissionFormat
from foldwise.store.files import replace_file
from foldwise.store.predictions import align, predictions_frame
from foldwise.tables.text import read_table


def write_submission(path: Path, predictions: pd.DataFrame, form: SubmissionFormat) -> None:
    """Write predictions `id, *classes` with the format's header and row order, atomically.

    Rows that should sum to 1 are renormalised last, in float64.
    Raises: PredictionError: an id of the format is missing, or there are others.
    """
    rows = align(predictions, form.ids, "predictions to submit")
    probs = rows[columns_of(form.classes)].to_numpy(dtype=np.float64)
    probs = form.task.normalise(probs)
    answers = form.decide(predictions_frame(rows["id"], probs, form.classes))
    frame = form.settings.write(answers[columns_of(form.classes)].to_numpy(), form)
    with replace_file(path) as temporary:
        frame.to_csv(temporary, index=False, header=list(form.header or form.columns))


def read_submission(path: Path, form: SubmissionFormat) -> pd.DataFrame:
    """A validated submission as predictions `id, *classes`, in the order of the format's ids.

    The rules are Kaggle's and DrivenData's together: the same header, every id once and in the
    format file's order, then those of the shape (see `Shape.read`): finite probabilities in 0..1
    whose rows sum to 1, or known classes. Answers come back as `SubmissionFormat.decide` gives
    them.

    Raises: SubmissionError: a rule is broken; the message says which, how often and where.
    """
    return _read_frame(path, form, in_any_order=False)[0]


def read_in_any_order(path: Path, form: SubmissionFormat) -> tuple[pd.DataFrame, list[str]]:
    """A submission as `read_submission` gives it, whatever the order of its rows and columns.

    Also returned is which of both, `columns` and `rows`, stood in another order than the format
    file's. Raises: SubmissionError: any other rule is broken.
    """
    return _read_frame(path, form, in_any_order=True)


def _read_frame(
    path: Path, form: SubmissionFormat, in_any_order: bool
) -> tuple[pd.DataFrame, list[str]]:
    moved: list[str] = []
    try:
        frame = read_table(path)
        if in_any_order:
            frame, moved = _in_order(frame, form)
        if list(frame.columns) != form.columns:
            raise SubmissionError(_header_error(path, list(frame.columns), form.columns))
        for key in form.settings.keys(form):
            _check_ids(path, frame[key], form.frame[key])
        values = form.settings.read(frame, form, path)
    except (DataError, LabelError) as error:
        raise SubmissionError(str(error)) from error
    return predictions_frame(form.ids, values, form.classes), moved


def _in_order(frame: pd.DataFrame, form: SubmissionFormat) -> tuple[pd.DataFrame, list[str]]:
    """The frame in the order of the format's columns and rows, where it has all of them; and which
    of both were moved."""
    moved = []
    if list(frame.columns) != form.columns and sorted(frame.columns) == sorted(form.columns):
        frame, moved = frame[form.columns], ["columns"]
    keys = form.settings.keys(form)
    if not {*keys} <= {*frame.columns}:
        return frame, moved
    have, wanted = ([*map(tuple, table[keys].to_numpy())] for table in (frame, form.frame))
    if have != wanted and sorted(have) == sorted(wanted):
        place = {key: row for row, key in enumerate(have)}
        frame = frame.iloc[[place[key] for key in wanted]].reset_index(drop=True)
        moved.append("rows")
    return frame, moved


def _header_error(path: Path, got: Sequence[str], expected: Sequence[str]) -> str:
    if sorted(got) == sorted(expected):
        return f"{path}: the columns should be in the format file's order {examples(expected, 4)}"
    missing = [c for c in expected if c not in got]
    extra = [c for c in got if c not in expected]
    return (
        f"{path}: the header should be that of the format file; missing: "
        f"{examples(missing) or 'none'}; unknown: {examples(extra) or 'none'}"
    )


def _check_ids(path: Path, ids: "pd.Series[str]", expected: "pd.Series[str]") -> None:
    if list(ids) == list(expected):
        return
    repeated = ids[ids.duplicated()].unique()
    if len(repeated) and not expected.duplicated().any():
        raise SubmissionError(
            f"{path}: every id should stand once, {len(repeated)} stand twice or more, "
            f"e.g. {examples(repeated)}"
        )
    missing = expected[~expected.isin(ids)].unique()
    extra = ids[~ids.isin(expected)].unique()
    if len(missing) or len(extra):
        raise SubmissionError(
            f"{path}: expected the format file's {expected.nunique()} ids; "
            f"got {strays(missing=list(missing), unknown=list(extra))}"
        )
    if len(ids) != len(expected):
        raise SubmissionError(f"{path}: expected {len(expected)} rows, got {len(ids)}")
    first = next(i for i, (a, b) in enumerate(zip(ids, expected, strict=True)) if a != b)
    raise SubmissionError(
        f"{path}: rows should be in the format file's order; row {first + 1} is "
        f"{ids.iloc[first]!r}, expected {expected.iloc[first]!r}"
    )
