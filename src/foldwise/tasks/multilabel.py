"""MultiLabel: each row has any number of labels."""

from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.kinds.columns import columns_of
from foldwise.kinds.loss import Loss, Outputs
from foldwise.kinds.rows import Rows
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import NONE, TINY, CellError, Known
from foldwise.tasks.probable import ProbableTask, class_shares

DRAW_TRIES = 100  # of a row's labels


class MultiLabel(ProbableTask):
    """Any number of labels a row: targets are 0 or 1, predictions a probability for each label."""

    name: ClassVar[str] = "multi-label"
    usual_loss: ClassVar[str] = "bce"
    unfit_because: ClassVar[str] = "needs one label per image, and here an image may have many"
    sums_to_one: ClassVar[bool] = False

    @property
    def target_columns(self) -> list[str]:
        """One for each class, see `columns_of`."""
        return columns_of(self.columns)

    def encode(self, rows: Rows) -> Targets:
        """A 1 for each of a row's labels."""
        code = {name: number for number, name in enumerate(self.columns)}
        marks = np.zeros((len(rows.tags), len(self)), dtype=np.uint8)
        for row, tags in enumerate(rows.tags):
            marks[row, [code[tag] for tag in tags]] = 1
        return Targets(marks)

    def frame(self, targets: Targets) -> pd.DataFrame:
        """One uint8 column per class."""
        return pd.DataFrame(targets.values, columns=self.target_columns)

    def targets(self, frame: pd.DataFrame) -> Targets:
        """The class columns."""
        return Targets(frame[self.target_columns].to_numpy(dtype=np.uint8))

    def parse(self, text: pd.DataFrame, numbers: Callable[[], Array]) -> Targets:
        """0 or 1 for each class in each row."""
        values = numbers()
        known = np.asarray(np.isin(values, (0, 1)).all(axis=1))
        if not known.all():
            raise CellError("0 or 1 for each class", known)
        return Targets(values.astype(np.uint8))

    def text(self, targets: Targets, separator: str = " ") -> "pd.Series[str]":
        """The names of each row's labels in class order, joined."""
        names = np.asarray(self.columns, dtype=object)
        return pd.Series([separator.join(names[row == 1]) for row in targets.values], dtype=str)

    def strata(self, targets: Targets) -> Array:
        """The labels."""
        return targets.values

    def likely(self, block: Array) -> Targets:
        """Each label whose probability is one half or more."""
        return Targets(self.name_classes(block, 0.5))

    def draw(self, block: Array, known: Known, rng: np.random.Generator) -> Targets:
        """Each label for itself; a row that gets fewer or more than any known row has is drawn
        again, since labels of one image are not independent, and that much is known of them."""
        counts = known.targets.values.sum(axis=1, dtype=int)
        marks = (rng.random(block.shape) < block).astype(np.uint8)
        for _ in range(DRAW_TRIES):
            found = marks.sum(axis=1)
            odd = np.flatnonzero((found < counts.min()) | (found > counts.max()))
            if not len(odd):
                break
            marks[odd] = rng.random((len(odd), block.shape[1])) < block[odd]
        return Targets(marks)

    def outputs(self, loss: Loss) -> Outputs | None:
        """Those of labels."""
        return loss.of_labels

    def facts(self, targets: Targets) -> dict[str, object]:
        """`classes`: the share of the rows that have each; `labels_per_row` in the mean, and
        `rows_without_label`."""
        counts = targets.values.sum(axis=1)
        return {
            "classes": class_shares(self.columns, targets.values),
            "labels_per_row": round(float(counts.mean()), 3),
            "rows_without_label": int((counts == 0).sum()),
        }

    def baselines(self, targets: Targets, rows: int) -> dict[str, Array]:
        """`uniform`, one half of each label, and `class prior`, their shares of training rows."""
        blocks = {"uniform": np.full(len(self), 0.5), "class prior": targets.values.mean(axis=0)}
        return {name: np.tile(row, (rows, 1)) for name, row in blocks.items()}

    def normalise(self, block: Array) -> Array:
        """1 where rounding left more."""
        return np.minimum(block, 1)

    def to_scores(self, block: Array) -> Array:
        """Logits, bounded so that 0 and 1 have one too."""
        logits: Array = np.log(np.clip(block, TINY, None)) - np.log(np.clip(1 - block, TINY, None))
        return logits

    def from_scores(self, scores: Array) -> Array:
        """The sigmoid of each."""
        from scipy.special import expit

        return np.asarray(expit(scores))

    def describe(
        self, block: Array, threshold: float, join: Callable[[list[str]], str]
    ) -> tuple[list[str | None], Array]:
        """The labels that reach the threshold, joined, NONE where none does; the probability of the
        least sure decision, on a label that is named or on one that is not."""
        names, named = np.array(self.columns), block >= threshold
        answers = [
            None if np.isnan(row).any() else join([*names[own]]) if own.any() else NONE
            for own, row in zip(named, block, strict=True)
        ]
        return answers, np.where(named, block, 1 - block).min(axis=1)

    def marks(self, targets: Targets) -> Array:
        """The targets themselves."""
        return targets.values

    def name_classes(self, block: Array, threshold: float) -> Array:
        """The labels at or above the threshold."""
        return (block >= threshold).astype(np.uint8)

    def sureness(self, block: Array) -> Array:
        """The least of p or 1 - p, which is more, over the labels."""
        return np.asarray(np.maximum(block, 1 - block).min(axis=1))

    def likelihood(self, targets: Targets, block: Array) -> Array:
        """p of a label that is there, 1 - p of one that is not, (n, C)."""
        return np.where(targets.values == 1, block, 1 - block)

    def right(self, targets: Targets, block: Array) -> Array:
        """That of the worst cell."""
        return np.asarray(self.likelihood(targets, block).min(axis=1))

    def decisions(self, targets: Targets, block: Array) -> tuple[Array, Array]:
        """Every cell: whether the row has the label."""
        return block.ravel(), (targets.values == 1).ravel()

    def outcomes(self, block: Array) -> Array:
        """Of each label, and of its absence, (2, n, C)."""
        return np.stack([block, 1 - block])

    def expect(self, block: Array, values: Array, weights: Sequence[float] | None = None) -> float:
        """The mean over cells, of columns the weighted one."""
        means = (self.outcomes(block) * values).sum(axis=0).mean(axis=0)
        return float(np.average(means, weights=None if weights is None else np.array([*weights])))

    def log_loss(self, given: Array, weights: Sequence[float] | None = None) -> float:
        """The mean over cells, of columns the weighted one."""
        means = np.log(np.clip(given, TINY, 1)).mean(axis=0)
        return -float(np.average(means, weights=weights))
