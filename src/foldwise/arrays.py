"""Types of arrays: the one place where what an array holds is left open."""

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""An array of any shape and any type of numbers; docstrings give both where they matter."""

RowIndex: TypeAlias = "Array | slice[Any, Any, Any]"
"""Some rows of an array: their numbers, a mask (n,), or a slice."""
