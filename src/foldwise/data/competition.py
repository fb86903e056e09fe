"""CompetitionData: a competition's checked tables, whatever made them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.config.adapter import Hooks, load_adapter
from foldwise.config.competition import CompetitionSpec, load_competition, need_hooks
from foldwise.data.holdout import split_holdout, write_solution
from foldwise.data.images.building import build_caches
from foldwise.data.images.cache import ImageCache
from foldwise.data.images.decoding import Progress, missing_images
from foldwise.data.images.duplicates import pixel_digests
from foldwise.data.images.resizing import Resizing
from foldwise.data.images.scale import settled_levels
from foldwise.data.images.sources import ImageSources, source_hashes
from foldwise.data.labels.corrections import correct
from foldwise.data.labels.hook import hook_rows
from foldwise.data.labels.table import (
    LabelTable,
    label_table,
    read_test,
    read_train,
    unlabelled_table,
)
from foldwise.errors import DataError, ImageError, LabelError, SpecError, alike, examples
from foldwise.kinds.bounds import too_long
from foldwise.kinds.metric import METRICS
from foldwise.kinds.shape import FormatFile, SubmissionFormat
from foldwise.shapes.formats import (
    read_format,
    rows_of_format,
    submission_format,
)
from foldwise.store.data_records import CacheRecord, PreparedRecord
from foldwise.store.files import disk_errors, hold_lock, sha256_file
from foldwise.store.layout import DataFolder
from foldwise.tables.archives import still_packed
from foldwise.tables.listing import alike_on_disk
from foldwise.tasks import Task
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)

SKIPPED = "images skipped by [images] skip"
UNUSED = "entries of [images] skip that no training row has"


@dataclass(frozen=True)
class CompetitionData:
    """Spec, training and test rows, format file and hooks of one competition."""

    spec: CompetitionSpec
    raw: Path
    train: LabelTable
    test: LabelTable
    format: SubmissionFormat
    hooks: Hooks

    @property
    def home(self) -> DataFolder:
        """The competition's data folder."""
        return DataFolder(self.raw.parent)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self.train.task

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names in class order."""
        return self.train.classes

    @property
    def counts(self) -> dict[str, int]:
        """What was ignored, left out or changed in reading the data, by what it is."""
        return self.train.counts

    def all_rows(self) -> LabelTable:
        """Training and test rows as one table without labels; an id in both stands once.

        Its source holds the columns that both CSVs have.
        """
        frame = pd.concat([self.train.frame, self.test.frame])[["id", "path", "group"]]
        source = pd.concat([self.train.source, self.test.source], join="inner")
        first = ~frame["id"].duplicated().to_numpy()
        frame, source = (part[first].reset_index(drop=True) for part in (frame, source))
        return LabelTable(frame=frame, source=source, task=self.task)


def need_images(data: CompetitionData) -> None:
    """Check that every row's image exists. Raises: ImageError: with the steps to get them."""
    if "read_image" in data.hooks:
        return
    rows = data.all_rows()
    lacking = missing_images(rows, data.raw)
    if lacking:
        id, path = lacking[0]
        cause = alike([id], []) or alike_on_disk(data.raw, path)
        raise ImageError(
            f"{data.spec.name}: {len(lacking)} of {len(rows)} ids have no image, e.g. {id!r} "
            f"({data.raw / path} is missing){cause or '. ' + steps(data.spec, data.raw)}"
        )


def image_caches(
    data: CompetitionData,
    sizes: Sequence[tuple[int, int]],
    resizing: Resizing,
    progress: Progress | None = None,
) -> list[ImageCache]:
    """The caches of all training and test images at each size, built where they are not there yet.

    Raises: ImageError: images are missing or unreadable. StorageError: the disk is too full.
    """
    if not sizes:  # a model that sees no images
        return []
    return build_caches(image_sources(data), sizes, resizing, progress)


def digests(data: CompetitionData, progress: Progress | None = None) -> "pd.Series[str]":
    """The digest of each training and test image's pixels, indexed by id; see `pixel_digests`.

    Raises: ImageError: images are missing or unreadable.
    """
    return pixel_digests(image_sources(data), progress)


