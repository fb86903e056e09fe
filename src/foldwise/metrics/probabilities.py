"""Log loss: of the probabilities themselves."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from foldwise.arrays import Array
from foldwise.errors import PredictionError
from foldwise.kinds.metric import CLIP, Answers
from foldwise.metrics.columns import ColumnMetric

SUM_TOLERANCE = 1e-5  # rows may sum to 1 within this where they are not rescaled


class LogLoss(ColumnMetric):
    """The log loss; with many labels the mean over classes of the binary log loss."""

    better: ClassVar[Literal["higher", "lower"]] = "lower"
    logarithmic: ClassVar[bool] = True
    of_one_label: ClassVar[bool] = False

    name: Literal["log_loss"] = "log_loss"
    # Probabilities are clipped to this distance from 0 and 1. Example: 1e-7
    clip: float = Field(default=CLIP, gt=0, lt=0.1)
    # Whether each row is divided by its sum first, as Kaggle does. Example: false
    rescale: bool = True

    @property
    def range(self) -> tuple[float, float]:
        """From 0 up."""
        return 0.0, float("inf")

    @property
    def log_clip(self) -> float:
        """See `Metric.log_clip`."""
        return self.clip

    def rule(self, answers: Answers) -> Array:
        """`log_losses`, or with many labels `column_log_losses`."""
        if not answers.task.sums_to_one:
            return column_log_losses(answers.marks, answers.block, self.clip, answers.weights)
        return log_losses(answers.targets.values, answers.block, self.clip, self.rescale)

    def check(self, answers: Answers, ids: "pd.Series[str]", what: str) -> None:
        """Check that rows sum to 1, unless they are rescaled: then any sum above 0 will do, as on
        Kaggle. Raises: PredictionError."""
        if self.rescale or not answers.task.sums_to_one:
            return
        sums = answers.block.sum(axis=1, dtype=np.float64)
        off = np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
        if len(off):
            raise PredictionError(
                f"{what}: every row should sum to 1 within {SUM_TOLERANCE:g}, since [metric] "
                f"rescale is false; {len(off)} of {len(sums)} do not, e.g. id "
                f"{ids.iloc[off[0]]!r} sums to {sums[off[0]]:.9g}; divide each row by its sum"
            )


def log_losses(codes: Array, probs: Array, clip: float = CLIP, rescale: bool = True) -> Array:
    """The log loss of each row, float64 (n,).

    Kaggle's published rule (its wiki's "Multi Class Log Loss", read 2026-11-22): each row is
    divided by its sum, then p becomes max(min(p, 1 - clip), clip); the loss is -ln of the true
    class's p. A uniform row over C classes scores ln C.

    codes: (n,) class numbers in class order. probs: (n, C).
    """
    probs = np.asarray(probs, dtype=np.float64)
    chosen = probs[np.arange(len(codes)), codes]
    if rescale:
        sums = probs.sum(axis=1)
        if not (sums > 0).all():
            raise PredictionError(
                f"log loss: {int((~(sums > 0)).sum())} rows sum to 0 and cannot be rescaled"
            )
        chosen = chosen / sums
    return np.asarray(-np.log(np.clip(chosen, clip, 1 - clip)))


def column_log_losses(
    hot: Array,
    probs: Array,
    clip: float = CLIP,
    weights: Sequence[float] | None = None,
) -> Array:
    """The mean over classes of the binary log loss of each row, float64 (n,): multi-label.

    hot: 0 or 1, (n, C). probs: (n, C), clipped to [clip, 1 - clip]. weights: of classes.
    """
    probs = np.clip(np.asarray(probs, dtype=np.float64), clip, 1 - clip)
    cells = -np.log(np.where(hot == 1, probs, 1 - probs))
    return np.average(cells, axis=1, weights=weights)
