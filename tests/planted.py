"""Made-up predictions whose best blend, temperature or threshold is known, for tests."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from foldwise.kinds.goal import Goal
from foldwise.kinds.metric import Answers, Metric
from foldwise.kinds.shape import SHAPES, SubmissionFormat
from foldwise.kinds.targets import Targets
from foldwise.tasks import MultiClass, MultiLabel, task_of
from tiny import metric_of

ONE, MANY = MultiClass(("a", "b", "c")), MultiLabel(("a", "b", "c"))  # tasks


def goal(
    hot: np.ndarray, metric: dict[str, Any] | None = None, multi: bool = False, **submission: Any
) -> Goal:
    """The goal of rows with these labels, 0 or 1 (n, C); log loss of a wide file by default."""
    settings = SHAPES.parse(submission)
    names = [f"class {c}" for c in range(hot.shape[1])][::-1]  # not in sorted order
    ids = [f"{row:05d}" for row in range(len(hot))]
    columns = ["id", *names] if settings.shape == "wide" else ["id", "answer"]
    frame = settings.blank_rows(ids, names, columns, "id")
    task = task_of(names, "labels" if multi else "class")
    form = SubmissionFormat(frame, "id", tuple(columns[1:]), tuple(ids), task, settings)
    targets = Targets(hot.astype(np.uint8) if multi else hot.argmax(axis=1))
    return Goal(
        task=task,
        truth=pd.concat([pd.DataFrame({"id": ids}), task.frame(targets)], axis=1),
        targets=targets,
        metric=metric_of(**(metric or {})),
        format=form,
    )


def answers(
    metric: Metric, marks: np.ndarray, block: np.ndarray, multi: bool, classes: Sequence[str] = ()
) -> Answers:
    """What a metric scores. marks: 0 or 1, (n, C). classes: by default called by their numbers."""
    names = classes or [str(number) for number in range(block.shape[1])]
    targets = Targets(np.asarray(marks) if multi else np.asarray(marks).argmax(axis=1))
    return metric.answers(task_of(names, "labels" if multi else "class"), targets, block)


def value_of(metric: Metric, *given: Any) -> float:
    """A metric's value; given: see `answers`."""
    return metric.value(answers(metric, *given))


def drawn(probs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels drawn from probabilities that sum to 1, 0 or 1 (n, C)."""
    codes = (probs.cumsum(axis=1) > rng.random((len(probs), 1))).argmax(axis=1)
    return np.eye(probs.shape[1], dtype=np.uint8)[codes]


def flipped(probs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels of which each is drawn from its own probability, 0 or 1 (n, C)."""
    return (rng.random(probs.shape) < probs).astype(np.uint8)


def dealt(rows: int, folds: int, seed: int = 0) -> np.ndarray:
    """The fold of each row, in no order."""
    return np.random.default_rng(seed).permutation(np.arange(rows) % folds)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Rows that sum to 1, (n, C)."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
