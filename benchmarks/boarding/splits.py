"""One board after another: which rows are trained on, folds, members, and what members predict."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boarding.cheap import MODELS
from boarding.sets import ImageSet
from foldwise.data.grouped import balanced_groups, deal

FOLDS = (2, 3, 3, 3, 4, 5, 5, 5, 7, 10)
BOARD = (200, 5000)  # rows, fewest and most
TRAINED = 2500  # rows at most
GROUPS = 24  # of a board, at least: of fewer, nobody knows an interval
GOOD, OTHERS = ("linear", "net-s0", "net-s1", "net-s2", "bagged"), ("long", "bayes", "near", "few")
ELSEWHERE = "elsewhere"  # of thumbnails; one test file for all folds
VERSION = 2  # raise it when models or splits change


@dataclass(frozen=True)
class Split:
    """A board and what a competitor has for it.

    train, test: rows of the set. folds: of each training row, 0 to K - 1. public: which test rows
    are in the public part, (n,) bool. oof: per member (n_train, C). tested: per member, float32
    (K, n_test, C), or (1, n_test, C) for one from elsewhere.
    """

    set: str
    number: int
    train: np.ndarray
    test: np.ndarray
    folds: np.ndarray
    public: np.ndarray
    oof: dict[str, np.ndarray]
    tested: dict[str, np.ndarray]


def draw(images: ImageSet, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, test rows, folds and the public part of a split, by its number alone."""
    rng = np.random.default_rng([zlib.crc32(images.name.encode()), number, VERSION])
    n, count = len(images.hot), int(rng.choice(FOLDS))
    most = min(BOARD[1], n // 2 if images.groups is not None or n > 1200 else n // 3)
    size = int(np.exp(rng.uniform(*np.log((BOARD[0], most)))))
    share = rng.uniform(0.25, 0.5)
    units = np.arange(n) if images.groups is None else images.groups
    names, unit_of = np.unique(units, return_inverse=True)
    order = rng.permutation(len(names))
    if images.groups is None and not images.multi:
        order = _spread(images.hot.argmax(axis=1), rng)
    reached = 1 + int(np.searchsorted(np.cumsum(np.bincount(unit_of)[order]), size))
    taken = order[: max(reached, GROUPS)]
    test = np.flatnonzero(np.isin(unit_of, taken))
    public = np.isin(unit_of[test], rng.permutation(taken)[: max(1, round(share * len(taken)))])
    others = order[len(taken) :]
    kept = others[: 1 + np.searchsorted(np.cumsum(np.bincount(unit_of)[others]), TRAINED)]
    train = np.flatnonzero(np.isin(unit_of, kept))
    hot = images.hot[train]
    if images.groups is None:
        folds = deal(hot, np.arange(len(train)), count, number)
    else:
        folds = balanced_groups(hot, images.groups[train], count, number)
    return train, test, folds, public


def _spread(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of rows in which every stretch has all classes (n,) by their shares: platforms
    stratify, and where a class has ten rows, those that the board took are missed in training."""
    place = np.empty(len(codes))
    for code in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == code))
        place[rows] = (np.arange(len(rows)) + rng.random(len(rows))) / len(rows)
    return np.argsort(place)


def members_of(images: ImageSet, number: int) -> list[str]:
    """The names of a split's members, one to six; a good one is among them."""
    rng = np.random.default_rng([zlib.crc32(images.name.encode()), number, VERSION, 1])
    count = int(rng.integers(1, 7))
    first = str(rng.choice(GOOD))
    rest = [name for name in (*GOOD, *OTHERS, ELSEWHERE) if name != first]
    return [first, *map(str, rng.permutation(rest)[: count - 1])]


def predicted(images: ImageSet, number: int, kept: Path) -> Split:
    """A split with its members' predictions, computed once and kept in a folder."""
    train, test, folds, public = draw(images, number)
    path = kept / f"{images.name}-{number}-{VERSION}.npz"
    if not path.exists():
        kept.mkdir(parents=True, exist_ok=True)
        made = {}
        for name in members_of(images, number):
            made[f"oof {name}"], made[f"test {name}"] = _member(images, name, train, test, folds)
        np.savez(path.with_suffix(".part.npz"), **made)
        path.with_suffix(".part.npz").rename(path)
    with np.load(path) as found:
        parts = dict(found)
    oof = {key[4:]: value for key, value in parts.items() if key.startswith("oof ")}
    tested = {key[5:]: value for key, value in parts.items() if key.startswith("test ")}
    return Split(images.name, number, train, test, folds, public, oof, tested)


def _member(
    images: ImageSet, name: str, train: np.ndarray, test: np.ndarray, folds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A member's predictions out of fold, (n_train, C), and of test by fold, (K, n_test, C)."""
    inputs = images.thumbnails if name == ELSEWHERE else images.features
    fit: Callable = MODELS[name]
    hot = images.hot.astype(np.float32)
    oof = np.empty((len(train), hot.shape[1]), np.float32)
    tested = []
    for fold in range(folds.max() + 1):
        held = folds == fold
        predict = fit(inputs[train[~held]], hot[train[~held]], images.multi, fold)
        oof[held] = predict(inputs[train[held]])
        tested.append(predict(inputs[test]))
    return oof, np.mean(tested, axis=0)[None] if name == ELSEWHERE else np.stack(tested)
