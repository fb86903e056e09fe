"""What tasks share whose predictions are probabilities."""

from collections.abc import Sequence

import numpy as np

from foldwise.arrays import Array
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import TINY, Task


def class_shares(classes: Sequence[str], marks: Array) -> dict[str, float]:
    """The share of the rows that have each class, to four digits. marks: 0 or 1, (n, C)."""
    shares = zip(classes, marks.mean(axis=0), strict=True)
    return {name: round(float(share), 4) for name, share in shares}


class ProbableTask(Task):
    """A task whose predictions are probabilities."""

    def unfit(self, block: Array) -> Array:
        """Rows that hold other numbers than those of 0 to 1."""
        return np.asarray(~((block >= 0) & (block <= 1)).all(axis=1))  # NaN is neither

    def losses(self, targets: Targets, block: Array) -> Array:
        """The log loss of each row, of several cells that of the worst."""
        return -np.log(np.maximum(self.right(targets, block), TINY))
