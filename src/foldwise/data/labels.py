"""Label readers: CSVs of several shapes become one checked LabelTable."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

import numpy as np
import pandas as pd

from foldwise.data.tables import join_on_id, numeric, read_table, unique_ids
from foldwise.errors import DataError, LabelError, SpecError, examples, nearest
from foldwise.spec.competition import CompetitionSpec


@dataclass(frozen=True)
class LabelTable:
    """Rows of one part of a competition.

    frame: `id` (str, unique), `path` (str relative to raw; missing with a read_image hook),
           `group` (str or missing), and for training rows `label` (Categorical in class order).
    source: the CSV row of each id as strings, same order, for the read_image hook and checks.
    classes: the class names in class order.
    """

    frame: pd.DataFrame
    source: pd.DataFrame
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.frame)

    def targets(self) -> np.ndarray:
        """The class codes in class order, int64, shape (n,)."""
        return self.frame["label"].cat.codes.to_numpy(dtype=np.int64)

    def without(self, ids: Sequence[str]) -> "LabelTable":
        """The table without these ids."""
        keep = ~self.frame["id"].isin(ids)
        return LabelTable(
            self.frame[keep].reset_index(drop=True),
            self.source[keep].reset_index(drop=True),
            self.classes,
        )


def read_train(
    spec: CompetitionSpec, raw: Path, classes: Sequence[str] | None = None
) -> LabelTable:
    """The training rows. `classes` is the format file's class order, where it has one.

    Raises: DataError: a file or column is missing. LabelError: ids or labels are wrong.
    """
    id = spec.labels.id
    path = raw / spec.files.train
    source = read_table(path, [id])
    unique_ids(source, id, path)
    labels_path = path
    if spec.files.labels and spec.files.labels != spec.files.train:
        labels_path = raw / spec.files.labels
        labels = read_table(labels_path, [id])
        unique_ids(labels, id, labels_path)
        source = join_on_id(source, labels, id, f"{path.name} and {labels_path.name}")
    names, order = READERS[spec.labels.format](spec, source, labels_path, classes)
    frame = _rows(spec, source, spec.images.path, path)
    frame["label"] = as_categorical(names, order, frame["id"], labels_path)
    return LabelTable(frame, source, order)


def read_test(spec: CompetitionSpec, raw: Path, classes: Sequence[str]) -> LabelTable:
    """The test rows, without labels. Raises: as `read_train` does."""
    path = raw / spec.files.test
    source = read_table(path, [spec.labels.id])
    unique_ids(source, spec.labels.id, path)
    frame = _rows(spec, source, spec.images.test_path or spec.images.path, path)
    return LabelTable(frame, source, tuple(classes))


def class_order(names: pd.Series, spec: CompetitionSpec, given: Sequence[str] | None) -> list[str]:
    """The class order: the format file's, else `[labels] classes`, else sorted once.

    Sorted as numbers where all names are numbers.
    """
    if given:
        return list(given)
    if spec.labels.classes:
        return list(spec.labels.classes)
    present = list(names.unique())
    try:
        return sorted(present, key=float)
    except ValueError:
        return sorted(present)


def as_categorical(
    names: pd.Series, order: Sequence[str], ids: pd.Series, path: Path
) -> pd.Categorical:
    """The label names as a Categorical in class order.

    Raises: LabelError: a label is empty or is not among the classes.
    """
    unknown = names[~names.isin(list(order))]
    if len(unknown):
        first = unknown.index[0]
        raise LabelError(
            f"{path}: {len(unknown)} labels are not among the {len(order)} classes of the format "
            f"file, e.g. {names[first]!r} of id {ids[first]!r}{nearest(names[first], list(order))}"
        )
    return pd.Categorical(names, categories=list(order))


Reader = Callable[
    [CompetitionSpec, pd.DataFrame, Path, Sequence[str] | None],
    tuple[pd.Series, tuple[str, ...]],
]


def _class_column(
    spec: CompetitionSpec, source: pd.DataFrame, path: Path, classes: Sequence[str] | None
) -> tuple[pd.Series, tuple[str, ...]]:
    """One column holds the class name."""
    column = str(spec.labels.column)
    if column not in source.columns:
        raise DataError(f"{path} should have a column {column!r}{nearest(column, [*source])}")
    names = source[column]
    return names, tuple(class_order(names, spec, classes))


def _class_columns(
    spec: CompetitionSpec, source: pd.DataFrame, path: Path, classes: Sequence[str] | None
) -> tuple[pd.Series, tuple[str, ...]]:
    """One column per class, 1 (or 1.0, true) in the column of the row's class, else 0."""
    order = tuple(spec.labels.classes or classes or ())
    if not order:
        raise SpecError('format = "class_columns" needs class columns in the format file')
    for name in order:
        if name not in source.columns:
            raise DataError(f"{path} should have a column {name!r}{nearest(name, [*source])}")
    values = numeric(source, order, spec.labels.id, path)  # (n, C)
    wrong = (values.sum(axis=1) != 1) | ~np.isin(values, (0, 1)).all(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        others = source.iloc[row].drop([spec.labels.id, *order])
        unknown = [str(c) for c in others.index if others[c].lower() in ("1", "1.0", "true")]
        hint = f", and has 1 in {examples(unknown)}, no class of the format file" if unknown else ""
        raise LabelError(
            f"{path}: every row should hold a single 1 and zeros, {wrong.sum()} of {len(values)} "
            f"do not, e.g. id {source[spec.labels.id].iloc[row]!r} sums to "
            f"{values[row].sum():g}{hint}; correct these rows"
        )
    names = pd.Series(np.asarray(order, dtype=object)[values.argmax(axis=1)], dtype=str)
    return names, tuple(classes or order)


READERS: dict[str, Reader] = {"class_column": _class_column, "class_columns": _class_columns}


def _rows(
    spec: CompetitionSpec, source: pd.DataFrame, template: str | None, path: Path
) -> pd.DataFrame:
    """The frame `id, path, group` of a CSV's rows."""
    frame = pd.DataFrame({"id": source[spec.labels.id].astype(str)})
    frame["path"] = _paths(source, template, path) if template else None
    group = spec.labels.group
    if group is None:
        frame["group"] = None
        return frame
    if group not in source.columns:
        raise DataError(f"{path} should have the group column {group!r}{nearest(group, [*source])}")
    empty = source[group] == ""
    if empty.any():
        raise LabelError(
            f"{path}: {empty.sum()} rows have no {group!r}, e.g. id "
            f"{examples(frame.loc[empty, 'id'], 1)}; give each its own group"
        )
    frame["group"] = source[group]
    return frame


def _paths(source: pd.DataFrame, template: str, path: Path) -> list[str]:
    """The template filled with each row's columns. Raises: SpecError, DataError."""
    fields = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    for name in fields:
        if name not in source.columns:
            raise SpecError(
                f"[images] path = {template!r}: {path.name} has no column {name!r}"
                f"{nearest(name, [*source])}"
            )
    columns = [source[name] for name in fields]
    rows = zip(*columns, strict=True)
    paths = [template.format(**dict(zip(fields, row, strict=True))) for row in rows]
    paths_inside(paths, path)
    return paths


def paths_inside(paths: Iterable[str], path: Path) -> None:
    """Check image paths. Raises: DataError: one is absolute or leaves the raw folder."""
    outside = [p for p in paths if Path(p).is_absolute() or ".." in Path(p).parts]
    if outside:
        raise DataError(f"{path}: image paths must stay inside raw, e.g. not {outside[0]!r}")
