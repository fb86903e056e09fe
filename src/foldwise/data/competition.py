"""CompetitionData: a competition's checked tables, whatever made them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise.data.adapter import load_hooks
from foldwise.data.formats import SubmissionFormat, read_format
from foldwise.data.images import ImageCache, Progress, build_cache, missing_images
from foldwise.data.labels import (
    LabelTable,
    as_categorical,
    class_order,
    paths_inside,
    read_test,
    read_train,
)
from foldwise.data.sources import source_hashes
from foldwise.data.tables import unique_ids
from foldwise.errors import DataError, ImageError, LabelError, SpecError, examples
from foldwise.spec.competition import CompetitionSpec, load_competition
from foldwise.storage import disk_errors, locked, sha256_file, write_json
from foldwise.workspace import Workspace


@dataclass(frozen=True)
class CompetitionData:
    """Spec, training and test rows, format file and hooks of one competition."""

    spec: CompetitionSpec
    raw: Path
    train: LabelTable
    test: LabelTable
    format: SubmissionFormat
    hooks: dict[str, Callable[..., Any]]

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in class order."""
        return self.train.classes

    def all_rows(self) -> LabelTable:
        """Training and test rows as one table without labels; an id in both stands once.

        Its source holds the columns that both CSVs have.
        """
        frame = pd.concat([self.train.frame, self.test.frame])[["id", "path", "group"]]
        source = pd.concat([self.train.source, self.test.source], join="inner")
        first = ~frame["id"].duplicated().to_numpy()
        return LabelTable(
            frame[first].reset_index(drop=True),
            source[first].reset_index(drop=True),
            self.classes,
        )


def need_images(data: CompetitionData) -> None:
    """Check that every row's image exists. Raises: ImageError: with the steps to get them."""
    if "read_image" in data.hooks:
        return
    rows = data.all_rows()
    lacking = missing_images(rows, data.raw)
    if lacking:
        id, path = lacking[0]
        raise ImageError(
            f"{data.spec.name}: {len(lacking)} of {len(rows)} ids have no image, e.g. {id!r} "
            f"({data.raw / path} is missing). {steps(data.spec, data.raw)}"
        )


def image_cache(
    data: CompetitionData, size: tuple[int, int], resize: str, progress: Progress | None = None
) -> ImageCache:
    """The cache of all training and test images, built where it is not there yet.

    Raises: ImageError: images are missing or unreadable. StorageError: the disk is too full.
    """
    need_images(data)
    rows, hook = data.all_rows(), data.hooks.get("read_image")
    hashes = source_hashes(rows, data.raw, hook)
    return build_cache(data.spec, rows, data.raw, hashes, size, resize, hook, progress)


def load_data(workspace: Workspace, name: str) -> CompetitionData:
    """A competition's tables, read and checked against each other.

    Raises: SpecError, DataError, LabelError: see the readers.
    """
    folder = workspace.competition(name)
    spec = load_competition(folder)
    hooks = load_hooks(folder)
    raw = workspace.raw(name)
    prepare(spec, folder, raw, hooks)
    need_files(spec, raw)
    shape = read_format(raw / spec.files.format)
    if "read_labels" in hooks:
        train = _from_hook(hooks["read_labels"](spec, raw), spec, folder, shape.classes)
    elif spec.labels.format == "hook":
        raise SpecError(f'{folder}: [labels] format = "hook" needs read_labels in adapter.py')
    else:
        train = read_train(spec, raw, shape.classes)
    if "read_test" in hooks:
        test = _from_hook(hooks["read_test"](spec, raw), spec, folder, shape.classes, test=True)
    else:
        test = read_test(spec, raw, shape.classes)
    _check_ids(spec, train, test, shape)
    skip = spec.images.skip
    return CompetitionData(spec, raw, train.without(skip), test, shape, hooks)


