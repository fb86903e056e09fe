"""The label format of a competition's own hook, and the rows of hooks."""

from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd
from pydantic import Field

from foldwise.config.labels import Labels
from foldwise.data.labels.tags import split_tags
from foldwise.errors import DataError
from foldwise.kinds.rows import Rows, Tags
from foldwise.tables.listing import as_on_disk
from foldwise.tables.text import REPEATED_ROWS, one_row_each, paths_inside, unique_ids


class HookLabels(Labels):
    """What `read_labels` in adapter.py returns."""

    hook: ClassVar[str | None] = "read_labels"

    format: Literal["hook"] = "hook"
    multi: bool = False  # Whether an image may have several labels, or none. Example: true
    # What stands between two labels in a cell. Example: ";"
    separator: str = Field(default=" ", min_length=1)
    # The label that means that none applies; an empty cell means the same. Example: "nothing"
    none: str | None = None

    def split(self, cells: "pd.Series[str]", ids: "pd.Series[str]", file: Path) -> Tags:
        """The labels of each cell. Raises: LabelError: see `split_tags`."""
        if not self.multi:
            return super().split(cells, ids, file)
        return split_tags(cells, ids, file, self.separator, self.none)

    @property
    def many(self) -> bool:
        """True where an image has any number of labels."""
        return self.multi


def hook_rows(
    frame: pd.DataFrame, labels: Labels, file: Path, raw: Path, test: bool = False
) -> Rows:
    """A hook's frame as rows; they pass the same checks as a format's.

    frame: `id`, for training rows `label`, and `path` and `group` where they exist. file: the
    adapter, named in errors. Raises: DataError: it lacks a column, or a cell of one.
    """
    wanted = ["id"] if test else ["id", "label"]
    for column in wanted:
        if column not in frame.columns:
            raise DataError(f"{file}: the frame should have {wanted}, got {list(frame.columns)}")
    for column in {"id", "label", "path", "group"} & set(frame.columns):
        if frame[column].isna().any():
            raise DataError(f"{file}: {frame[column].isna().sum()} rows have no {column!r}")
    source, again = frame.astype(str).reset_index(drop=True), 0
    if not test:
        source, again = one_row_each(source, "id", source.columns)
    ids = unique_ids(source, "id", file, "label")
    group = labels.group_column
    if "group" in source.columns and group is not None and group not in source.columns:
        source[group] = source["group"]
    paths = list(source["path"]) if "path" in source.columns else None
    paths_inside(paths or [], ids if paths else [], file)
    paths = paths and as_on_disk(raw, paths)
    tags = [] if test else labels.split(source["label"], ids, file)
    counts = {REPEATED_ROWS: again} if again else {}
    return Rows(source=source, ids=ids, tags=tags, file=file, paths=paths, counts=counts)
