"""SubmissionFormat: the format file's header and rows, and what an answer in it is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from re import escape, match

import numpy as np
import pandas as pd

from foldwise.config.competition import CompetitionSpec, Submission
from foldwise.errors import DataError, SpecError, examples, nearest
from foldwise.kinds.columns import columns_of
from foldwise.store.predictions import predictions_frame
from foldwise.tables.text import is_index, read_header, read_table, unique_ids

PROBABLE = ("wide", "positive", "long")  # shapes whose files hold probabilities
IDS = "id"  # the column of ids in what `asked` returns
MADE = (IDS, "image_id", "row_id")  # that of a made format is the first that is no answer


@dataclass(frozen=True)
class SubmissionFormat:
    """What a submission must look like.

    frame: the format file's rows as text; columns that hold no answer are copied from it.
    id_column, answers: its id column and answer columns (one per class for `wide`, else one).
    ids: what is asked for, each id once, in the file's order. classes: in class order.
    settings: `[submission]`. multi: an image may have any number of labels. header: the file's own,
    in which a column may have no name; by default the frame's columns.
    """

    frame: pd.DataFrame
    id_column: str
    answers: tuple[str, ...]
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    settings: Submission
    multi: bool = False
    header: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns, in order."""
        return list(self.frame.columns)

    def code(self, name: str) -> str:
        """What stands in the file for a class."""
        return self.settings.codes.get(name, name)

    def for_ids(self, ids: Sequence[str]) -> "SubmissionFormat":
        """The same format that asks for other ids, as for out-of-fold rows."""
        frame = blank_rows(ids, self.classes, self.columns, self.id_column, self.settings)
        return replace(self, frame=frame, ids=tuple(ids))

    def decided(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """What the file will say of predictions `id, *classes`, as numbers in the same columns.

        Probabilities stay (wide, positive, long). `label`: 1 for the most probable class, 0 for
        the others. `tags`: 1 for classes at or above the threshold; where none passes and `none`
        is no answer, for the most probable one. `top`: 1, 1/2, 1/3, ... for the first k classes.
        Equal probabilities go by class order.
        """
        if self.settings.shape in PROBABLE:
            return predictions
        probs = predictions[columns_of(self.classes)].to_numpy(dtype=np.float64)
        return predictions_frame(predictions["id"], self.said(probs), self.classes)

    def said(self, probs: np.ndarray) -> np.ndarray:
        """`decided` of an array (n, C), without a frame."""
        settings = self.settings
        if settings.shape in PROBABLE:
            return probs
        if settings.shape == "tags":
            answer = (probs >= settings.threshold).astype(np.float64)
            if settings.none is None:
                empty = np.flatnonzero(~answer.any(axis=1))
                answer[empty, probs[empty].argmax(axis=1)] = 1
            return answer
        answer = np.zeros_like(probs)
        if settings.shape == "label":
            answer[np.arange(len(probs)), probs.argmax(axis=1)] = 1
            return answer
        best = np.argsort(-probs, axis=1, kind="stable")[:, : settings.k]
        np.put_along_axis(answer, best, 1 / np.arange(1, best.shape[1] + 1), axis=1)
        return answer


@dataclass(frozen=True)
class FormatFile:
    """The format file as it was read: rows as text, its id column and its answer columns."""

    frame: pd.DataFrame
    id_column: str
    answers: tuple[str, ...]
    path: Path
    header: tuple[str, ...]


def read_format(spec: CompetitionSpec, raw: Path) -> FormatFile:
    """The competition's format file.

    A first column that has no name and counts the rows is their index: no id, and no answer.
    Raises: DataError: it is missing, damaged, or has not the columns that its shape needs.
    """
    path = raw / str(spec.files.format)
    frame, header = read_table(path), tuple(read_header(path))
    columns = list(frame.columns)
    if len(columns) > 1 and spec.submission.id != columns[0] and is_index(frame):
        columns = columns[1:]
    id_column = spec.submission.id or columns[0]
    if id_column not in columns:
        raise DataError(
            f"{path} should have the id column {id_column!r}{nearest(id_column, columns)}"
        )
    others = [column for column in columns if column != id_column]
    if spec.submission.shape == "wide":
        named = spec.labels.classes or ()
        if len(others) < 2:
            raise DataError(
                f"{path} should have an id column and one column per class, got "
                f"{', '.join(columns)}; where one column is the whole answer, write [submission] "
                'shape = "positive", "label", "top" or "tags"'
            )
        lacking = [name for name in named if name not in others]
        if lacking:
            raise DataError(
                f"{path} should have a column for every class of [labels] classes, it "
                f"lacks {examples(lacking)}; correct one of the two"
            )
        answers = [c for c in others if c in named] if named else others
        return FormatFile(frame, id_column, tuple(answers), path, header)
    answer = spec.submission.column or (others[-1] if others else "")
    wanted = "an id column and one answer column"
    fits = answer in others and (len(others) == 1 or spec.submission.column is not None)
    if spec.submission.shape == "long":
        wanted = "two or three columns, the answers in the last,"
        fits = len(others) in (1, 2) and answer == columns[-1] and len(header) == len(columns)
    if not fits:
        raise DataError(
            f"{path} should have {wanted} for shape = {spec.submission.shape!r}, got "
            f"{', '.join(columns)}; name them as [submission] id and column"
        )
    return FormatFile(frame, id_column, (answer,), path, header)


def asked(file: FormatFile, spec: CompetitionSpec) -> pd.DataFrame:
    """The format file's rows with their ids in a column `id`; each id once.

    For `long` an id is what stands before its class. Raises: DataError, LabelError.
    """
    frame = file.frame
    if spec.submission.shape == "long" and len(frame.columns) == 2:
        pattern = escape(spec.submission.row)
        pattern = pattern.replace(escape("{id}"), "(?P<id>.+)").replace(escape("{class}"), "(.+)")
        codes = spec.submission.codes
        names = [codes.get(name, name) for name in spec.labels.classes or ()]
        if names:
            pattern = pattern.replace("(.+)", f"(?:{'|'.join(map(escape, names))})")
        found = [match(f"^{pattern}$", key) for key in frame[file.id_column]]
        if not all(found):
            bad = frame[file.id_column].iloc[found.index(None)]
            raise DataError(
                f"{file.path}: {file.id_column!r} should read {spec.submission.row!r}, e.g. not "
                f"{bad!r}; correct [submission] row or [labels] classes"
            )
        frame = frame.assign(**{IDS: [hit["id"] for hit in found if hit]})
    else:
        frame = frame.assign(**{IDS: frame[file.id_column]})
    if spec.submission.shape == "long":
        return frame.drop_duplicates(IDS, ignore_index=True)
    unique_ids(frame, file.id_column, file.path)
    return frame


def submission_format(
    file: FormatFile | None, spec: CompetitionSpec, ids: Sequence[str], classes: Sequence[str]
) -> SubmissionFormat:
    """The format of a competition's submissions; without a file, made for these ids.

    Raises: SpecError: `[submission]` does not fit the classes.
            DataError: a `long` file has not one row for every id and class.
    """
    settings = spec.submission
    _check_classes(settings, classes)
    if file is None:
        wide = settings.shape == "wide"
        answers = tuple(classes) if wide else (settings.column or "label",)
        id_column = settings.id or next((name for name in MADE if name not in answers), IDS)
        columns = [id_column, *answers]
        if settings.shape == "long":
            columns = [id_column, "class", *answers]
        if len({*columns}) < len(columns):
            raise SpecError(
                f"[submission] id and column should differ from each other and from "
                f"all classes, got the columns {examples(columns, 5)}"
            )
        frame = blank_rows(ids, classes, columns, id_column, settings)
        return SubmissionFormat(
            frame, id_column, answers, tuple(ids), tuple(classes), settings, spec.multi
        )
    if settings.shape == "long":
        want = blank_rows(ids, classes, list(file.frame.columns), file.id_column, settings)
        keys = list(file.frame.columns[:-1])
        if sorted(map(tuple, want[keys].values)) != sorted(map(tuple, file.frame[keys].values)):
            raise DataError(
                f"{file.path} should have one row for each of {len(ids)} ids and "
                f"{len(classes)} classes, it has {len(file.frame)} rows"
            )
    return SubmissionFormat(
        file.frame,
        file.id_column,
        file.answers,
        tuple(ids),
        tuple(classes),
        settings,
        spec.multi,
        file.header,
    )


def _check_classes(settings: Submission, classes: Sequence[str]) -> None:
    """Raises: SpecError: `[submission]` names a class that there is not, or a cell of the file
    could not be read back: two classes have one code, or the separator is part of one."""
    for name in (*settings.codes, *([settings.positive] if settings.positive else [])):
        if name not in classes:
            raise SpecError(f"[submission] names a class {name!r}{nearest(name, list(classes))}")
    if settings.shape == "positive" and len(classes) != 2:
        raise SpecError(
            f'[submission] shape = "positive" needs two classes, there are {len(classes)}'
        )
    known = {settings.none: "[submission] none"} if settings.shape == "tags" else {}
    several = settings.shape == "tags" or (settings.shape == "top" and settings.k > 1)
    for name in classes:
        code = settings.codes.get(name, name)
        if code in known:
            raise SpecError(
                f"[submission] codes should differ, {known[code]} and {name!r} are "
                f"both {code!r} in the file"
            )
        known[code] = repr(name)
        if several and settings.separator in code:
            raise SpecError(
                f"[submission] separator = {settings.separator!r} is part of the class {code!r}; "
                "choose another one, or write [submission.codes] without it"
            )


def blank_rows(
    ids: Sequence[str],
    classes: Sequence[str],
    columns: Sequence[str],
    id_column: str,
    settings: Submission,
) -> pd.DataFrame:
    """Rows with these columns for ids, one per id or, for `long`, one per id and class."""
    rows = pd.DataFrame("", index=range(len(ids)), columns=list(columns), dtype=str)
    rows[id_column] = list(ids)
    if settings.shape != "long":
        return rows
    rows = rows.loc[np.repeat(rows.index, len(classes))].reset_index(drop=True)
    names = [settings.codes.get(name, name) for name in classes] * len(ids)
    if len(columns) == 2:
        parts = zip(rows[id_column], names, strict=True)
        rows[id_column] = [
            settings.row.replace("{id}", id).replace("{class}", name) for id, name in parts
        ]
    else:
        rows[next(c for c in columns if c not in (id_column, columns[-1]))] = names
    return rows