def prepare(
    spec: CompetitionSpec, folder: Path, raw: Path, hooks: dict[str, Callable[..., Any]]
) -> None:
    """Run the `prepare` hook once for the adapter as it is now; the marker is written last.

    It runs again where a CSV has gone since.
    """
    if "prepare" not in hooks:
        return
    version = sha256_file(folder / "adapter.py")
    marker = raw.parent / "prepared.json"
    with locked(raw.parent / ".prepare.lock", f"preparing {spec.name}"):
        known = marker.is_file() and version in marker.read_text(encoding="utf-8")
        if known and all((raw / name).is_file() for name in spec.files.names()):
            return
        with disk_errors(raw):
            raw.mkdir(parents=True, exist_ok=True)
            hooks["prepare"](spec, raw)
        write_json(marker, {"adapter_sha256": version})


def need_files(spec: CompetitionSpec, raw: Path) -> None:
    """Check that the CSVs are there. Raises: DataError: some are not, with the steps to get them.

    Images are checked by `need_images`, once their names are known.
    """
    missing = [name for name in spec.files.names() if not (raw / name).is_file()]
    if missing:
        raise DataError(
            f"{spec.name}: {len(missing)} of {len(spec.files.names())} files are missing in {raw}, "
            f"e.g. {missing[0]!r}. {steps(spec, raw)}"
        )


def steps(spec: CompetitionSpec, raw: Path) -> str:
    """What a person does to get the data: the page, the files and folders, the next command."""
    wanted = [*spec.files.names(), *(f"{folder}/" for folder in spec.images.folders)]
    return (
        f"To get the data: 1. sign in and join at {spec.page or 'the platform'}; "
        f"2. download {', '.join(wanted)}; "
        f"3. `make data COMP={spec.name} FROM=<archive or folder>` for each, "
        f"or put them into {raw} yourself; 4. `make submit COMP={spec.name}`"
    )


def _from_hook(
    frame: pd.DataFrame,
    spec: CompetitionSpec,
    folder: Path,
    classes: tuple[str, ...],
    test: bool = False,
) -> LabelTable:
    """A hook's frame as a LabelTable; it passes the same checks as a reader's."""
    path = folder / "adapter.py"
    wanted = ["id"] if test else ["id", "label"]
    for column in wanted:
        if column not in frame.columns:
            raise DataError(f"{path}: the frame should have {wanted}, got {list(frame.columns)}")
    for column in {"id", "label", "path", "group"} & set(frame.columns):
        if frame[column].isna().any():
            raise DataError(f"{path}: {frame[column].isna().sum()} rows have no {column!r}")
    source = frame.astype(str).reset_index(drop=True)
    unique_ids(source, "id", path)
    if "path" in source.columns:
        paths_inside(source["path"], path)
    rows = pd.DataFrame({"id": source["id"]})
    for column in ("path", "group"):
        rows[column] = source[column] if column in source.columns else None
    if test:
        return LabelTable(rows, source, classes)
    order = class_order(source["label"], spec, classes)
    rows["label"] = as_categorical(source["label"], order, rows["id"], path)
    return LabelTable(rows, source, tuple(order))


def _check_ids(
    spec: CompetitionSpec, train: LabelTable, test: LabelTable, shape: SubmissionFormat
) -> None:
    """Raises: LabelError: train, test and format file do not agree on ids, or a skipped one is
    unknown."""
    wanted = pd.Series(shape.ids, dtype=str)
    for label, have, need in (
        (
            f"{spec.files.format} asks for ids that {spec.files.test} lacks",
            test.frame["id"],
            wanted,
        ),
        (f"{spec.files.test} has ids that {spec.files.format} lacks", wanted, test.frame["id"]),
    ):
        lacking = need[~need.isin(have)]
        if len(lacking):
            raise LabelError(
                f"{label}: {len(lacking)}, e.g. {examples(lacking)}; "
                "are both files from the same download?"
            )
    both = train.frame.merge(test.frame, on="id")
    differ = both.loc[both["path_x"].isna() | (both["path_x"] != both["path_y"]), "id"]
    if len(differ):
        raise LabelError(
            f"{len(differ)} ids stand in train and test for different images, "
            f"e.g. {examples(differ)}; give them distinct ids in a read_test hook"
        )
    unknown = [id for id in spec.images.skip if id not in set(train.frame["id"])]
    if unknown:
        raise LabelError(f"[images] skip names ids that no training row has: {examples(unknown)}")
