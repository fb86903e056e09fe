"""Fold schemes: how the training rows are split, from `[folds.<name>]`."""

from typing import ClassVar

from pydantic import Field

from foldwise.arrays import Array
from foldwise.kinds.bounds import Seed
from foldwise.kinds.family import Family, Kind


class FoldScheme(Kind):
    """A named way to split the training rows."""

    grouped: ClassVar[bool] = False  # rows of a group, by [labels] group, stay in one fold

    kind: str = ""  # its name
    n: int = Field(default=5, ge=2, le=100)  # The number of folds. Example: 5
    seed: Seed = 0  # The seed of the split. Example: 42
    # Classes that a training part may lack; `"*"` allows any. Example: ["rare"]
    allow_missing: tuple[str, ...] = ()
    duplicates: bool = True  # Whether images with the same pixels stay in one fold. Example: false

    def split(self, strata: Array, units: Array, exclusive: bool, seed: int) -> Array:
        """The fold of each row, int64 (n_rows,).

        strata: 1 where a row is in a stratum, (n_rows, C). units: what stays in one fold,
        (n_rows,): a row, the copies of an image, or a group. exclusive: each row is in exactly one
        stratum. seed: of this try, where an earlier one left a class out of a training part.
        """
        raise NotImplementedError(f"{type(self).__name__} has no split")


FOLDS = Family(
    base=FoldScheme,
    key="kind",
    package="foldwise.data",
    known={
        "stratified": "schemes:Stratified",  # classes spread evenly
        "group": "schemes:Groups",  # whole groups, of even size
        "stratified_group": "schemes:StratifiedGroups",  # whole groups, classes spread evenly
    },
    called="fold scheme",
)
