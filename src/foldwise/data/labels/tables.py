"""Label formats of tables: a column with the class, or with a list of tags."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field

from foldwise.config.competition import CompetitionSpec
from foldwise.config.labels import Labels
from foldwise.config.templates import columns_of
from foldwise.data.labels.paths import image_paths
from foldwise.data.labels.tags import split_tags
from foldwise.errors import DataError, LabelError, nearest
from foldwise.kinds.rows import Rows, Tags
from foldwise.tables.text import REPEATED_ROWS, join_on_id, one_row_each, read_table, unique_ids


class TableLabels(Labels):
    """Labels in a table: `[files] train`, perhaps joined with `[files] labels`."""

    reads_tables: ClassVar[bool] = True

    # Put before training ids, where test images have the same ids. Example: "train-"
    id_prefix: str = ""

    @property
    def prefix(self) -> str:
        """What is put before training ids."""
        return self.id_prefix

    def source(self, spec: CompetitionSpec, raw: Path, labels: Sequence[str]) -> Rows:
        """The rows of `[files] train`, joined with those of `labels`, without tags.

        Rows that repeat an id are one row where they agree in all that is read of them, and
        counted. labels: the columns with the labels.

        Raises: DataError: a file or column is missing. LabelError: ids are wrong.
        """
        file = raw / str(spec.files.train)
        source, again = self._one_each(spec, read_table(file, [self.id]), labels)
        self._one_image_per_id(spec, source, file, raw)
        label = labels[0] if len(labels) == 1 else None
        unique_ids(source, self.id, file, label)
        if spec.files.labels and spec.files.labels != spec.files.train:
            train, file = file, raw / spec.files.labels
            more, again_there = self._one_each(spec, read_table(file, [self.id]), labels)
            unique_ids(more, self.id, file, label)
            source = join_on_id(source, more, self.id, f"{train.name} and {file.name}")
            again += again_there
        for name in labels:
            if name not in source.columns:
                raise DataError(f"{file} should have a column {name!r}{nearest(name, [*source])}")
        template = spec.images.path
        paths = image_paths(source, template, self.id, file, raw) if template else None
        counts = {REPEATED_ROWS: again} if again else {}
        return Rows(
            source=source, ids=source[self.id], tags=[], file=file, paths=paths, counts=counts
        )

    def _one_each(
        self, spec: CompetitionSpec, source: pd.DataFrame, labels: Sequence[str]
    ) -> tuple[pd.DataFrame, int]:
        """The rows without those that say again what an id's row says; the number of these.

        Rows with ids of `[images] skip` stand once: they are left out as a whole later.
        """
        if spec.images.skip:
            shown = self.id_prefix + source[self.id]
            again = shown.isin(spec.images.skip) & shown.duplicated()
            source = source[~again].reset_index(drop=True)
        read = [name for path in spec.images.path or () for name in columns_of(path)]
        own = [name for name in (self.group, self.weight) if name]
        return one_row_each(source, self.id, [*labels, *read, *own])

    def _one_image_per_id(
        self, spec: CompetitionSpec, source: pd.DataFrame, file: Path, raw: Path
    ) -> None:
        """Raises: LabelError: an id has several images: they would be one prediction together."""
        repeated = source[self.id].duplicated(keep=False)
        if not repeated.any() or not spec.images.path:
            return
        several = source[repeated]
        images = pd.Series(image_paths(several, spec.images.path, self.id, file, raw))
        counts = images.groupby(several[self.id].to_numpy()).nunique()
        if (counts > 1).any():
            raise LabelError(
                f"{file}: {(counts > 1).sum()} values of {self.id!r} have several images, e.g. "
                f"{counts.idxmax()!r} has {counts.max()}; one prediction from several images is "
                "beyond this version: choose the image's own id column, or keep one image of each"
            )


class ClassColumn(TableLabels):
    """A column holds the class."""

    format: Literal["class_column"] = "class_column"
    # The column with the class. Example: "label"
    column: str = Field(min_length=1, examples=["<the label column>"])

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read for ids and labels."""
        return self.id, self.column

    def read(self, spec: CompetitionSpec, raw: Path, classes: Sequence[str] | None) -> Rows:
        """The rows of the table. Raises: DataError, LabelError: see `source`."""
        rows = self.source(spec, raw, [self.column])
        return replace(rows, tags=[(name,) for name in rows.source[self.column]])


class Delimited(TableLabels):
    """A column holds any number of labels with a separator between them."""

    format: Literal["delimited"] = "delimited"
    # The column with the labels. Example: "tags"
    column: str = Field(min_length=1, examples=["<the label column>"])
    # What stands between two labels in a cell. Example: ";"
    separator: str = Field(default=" ", min_length=1)
    # The label that means that none applies; an empty cell means the same. Example: "nothing"
    none: str | None = None

    @property
    def many(self) -> bool:
        """True: an image has any number of labels."""
        return True

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read for ids and labels."""
        return self.id, self.column

    def read(self, spec: CompetitionSpec, raw: Path, classes: Sequence[str] | None) -> Rows:
        """The rows of the table. Raises: DataError, LabelError: see `source` and `split_tags`."""
        rows = self.source(spec, raw, [self.column])
        return replace(rows, tags=self.split(rows.source[self.column], rows.ids, rows.file))

    def split(self, cells: "pd.Series[str]", ids: "pd.Series[str]", file: Path) -> Tags:
        """The tags of each cell. Raises: LabelError: see `split_tags`."""
        return split_tags(cells, ids, file, self.separator, self.none)
