"""Test sets of practice boards: the truth file that the local platform alone reads."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.config.competition import CompetitionSpec, Images
from foldwise.data.folds import labels_hash, make_folds
from foldwise.data.labels.corrections import merge_labels
from foldwise.data.labels.table import LabelTable, label_table
from foldwise.data.schemes import Stratified, StratifiedGroups
from foldwise.errors import DataError, FoldError, LabelError, alike, examples
from foldwise.kinds.task import CellError
from foldwise.store.data_records import BoardRecord, HoldoutRecord, SolutionRecord
from foldwise.store.files import hold_lock, sha256_json
from foldwise.store.frames import write_csv
from foldwise.store.layout import PlatformFolder
from foldwise.tables.text import numeric, read_table, unique_ids
from foldwise.tasks import Task

log = logging.getLogger(__name__)

UNCOUNTED = "ignored"  # the part of rows that count in no score
HALVES_SEED = 42  # of the split of a solution into a public and a private half


def split_holdout(
    spec: CompetitionSpec,
    table: LabelTable,
    folder: Path,
    digests: "Callable[[], pd.Series[str]]",
) -> tuple[LabelTable, LabelTable]:
    """The rows to train on and those of the test set of `[holdout]`, split once and kept.

    The split is stratified and, where there are groups, by group; copies of an image stay on one
    side. Other settings, labels or groups than it was made with make another one, as long as
    nothing was entered on the board. folder: the platform's; the test rows' labels go into its
    truth.csv. digests: gives the pixels' digest of each id; called for a new split only.

    Raises: DataError: the split was made with other settings or labels, and the board has entries.
            FoldError: some class would have no training row.
    """
    assert spec.holdout is not None
    home = PlatformFolder(folder)
    settings, labels = spec.holdout.model_dump(mode="json"), labels_hash(table)
    with hold_lock(home.truth_lock, f"splitting off the test set of {spec.name}"):
        saved = HoldoutRecord.read_if_there(home.holdout)
        if saved is None or (saved.holdout, saved.labels) != (settings, labels):
            if saved and _has_entries(home):
                raise DataError(
                    f"{folder} holds a test set that was split off with other settings, labels or "
                    "groups, and its board has entries; give [holdout] and [labels] their old "
                    f"values, or remove {folder} to split anew (scores on its board cannot be "
                    "compared with later ones)"
                )
            in_test = _choose_test(spec, table, digests())
            if saved:
                log.info(
                    "%s: the test set is split off anew, with the settings, labels and groups "
                    "of now; nothing was entered on its board yet",
                    spec.name,
                )
            home.holdout.unlink(missing_ok=True)  # it stands for a truth that is whole
            write_truth(folder, table.where(in_test), spec.holdout.seed)
            ids = tuple(sorted(table.frame.loc[in_test, "id"]))
            saved = HoldoutRecord(holdout=settings, labels=labels, ids=ids)
            saved.write(home.holdout)
    in_test = table.frame["id"].isin(saved.ids).to_numpy()
    test = table.where(in_test)
    if not home.truth.is_file():
        write_truth(folder, test, spec.holdout.seed)
    unlabelled = replace(test, frame=test.frame[["id", "path", "group"]])
    return table.where(~in_test), unlabelled


def _has_entries(home: PlatformFolder) -> bool:
    """Whether a file of the team's own was entered on a board."""
    board = BoardRecord.read_if_there(home.board)
    return board is not None and any(entry.file for entry in board.entries)


def _choose_test(spec: CompetitionSpec, table: LabelTable, digests: "pd.Series[str]") -> Array:
    """Which rows become the test set, bool (n,): of the parts that leave each class a row to train
    on, the one whose size is nearest to the fraction; groups are of any size."""
    assert spec.holdout is not None
    kind = StratifiedGroups if spec.labels.group_column else Stratified
    scheme = kind(
        n=round(1 / spec.holdout.fraction),
        seed=spec.holdout.seed,
        allow_missing=("*",),
    )
    of = make_folds(table, scheme, digests).set_index("id")["fold"]
    folds: Array = of.reindex(table.frame["id"]).to_numpy()
    strata = table.task.strata(table.targets).astype(bool)
    wanted = spec.holdout.fraction * len(table)
    for fold in sorted(range(scheme.n), key=lambda part: abs((folds == part).sum() - wanted)):
        if (strata[folds != fold].any(axis=0) == strata.any(axis=0)).all():
            return np.asarray(folds == fold)
    raise FoldError(
        f"{spec.name}: whichever rows [holdout] takes, some class has no row left to train on; "
        "get more data of rare classes, or merge them with [labels.merge]"
    )


