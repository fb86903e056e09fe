"""Ids matched with image files: which column names the images, and by what path template."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.config.templates import columns_of
from foldwise.config.templates import fill as fill
from foldwise.tables.listing import is_image

PROBED = 24  # rows from which templates are made
TRIED = 8  # templates, the most frequent ones, that are tried on all rows
TEMPLATES = 3  # templates of one part's images at most
ALIKE = 6  # readings of one folder at most: its name, or columns that hold it


@dataclass(frozen=True)
class Match:
    """Path templates, their folders, and which rows' image is there: bool (n_rows,)."""

    templates: tuple[str, ...]
    folders: tuple[str, ...]
    there: Array

    @property
    def share(self) -> float:
        """The share of rows whose image is there."""
        return float(self.there.mean())


class ImageIndex:
    """Image paths, and those that a name, a name without its ending or the end of one may mean."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = frozenset(paths)
        self.named: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.paths):
            name = path.rpartition("/")[2]
            stem = os.path.splitext(name)[0]
            for key in {name, stem, stem.rpartition("_")[2]}:
                self.named[key].append(path)


def is_path(cells: "pd.Series[str]") -> bool:
    """True where most cells look like an image's relative path."""
    head = cells.head(400)
    return bool((head.str.contains("/", regex=False) & head.map(is_image)).mean() > 0.9)


def locate(frame: pd.DataFrame, id: str, images: ImageIndex, part: str) -> Match:
    """How rows lead to their images: by a column of paths, else by the id, written `{id}`.

    part: "train" or "test": between equal templates, the folder with this word wins.
    """
    found = match(frame, id, images, part)
    path = next((column for column in frame.columns if is_path(frame[column])), None)
    if path is not None:
        by_path = match(frame, path, images, part)
        if not images.paths:
            by_path = _match(frame, [f"{{{path}}}"], by_path.there)
        found = by_path if by_path.share >= found.share else found
    templates = tuple(template.replace(f"{{{id}}}", "{id}") for template in found.templates)
    return replace(found, templates=templates)


def match(frame: pd.DataFrame, column: str, images: ImageIndex, part: str) -> Match:
    """The templates that lead from a column to images, if some do; never two fit the same row."""
    chosen: list[str] = []
    done = np.zeros(len(frame), dtype=bool)
    while len(chosen) < TEMPLATES and not done.all():
        rest = frame[~done]
        probed = rest.iloc[:: -(-len(rest) // PROBED)]
        rows = [
            {str(name): str(cell) for name, cell in row.items()} for _, row in probed.iterrows()
        ]
        counts = Counter(template for row in rows for template in _templates(row, column, images))
        there = {
            template: np.array([path in images.paths for path in fill_template(frame, template)])
            for template, _ in counts.most_common(TRIED)
        }
        ranks = {t: _rank(t, float(there[t][~done].mean()), part) for t in there}
        best = min(ranks, key=lambda template: ranks[template], default=None)
        if best is None or (there[best] & done).any():
            break
        chosen.append(best)
        done |= there[best]
    return _match(frame, chosen, done)


def fill_template(frame: pd.DataFrame, template: str) -> list[str]:
    """The template's path for each row of a frame."""
    return fill(template, {name: [*frame[name]] for name in _fields(template)}, len(frame))


def _match(frame: pd.DataFrame, templates: list[str], there: Array) -> Match:
    """The match, with the folders before each template's first column, or those in its paths."""
    folders = {template.split("{")[0].rpartition("/")[0] for template in templates}
    if folders == {""}:
        folders = {
            path.rpartition("/")[0].split("/")[0] for path in fill_template(frame, templates[0])
        }
    return Match(templates=tuple(templates), folders=tuple(sorted(folders - {""})), there=there)


def _templates(row: Mapping[str, str], column: str, images: ImageIndex) -> Iterator[str]:
    """The templates that lead from a row to an image: each folder as it is, or as a column."""
    value = row[column]
    found = images.named.get(value.rpartition("/")[2], []) if value and _safe(column) else []
    for path in found[:PROBED]:
        start, _, end = path.rpartition(value)
        if start + value + end != path or {"{", "}"} & {*path}:
            continue
        *folders, name = start.split("/")
        choices = [
            [folder, *(f"{{{c}}}" for c in row if row[c] == folder and _safe(c))]
            for folder in folders
        ]
        for above in product(*(choice[:ALIKE] for choice in choices)):
            yield "/".join([*above, f"{name}{{{column}}}{end}"])


def _safe(column: str) -> bool:
    """True where a column's name can stand in a template."""
    return bool(column) and not column.isdigit() and not set(column) & set("{}[].!:")


def _fields(template: str) -> list[str]:
    return columns_of(template) if "{" in template else []


def _rank(template: str, share: float, part: str) -> tuple[float, int, int, str]:
    """Smaller is better: a larger share, the part's own folder, fewer columns."""
    other = {"train": "test", "test": "train"}[part]
    wrong = (other in template.lower()) - (part in template.lower())
    return (-round(share, 2), wrong, len(_fields(template)), template)
