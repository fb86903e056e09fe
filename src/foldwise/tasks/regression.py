"""Regression: each row has a number, or one in each of several columns."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.kinds.answer import Answer
from foldwise.kinds.columns import columns_of
from foldwise.kinds.loss import Loss, Outputs
from foldwise.kinds.rows import Rows
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import CellError, Known, Task

STRATA = 10  # strata of a column: folds have equal shares of each
STRATUM_ROWS = 5  # rows of a stratum


class Regression(Task):
    """Numbers: targets and predictions are float64 (n, C), on the scale of the training CSV."""

    name: ClassVar[str] = "regression"
    usual_loss: ClassVar[str] = "mse"
    unfit_because: ClassVar[str] = "is of classes, and here numbers are predicted"
    answers: ClassVar[frozenset[Answer]] = frozenset({"numbers"})
    probabilities: ClassVar[bool] = False
    must_train: ClassVar[bool] = False

    @property
    def target_columns(self) -> list[str]:
        """One for each number, see `columns_of`."""
        return columns_of(self.columns)

    def encode(self, rows: Rows) -> Targets:
        """The numbers that a label format has read."""
        assert rows.numbers is not None
        return Targets(rows.numbers)

    def frame(self, targets: Targets) -> pd.DataFrame:
        """One float64 column per number."""
        return pd.DataFrame(targets.values, columns=self.target_columns)

    def targets(self, frame: pd.DataFrame) -> Targets:
        """The number columns."""
        return Targets(frame[self.target_columns].to_numpy(dtype=np.float64))

    def parse(self, text: pd.DataFrame, numbers: Callable[[], Array]) -> Targets:
        """A finite number in each cell."""
        values = numbers()
        if not np.isfinite(values).all():
            finite = np.asarray(np.isfinite(values).all(axis=1))
            raise CellError("finite numbers", finite)
        return Targets(values)

    def text(self, targets: Targets, separator: str = " ") -> "pd.Series[str]":
        """The numbers of each row with ten digits, joined."""
        cells = [separator.join(f"{value:.10g}" for value in row) for row in targets.values]
        return pd.Series(cells, dtype=str)

    def strata(self, targets: Targets) -> Array:
        """Ten bins of equally many rows by each column's quantiles; fewer where rows are few or
        numbers alike."""
        count = max(min(STRATA, len(targets) // STRATUM_ROWS), 1)
        inner = np.linspace(0, 1, count + 1)[1:-1]
        marks = []
        for column in targets.values.T:
            codes = np.searchsorted(np.unique(np.quantile(column, inner)), column, side="right")
            marks.append(np.eye(count, dtype=np.uint8)[codes])
        return np.hstack(marks)

    def likely(self, block: Array) -> Targets:
        """The predictions themselves."""
        return Targets(block)

    def draw(self, block: Array, known: Known, rng: np.random.Generator) -> Targets:
        """The predictions with errors of known rows, each row's as a whole.

        The known rows are predicted by the models of one fold; a block that averages several is
        nearer the truth by what these differ from their mean, in mean squares (the ambiguity
        decomposition: Krogh and Vedelsby 1995, NIPS 7).
        """
        errors = known.targets.values - known.block
        squares = float((errors**2).mean())
        left = np.sqrt(max(0.0, 1 - known.spread / squares)) if squares else 0.0
        return Targets(block + left * errors[rng.integers(0, len(errors), len(block))])

    def outputs(self, loss: Loss) -> Outputs | None:
        """Those of numbers."""
        return loss.of_numbers

    def scaling(self, targets: Targets) -> tuple[Array, Array]:
        """Mean and standard deviation of each column; 1 where all numbers are alike."""
        spread = targets.values.std(axis=0)
        return targets.values.mean(axis=0), np.where(spread > 0, spread, 1.0)

    def facts(self, targets: Targets) -> dict[str, object]:
        """`numbers`: lowest, highest, mean and standard deviation of each column."""
        found = {}
        for name, values in zip(self.columns, targets.values.T, strict=True):
            told = {"low": values.min(), "high": values.max()}
            told |= {"mean": values.mean(), "deviation": values.std()}
            found[name] = {what: float(f"{value:.6g}") for what, value in told.items()}
        return {"numbers": found}

    def baselines(self, targets: Targets, rows: int) -> dict[str, Array]:
        """`mean` and `median` of the training rows."""
        blocks = {
            "mean": targets.values.mean(axis=0),
            "median": np.median(targets.values, axis=0),
        }
        return {name: np.tile(row, (rows, 1)) for name, row in blocks.items()}

    def unfit(self, block: Array) -> Array:
        """Rows with a number that is not finite."""
        return np.asarray(~np.isfinite(block).all(axis=1))

    def normalise(self, block: Array) -> Array:
        """As it is."""
        return block

    def to_scores(self, block: Array) -> Array:
        """As it is."""
        return block

    def from_scores(self, scores: Array) -> Array:
        """As they are."""
        return scores

    def sureness(self, block: Array) -> Array:
        """NaN: a number does not tell how sure it is."""
        return np.full(len(block), np.nan)

    def describe(
        self, block: Array, threshold: float, join: Callable[[list[str]], str]
    ) -> tuple[list[str | None], Array]:
        """The numbers with six digits, joined; of unknown confidence."""
        answers = [
            None if np.isnan(row).any() else join([f"{value:.6g}" for value in row])
            for row in block
        ]
        return answers, np.full(len(block), np.nan)

    def losses(self, targets: Targets, block: Array) -> Array:
        """The squared error of each row, the mean over columns."""
        return np.asarray(((targets.values - block) ** 2).mean(axis=1))
