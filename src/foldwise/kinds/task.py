"""Task: what targets are, what a prediction is, and all that differs by it.

Targets come from a task and go back to it; a prediction is a block, float64 (n, C), one column for
each of the task's columns. Nothing outside the tasks themselves asks which one it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.kinds.answer import Answer
from foldwise.kinds.loss import Loss, Outputs
from foldwise.kinds.rows import Rows
from foldwise.kinds.targets import Targets

NONE = "none of these"  # an answer
TINY = 1e-15  # the smallest probability that has a logarithm here


class CellError(ValueError):
    """Some rows do not hold what they should; whoever read the file says so with its name.

    expected: what a row should hold. right: which rows do, bool (n,).
    """

    def __init__(self, expected: str, right: Array) -> None:
        super().__init__(expected)
        self.expected, self.right = expected, right


@dataclass(frozen=True, eq=False)
class Known:
    """Rows whose truth is known: their targets, and out-of-fold predictions of them (n, C).

    spread: the mean square by which predictions of single folds' models differ from their mean.
    """

    targets: Targets
    block: Array
    spread: float = 0.0


@dataclass(frozen=True)
class Task(ABC):
    """A kind of target. There are three, and no adapter adds another.

    columns: what is predicted, in the order of the submission: classes, or numbers by their names.

    name: for people. usual_loss: that of a recipe which names none. unfit_because: why a recipe's
    setting does not fit the task, for messages. answers: what predictions can
    be asked to say. probabilities: whether a block holds probabilities. sums_to_one: whether the
    columns of a row exclude each other, so that they sum to 1. must_train: whether every training
    part needs rows of each stratum.
    """

    columns: tuple[str, ...]

    name: ClassVar[str]
    answers: ClassVar[frozenset[Answer]] = frozenset({"probabilities", "ranking", "labels"})
    usual_loss: ClassVar[str]
    unfit_because: ClassVar[str] = ""
    probabilities: ClassVar[bool] = True
    sums_to_one: ClassVar[bool] = False
    must_train: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.columns)

    # --- targets

    @property
    @abstractmethod
    def target_columns(self) -> list[str]:
        """The columns of a frame that hold targets."""

    @abstractmethod
    def encode(self, rows: Rows) -> Targets:
        """The targets of rows whose labels are all among the columns."""

    @abstractmethod
    def frame(self, targets: Targets) -> pd.DataFrame:
        """Targets as a frame's columns, for fastai, hooks and files: see `target_columns`."""

    @abstractmethod
    def targets(self, frame: pd.DataFrame) -> Targets:
        """The targets in a frame that has the columns of `frame`."""

    @abstractmethod
    def parse(self, text: pd.DataFrame, numbers: Callable[[], Array]) -> Targets:
        """The targets in a file's cells. numbers: gives the cells as float64 (n, columns).

        Raises: CellError: a cell holds something else.
        """

    @abstractmethod
    def text(self, targets: Targets, separator: str = " ") -> "pd.Series[str]":
        """The labels of each row as text; of several, joined."""

    @abstractmethod
    def strata(self, targets: Targets) -> Array:
        """What folds spread evenly: 1 where a row is in a stratum, uint8 (n, s)."""

    @abstractmethod
    def likely(self, block: Array) -> Targets:
        """The most likely targets of a block's rows."""

    @abstractmethod
    def draw(self, block: Array, known: Known, rng: np.random.Generator) -> Targets:
        """Targets drawn as a block makes them likely. known: rows of the same kind, for what a
        block does not tell: how many labels a row has, how far numbers are off."""

    @abstractmethod
    def outputs(self, loss: Loss) -> Outputs | None:
        """What a model's outputs are to a loss; None: the loss is not for this task."""

    def scaling(self, targets: Targets) -> tuple[Array, Array] | None:
        """Mean and standard deviation of each column of a training part, (C,) each, by which a
        model's outputs are standardised; None: they are none of numbers."""
        return None

    @abstractmethod
    def facts(self, targets: Targets) -> dict[str, object]:
        """What `check` tells of the training rows' targets."""

    # --- predictions

    @abstractmethod
    def baselines(self, targets: Targets, rows: int) -> dict[str, Array]:
        """Blocks of so many rows that know nothing of any image, by name; targets: of training."""

    @abstractmethod
    def unfit(self, block: Array) -> Array:
        """Which rows of a block are no predictions, bool (n,)."""

    @abstractmethod
    def normalise(self, block: Array) -> Array:
        """A block whose rows are within what a prediction can be, which sums, weights and rounding
        may have left."""

    @abstractmethod
    def to_scores(self, block: Array) -> Array:
        """A block on the scale on which a chain works, without bounds: logarithms or logits."""

    @abstractmethod
    def from_scores(self, scores: Array) -> Array:
        """The block of scores (n, C): the inverse of `to_scores`."""

    def at_temperature(self, block: Array, temperature: float) -> Array:
        """A block at a temperature: above 1 flatter, below 1 sharper; the order of a row stays.

        Scores divided by it (Guo et al. 2017, "On Calibration of Modern Neural Networks", ICML;
        read 2026-11-22). Numbers that are no probabilities have none, and stay.
        """
        if not self.probabilities:
            return block
        return self.from_scores(self.to_scores(block) / temperature)

    @abstractmethod
    def sureness(self, block: Array) -> Array:
        """How sure each row's most likely targets are, (n,): the probability of the least sure one
        of its decisions."""

    @abstractmethod
    def describe(
        self, block: Array, threshold: float, join: Callable[[list[str]], str]
    ) -> tuple[list[str | None], Array]:
        """Each row's answer as text, and its confidence (n,), for people.

        None and NaN where a row is NaN. NONE where nothing reaches the threshold. join: makes one
        text of several labels.
        """

    # --- both

    @abstractmethod
    def losses(self, targets: Targets, block: Array) -> Array:
        """How far each row is off, (n,), for lists of the worst: the negative logarithm of the
        probability of the truth, or of its worst cell; the squared error of numbers."""

    # --- only where a block holds probabilities

    def marks(self, targets: Targets) -> Array:
        """1 where a row has a class, uint8 (n, C)."""
        raise self._no_classes()

    def name_classes(self, block: Array, threshold: float) -> Array:
        """1 for the classes that an answer names, uint8 (n, C)."""
        raise self._no_classes()

    def likelihood(self, targets: Targets, block: Array) -> Array:
        """The probability of what is true, decision by decision: (n,) or (n, C)."""
        raise self._no_classes()

    def right(self, targets: Targets, block: Array) -> Array:
        """The probability that each row gives to what is true, (n,): that of its worst decision."""
        raise self._no_classes()

    def decisions(self, targets: Targets, block: Array) -> tuple[Array, Array]:
        """The confidence of every decision, and whether it is right, (m,) each: for reliability."""
        raise self._no_classes()

    def outcomes(self, block: Array) -> Array:
        """The probabilities of all that can be true: (n, C), or of labels and of their absence
        (2, n, C)."""
        raise self._no_classes()

    def expect(self, block: Array, values: Array, weights: Sequence[float] | None = None) -> float:
        """The expected value of values by outcome, the mean over rows, where outcomes have a
        block's probabilities. values: as `outcomes`. weights: of the columns, where they differ."""
        raise self._no_classes()

    def log_loss(self, given: Array, weights: Sequence[float] | None = None) -> float:
        """The mean log loss of a `likelihood`. weights: of the columns, where they differ."""
        raise self._no_classes()

    def _no_classes(self) -> TypeError:
        return TypeError(f"a {self.name} task has no classes")
