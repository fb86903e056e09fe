"""The fold schemes: stratified, by group, and both."""

import warnings
from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np

from foldwise.arrays import Array
from foldwise.data.grouped import balanced_groups, deal
from foldwise.kinds.folds import FoldScheme


class Stratified(FoldScheme):
    """Classes spread evenly over the folds."""

    kind: Literal["stratified"] = "stratified"

    def split(self, strata: Array, units: Array, exclusive: bool, seed: int) -> Array:
        """The fold of each row, by scikit-learn where it can: one class a row, each one n times."""
        rare = strata.sum(axis=0).max() < self.n  # scikit-learn refuses that
        together = len(np.unique(units)) < len(units)
        if not exclusive or together or rare:
            return deal(strata, units, self.n, seed)
        from sklearn.model_selection import StratifiedKFold

        splitter = StratifiedKFold(self.n, shuffle=True, random_state=seed)
        return _folds(splitter.split(strata, strata.argmax(axis=1)), len(strata))


class Groups(FoldScheme):
    """Groups stay whole; folds have about the same number of rows."""

    grouped: ClassVar[bool] = True

    kind: Literal["group"] = "group"

    def split(self, strata: Array, units: Array, exclusive: bool, seed: int) -> Array:
        """The fold of each row, by scikit-learn."""
        from sklearn.model_selection import GroupKFold

        splitter = GroupKFold(self.n, shuffle=True, random_state=seed)
        return _folds(splitter.split(strata, groups=units), len(strata))


class StratifiedGroups(FoldScheme):
    """Groups stay whole; classes are spread as evenly as the groups allow."""

    grouped: ClassVar[bool] = True

    kind: Literal["stratified_group"] = "stratified_group"

    def split(self, strata: Array, units: Array, exclusive: bool, seed: int) -> Array:
        """The fold of each row; rows in no stratum are spread as one more."""
        unlabelled = (strata.sum(axis=1) == 0)[:, None]
        return balanced_groups(np.hstack([strata, unlabelled]), units, self.n, seed)


def _folds(parts: Iterable[tuple[Array, Array]], rows: int) -> Array:
    """The fold of each row, int64 (rows,). parts: of each fold the training and validation rows."""
    folds = np.full(rows, -1, dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class smaller than n: checked by us
        for fold, (_, valid) in enumerate(parts):
            folds[valid] = fold
    return folds
