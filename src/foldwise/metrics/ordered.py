"""Kappa: of classes that stand in an order."""

from typing import ClassVar, Literal

import numpy as np

from foldwise.arrays import Array
from foldwise.errors import SpecError
from foldwise.kinds.answer import Answer
from foldwise.kinds.metric import Answers, Metric, Weighted
from foldwise.metrics.columns import ratio


class Kappa(Metric):
    """Quadratic weighted kappa of ordered classes.

    1 - sum(w O) / sum(w E) with w = (i - j)^2, O the counts of truth i and answer j, and E those
    expected by chance (Cohen 1968, as Kaggle computes it: kagglesolutions.com, "Quadratic Weighted
    Kappa", read 2026-11-22). Both sums follow from sums over rows. Where everything is one class
    and is called so, it is 1.
    """

    reads: ClassVar[Answer] = "labels"
    ordered: ClassVar[bool] = True

    name: Literal["kappa"] = "kappa"

    @property
    def range(self) -> tuple[float, float]:
        """Below 0 it is worse than chance."""
        return -1.0, 1.0

    @property
    def title(self) -> str:
        """Which of the kappas it is."""
        return "quadratic weighted kappa"

    def rule(self, answers: Answers) -> Weighted:
        """See the class. Raises: SpecError: rows may have many labels."""
        if not answers.task.sums_to_one:
            raise SpecError(
                '[metric] name = "kappa" needs one label per image; choose f1 or accuracy'
            )
        true = answers.targets.values.astype(np.float64)
        said = answers.block.argmax(axis=1).astype(np.float64)
        rows = np.stack(
            [np.ones_like(true), (true - said) ** 2, true, said, true**2 + said**2], axis=1
        )

        def at(times: Array) -> Array:
            count, observed, trues, saids, squares = (times @ rows).T
            expected = count * squares - 2 * trues * saids  # count times sum(w E); whole numbers
            return np.where(expected == 0, 1.0, 1 - ratio(count * observed, expected))

        return at
