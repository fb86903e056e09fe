"""Members of a blend: runs, and predictions from elsewhere, as two files that are checked."""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.errors import PredictionError, SpecError, examples
from foldwise.kinds.blending import Stack
from foldwise.kinds.columns import columns_of
from foldwise.store.files import need_readable, need_space, sha256_file, sha256_json
from foldwise.store.predictions import align
from foldwise.store.run_records import FoldRecord
from foldwise.store.runs import predictions_of_test
from foldwise.tables.text import read_table
from foldwise.tasks import Task
from foldwise.training.fitting.run import Run

BYTES_IN_MEMORY = 1 << 30  # bytes of predictions in memory; more lie in a file that is mapped
OFF = 1e-3  # how far a row's sum may be from 1: a hundred probabilities rounded to five digits
HONEST = ("early_stop", "ema", "swa")  # what a recipe says of which weights predicted


@dataclass(frozen=True)
class Member:
    """What a blend needs of a member.

    oof, test: give probabilities (rows, C) of the rows that the blend asks for, test by fold.
    facts: what its record says of it.
    """

    name: str
    identity: str
    oof: Callable[[], Array]
    test: Callable[[int], Array]
    facts: dict[str, object]


def of_run(run: Run, ids: Sequence[str], test_ids: Sequence[str]) -> Member:
    """A finished run as a member. ids: those of its out-of-fold rows, in order."""

    def oof() -> Array:
        frame = run.oof()
        assert list(frame["id"]) == list(ids)
        return frame[columns_of(run.classes)].to_numpy()

    def test(fold: int) -> Array:
        return predictions_of_test(run.files, fold, run.classes, test_ids).iloc[:, 1:].to_numpy()

    facts: dict[str, object] = {key: value for key in HONEST if (value := getattr(run.recipe, key))}
    ends = {
        str(fold): FoldRecord.read(run.fold(fold).record).stopped_early_after_epoch
        for fold in range(run.folds.n)
    }
    if stopped := {fold: epoch for fold, epoch in ends.items() if epoch is not None}:
        facts["stopped_early_after_epoch"] = stopped
    return Member(name=run.name, identity=run.record.identity, oof=oof, test=test, facts=facts)


def of_files(
    name: str,
    oof: Path,
    test: Path,
    task: Task,
    ids: Sequence[str],
    test_ids: Sequence[str],
) -> Member:
    """A member from elsewhere; its one test file stands for every fold.

    Raises: PredictionError: see `read_member`.
    """
    for path in (oof, test):
        if not path.is_file():
            raise PredictionError(f"member {name!r}: expected the file {path}, found none")
    identity = sha256_json([name, sha256_file(oof), sha256_file(test)])
    return Member(
        name=name,
        identity=identity,
        oof=lambda: read_member(oof, task, ids),
        test=lambda fold: read_member(test, task, test_ids),
        facts={"oof": oof.name, "test": test.name},
    )


def split_member(text: str) -> tuple[str, Path, Path]:
    """Name, OOF file and test file from NAME=oof.csv,test.csv. Raises: SpecError."""
    name, _, files = text.partition("=")
    oof, _, test = files.partition(",")
    if not (name and oof and test):
        raise SpecError(
            f"expected a member as NAME=OOF,TEST, got {text!r}, e.g. other=oof.csv,test.csv"
        )
    return name, Path(oof).expanduser(), Path(test).expanduser()


def read_member(path: Path, task: Task, ids: Sequence[str]) -> Array:
    """Probabilities (ids, C) from a CSV or parquet file `id, *classes`, float64.

    Rows may stand in any order; sums that should be 1 are made exactly 1.
    Raises: PredictionError: other columns or another order of them, an id that is missing, unknown
            or there twice, a cell that is no number of 0 to 1, a row that does not sum to 1, or
            the same row for every id.
    """
    need_readable(path)
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else read_table(path)
    except (OSError, ValueError) as error:
        raise PredictionError(
            f"{path} should be parquet, but cannot be read ({error}); write it again, or as CSV"
        ) from error
    classes = task.columns
    expected = ["id", *columns_of(classes)]
    if list(frame.columns) not in (expected, ["id", *classes]):
        swapped = sorted(map(str, frame.columns)) == sorted(expected)
        raise PredictionError(
            f"{path}: expected the columns {examples(expected, 6)}, got "
            f"{examples(frame.columns, 6)}; "
            + ("write them in this order" if swapped else "write one column per class, by its name")
        )
    frame = frame.assign(id=frame["id"].astype(str))
    twice = frame.loc[frame["id"].duplicated(), "id"]
    if len(twice):
        raise PredictionError(
            f"{path}: {len(twice)} ids stand there twice, e.g. "
            f"{examples(twice)}; leave one row of each"
        )
    frame = align(frame, ids, str(path))
    cells = frame.iloc[:, 1:].apply(pd.to_numeric, errors="coerce")
    probs = cells.to_numpy(dtype=np.float64)
    _check(path, frame, probs, task)
    return task.normalise(probs)


def _check(path: Path, frame: pd.DataFrame, probs: Array, task: Task) -> None:
    """Raises: PredictionError: a cell is no probability, a sum is not 1, or all rows are equal."""
    bad = np.argwhere(~((probs >= 0) & (probs <= 1)))  # NaN is neither
    if len(bad):
        row, column = bad[0]
        cell = frame.iloc[row, column + 1]
        raise PredictionError(
            f"{path}: {len(bad)} cells should be numbers of 0 to 1, e.g. id "
            f"{frame['id'].iloc[row]!r} has {cell!r} in {task.columns[column]!r}"
        )
    sums = probs.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > OFF)
    if len(off) and task.sums_to_one:
        raise PredictionError(
            f"{path}: every row should sum to 1 within {OFF:g}, {len(off)} of {len(sums)} do not, "
            f"e.g. id {frame['id'].iloc[off[0]]!r} sums to {sums[off[0]]:.6g}; give probabilities"
        )
    if len(probs) > 1 and (probs == probs[0]).all():
        raise PredictionError(
            f"{path}: all {len(probs)} rows are the same, e.g. {probs[0][:3].round(4).tolist()}; "
            "constant predictions tell nothing: leave this member out"
        )


def oof_stack(members: Sequence[Member], rows: int, task: Task, folder: Path) -> Stack:
    """The members' out-of-fold predictions, read one after the other.

    Above 1 GiB they lie in a nameless temporary file in folder: the system holds of it what it has
    memory for. Raises: StorageError: the disk is too full for that.
    """
    shape = (len(members), rows, len(task))
    probs: Array
    if 8 * math.prod(shape) > BYTES_IN_MEMORY:
        need_space(folder, 8 * math.prod(shape), "blending so many predictions")
        with tempfile.TemporaryFile(dir=folder) as file:  # the map stays when it is closed
            probs = np.memmap(file, np.float64, "w+", shape=shape)
    else:
        probs = np.empty(shape)
    for m, member in enumerate(members):
        probs[m] = member.oof()
    return Stack(probs=probs, task=task)


class OneFold:
    """The members' test predictions by the models of one fold, read when they are asked for."""

    def __init__(self, members: Sequence[Member], fold: int) -> None:
        self.members, self.fold = members, fold

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, member: int, /) -> Array:
        return self.members[member].test(self.fold)