def image_sources(data: CompetitionData) -> ImageSources:
    """Where all training and test images come from.

    Raises: ImageError: images are missing, or deep ones have no common scale.
    """
    need_images(data)
    rows, hook = data.all_rows(), data.hooks.get("read_image")
    hashes = source_hashes(rows, data.raw, hook, data.spec.images.readers)
    return ImageSources(
        spec=data.spec,
        table=rows,
        raw=data.raw,
        hashes=hashes,
        read_image=hook,
        levels=None if hook else settled_levels(data.spec, rows, data.raw, hashes),
    )


def same_sources(data: CompetitionData, names: Sequence[str]) -> bool:
    """Whether the images are those that caches of these names were made of; one that was removed
    is left out.

    Raises: ImageError: images are missing.
    """
    now = image_sources(data).key
    caches = [data.home.caches.cache(name) for name in names]
    made_of = [CacheRecord.read(cache.record).sources for cache in caches if cache.finished]
    return all(key in (None, now) for key in made_of)


def load_data(workspace: Workspace, name: str) -> CompetitionData:
    """A competition's tables, read and checked against each other.

    Raises: SpecError, DataError, LabelError: see the readers.
    """
    folder = workspace.competition(name)
    spec = load_competition(folder)
    hooks = load_adapter(folder).hooks
    need_hooks(spec, hooks, folder)
    raw = workspace.raw(name)
    need_files(spec, raw, spec.files.extra)
    prepare(spec, folder, raw, hooks)
    need_files(spec, raw, [*spec.files.names(), *spec.labels.folders])
    file = read_format(spec, raw) if spec.files.format else None
    train = _without_skipped(spec, _training_rows(spec, folder, raw, hooks, file), raw)
    _check_answers(spec, train.task)
    if file is None:
        nothing = train.where(np.zeros(len(train), bool))
        shape = submission_format(None, spec, [], train.task)
        data = CompetitionData(
            spec=spec, raw=raw, train=train, test=nothing, format=shape, hooks=hooks
        )
        train, test = split_holdout(spec, train, data.home.platform.path, lambda: digests(data))
        shape = submission_format(None, spec, sorted(test.frame["id"]), train.task)
        return replace(data, train=train, test=test, format=shape)
    rows = rows_of_format(file, spec)
    if "read_test" in hooks:
        frame = hooks["read_test"](spec, raw)
        found = hook_rows(frame, spec.labels, folder / "adapter.py", raw, test=True)
        test = unlabelled_table(found, spec, train.task)
    else:
        test = read_test(spec, raw, train.task, rows)
    shape = submission_format(file, spec, list(rows["id"]), train.task)
    _check_ids(spec, train, test, shape)
    if spec.files.solution:
        write_solution(spec, raw, DataFolder(raw.parent).platform.path, test)
    return CompetitionData(spec=spec, raw=raw, train=train, test=test, format=shape, hooks=hooks)


def _check_answers(spec: CompetitionSpec, task: Task) -> None:
    """Check that metric and submission ask for what can be predicted.

    Raises: SpecError: one of them reads other answers, or the metric does not know the classes.
    """
    for key, choice, reads in (
        ("[metric] name", METRICS.name_of(spec.metric), spec.metric.reads),
        ("[submission] shape", spec.submission.shape, spec.submission.holds),
    ):
        if reads not in task.answers:
            raise SpecError(
                f'{key} = "{choice}" is of {reads}, and the task is {task.name}, whose predictions '
                f"are {' or '.join(sorted(task.answers))}; choose another one, or another [labels] "
                "format"
            )
    spec.metric.column_weights(task)


def _training_rows(
    spec: CompetitionSpec,
    folder: Path,
    raw: Path,
    hooks: Hooks,
    file: FormatFile | None,
) -> LabelTable:
    """The training rows by their format, or by the read_labels hook."""
    given = file.answers if file and spec.submission.column_per_class else None
    if "read_labels" in hooks:
        frame = hooks["read_labels"](spec, raw)
        rows = hook_rows(frame, spec.labels, folder / "adapter.py", raw)
        return label_table(correct(rows, spec, folder), spec, given)
    return read_train(spec, raw, folder, given)


def prepare(spec: CompetitionSpec, folder: Path, raw: Path, hooks: Hooks) -> None:
    """Run the `prepare` hook once for the adapter as it is now; the marker is written last.

    It runs again where a CSV has gone since.
    """
    if "prepare" not in hooks:
        return
    home = DataFolder(raw.parent)
    prepared = PreparedRecord(adapter_sha256=sha256_file(folder / "adapter.py"))
    with hold_lock(home.prepare_lock, f"preparing {spec.name}"):
        there = all((raw / name).is_file() for name in spec.files.names())
        if there and prepared.stands_in(home.prepared):
            return
        with disk_errors(raw):
            raw.mkdir(parents=True, exist_ok=True)
            hooks["prepare"](spec, raw)
        prepared.write(home.prepared)


