"""A split as a competition: the tables and members that foldwise's own blend takes."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from boarding.sets import ImageSet
from boarding.splits import Split
from foldwise.config.competition import CompetitionSpec
from foldwise.data.competition import CompetitionData
from foldwise.data.labels.table import LabelTable
from foldwise.ensembling.members import Member
from foldwise.shapes.formats import submission_format
from foldwise.tasks import task_of

# kind of board: [metric], [submission] shape
SINGLE: dict[str, tuple[dict[str, str], str]] = {
    "log loss": ({"name": "log_loss"}, "wide"),
    "accuracy": ({"name": "accuracy"}, "label"),
    "macro F1": ({"name": "f1", "average": "macro"}, "label"),
}
MULTI: dict[str, tuple[dict[str, str], str]] = {
    "log loss of tags": ({"name": "log_loss"}, "wide"),
    "micro F1 of tags": ({"name": "f1", "average": "micro"}, "tags"),
    "AUC of tags": ({"name": "auc"}, "wide"),
}


def kinds_of(images: ImageSet) -> Sequence[str]:
    """The kinds of board that a set can have."""
    return [*(MULTI if images.multi else SINGLE)]


def competition(images: ImageSet, split: Split, kind: str) -> tuple[CompetitionData, LabelTable]:
    """The competition of a split, and its test rows with their labels."""
    metric, shape = (SINGLE | MULTI)[kind]
    spec = CompetitionSpec.model_validate(
        {
            "name": "board",
            "title": kind,
            "platform": "local",
            "holdout": {},
            "labels": {"format": "hook", "multi": images.multi},
            "metric": metric,
            "submission": {"shape": shape},
            "submit": {"recipes": ["cheap"]},
            "folds": {"default": {"kind": "stratified", "n": int(split.folds.max()) + 1}},
        }
    )
    train, test = (_table(images, rows) for rows in (split.train, split.test))
    given = submission_format(None, spec, list(test.frame["id"]), train.task)
    return CompetitionData(spec, Path(), train, test, given, {}), test


def members(split: Split) -> list[Member]:
    """The split's members, as a blend takes them."""
    return [
        Member(name, name, partial(_float64, oof), _by_fold(split.tested[name]), {})
        for name, oof in split.oof.items()
    ]


def _by_fold(tested: np.ndarray) -> Callable[[int], np.ndarray]:
    return lambda fold: _float64(tested[fold % len(tested)])


def _float64(probs: np.ndarray) -> np.ndarray:
    return probs.astype(np.float64)


def _table(images: ImageSet, rows: np.ndarray) -> LabelTable:
    hot = images.hot[rows]
    classes = tuple(f"c{number:03d}" for number in range(hot.shape[1]))
    groups = None if images.groups is None else images.groups[rows]
    frame = pd.DataFrame({"id": [f"{row:06d}" for row in rows], "path": None, "group": groups})
    if images.multi:
        frame = frame.assign(**{name: hot[:, c] for c, name in enumerate(classes)})
    else:
        frame["label"] = pd.Categorical.from_codes(hot.argmax(axis=1), categories=list(classes))
    return LabelTable(frame, frame[["id"]], task_of(classes, "labels" if images.multi else "class"))
