"""Shape: what a submission file holds, as a kind; and a competition's own format of such a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.kinds.answer import Answer
from foldwise.kinds.columns import columns_of
from foldwise.kinds.family import Family, Kind
from foldwise.kinds.task import Task


@dataclass(frozen=True)
class FormatFile:
    """The format file as it was read.

    frame: its rows as text. columns: its columns but an index without a name. id_column, answers:
    the columns of ids and of answers. header: the first line as it stands.
    """

    path: Path
    frame: pd.DataFrame
    header: tuple[str, ...]
    columns: tuple[str, ...]
    id_column: str
    answers: tuple[str, ...] = ()

    @property
    def others(self) -> list[str]:
        """The columns beside the ids."""
        return [column for column in self.columns if column != self.id_column]


@dataclass(frozen=True)
class SubmissionFormat:
    """What a submission must look like.

    frame: the format file's rows as text; columns that hold no answer are copied from it.
    id_column, answers: its id column and answer columns (one per class for `wide`, else one).
    ids: what is asked for, each id once, in the file's order. task: what is predicted.
    settings: `[submission]`. header: the file's own, in which a column may have no name; by default
    the frame's columns.
    """

    frame: pd.DataFrame
    id_column: str
    answers: tuple[str, ...]
    ids: tuple[str, ...]
    task: Task
    settings: "Shape"
    header: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, or the numbers' names, in order."""
        return self.task.columns

    @property
    def columns(self) -> list[str]:
        """The columns, in order."""
        return list(self.frame.columns)

    def for_ids(self, ids: Sequence[str]) -> "SubmissionFormat":
        """The same format that asks for other ids, as for out-of-fold rows."""
        frame = self.settings.blank_rows(ids, self.classes, self.columns, self.id_column)
        return replace(self, frame=frame, ids=tuple(ids))

    def decide(self, predictions: pd.DataFrame) -> pd.DataFrame:
        """What the file will say of predictions `id, *classes`, as numbers in the same columns: see
        `Shape.decide`."""
        probs = predictions[columns_of(self.classes)].to_numpy(dtype=np.float64)
        answers = self.settings.decide(probs)
        if answers is probs:
            return predictions
        return self.frame_of(predictions["id"], answers)

    def frame_of(self, ids: "pd.Series[str]", answers: Array) -> pd.DataFrame:
        """The frame `id, *classes` of answers (n, C)."""
        frame = pd.DataFrame(answers, columns=columns_of(self.classes))
        frame.insert(0, "id", ids.to_numpy())
        return frame.astype({"id": str})

    def fill(self, cells: Mapping[str, Sequence[str]]) -> pd.DataFrame:
        """The format's rows with other cells in some columns, which may have any name."""
        frame = self.frame.copy()
        for name, column in cells.items():
            frame[name] = column
        return frame


class Shape(Kind):
    """What a submission file holds. A subclass has `find_answers`, `write` and `read`.

    The names of classes stand in the order of the submission everywhere; arrays of predictions and
    answers are (n, C), with a row for each of `SubmissionFormat.ids`.
    """

    holds: ClassVar[Answer] = "probabilities"
    column_per_class: ClassVar[bool] = False  # the format file's columns tell the classes
    one_of_two: ClassVar[bool] = False  # it asks for the probability of one of two classes
    row_per_id: ClassVar[bool] = True
    keys_made: ClassVar[tuple[str, ...]] = ()  # of a made format: columns between id and answers
    usual_metric: ClassVar[str] = "log_loss"  # that a drafted competition has

    shape: str
    # The id column of the format file; by default the first one. Example: "image_id"
    id: str | None = None

    @property
    def cutoff(self) -> float | None:
        """The probability from which on the file names a class; None: it does not ask."""
        return None

    def decide(self, probs: Array) -> Array:
        """What the file will say of predictions, as numbers in the same columns: probabilities stay
        as they are; 1 is a class that is named, 1, 1/2, 1/3, ... are the first of a ranking."""
        return probs

    def write(self, answers: Array, form: SubmissionFormat) -> pd.DataFrame:
        """The file's frame, as text, of what `decide` gave."""
        raise NotImplementedError(f"{type(self).__name__} needs a method write(answers, form)")

    def read(self, frame: pd.DataFrame, form: SubmissionFormat, path: Path) -> Array:
        """The answers that `write` wrote. Raises: SubmissionError: a cell is no such answer."""
        raise NotImplementedError(f"{type(self).__name__} needs a method read(frame, form, path)")

    def keys(self, form: SubmissionFormat) -> list[str]:
        """The columns that must stand as in the format file."""
        return [form.id_column]

    def join(self, names: Sequence[str]) -> str:
        """Classes as the text of one cell."""
        return " ".join(names)

    # --- the format file

    def find_answers(self, file: FormatFile, classes: Sequence[str]) -> tuple[str, ...]:
        """The answer columns of a format file. classes: of `[labels] classes`, if there are any.

        Raises: DataError: the file has not the columns that the shape needs.
        """
        raise NotImplementedError(f"{type(self).__name__} needs find_answers(file, classes)")

    def find_ids(self, file: FormatFile, classes: Sequence[str]) -> list[str]:
        """The id of each row of a format file. Raises: DataError: a row has none."""
        return list(file.frame[file.id_column])

    def make_answers(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The answer columns of a format that no file gives."""
        return ("label",)

    def blank_rows(
        self, ids: Sequence[str], classes: Sequence[str], columns: Sequence[str], id_column: str
    ) -> pd.DataFrame:
        """Rows with these columns for ids, without answers."""
        rows = pd.DataFrame("", index=range(len(ids)), columns=list(columns), dtype=str)
        rows[id_column] = list(ids)
        return rows

    def check_classes(self, classes: Sequence[str]) -> None:
        """Check the settings against the classes. Raises: SpecError: they do not fit, or a cell of
        the file could not be read back."""

    def check_rows(self, file: FormatFile, ids: Sequence[str], classes: Sequence[str]) -> None:
        """Check a format file's rows. Raises: DataError: some are missing, or are too many."""


SHAPES = Family(
    base=Shape,
    key="shape",
    package="foldwise.shapes",
    known={
        "wide": "wide:Wide",
        "positive": "positive:Positive",
        "label": "cells:Label",
        "top": "cells:Top",
        "tags": "cells:TagsCell",
        "long": "long:Long",
        "numbers": "measured:Numbers",
    },
    called="shape",
    default="wide",
)
