"""Folds are honest: groups whole, classes everywhere, the order of rows without effect."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from foldwise.data.folds import load_folds, make_folds
from foldwise.data.grouped import balanced_groups, imbalance
from foldwise.data.labels.table import LabelTable
from foldwise.errors import FoldError
from foldwise.kinds.folds import FOLDS
from foldwise.tasks import MultiClass


def table(labels: list[str], groups: list[str] | None = None, order: object = None) -> LabelTable:
    names = ["z", "a", "10"]
    frame = pd.DataFrame({"id": [f"{i:04d}" for i in range(len(labels))], "path": "x.png"})
    frame["group"] = groups
    frame["label"] = pd.Categorical(labels, categories=names)
    if order is not None:
        frame = frame.iloc[order].reset_index(drop=True)  # type: ignore[call-overload]
    return LabelTable(frame, frame.astype(str), MultiClass(tuple(names)))


def skewed(n: int = 600, sites: int = 40, seed: int = 0) -> LabelTable:
    """Sites of very different sizes, each with its own mix of classes."""
    rng = np.random.default_rng(seed)
    site = rng.choice(sites, n, p=rng.dirichlet(np.full(sites, 0.5)))
    mixes = rng.dirichlet([0.5, 0.5, 0.5], sites)
    labels = [["z", "a", "10"][rng.choice(3, p=mixes[s])] for s in site]
    return table(labels, [f"s{s}" for s in site])


KINDS = ("stratified", "group", "stratified_group")


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_one_fold_and_no_group_spans_two(kind: str) -> None:
    data = skewed()
    frame = make_folds(data, FOLDS.load(kind)(n=5, seed=3))
    assert sorted(frame["id"]) == sorted(data.frame["id"])
    assert set(frame["fold"]) == set(range(5))
    joined = frame.merge(data.frame, on="id", validate="one_to_one")
    if kind != "stratified":
        assert (joined.groupby("group")["fold"].nunique() == 1).all()
    for fold in range(5):
        assert joined.loc[joined["fold"] != fold, "label"].nunique() == 3


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_rows_changes_no_membership(kind: str) -> None:
    data = skewed()
    shuffled = np.random.default_rng(1).permutation(len(data))
    again = LabelTable(data.frame.iloc[shuffled].reset_index(drop=True), data.source, data.task)
    scheme = FOLDS.load(kind)(n=4, seed=3)
    pd.testing.assert_frame_equal(make_folds(data, scheme), make_folds(again, scheme))


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_give_different_folds_and_the_same_seed_the_same(kind: str) -> None:
    data = skewed()
    first, same, other = (
        make_folds(data, FOLDS.load(kind)(n=5, seed=seed))["fold"] for seed in (1, 1, 2)
    )
    assert (first == same).all()
    assert (first == other).mean() < 0.6


def test_grouped_stratified_folds_are_as_balanced_as_scikit_learns() -> None:
    for number in range(5):
        data = skewed(seed=number)
        codes, groups = data.targets.values, data.frame["group"].to_numpy()
        theirs = np.zeros(len(data), dtype=int)
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=0)
        for fold, (_, valid) in enumerate(splitter.split(codes, codes, groups)):
            theirs[valid] = fold
        ours = balanced_groups(data.marks(), groups, 5, seed=0)
        shares = np.eye(3)[codes] / np.bincount(codes)
        assert imbalance(shares, ours, 5) <= imbalance(shares, theirs, 5) + 1e-9


def test_as_many_groups_as_folds_leaves_no_fold_empty() -> None:
    labels, groups = ["z", "a"] * 6, [f"g{i // 2}" for i in range(12)]
    folds = make_folds(table(labels, groups), FOLDS.load("stratified_group")(n=6, seed=0))
    assert set(folds["fold"]) == set(range(6))


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_of_two_rows_is_in_every_training_part(kind: str) -> None:
    labels = ["z"] * 30 + ["a"] * 30 + ["10", "10"]
    groups = [f"g{i % 15}" for i in range(62)]
    for seed in range(5):
        scheme = FOLDS.load(kind)(n=5, seed=seed)
        folds = make_folds(table(labels, groups), scheme)
        assert folds["fold"].iloc[60] != folds["fold"].iloc[61]


def test_a_class_in_one_row_or_group_is_an_error_that_names_it() -> None:
    labels = ["z"] * 10 + ["a"] * 10 + ["10"]
    scheme = FOLDS.load("stratified")(n=5)
    with pytest.raises(FoldError, match=r"'10' has only 1 row in one row; .* allow_missing"):
        make_folds(table(labels), scheme)
    allowed = FOLDS.load("stratified")(n=5, allow_missing=("10",))
    assert len(make_folds(table(labels), allowed)) == 21
    unknown = FOLDS.load("stratified")(n=5, allow_missing=("11",))
    with pytest.raises(FoldError, match="allow_missing names no class: '11'; did you mean '10'"):
        make_folds(table(labels), unknown)
    groups = [f"g{i % 5}" for i in range(20)] + ["g9"]
    with pytest.raises(FoldError, match="'10' has only 2 rows in one group"):
        make_folds(table([*labels, "10"], [*groups, "g9"]), FOLDS.load("group")(n=3))


def test_a_class_that_cannot_be_everywhere_is_an_error() -> None:
    labels = ["z", "z", "a", "a", "10", "10"]
    groups = ["g1", "g2", "g1", "g2", "g1", "g3"]
    assert len(make_folds(table(labels, groups), FOLDS.load("group")(n=3))) == 6
    with pytest.raises(FoldError, match="4 folds need at least as many groups, got 3; lower n"):
        make_folds(table(labels, groups), FOLDS.load("group")(n=4))
    impossible = ["g1", "g2", "g2", "g3", "g3", "g1"]  # each class in two of three groups, n = 2
    with pytest.raises(FoldError, match=r"always lacked a class, e.g. .*; lower n"):
        make_folds(table(labels, impossible), FOLDS.load("group")(n=2))


def test_too_few_rows_is_an_error() -> None:
    with pytest.raises(FoldError, match="9 folds need at least as many rows, got 6"):
        make_folds(table(["z", "a"] * 3), FOLDS.load("stratified")(n=9))


def test_folds_are_made_once_and_read_afterwards(tmp_path: Path) -> None:
    data, scheme = skewed(), FOLDS.load("group")(n=5, seed=1)
    first = load_folds(data, "default", scheme, tmp_path)
    written = (tmp_path / "default.csv").stat().st_mtime_ns
    second = load_folds(data, "default", scheme, tmp_path)
    assert first.sha256 == second.sha256
    assert (tmp_path / "default.csv").stat().st_mtime_ns == written
    assert first.n == 5
    assert list(first.of(pd.Series(["0003"]))) == [
        int(first.frame.set_index("id").loc["0003", "fold"])
    ]


def test_saved_folds_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    data, scheme = skewed(), FOLDS.load("group")(n=5, seed=1)
    load_folds(data, "default", scheme, tmp_path)
    with pytest.raises(FoldError, match=r"was made with other settings.* use a new name"):
        load_folds(data, "default", FOLDS.load("group")(n=4, seed=1), tmp_path)
    with pytest.raises(FoldError, match="was made with other ids, labels or groups"):
        load_folds(data.without(["0001"]), "default", scheme, tmp_path)
    path = tmp_path / "default.csv"
    path.write_text(path.read_text().replace("0001,", "0001,1"))
    with pytest.raises(FoldError, match="was changed after it was made"):
        load_folds(data, "default", scheme, tmp_path)


def test_an_id_without_fold_is_said(tmp_path: Path) -> None:
    folds = load_folds(skewed(), "default", FOLDS.load("group")(n=5), tmp_path)
    with pytest.raises(FoldError, match="1 ids are in no fold of 'default': 'nobody'"):
        folds.of(pd.Series(["nobody", "0001"]))


@pytest.mark.parametrize("kind", ["stratified", "group", "stratified_group"])
def test_a_scheme_is_written_beside_its_folds_as_it_always_was(kind: str) -> None:
    scheme = FOLDS.parse({"kind": kind, "n": 4, "allow_missing": ["10"]})
    assert FOLDS.dump(scheme, mode="json") == {
        "kind": kind,
        "n": 4,
        "seed": 0,
        "allow_missing": ["10"],
        "duplicates": True,
    }
