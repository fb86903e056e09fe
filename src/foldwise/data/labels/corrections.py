"""The only ways to change labels: tags that are merged, and a CSV of corrections. Both count."""

from dataclasses import replace
from pathlib import Path

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import LabelError, SpecError, alike, examples, nearest
from foldwise.kinds.rows import Rows
from foldwise.tables.text import read_table, unique_ids

MERGED = "rows with a merged label"
CORRECTED = "labels corrected by overrides"


def correct(rows: Rows, spec: CompetitionSpec, folder: Path) -> Rows:
    """The rows after `[labels] overrides` (a CSV in the competition's folder), then `merge`.

    Raises: LabelError: a correction is for no training row. SpecError: a merged label is unknown.
    """
    rows = _override(rows, spec, folder)
    present = {tag for tags in rows.tags for tag in tags}
    for old in spec.labels.merge:
        if old not in present and old not in (rows.order or ()):
            raise SpecError(
                f"[labels.merge] {old!r} is no label of {rows.file.name}"
                f"{nearest(old, sorted(present))}"
            )
    return merge_labels(rows, spec)


def _override(rows: Rows, spec: CompetitionSpec, folder: Path) -> Rows:
    """Corrections `id,label`; with several labels the cell is split as the format does."""
    if spec.labels.overrides is None:
        return rows
    path = folder / spec.labels.overrides
    table = read_table(path, ["id", "label"])
    ids = unique_ids(table, "id", path)
    position = {id: row for row, id in enumerate(rows.ids)}
    unknown = [id for id in ids if id not in position]
    if unknown:
        raise LabelError(
            f"{path}: {len(unknown)} of {len(ids)} corrections are for no training row, e.g. "
            f"{examples(unknown)}{alike(unknown, position) or '; remove them'}"
        )
    new = spec.labels.split(table["label"], ids, path)
    known = {tag for tags in rows.tags for tag in tags}
    known.update(rows.order or (), spec.labels.classes or ())
    for id, tags_of in zip(ids, new, strict=True):
        for tag in tags_of:
            if tag not in known:
                raise LabelError(
                    f"{path}: id {id!r} is corrected to {tag!r}, no label of "
                    f"{rows.file.name}{nearest(tag, sorted(known))}"
                )
    tags, changed = list(rows.tags), 0
    for id, corrections in zip(ids, new, strict=True):
        changed += set(tags[position[id]]) != set(corrections)
        tags[position[id]] = corrections
    return replace(rows, tags=tags, counts={**rows.counts, CORRECTED: changed})


def merge_labels(rows: Rows, spec: CompetitionSpec) -> Rows:
    """The rows with the new names of `[labels.merge]` for the old ones."""
    merge = spec.labels.merge
    if not merge:
        return rows
    changed = sum(any(tag in merge for tag in tags) for tags in rows.tags)
    tags = [tuple(dict.fromkeys(merge.get(tag, tag) for tag in row)) for row in rows.tags]
    order = rows.order and tuple(dict.fromkeys(merge.get(name, name) for name in rows.order))
    return replace(rows, tags=tags, order=order, counts={**rows.counts, MERGED: changed})
