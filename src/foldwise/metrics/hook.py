"""The metric that is a function of frames in a competition's adapter.py."""

from math import inf
from typing import ClassVar, Literal

from foldwise.kinds.answer import Answer
from foldwise.kinds.metric import Answers, Metric


class HookMetric(Metric):
    """What `score(truth, predictions)` in adapter.py returns."""

    reads: ClassVar[Answer] = "labels"  # nobody knows; labels are what any file has
    each_epoch: ClassVar[bool] = False
    hook: ClassVar[Literal["score"] | None] = "score"

    name: Literal["hook"] = "hook"
    higher_is_better: bool = False  # Whether a higher score is better. Example: true

    @property
    def higher(self) -> bool:
        """As the settings say."""
        return self.higher_is_better

    @property
    def range(self) -> tuple[float, float]:
        """Any number."""
        return -inf, inf

    def class_values(self, answers: Answers) -> list[float | None]:
        """None: the function scores all classes together."""
        return [None] * len(answers.task)
