"""Named fold schemes: made once from the label table, saved with a hash, never changed after."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.data.grouped import balanced_groups
from foldwise.data.labels import LabelTable
from foldwise.errors import FoldError, examples, nearest
from foldwise.spec.competition import FoldScheme
from foldwise.storage import locked, read_json, replacing, sha256_json, write_json

TRIES = 100  # seeds tried where a split leaves a class out of a training part


@dataclass(frozen=True)
class Folds:
    """One scheme's folds: frame `id, fold` (sorted by id), with the hash of its rows."""

    name: str
    frame: pd.DataFrame
    sha256: str

    @property
    def n(self) -> int:
        """The number of folds."""
        return int(self.frame["fold"].max()) + 1

    def of(self, ids: "pd.Series[str]") -> np.ndarray:
        """The fold of each id, int64. Raises: FoldError: an id has no fold."""
        found = self.frame.set_index("id")["fold"].reindex(ids)
        if found.isna().any():
            lacking = ids[found.isna().to_numpy()]
            raise FoldError(f"{len(lacking)} ids are in no fold of {self.name!r}: "
                            f"{examples(lacking)}")  # fmt: skip
        return found.to_numpy(dtype=np.int64)


def load_folds(table: LabelTable, name: str, scheme: FoldScheme, folder: Path) -> Folds:
    """The scheme's folds from folder/<name>.csv, made and saved there the first time.

    Raises: FoldError: the saved folds were made for other rows, labels or settings, or were
            edited; or folds with every class in every training part are impossible.
    """
    path, marker = folder / f"{name}.csv", folder / f"{name}.json"
    definition = {"scheme": scheme.model_dump(mode="json"), "labels": labels_hash(table)}
    with locked(folder / f".{name}.lock", f"making the folds {name!r}"):
        if not marker.is_file():
            frame = make_folds(table, scheme)
            write_folds(path, frame)
            write_json(marker, {**definition, "sha256": frame_hash(frame)})
        saved = read_json(marker)
        frame = read_folds(path)
    remedy = f"give [folds.{name}] its old settings back, use a new name, or remove {marker}"
    for key, what in (("scheme", "other settings"), ("labels", "other ids, labels or groups")):
        if saved[key] != definition[key]:
            raise FoldError(f"{path} was made with {what}; runs made with it would not match: "
                            f"{remedy}")  # fmt: skip
    if frame_hash(frame) != saved["sha256"]:
        raise FoldError(f"{path} was changed after it was made; restore it, or remove {marker}")
    return Folds(name, frame, saved["sha256"])


def read_folds(path: Path) -> pd.DataFrame:
    """The frame `id, fold` of a folds file."""
    return pd.read_csv(path, dtype={"id": str, "fold": np.int64}, keep_default_na=False)


def write_folds(path: Path, frame: pd.DataFrame) -> None:
    """Write a folds frame as CSV, atomically."""
    with replacing(path) as temporary:
        frame.to_csv(temporary, index=False)


def make_folds(table: LabelTable, scheme: FoldScheme) -> pd.DataFrame:
    """The frame `id, fold` sorted by id; the order of the table's rows does not matter.

    Raises: FoldError: too few rows or groups, or a class cannot be in every training part.
    """
    frame = table.frame.sort_values("id", ignore_index=True)
    classes = frame["label"].cat.codes.to_numpy(dtype=np.int64)
    groups = frame["group"].to_numpy() if scheme.kind != "stratified" else np.arange(len(frame))
    if len(np.unique(groups)) < scheme.n:
        what = "rows" if scheme.kind == "stratified" else "groups"
        raise FoldError(f"{scheme.n} folds need at least as many {what}, "
                        f"got {len(np.unique(groups))}; lower n")  # fmt: skip
    _possible(table, classes, groups, scheme)
    for attempt in range(TRIES):
        folds = _split(classes, groups, scheme, attempt)
        lacking = _lacking(classes, folds, scheme, table.classes)
        if not lacking:
            return pd.DataFrame({"id": frame["id"], "fold": folds})
    raise FoldError(
        f"in {TRIES} tries, some fold's training part always lacked a class, e.g. {lacking[0]!r}; "
        "lower n, or list it under allow_missing of the scheme"
    )


def _split(classes: np.ndarray, groups: np.ndarray, scheme: FoldScheme, attempt: int) -> np.ndarray:
    """The fold of each row, int64 (n,)."""
    from sklearn.model_selection import GroupKFold, StratifiedKFold

    seed = scheme.seed
    if attempt:
        seed = int(np.random.SeedSequence([scheme.seed, attempt]).generate_state(1)[0])
    if scheme.kind == "stratified_group":
        return balanced_groups(classes, groups, scheme.n, seed)
    splitter = (
        StratifiedKFold(scheme.n, shuffle=True, random_state=seed)
        if scheme.kind == "stratified"
        else GroupKFold(scheme.n, shuffle=True, random_state=seed)
    )
    folds = np.full(len(classes), -1, dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class smaller than n: checked by us
        for fold, (_, valid) in enumerate(splitter.split(classes, classes, groups)):
            folds[valid] = fold
    return folds


def _possible(
    table: LabelTable, classes: np.ndarray, groups: np.ndarray, scheme: FoldScheme
) -> None:
    """Raises: FoldError: a class lies in a single row or group, so a fold must train without it;
    or allow_missing names no class."""
    for name in scheme.allow_missing:
        if name not in table.classes:
            raise FoldError(f"allow_missing names no class: {name!r}{nearest(name, table.classes)}")
    for code in np.unique(classes):
        name = table.classes[code]
        count = len(np.unique(groups[classes == code]))
        if count < 2 and name not in scheme.allow_missing:
            rows = int((classes == code).sum())
            raise FoldError(
                f"every class should be in every fold's training part, but {name!r} has only "
                f"{rows} row{'s' * (rows > 1)} in one {'row' if rows == 1 else 'group'}; get more "
                f'data, or write allow_missing = ["{name}"] into the scheme'
            )


def _lacking(
    classes: np.ndarray, folds: np.ndarray, scheme: FoldScheme, names: tuple[str, ...]
) -> list[str]:
    """Classes that lie wholly inside one fold, so that its training part lacks them."""
    codes = np.unique(classes)
    lonely = [names[c] for c in codes if len(np.unique(folds[classes == c])) < 2]
    return [name for name in lonely if name not in scheme.allow_missing]


def labels_hash(table: LabelTable) -> str:
    """A hash over ids, labels and groups that does not depend on the order of rows."""
    frame = table.frame.sort_values("id")
    groups = frame["group"].astype(object).where(frame["group"].notna(), None)
    columns = [[*frame["id"]], [*frame["label"].astype(str)], [*groups]]
    return sha256_json([columns, list(table.classes)])


def frame_hash(frame: pd.DataFrame) -> str:
    """The hash of the frame's rows, in order."""
    return sha256_json([[*frame["id"]], [int(f) for f in frame["fold"]]])
