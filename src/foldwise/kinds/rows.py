"""Rows: what a label format found, before it becomes a checked LabelTable."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from foldwise.arrays import Array

# the labels of each row; exactly one where the task is single-label
Tags = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Rows:
    """Training rows as a label format found them.

    source: one row per image, all columns as text. ids: the id of each row. tags: its labels.
    order: the classes in order, where the format itself knows them. file: named in errors.
    paths: each row's image below raw; None with a read_image hook.
    shares: with soft labels the share of each class in class order, float64 (n, C).
    numbers: of a regression's columns, float64 (n, C). counts: what was left out or changed, by
    what it is: reported, never silent.
    """

    source: pd.DataFrame
    ids: "pd.Series[str]"
    tags: Tags
    file: Path
    order: tuple[str, ...] | None = None
    paths: Sequence[str] | None = None
    counts: dict[str, int] = field(default_factory=dict)
    shares: Array | None = None
    numbers: Array | None = None
