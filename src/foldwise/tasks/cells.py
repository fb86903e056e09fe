"""CellError: a file's cell that is no target."""

import numpy as np


class CellError(ValueError):
    """Some rows do not hold what they should; whoever read the file says so with its name.

    expected: what a row should hold. right: which rows do, bool (n,).
    """

    def __init__(self, expected: str, right: np.ndarray) -> None:
        super().__init__(expected)
        self.expected, self.right = expected, right