def need_files(spec: CompetitionSpec, raw: Path, names: Sequence[str]) -> None:
    """Check that files are there. Raises: DataError: some are not, with the steps to get them.

    Images are checked by `need_images`, once their names are known.
    """
    wanted = list(names)
    missing = [name for name in wanted if not (raw / name).exists()]
    if missing:
        raise DataError(
            f"{spec.name}: {len(missing)} of {len(wanted)} files are missing in {raw}, "
            f"e.g. {missing[0]!r}{alike_on_disk(raw, missing[0]) or '. ' + steps(spec, raw)}"
        )


def steps(spec: CompetitionSpec, raw: Path) -> str:
    """What a person does to get the data: the page, the files and folders, the next command."""
    first = _unpack_first(spec, raw)
    derived = [name for name in spec.files.names() if name.startswith("derived/")]
    files = [name for name in spec.files.names() if name not in derived]
    folders = dict.fromkeys((*spec.labels.folders, *spec.images.folders))
    wanted = [*files, *(f"{folder}/" for folder in folders)]
    if spec.platform.page is None:
        return (
            f"{first}These are your own files: put {', '.join(wanted)} into {raw} as "
            f"competitions/{spec.name}/README.md says, or `make data COMP={spec.name} "
            f"FROM=<archive or folder>`; then `make submit COMP={spec.name}`"
        )
    return (
        f"{first}To get the data: 1. sign in and join at {spec.platform.page}; "
        f"2. download {', '.join(wanted)}; "
        f"3. `make data COMP={spec.name} FROM=<archive or folder>` for each, "
        f"or put them into {raw} yourself; 4. `make submit COMP={spec.name}`"
    )


def _unpack_first(spec: CompetitionSpec, raw: Path) -> str:
    """How archives in the raw folder are unpacked; "" where there are none."""
    packed = still_packed(raw, spec)
    if not packed:
        return ""
    return (
        f"Still packed is {packed[0]!r} ({len(packed)} in all): `make data COMP={spec.name} "
        f"FROM={raw / packed[0]}`. "
    )


def _without_skipped(spec: CompetitionSpec, train: LabelTable, raw: Path) -> LabelTable:
    """The table without the ids of `[images] skip`, counted; a path skips an image that no reader
    sees. Entries that are neither skip nothing: they are counted too, and warned of."""
    known, entries = set(train.frame["id"]), dict.fromkeys(spec.images.skip)
    unknown = [
        id for id in entries if id not in known and (too_long(id) or not (raw / id).is_file())
    ]
    if unknown:
        log.warning(
            "%s: %d of %d entries of [images] skip are of no training row, e.g. %s%s",
            spec.name,
            len(unknown),
            len(entries),
            examples(unknown),
            alike(unknown, known) or "; remove them",
        )
    counts = {SKIPPED: len(entries) - len(unknown), UNUSED: len(unknown)}
    return replace(
        train.without(spec.images.skip),
        counts=train.counts | {what: count for what, count in counts.items() if count},
    )


def _check_ids(
    spec: CompetitionSpec, train: LabelTable, test: LabelTable, shape: SubmissionFormat
) -> None:
    """Raises: LabelError: train, test and format file do not agree on ids."""
    wanted, have_test = pd.Series(shape.ids, dtype=str), test.frame["id"]
    rows = spec.files.test or "the test set"
    for label, have, need in (
        (f"{spec.files.format} asks for ids that {rows} lacks", have_test, wanted),
        (f"{rows} has ids that {spec.files.format} lacks", wanted, have_test),
    ):
        lacking = need[~need.isin(have)]
        if len(lacking):
            raise LabelError(
                f"{label}: {len(lacking)}, e.g. {examples(lacking)}"
                f"{alike(lacking, have) or '; are both files from the same download?'}"
            )
    both = train.frame[["id", "path"]].merge(test.frame[["id", "path"]], on="id")
    differ = both.loc[both["path_x"].isna() | (both["path_x"] != both["path_y"]), "id"]
    if len(differ):
        raise LabelError(
            f"{len(differ)} ids stand in train and test for different images, "
            f'e.g. {examples(differ)}; write id_prefix = "train-" into [labels]'
        )
