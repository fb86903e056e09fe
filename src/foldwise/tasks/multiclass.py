"""MultiClass: each row has one of several classes."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.errors import examples
from foldwise.kinds.loss import Loss, Outputs
from foldwise.kinds.rows import Rows
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import NONE, TINY, CellError, Known
from foldwise.tasks.probable import ProbableTask, class_shares

LABEL = "label"


class MultiClass(ProbableTask):
    """One class a row: targets are class numbers, predictions shares that sum to 1."""

    name: ClassVar[str] = "multi-class"
    usual_loss: ClassVar[str] = "cross_entropy"
    unfit_because: ClassVar[str] = "is not for one class an image"
    sums_to_one: ClassVar[bool] = True

    @property
    def target_columns(self) -> list[str]:
        """`label`."""
        return [LABEL]

    def encode(self, rows: Rows) -> Targets:
        """The class number of each row's only label."""
        code = {name: number for number, name in enumerate(self.columns)}
        return Targets(np.array([code[tags[0]] for tags in rows.tags], dtype=np.int64))

    def frame(self, targets: Targets) -> pd.DataFrame:
        """`label`, a Categorical in class order."""
        return pd.DataFrame({LABEL: pd.Categorical.from_codes(targets.values, dtype=self._kind)})

    def targets(self, frame: pd.DataFrame) -> Targets:
        """The codes of the Categorical."""
        return Targets(frame[LABEL].cat.codes.to_numpy(dtype=np.int64))

    def parse(self, text: pd.DataFrame, numbers: Callable[[], Array]) -> Targets:
        """A class by its name in each row."""
        known = text[LABEL].isin(self.columns).to_numpy()
        if not known.all():
            raise CellError(f"one of the {len(self)} classes ({examples(self.columns)})", known)
        return self.targets(text[[LABEL]].astype(self._kind))

    def text(self, targets: Targets, separator: str = " ") -> "pd.Series[str]":
        """The name of each row's class."""
        return pd.Series(np.asarray(self.columns, dtype=object)[targets.values], dtype=str)

    def strata(self, targets: Targets) -> Array:
        """The classes."""
        return self.marks(targets)

    def likely(self, block: Array) -> Targets:
        """The most probable class, of equal ones the first."""
        return Targets(block.argmax(axis=1))

    def draw(self, block: Array, known: Known, rng: np.random.Generator) -> Targets:
        """One class a row."""
        ends = block.cumsum(axis=1)
        return Targets((rng.random((len(block), 1)) * ends[:, -1:] > ends).sum(axis=1))

    def outputs(self, loss: Loss) -> Outputs | None:
        """Those of two classes, or of several."""
        return loss.of_two if len(self) == 2 else loss.of_classes

    def facts(self, targets: Targets) -> dict[str, object]:
        """`classes`: the share of the rows of each."""
        return {"classes": class_shares(self.columns, self.marks(targets))}

    def baselines(self, targets: Targets, rows: int) -> dict[str, Array]:
        """`uniform` and `class prior`, the classes' shares of the training rows."""
        prior = self.marks(targets).mean(axis=0)
        blocks = {"uniform": np.full(len(self), 1 / len(self)), "class prior": prior}
        return {name: np.tile(row, (rows, 1)) for name, row in blocks.items()}

    def normalise(self, block: Array) -> Array:
        """Each row divided by its sum."""
        return np.asarray(block / block.sum(axis=1, keepdims=True))

    def to_scores(self, block: Array) -> Array:
        """Logarithms, bounded so that 0 has one too."""
        return np.asarray(np.log(np.clip(block, TINY, None)))

    def from_scores(self, scores: Array) -> Array:
        """The softmax of each row."""
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def describe(
        self, block: Array, threshold: float, join: Callable[[list[str]], str]
    ) -> tuple[list[str | None], Array]:
        """The most probable class and its probability; below the threshold NONE, and what the
        class lacks to 1."""
        best = block.max(axis=1)
        unsure = best < threshold
        answers = [
            None if np.isnan(p) else NONE if not_sure else self.columns[number]
            for number, p, not_sure in zip(block.argmax(axis=1), best, unsure, strict=True)
        ]
        return answers, np.where(unsure, 1 - best, best)

    def marks(self, targets: Targets) -> Array:
        """One 1 a row."""
        return np.eye(len(self), dtype=np.uint8)[targets.values]

    def name_classes(self, block: Array, threshold: float) -> Array:
        """The most probable class, whatever the threshold."""
        return self.marks(self.likely(block))

    def sureness(self, block: Array) -> Array:
        """The largest probability of each row."""
        return np.asarray(block.max(axis=1))

    def likelihood(self, targets: Targets, block: Array) -> Array:
        """That of each row's class, (n,)."""
        return block[np.arange(len(block)), targets.values]

    def right(self, targets: Targets, block: Array) -> Array:
        """As `likelihood`: a row is one decision."""
        return self.likelihood(targets, block)

    def decisions(self, targets: Targets, block: Array) -> tuple[Array, Array]:
        """One a row: its most probable class."""
        best = block.argmax(axis=1)
        return block[np.arange(len(block)), best], best == targets.values

    def outcomes(self, block: Array) -> Array:
        """The block itself."""
        return block

    def expect(self, block: Array, values: Array, weights: Sequence[float] | None = None) -> float:
        """The sum over classes; weights of columns mean nothing here."""
        return float((block * values).sum(axis=1).mean())

    def log_loss(self, given: Array, weights: Sequence[float] | None = None) -> float:
        """The mean over rows; weights of columns mean nothing here."""
        return -float(np.log(np.clip(given, TINY, 1)).mean())

    @property
    def _kind(self) -> pd.CategoricalDtype:
        return pd.CategoricalDtype([*self.columns])
