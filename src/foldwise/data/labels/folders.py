"""Label readers for images in folders: the class is the folder, or stands in the file's name."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from foldwise.config.competition import CompetitionSpec
from foldwise.data.labels.rows import Rows
from foldwise.errors import DataError, LabelError, examples
from foldwise.tables.listing import example, images_below, need_utf8
from foldwise.tables.text import unique_ids

IGNORED = "files ignored that are no images"  # Thumbs.db, .DS_Store, checkpoints


def read_filenames(spec: CompetitionSpec, raw: Path, given: Sequence[str] | None) -> Rows:
    """The named group `label` of `[labels] pattern` is the class.

    Raises: DataError: a root is missing or empty. LabelError: the pattern misses an image.
    """
    source, counts = _listed(spec, raw)
    return _rows(spec, source, raw, counts)


def read_folders(spec: CompetitionSpec, raw: Path, given: Sequence[str] | None) -> Rows:
    """The first folder below a root is the class of every image in it, to any depth.

    Raises: DataError: a root is missing or empty. LabelError: an image lies in no class folder,
            or `[labels] pattern` (for id and group) misses one.
    """
    source, counts = _listed(spec, raw)
    loose = source["folder"] == ""
    if loose.any():
        raise LabelError(
            f"{raw}: every image should lie in a folder of its class below "
            f"{examples(spec.labels.roots)}, {loose.sum()} of {len(source)} do not, e.g. "
            f"{source.loc[loose, 'path'].iloc[0]!r}; move them, or name other roots"
        )
    if "label" not in source.columns:
        source["label"] = source["folder"]
    return _rows(spec, source, raw, counts)


def _listed(spec: CompetitionSpec, raw: Path) -> tuple[pd.DataFrame, dict[str, int]]:
    """One row per image: `path, root, folder, name` and the pattern's named groups."""
    rows, others = [], list[str]()
    for root in spec.labels.roots:
        if not (raw / root).is_dir():
            raise DataError(
                f"expected the folder {raw / root} with one folder per class or with "
                "images, found none; is [labels] roots right?"
            )
        found, ignored = images_below(raw, root)
        need_utf8(found, raw / root)
        if not found:
            raise DataError(f"{raw / root} holds no image, only {len(ignored)} other files")
        others += [str(PurePosixPath(root, path)) for path in ignored]
        for inner in found:
            parts = inner.split("/")
            folder = parts[0] if len(parts) > 1 else ""
            rows.append((str(PurePosixPath(root, inner)), root, folder, parts[-1], inner))
    frame = pd.DataFrame(rows, columns=["path", "root", "folder", "name", "inner"], dtype=str)
    frame = frame[~frame["path"].isin(spec.images.skip)].reset_index(drop=True)
    if spec.labels.pattern:
        frame = pd.concat([frame, _matched(spec.labels.pattern, frame, raw)], axis=1)
    counts = {f"{IGNORED}, e.g. {example(others)!r}": len(others)} if others else {}
    return frame.drop(columns="inner"), counts


def _matched(pattern: str, frame: pd.DataFrame, raw: Path) -> pd.DataFrame:
    """The pattern's named groups for each path below its root; a group that took no part is ""."""
    compiled = re.compile(pattern)
    matches = [compiled.search(inner) for inner in frame["inner"]]
    missed = frame.loc[[m is None for m in matches], "path"]
    if len(missed):
        raise LabelError(
            f"{raw}: [labels] pattern {pattern!r} should match every image below its root, "
            f"{len(missed)} of {len(frame)} do not, e.g. {missed.iloc[0]!r}; correct it, or list "
            "their paths under [images] skip"
        )
    groups = [m.groupdict(default="") for m in matches if m is not None]
    return pd.DataFrame(groups, columns=list(compiled.groupindex), index=frame.index, dtype=str)


def _rows(spec: CompetitionSpec, source: pd.DataFrame, raw: Path, counts: dict[str, int]) -> Rows:
    if "id" not in source.columns:
        source["id"] = source["path"]
    unique_ids(source, "id", raw, "label")
    empty = source["label"] == ""
    if empty.any():
        raise LabelError(
            f"{raw}: [labels] pattern finds no label in {empty.sum()} of {len(source)} images, "
            f"e.g. {source.loc[empty, 'path'].iloc[0]!r}"
        )
    tags = [(label,) for label in source["label"]]
    return Rows(source, source["id"], tags, raw, None, list(source["path"]), counts)
