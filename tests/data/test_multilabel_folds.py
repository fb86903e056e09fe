"""Folds of images with any number of labels: every label spread, units whole, seeds different."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.data.folds import load_folds, make_folds
from foldwise.data.grouped import balanced_groups, deal
from foldwise.data.labels.table import LabelTable
from foldwise.errors import FoldError
from foldwise.kinds.folds import FOLDS
from foldwise.tasks import MultiLabel

SHARES = (0.6, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02)  # of rows that have each of the classes


def hot_rows(n: int = 700, seed: int = 0) -> np.ndarray:
    """Labels of very different frequency, uint8 (n, 7); some rows have none."""
    rng = np.random.default_rng(seed)
    hot = (rng.random((n, len(SHARES))) < SHARES).astype(np.uint8)
    hot[:, 4] &= hot[:, 0]  # one label stands beside another one only
    return hot


def table(hot: np.ndarray, groups: np.ndarray | None = None) -> LabelTable:
    """A multi-label table with ids that are not sorted and classes that are not either."""
    names = [f"{chr(122 - number)} {number}" for number in range(hot.shape[1])]
    shuffled = np.random.default_rng(8).permutation(len(hot))
    frame = pd.DataFrame({"id": [f"i{number:05d}" for number in shuffled], "path": "x.png"})
    frame["group"] = None if groups is None else [f"site {group}" for group in groups]
    frame = pd.concat([frame, pd.DataFrame(hot, columns=names)], axis=1)
    return LabelTable(frame, frame.astype(str), MultiLabel(tuple(names)))


def shuffled(table: LabelTable, seed: int) -> LabelTable:
    """The same rows in another order."""
    order = np.random.default_rng(seed).permutation(len(table))
    frame = table.frame.iloc[order].reset_index(drop=True)
    return LabelTable(frame, frame.astype(str), MultiLabel(table.classes))


def counts(hot: np.ndarray, folds: np.ndarray, n: int) -> np.ndarray:
    """The rows of each fold that have each class, int64 (n, C)."""
    return np.array([hot[folds == fold].sum(axis=0, dtype=np.int64) for fold in range(n)])


@pytest.mark.parametrize("n", [2, 5, 10])
def test_every_label_has_its_share_in_every_fold(n: int) -> None:
    for seed in range(4):
        hot = hot_rows(seed=seed)
        folds = deal(hot, np.arange(len(hot)), n, seed)
        held = counts(hot, folds, n)
        expected = hot.sum(axis=0) / n
        assert (abs(held - expected) <= np.maximum(2, 0.1 * expected)).all()
        assert (held[:, hot.sum(axis=0) >= n] > 0).all()
        sizes = np.bincount(folds, minlength=n)
        assert sizes.max() - sizes.min() <= 0.05 * len(hot)


def test_labels_are_spread_better_than_by_chance() -> None:
    hot = hot_rows()
    chance = np.random.default_rng(0).permutation(len(hot)) % 5
    ours = deal(hot, np.arange(len(hot)), 5, 0)
    assert (counts(hot, ours, 5).std(axis=0) < counts(hot, chance, 5).std(axis=0)).all()


def test_rows_without_a_label_are_spread_too() -> None:
    hot = np.zeros((53, 3), np.uint8)
    hot[:12, 0] = hot[6:20, 1] = 1
    for seed in range(5):
        folds = deal(hot, np.arange(53), 4, seed)
        empty = np.bincount(folds[20:], minlength=4)
        assert empty.min() >= 7
        assert sorted(np.bincount(folds)) == [13, 13, 13, 14]
    nothing = np.zeros((11, 3), np.uint8)
    assert sorted(np.bincount(deal(nothing, np.arange(11), 4, 0))) == [2, 3, 3, 3]


def test_every_unit_is_whole() -> None:
    hot = hot_rows(300)
    rng = np.random.default_rng(4)
    units = rng.integers(0, 120, 300)
    units[:40] = 7  # one large one
    folds = deal(hot, units, 5, 1)
    frame = pd.DataFrame({"unit": units, "fold": folds})
    assert (frame.groupby("unit")["fold"].nunique() == 1).all()
    assert set(folds) == set(range(5))
    held, expected = counts(hot, folds, 5), hot.sum(axis=0) / 5
    assert (abs(held - expected) <= np.maximum(4, 0.35 * expected)).all()


def test_as_many_units_as_folds_fill_every_fold() -> None:
    hot = np.ones((12, 2), np.uint8)
    assert sorted(np.bincount(deal(hot, np.arange(12) // 2, 6, 0))) == [2] * 6


def test_thousands_of_classes_are_dealt() -> None:
    rng = np.random.default_rng(2)
    hot = np.zeros((9000, 3500), np.uint8)
    for column in range(3):  # three labels of each row, few of them frequent
        hot[np.arange(9000), (3500 * rng.random(9000) ** (column + 1)).astype(int)] = 1
    folds = deal(hot, np.arange(9000), 5, 0)
    held = counts(hot, folds, 5)
    totals = hot.sum(axis=0)
    assert (held.max(axis=0) - held.min(axis=0) <= np.maximum(2, 0.15 * totals)).mean() > 0.95
    assert ((held > 0).sum(axis=0)[totals > 1] > 1).all()  # in every training part
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() < 300


@pytest.mark.parametrize("kind", ["stratified", "group", "stratified_group"])
def test_the_order_of_rows_changes_no_membership(kind: str) -> None:
    data = table(hot_rows(), np.random.default_rng(5).integers(0, 60, 700))
    scheme = FOLDS.load(kind)(n=4, seed=3)
    digests = pd.Series([f"{n // 2 if n < 60 else n}" for n in range(700)], data.frame["id"])
    for known in (None, digests):
        folds = make_folds(data, scheme, known)
        for seed in (1, 2):
            pd.testing.assert_frame_equal(make_folds(shuffled(data, seed), scheme, known), folds)


@pytest.mark.parametrize("kind", ["stratified", "stratified_group"])
def test_seeds_differ_and_the_same_seed_does_not(kind: str) -> None:
    data = table(hot_rows(), np.random.default_rng(5).integers(0, 60, 700))
    first, same, other = (
        make_folds(data, FOLDS.load(kind)(n=5, seed=seed))["fold"] for seed in (1, 1, 2)
    )
    assert (first == same).all()
    assert (first == other).mean() < 0.6


def test_groups_with_many_labels_stay_whole_and_balanced() -> None:
    hot = hot_rows(1200, seed=3)
    rng = np.random.default_rng(6)
    groups = rng.choice(80, 1200, p=rng.dirichlet(np.full(80, 1.0)))
    data = table(hot, groups)
    folds = make_folds(data, FOLDS.load("stratified_group")(n=5, seed=0))
    joined = data.frame.merge(folds, on="id", validate="one_to_one")
    assert (joined.groupby("group")["fold"].nunique() == 1).all()
    held = counts(hot, joined["fold"].to_numpy(), 5)
    expected = hot.sum(axis=0) / 5
    assert (abs(held - expected) <= np.maximum(3, 0.25 * expected)).all()
    empty = joined.loc[hot.sum(axis=1) == 0, "fold"].value_counts()
    assert empty.max() < 1.3 * empty.min()


def test_balancing_keeps_groups_whole_where_no_row_has_a_label() -> None:
    groups = np.arange(40) // 4
    hot = np.zeros((40, 3), np.uint8)
    folds = balanced_groups(np.hstack([hot, np.ones((40, 1), bool)]), groups, 5, 0)
    assert np.bincount(folds).tolist() == [8] * 5
    assert (pd.Series(folds).groupby(groups).nunique() == 1).all()


def test_every_label_is_in_every_training_part_or_it_is_said() -> None:
    hot = hot_rows(60)
    hot[:, 6] = 0
    hot[[3, 44], 6] = 1
    data = table(hot)
    for seed in range(5):
        folds = make_folds(data, FOLDS.load("stratified")(n=5, seed=seed))
        two = folds.set_index("id")["fold"].loc[data.frame["id"].iloc[[3, 44]]]
        assert two.nunique() == 2
    hot[3, 6] = 0
    name = table(hot).classes[6]
    with pytest.raises(FoldError, match=f"but '{name}' has only 1 row in one row; get more data"):
        make_folds(table(hot), FOLDS.load("stratified")(n=5))
    for allowed in ((name,), ("*",)):
        scheme = FOLDS.load("stratified")(n=5, allow_missing=allowed)
        assert len(make_folds(table(hot), scheme)) == 60


def test_saved_folds_are_refused_when_a_rows_labels_change(tmp_path: Path) -> None:
    hot = hot_rows(60)
    scheme = FOLDS.load("stratified")(n=3, allow_missing=("*",))
    first = load_folds(table(hot), "many", scheme, tmp_path)
    assert load_folds(shuffled(table(hot), 1), "many", scheme, tmp_path).sha256 == first.sha256
    hot[0, 1] ^= 1
    with pytest.raises(FoldError, match=r"many.csv was made with other ids, labels or groups"):
        load_folds(table(hot), "many", scheme, tmp_path)
