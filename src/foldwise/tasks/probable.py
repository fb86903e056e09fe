"""What tasks share whose predictions are probabilities."""

from collections.abc import Sequence

import numpy as np


def class_shares(classes: Sequence[str], marks: np.ndarray) -> dict[str, float]:
    """The share of the rows that have each class, to four digits. marks: 0 or 1, (n, C)."""
    shares = zip(classes, marks.mean(axis=0), strict=True)
    return {name: round(float(share), 4) for name, share in shares}


def not_probabilities(block: np.ndarray) -> np.ndarray:
    """Which rows of a block (n, C) hold other numbers than those of 0 to 1, bool (n,)."""
    return np.asarray(~((block >= 0) & (block <= 1)).all(axis=1))  # NaN is neither
