"""Metric: a competition's metric with its constants, from `[metric]`."""

from collections.abc import Sequence
from math import inf
from typing import Literal

from pydantic import Field, model_validator

from foldwise.errors import SpecError, examples, nearest
from foldwise.kinds.bounds import Amount, AmountOrNone, Count, Inside
from foldwise.kinds.settings import Strict


class Metric(Strict):
    """The competition's own metric with its constants."""

    name: Literal[
        "log_loss",
        "accuracy",
        "top_k_error",
        "auc",
        "average_precision",
        "kappa",
        "f1",
        "precision",
        "recall",
        "map",
        "hook",
    ] = "log_loss"
    clip: float = Field(default=1e-15, gt=0, lt=0.1)  # log_loss: p is clipped to [clip, 1-clip]
    rescale: bool = True  # log_loss: divide each row by its sum first, as Kaggle does
    # f1, precision, recall; samples: per row
    average: Literal["micro", "macro", "weighted", "samples"] = "micro"
    beta: Amount = 1.0  # f1: 2 makes it F2
    k: Count = 5  # map: MAP@k; top_k_error: the first k classes
    # many labels; accuracy, f1, precision, recall: a class at least so probable is named
    threshold: Inside = 0.5
    # of each class in a mean over columns
    weights: dict[str, AmountOrNone] = Field(default_factory=dict)
    higher_is_better: bool = False  # hook: which way is better; the others know

    @model_validator(mode="after")
    def _weights_can_be_used(self) -> "Metric":
        if not self.weights:
            return self
        counted = self.name in ("f1", "precision", "recall")
        if self.name in ("kappa", "map", "top_k_error", "hook") or (
            counted and self.average != "macro"
        ):
            averaged = f' with average = "{self.average}"' if counted else ""
            raise ValueError(
                f"[metric] weights: {self.name}{averaged} is no mean over columns; remove them, or "
                'choose log_loss, accuracy, auc, average_precision, or average = "macro"'
            )
        if not any(self.weights.values()):
            raise ValueError(
                "[metric] weights should be numbers from 0 up, one of them above 0, got "
                f"{examples(self.weights.values())}"
            )
        return self

    def column_weights(self, classes: Sequence[str], multi: bool) -> tuple[float, ...] | None:
        """The weights in class order; None without any.

        Raises: SpecError: a class has none, or one that is unknown has; or an image has one label
                and the metric is then no mean over columns.
        """
        if not self.weights:
            return None
        if not multi and self.name in ("log_loss", "accuracy"):
            raise SpecError(
                f"[metric] weights: {self.name} is a mean over columns only where an image may "
                "have many labels; remove them"
            )
        for name in self.weights:
            if name not in classes:
                raise SpecError(
                    f"[metric] weights name a class {name!r}{nearest(name, list(classes))}"
                )
        missing = [name for name in classes if name not in self.weights]
        if missing:
            raise SpecError(
                f"[metric] weights: expected one for each of {len(classes)} classes, "
                f"{len(missing)} have none: {examples(missing)}; write 0 for what does not count"
            )
        return tuple(self.weights[name] for name in classes)

    @property
    def higher(self) -> bool:
        """True where a higher value is better."""
        if self.name == "hook":
            return self.higher_is_better
        return self.name not in ("log_loss", "top_k_error")

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest value that it can have."""
        if self.name == "hook":
            return -inf, inf
        if self.name == "log_loss":
            return 0.0, inf
        return (-1.0 if self.name == "kappa" else 0.0), 1.0

    @property
    def title(self) -> str:
        """The metric's name for people: `micro F1`, `MAP@5`."""
        average = {"samples": "per-row"}.get(self.average, self.average)
        names = {
            "map": f"MAP@{self.k}",
            "top_k_error": f"top-{self.k} error",
            "auc": "ROC AUC",
            "kappa": "quadratic weighted kappa",
            "f1": f"{average} F{self.beta:g}",
            "precision": f"{average} precision",
            "recall": f"{average} recall",
        }
        title = names.get(self.name, self.name.replace("_", " "))
        return title + (", columns weighted" if self.weights else "")
