"""The shapes of a submission: one writer, one reader and its rules each, in one table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.errors import SubmissionError, nearest
from foldwise.shapes.formats import SubmissionFormat
from foldwise.tables.text import numeric

TOLERANCE = 1e-5  # rows may sum to 1 within this; graders are known that refuse 1.1e-5
DIGITS = "%.10g"  # 10 significant digits: 120 rounded values still sum to 1 within 1e-8


@dataclass(frozen=True)
class Shape:
    """How answers (n_ids, C) become a file's rows, and back.

    write(answers, format) -> the file's frame as text.
    read(frame, format, path) -> answers, or SubmissionError.
    keys(format) -> the columns that must stand as in the format file.
    """

    write: Callable[[np.ndarray, SubmissionFormat], pd.DataFrame]
    read: Callable[[pd.DataFrame, SubmissionFormat, Path], np.ndarray]
    keys: Callable[[SubmissionFormat], list[str]] = lambda shape: [shape.id_column]


def write_wide(answers: np.ndarray, shape: SubmissionFormat) -> pd.DataFrame:
    """One probability column per class."""
    return _with(shape, {name: _text(answers[:, c]) for c, name in enumerate(shape.classes)})


def read_wide(frame: pd.DataFrame, shape: SubmissionFormat, path: Path) -> np.ndarray:
    """Probabilities in 0..1; with one label per image each row sums to 1."""
    values = numeric(frame, shape.classes, shape.id_column, path)
    _check_probabilities(path, values, shape.ids)
    sums = values.sum(axis=1)
    off = np.abs(sums - 1) > TOLERANCE
    if off.any() and not shape.multi:
        row = int(np.flatnonzero(off)[0])
        raise SubmissionError(
            f"{path}: every row should sum to 1 within {TOLERANCE:g}; {off.sum()} do not, e.g. id "
            f"{shape.ids[row]!r} sums to {sums[row]:.9g}"
        )
    return values


def write_positive(answers: np.ndarray, shape: SubmissionFormat) -> pd.DataFrame:
    """One column with the probability of the positive class."""
    return _with(shape, {shape.answers[0]: _text(answers[:, _positive(shape)])})


def read_positive(frame: pd.DataFrame, shape: SubmissionFormat, path: Path) -> np.ndarray:
    """A probability in 0..1; the other class has the rest."""
    values = numeric(frame, shape.answers, shape.id_column, path)
    _check_probabilities(path, values, shape.ids)
    answers = np.hstack([values, 1 - values])
    return answers if _positive(shape) == 0 else answers[:, ::-1]


def write_cells(answers: np.ndarray, shape: SubmissionFormat) -> pd.DataFrame:
    """One column with the classes that are answered, the first ranked first."""
    settings = shape.settings
    order = np.argsort(-answers, axis=1, kind="stable")
    cells = []
    for row, ranked in zip(answers, order, strict=True):
        names = [shape.code(shape.classes[c]) for c in ranked if row[c] > 0]
        cells.append(settings.separator.join(names) if names else settings.none or "")
    return _with(shape, {shape.answers[0]: cells})


def read_cells(frame: pd.DataFrame, shape: SubmissionFormat, path: Path) -> np.ndarray:
    """Known classes, none twice: one for `label`, up to k for `top`, any number for `tags`."""
    settings, cells = shape.settings, frame[shape.answers[0]]
    code = {shape.code(name): number for number, name in enumerate(shape.classes)}
    most = {"label": 1, "top": settings.k}.get(settings.shape, len(shape.classes))
    answers = np.zeros((len(cells), len(shape.classes)))
    for row, cell in enumerate(cells):
        nothing = settings.shape == "tags" and settings.none is not None and cell == settings.none
        names = [] if nothing else [cell] if most == 1 else cell.split(settings.separator)
        where = f"{path}: id {shape.ids[row]!r} has {cell!r} in {shape.answers[0]!r}"
        for name in names:
            if name not in code:
                raise SubmissionError(f"{where}; {name!r} is no class{nearest(name, [*code])}")
        if len(names) > most or len(set(names)) < len(names):
            raise SubmissionError(f"{where}; expected at most {most} classes, none of them twice")
        ranks = [1 / (rank + 1) if settings.shape == "top" else 1.0 for rank in range(len(names))]
        answers[row, [code[name] for name in names]] = ranks
    return answers


def write_long(answers: np.ndarray, shape: SubmissionFormat) -> pd.DataFrame:
    """A row per id and class with its probability."""
    rows, columns = _cells_of(shape)
    return _with(shape, {shape.columns[-1]: _text(answers[rows, columns])})


def read_long(frame: pd.DataFrame, shape: SubmissionFormat, path: Path) -> np.ndarray:
    """A probability in 0..1 per row."""
    values = numeric(frame, [shape.columns[-1]], shape.id_column, path)
    _check_probabilities(path, values, list(frame[shape.id_column]))
    rows, columns = _cells_of(shape)
    answers = np.zeros((len(shape.ids), len(shape.classes)))
    answers[rows, columns] = values[:, 0]
    return answers


SHAPES: dict[str, Shape] = {
    "wide": Shape(write_wide, read_wide),
    "positive": Shape(write_positive, read_positive),
    "label": Shape(write_cells, read_cells),
    "top": Shape(write_cells, read_cells),
    "tags": Shape(write_cells, read_cells),
    "long": Shape(write_long, read_long, lambda shape: shape.columns[:-1]),
}


def _with(shape: SubmissionFormat, cells: Mapping[str, list[str]]) -> pd.DataFrame:
    """The format's rows with other cells in some columns, which may have any name."""
    frame = shape.frame.copy()
    for name, column in cells.items():
        frame[name] = column
    return frame


def _positive(shape: SubmissionFormat) -> int:
    return shape.classes.index(str(shape.settings.positive))


def _cells_of(shape: SubmissionFormat) -> tuple[np.ndarray, np.ndarray]:
    """The number of the id and of the class of each row of a `long` file."""
    standard = shape.for_ids(shape.ids).frame[shape.columns[:-1]]
    position = {key: number for number, key in enumerate(map(tuple, standard.to_numpy()))}
    keys = map(tuple, shape.frame[shape.columns[:-1]].to_numpy())
    numbers = np.array([position[key] for key in keys], dtype=np.int64)
    return numbers // len(shape.classes), numbers % len(shape.classes)


def _text(values: np.ndarray) -> list[str]:
    return [DIGITS % value for value in values]


def _check_probabilities(path: Path, values: np.ndarray, ids: Sequence[str]) -> None:
    outside = ((values < 0) | (values > 1)).any(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise SubmissionError(
            f"{path}: probabilities should lie in 0..1; {outside.sum()} rows do not, e.g. id "
            f"{ids[row]!r}: {values[row].min():g} to {values[row].max():g}"
        )
