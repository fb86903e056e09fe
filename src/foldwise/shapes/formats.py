"""The format file: read, and turned into the format of a competition's submissions."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import DataError, SpecError, examples, nearest
from foldwise.kinds.shape import FormatFile, SubmissionFormat
from foldwise.tables.text import is_index, read_header, read_table, unique_ids
from foldwise.tasks import Task

ID_COLUMN = "id"  # the column of ids in what `rows_of_format` returns
MADE = (ID_COLUMN, "image_id", "row_id")  # that of a made format is the first that is no answer


def read_format(spec: CompetitionSpec, raw: Path) -> FormatFile:
    """The competition's format file.

    A first column that has no name and counts the rows is their index: no id, and no answer.
    Raises: DataError: it is missing, damaged, or has not the columns that its shape needs.
    """
    path, shape = raw / str(spec.files.format), spec.submission
    frame, header = read_table(path), tuple(read_header(path))
    columns = list(frame.columns)
    if len(columns) > 1 and shape.id != columns[0] and is_index(frame):
        columns = columns[1:]
    id_column = shape.id or columns[0]
    if id_column not in columns:
        raise DataError(
            f"{path} should have the id column {id_column!r}{nearest(id_column, columns)}"
        )
    file = FormatFile(
        path=path, frame=frame, header=header, columns=tuple(columns), id_column=id_column
    )
    return replace(file, answers=shape.find_answers(file, spec.labels.classes or ()))


def rows_of_format(file: FormatFile, spec: CompetitionSpec) -> pd.DataFrame:
    """The format file's rows with their ids in a column `id`; each id once.

    Raises: DataError: a row has no id. LabelError: an id stands twice where it should not.
    """
    ids = spec.submission.find_ids(file, spec.labels.classes or ())
    frame = file.frame.assign(**{ID_COLUMN: ids})
    if not spec.submission.row_per_id:
        return frame.drop_duplicates(ID_COLUMN, ignore_index=True)
    unique_ids(frame, file.id_column, file.path)
    return frame


def submission_format(
    file: FormatFile | None, spec: CompetitionSpec, ids: Sequence[str], task: Task
) -> SubmissionFormat:
    """The format of a competition's submissions; without a file, made for these ids.

    Raises: SpecError: `[submission]` does not fit the classes.
            DataError: the file's rows are not those that the shape needs.
    """
    shape, classes = spec.submission, task.columns
    shape.check_classes(classes)
    if file is not None:
        shape.check_rows(file, ids, classes)
        frame, id_column, answers, header = file.frame, file.id_column, file.answers, file.header
    else:
        answers, header = shape.make_answers(classes), ()
        id_column = shape.id or next((name for name in MADE if name not in answers), ID_COLUMN)
        columns = [id_column, *shape.keys_made, *answers]
        if len({*columns}) < len(columns):
            raise SpecError(
                f"[submission] id and column should differ from each other and from "
                f"all classes, got the columns {examples(columns, 5)}"
            )
        frame = shape.blank_rows(ids, classes, columns, id_column)
    return SubmissionFormat(
        frame=frame,
        id_column=id_column,
        answers=answers,
        ids=tuple(ids),
        task=task,
        settings=shape,
        header=header,
    )
