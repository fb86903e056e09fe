"""Named fold schemes: made once from the label table, saved with a hash, never changed after."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.data.images.duplicates import copies, join_units
from foldwise.data.labels.table import LabelTable
from foldwise.errors import FoldError, examples, nearest
from foldwise.kinds.folds import FOLDS, FoldScheme
from foldwise.store.data_records import FoldsRecord
from foldwise.store.files import hold_lock, sha256_json
from foldwise.store.frames import read_folds, write_csv
from foldwise.store.layout import FoldsFolder
from foldwise.store.records import Plain

ANY = "*"  # in allow_missing: every class
SEEDS = 100  # seeds tried where a split leaves a class out of a training part


@dataclass(frozen=True)
class Folds:
    """One scheme's folds: frame `id, fold` (sorted by id), with a hash of rows and copies."""

    name: str
    frame: pd.DataFrame
    sha256: str
    duplicates: str = ""  # a hash of the copies that the folds keep together

    @property
    def n(self) -> int:
        """The number of folds."""
        return int(self.frame["fold"].max()) + 1

    def of(self, ids: "pd.Series[str]") -> Array:
        """The fold of each id, int64. Raises: FoldError: an id has no fold."""
        found = self.frame.set_index("id")["fold"].reindex(ids)
        if found.isna().any():
            lacking = ids[found.isna().to_numpy()]
            raise FoldError(
                f"{len(lacking)} ids are in no fold of {self.name!r}: {examples(lacking)}"
            )
        return found.to_numpy(dtype=np.int64)


def load_folds(
    table: LabelTable,
    name: str,
    scheme: FoldScheme,
    folder: Path,
    digests: "pd.Series[str] | None" = None,
) -> Folds:
    """The scheme's folds from folder/<name>.csv, made and saved there the first time.

    digests: the pixels' digest of each id, for schemes that keep copies together.
    Raises: FoldError: the saved folds were made for other rows, labels, images or settings, or
            were edited; or folds with every class in every training part are impossible.
    """
    home = FoldsFolder(folder)
    path, marker = home.frame(name), home.record(name)
    clusters = copies(table, digests) if digests is not None else {}
    definition: Plain = {
        "scheme": FOLDS.dump(scheme, mode="json"),
        "labels": labels_hash(table),
        "duplicates": sha256_json(sorted(clusters.items())),
    }
    with hold_lock(home.lock(name), f"making the folds {name!r}"):
        if not marker.is_file():
            frame = make_folds(table, scheme, digests)
            write_csv(path, frame)
            made = frame_hash(frame, definition["duplicates"])
            FoldsRecord(**definition, copies=len(clusters), sha256=made).write(marker)
        saved = FoldsRecord.read(marker)
        frame = read_folds(path)
    remedy = f"give [folds.{name}] its old settings back, use a new name, or remove {marker}"
    for key, what in (
        ("scheme", "other settings"),
        ("labels", "other ids, labels or groups"),
        ("duplicates", "other images, with other copies among them"),
    ):
        if getattr(saved, key) != definition[key]:
            raise FoldError(
                f"{path} was made with {what}; runs made with it would not match: {remedy}"
            )
    if frame_hash(frame, saved.duplicates) != saved.sha256:
        raise FoldError(f"{path} was changed after it was made; restore it, or remove {marker}")
    return Folds(name=name, frame=frame, sha256=saved.sha256, duplicates=saved.duplicates)


def make_folds(
    table: LabelTable, scheme: FoldScheme, digests: "pd.Series[str] | None" = None
) -> pd.DataFrame:
    """The frame `id, fold` sorted by id; the order of the table's rows does not matter.

    Raises: FoldError: too few rows or groups, or a class cannot be in every training part.
    """
    order = np.argsort(table.frame["id"].to_numpy(dtype=str))
    frame = table.frame.iloc[order].reset_index(drop=True)
    strata = table.task.strata(table.targets)[order]
    needed = table.classes if table.task.must_train else ()  # by every training part
    marks = strata[:, : len(needed)]
    groups = frame["group"].to_numpy(dtype=str) if scheme.grouped else None
    same = None
    if digests is not None:  # an image without a digest is no copy of anything
        found = digests.reindex(frame["id"]).reset_index(drop=True)
        same = found.where(found.notna(), frame["id"]).to_numpy(dtype=str)
    units = join_units(len(frame), groups, same)
    if len(np.unique(units)) < scheme.n:
        what = "different images" if same is not None else "rows"
        what = what if groups is None else "groups"
        raise FoldError(
            f"{scheme.n} folds need at least as many {what}, got {len(np.unique(units))}; lower n"
        )
    _possible(needed, marks, units, scheme)
    for attempt in range(SEEDS):
        seed = scheme.seed
        if attempt:
            seed = int(np.random.SeedSequence([seed, attempt]).generate_state(1)[0])
        folds = scheme.split(strata, units, table.task.sums_to_one, seed)
        lacking = _classes_in_one_fold(marks, folds, scheme, needed)
        if not lacking:
            return pd.DataFrame({"id": frame["id"], "fold": folds})
    raise FoldError(
        f"in {SEEDS} tries, some fold's training part always lacked a class, e.g. {lacking[0]!r}; "
        "lower n, or list it under allow_missing of the scheme"
    )


def _possible(classes: Sequence[str], marks: Array, units: Array, scheme: FoldScheme) -> None:
    """Raises: FoldError: a class lies in a single row or group, so a fold must train without it;
    or allow_missing names no class."""
    if ANY in scheme.allow_missing:
        return
    for name in scheme.allow_missing:
        if name not in classes:
            raise FoldError(f"allow_missing names no class: {name!r}{nearest(name, classes)}")
    for name, has in zip(classes, marks.T.astype(bool), strict=True):
        if has.any() and name not in scheme.allow_missing and len(np.unique(units[has])) < 2:
            rows = int(has.sum())
            raise FoldError(
                f"every class should be in every fold's training part, but {name!r} has only "
                f"{rows} row{'s' * (rows > 1)} in one {'row' if rows == 1 else 'group'}; get more "
                f'data, or write allow_missing = ["{name}"] (or ["*"], any class) into the scheme'
            )


def _classes_in_one_fold(
    marks: Array, folds: Array, scheme: FoldScheme, classes: Sequence[str]
) -> list[str]:
    """Classes that lie wholly inside one fold, so that its training part lacks them."""
    if ANY in scheme.allow_missing:
        return []
    held = np.zeros((scheme.n, marks.shape[1]), dtype=np.int64)
    np.add.at(held, folds, marks)
    lonely = np.flatnonzero((held > 0).sum(axis=0) == 1).tolist()
    return [classes[c] for c in lonely if classes[c] not in scheme.allow_missing]


def labels_hash(table: LabelTable) -> str:
    """A hash over ids, labels and groups that does not depend on the order of rows."""
    frame = table.frame.assign(label=table.labels("\x1f")).sort_values("id")
    groups = frame["group"].astype(object).where(frame["group"].notna(), None)
    columns = [[*frame["id"]], [*frame["label"]], [*groups]]
    return sha256_json([columns, list(table.classes)])


def frame_hash(frame: pd.DataFrame, duplicates: str) -> str:
    """The hash of the frame's rows, in order, and of the copies that they keep together."""
    return sha256_json([[*frame["id"]], [int(f) for f in frame["fold"]], duplicates])
