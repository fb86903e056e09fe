"""What metrics that take the columns of classes apart have in common."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field, model_validator

from foldwise.arrays import Array
from foldwise.errors import PredictionError, SpecError, examples, nearest
from foldwise.kinds.bounds import AmountOrNone
from foldwise.kinds.metric import METRICS, Answers, Metric
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import Task
from foldwise.tasks import MultiLabel

COLUMN = MultiLabel(("column",))  # the task of one column by itself


class ColumnMetric(Metric):
    """A metric that is, or may be, a mean over columns, whose weights may then differ."""

    of_one_label: ClassVar[bool] = True  # a mean over columns where an image has one label, too

    # The weight of each class in a mean over columns; 0 leaves a class out of the score. Example:
    # {cat = 2, dog = 1}
    weights: dict[str, AmountOrNone] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _weights_can_be_used(self) -> "ColumnMetric":
        if self.weights and not any(self.weights.values()):
            raise ValueError(
                "[metric] weights should be numbers from 0 up, one of them above 0, got "
                f"{examples(self.weights.values())}"
            )
        return self

    @property
    def plain_title(self) -> str:
        """The title without a word on weights."""
        return super().title

    @property
    def title(self) -> str:
        """The metric's name for people."""
        return self.plain_title + (", columns weighted" if self.weights else "")

    def column_weights(self, task: Task) -> tuple[float, ...] | None:
        """See `Metric.column_weights`."""
        if not self.weights:
            return None
        if task.sums_to_one and not self.of_one_label:
            raise SpecError(
                f"[metric] weights: {METRICS.name_of(self)} is a mean over columns only where an "
                "image may have many labels; remove them"
            )
        for name in self.weights:
            if name not in task.columns:
                raise SpecError(
                    f"[metric] weights name a class {name!r}{nearest(name, list(task.columns))}"
                )
        missing = [name for name in task.columns if name not in self.weights]
        if missing:
            raise SpecError(
                f"[metric] weights: expected one for each of {len(task)} classes, "
                f"{len(missing)} have none: {examples(missing)}; write 0 for what does not count"
            )
        return tuple(self.weights[name] for name in task.columns)

    def class_values(self, answers: Answers) -> list[float | None]:
        """See `Metric.class_values`."""
        if answers.task.sums_to_one and not self.of_one_label:
            return super().class_values(answers)
        alone = self.model_copy(update={"weights": {}})
        columns = zip(answers.marks.T, answers.block.T, strict=True)
        return [column_value(alone, marks, block) for marks, block in columns]


def column_value(metric: Metric, marks: Array, block: Array) -> float | None:
    """The metric of one column by itself, (n,) each; None where it has no value."""
    try:
        return metric.value(
            Answers(task=COLUMN, targets=Targets(marks[:, None]), block=block[:, None])
        )
    except PredictionError:
        return None


def column_mean(values: Array, weights: Sequence[float] | Array | None) -> Array:
    """The weighted mean over the columns of values (b, C) that are known; NaN where none counts."""
    known = ~np.isnan(values)
    share = known * (1.0 if weights is None else np.asarray(weights, dtype=np.float64))
    return ratio((share * np.where(known, values, 0)).sum(axis=1), share.sum(axis=1))


def ratio(part: Array, whole: Array) -> Array:
    """part / whole; NaN where whole is 0."""
    return part / np.where(whole == 0, np.nan, whole)
