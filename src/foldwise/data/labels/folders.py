"""Label formats of images in folders: the class is the folder, or stands in the file's name."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import pandas as pd
from pydantic import AfterValidator, Field

from foldwise.config.competition import CompetitionSpec
from foldwise.config.labels import Labels
from foldwise.errors import DataError, LabelError, examples
from foldwise.kinds.bounds import inside
from foldwise.kinds.rows import Rows
from foldwise.tables.listing import example, images_below, need_utf8
from foldwise.tables.text import unique_ids

IGNORED = "files ignored that are no images"  # Thumbs.db, .DS_Store, checkpoints
TAKEN = ("path", "root", "folder", "name", "inner")  # our own columns: no group of a pattern


def _check_pattern(pattern: str) -> str:
    """The pattern itself. Raises: ValueError: it is none, or has a group that we call a column."""
    try:
        groups = re.compile(pattern).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    for name in groups:
        if name in TAKEN:
            raise ValueError(f"no group can be called {name!r}, a column of foldwise's own")
    return pattern


def _check_label_group(pattern: str) -> str:
    """The pattern itself. Raises: ValueError: it has no group for the label."""
    if "label" not in re.compile(pattern).groupindex:
        raise ValueError(f"{pattern!r} needs a named group (?P<label>...)")
    return pattern


def _inside_raw(roots: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(inside(root, "the raw folder")) for root in roots)


Roots = Annotated[tuple[str, ...], AfterValidator(_inside_raw)]
Pattern = Annotated[str, AfterValidator(_check_pattern)]


class ImageFolders(Labels):
    """Labels in the paths of images below some folders."""

    # Folders of training images, searched to any depth. Example: ["train"]
    roots: Roots = Field(min_length=1, examples=[["train"]])
    # A regular expression that is searched in the path below the root, as `bird/a_17.jpg`; its
    # named groups may be `id`, `label` and `group`. Example: '(?P<group>[^/_]+)_\d+\.jpg$'
    pattern: Pattern | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders below raw whose images are the training rows."""
        return self.roots

    @property
    def group_column(self) -> str | None:
        """The column of groups: one of the pattern's own."""
        own = self.pattern and "group" in re.compile(self.pattern).groupindex
        return self.group or ("group" if own else None)

    def list_images(self, spec: CompetitionSpec, raw: Path) -> tuple[pd.DataFrame, dict[str, int]]:
        """One row per image: `path, root, folder, name` and the pattern's named groups; counts.

        Raises: DataError: a root is missing or empty. LabelError: the pattern misses an image.
        """
        rows, others = [], list[str]()
        for root in self.roots:
            if not (raw / root).is_dir():
                raise DataError(
                    f"expected the folder {raw / root} with one folder per class or with "
                    "images, found none; is [labels] roots right?"
                )
            found, ignored = images_below(raw, root, spec.images.readers)
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
        if self.pattern:
            frame = pd.concat([frame, _match(self.pattern, frame, raw)], axis=1)
        counts = {f"{IGNORED}, e.g. {example(others)!r}": len(others)} if others else {}
        return frame.drop(columns="inner"), counts


class FileName(ImageFolders):
    """The class stands in the image's path: the named group `label` of a pattern."""

    format: Literal["filename"] = "filename"
    # A regular expression that is searched in the path below the root, as `bird/a_17.jpg`; its
    # named groups are `label`, and perhaps `id` and `group`. Example: '(?P<label>.+)_\d+\.jpg$'
    pattern: Annotated[Pattern, AfterValidator(_check_label_group)] = Field(
        examples=[r"(?P<label>.+)_\d+\.jpg$"]
    )

    def read(self, spec: CompetitionSpec, raw: Path, classes: Sequence[str] | None) -> Rows:
        """A row for each image. Raises: DataError, LabelError: see `list_images`."""
        source, counts = self.list_images(spec, raw)
        return _rows(source, raw, counts)


class FolderName(ImageFolders):
    """The class is the first folder below a root; its images may lie at any depth."""

    format: Literal["folder"] = "folder"

    def read(self, spec: CompetitionSpec, raw: Path, classes: Sequence[str] | None) -> Rows:
        """A row for each image.

        Raises: DataError: a root is missing or empty. LabelError: an image lies in no class
                folder, or the pattern (for id and group) misses one.
        """
        source, counts = self.list_images(spec, raw)
        loose = source["folder"] == ""
        if loose.any():
            raise LabelError(
                f"{raw}: every image should lie in a folder of its class below "
                f"{examples(self.roots)}, {loose.sum()} of {len(source)} do not, e.g. "
                f"{source.loc[loose, 'path'].iloc[0]!r}; move them, or name other roots"
            )
        if "label" not in source.columns:
            source["label"] = source["folder"]
        return _rows(source, raw, counts)


def _match(pattern: str, frame: pd.DataFrame, raw: Path) -> pd.DataFrame:
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


def _rows(source: pd.DataFrame, raw: Path, counts: dict[str, int]) -> Rows:
    """The rows with their labels. Raises: LabelError: an image has none, or two have one id."""
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
    return Rows(
        source=source,
        ids=source["id"],
        tags=tags,
        file=raw,
        paths=list(source["path"]),
        counts=counts,
    )