def write_solution(spec: CompetitionSpec, raw: Path, folder: Path, table: LabelTable) -> None:
    """Write the truth of `[files] solution`, whose labels are read as those of train.

    A column `Usage` (Public, Private) decides the halves, as in Kaggle's own solution files.
    table: the test rows. Raises: LabelError: a test row has no solution.
    """
    path, home = raw / str(spec.files.solution), PlatformFolder(folder)
    ids = sorted(table.frame["id"])
    definition = SolutionRecord(
        bytes=path.stat().st_size,
        changed=path.stat().st_mtime_ns,
        ids=sha256_json(ids),
        classes=tuple(table.classes),
        labels=spec.labels.model_dump(mode="json"),
    )
    with hold_lock(home.truth_lock, f"reading the solution of {spec.name}"):
        if home.truth.is_file() and definition.stands_in(home.solution):
            return
        truth = read_solution(spec, raw, str(spec.files.solution), table.classes)
        lacking = table.frame.loc[~table.frame["id"].isin(truth.frame["id"]), "id"]
        if len(lacking):
            raise LabelError(
                f"{path}: {len(lacking)} of {len(ids)} test rows have no solution, "
                f"e.g. {examples(lacking)}"
                f"{alike(lacking, truth.frame['id'])}"
            )
        write_truth(folder, truth.where(truth.frame["id"].isin(ids).to_numpy()), HALVES_SEED)
        definition.write(home.solution)


def read_solution(
    spec: CompetitionSpec, raw: Path, name: str, classes: Sequence[str]
) -> LabelTable:
    """The rows of a file of test labels that is laid out as the training labels are.

    name: its path, from the raw folder if it is relative. Raises: DataError, LabelError: it is not.
    """
    files = spec.files.model_copy(update={"train": name, "labels": None})
    labels = spec.labels.model_copy(update={"group": None, "weight": None})
    plain = spec.model_copy(update={"files": files, "labels": labels, "images": Images(path=None)})
    rows = plain.labels.read(plain, raw, classes)
    return label_table(merge_labels(rows, plain), plain, classes)


def write_truth(folder: Path, table: LabelTable, seed: int) -> None:
    """Write truth.csv: `id, part` (public, private, or ignored in neither half), and `label` or one
    column per class."""
    parts = parts_in(table)
    if parts is None:
        order = np.random.default_rng(seed).permutation(len(table))
        parts = np.where(order < len(table) // 2, "public", "private")
    frame = table.frame[["id"]].assign(part=parts)
    targets = table.frame[table.task.target_columns]
    write_csv(PlatformFolder(folder).truth, pd.concat([frame, targets], axis=1))


def parts_in(table: LabelTable) -> Array | None:
    """The part of each row, (n,), by `Usage` as in Kaggle's solution files; None without."""
    usage = table.source.get("Usage")
    if usage is None or not set(usage.str.lower()) <= {"public", "private", UNCOUNTED}:
        return None
    return np.asarray(usage.str.lower())


def read_truth(path: Path, task: Task) -> pd.DataFrame:
    """The frame `id`, `part` and `group` where the file has them, and targets as a LabelTable has.

    Raises: DataError: it is no CSV, or lacks a column.
            LabelError: an id stands twice, or a cell is no target: no class, no 0 or 1.
    """
    columns = task.target_columns
    text = read_table(path, ["id", *columns])
    unique_ids(text, "id", path)
    try:
        targets = task.parse(text, lambda: numeric(text, columns, "id", path))
    except CellError as error:
        row, wrong = int(error.right.argmin()), int((~error.right).sum())
        raise LabelError(
            f"{path}: every row should say {error.expected}; {wrong} of {len(text)} do not, "
            f"e.g. id {text['id'][row]!r} has {examples(text.loc[row, columns])}; correct the file"
        ) from None
    frame = text[[name for name in ("id", "part", "group") if name in text]]
    return pd.concat([frame, task.frame(targets)], axis=1)
