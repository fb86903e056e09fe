"""A metric, a shape and a blend method of an adapter.py, taken through a submission."""

import json
from pathlib import Path

import pandas as pd
import pytest

from foldwise.commands import pipeline
from foldwise.config.competition import load_competition
from foldwise.errors import SpecError
from foldwise.kinds.events import EpochDone, Event
from foldwise.reporting.summary import run_summary
from foldwise.workspace import Workspace
from tiny import CLASSES, edit, only_run

METRIC = '''
from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from foldwise.kinds.metric import Answers, Metric


class Distance(Metric):
    """The mean distance of what was said to the truth, to some power."""

    better: ClassVar[Literal["higher", "lower"]] = "lower"

    name: Literal["distance"] = "distance"
    power: float = 1.0

    @property
    def range(self) -> tuple[float, float]:
        return 0.0, 2.0

    def rule(self, answers: Answers) -> np.ndarray:
        return (np.abs(answers.block - answers.marks) ** self.power).sum(axis=1)
'''


def own(workspace: Workspace, code: str, tables: str, before: str = "[folds.default]") -> Path:
    """The tiny competition with an adapter, and tables that name what it defines."""
    folder = workspace.competition("tiny")
    (folder / "adapter.py").write_text(code)
    edit(folder / "competition.toml", before, f"{tables}\n\n{before}")
    return folder


def test_a_metric_is_trained_blended_scored_and_ranked_by(workspace: Workspace) -> None:
    own(workspace, METRIC, '[metric]\nname = "distance"\npower = 2.0')
    events: list[Event] = []
    entry = pipeline.submit(workspace, "tiny", observe=events.append)
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert [epoch.fold for epoch in epochs] == [0, 1, 2]
    assert all(epoch.score and epoch.score > 0 for epoch in epochs)
    written = pd.read_csv(entry.file, dtype={"id": str}).set_index("id")
    truth = pd.read_csv(workspace.data / "tiny" / "platform" / "truth.csv", dtype={"id": str})
    hot = pd.get_dummies(truth.set_index("id")["label"])[list(CLASSES)].loc[written.index]
    losses = ((written - hot) ** 2).sum(axis=1).to_numpy()
    public = (truth.set_index("id").loc[written.index, "part"] == "public").to_numpy()
    assert entry.receipt is not None
    assert entry.receipt.public == pytest.approx(losses[public].mean(), abs=1e-6)
    assert entry.receipt.private == pytest.approx(losses[~public].mean(), abs=1e-6)
    assert entry.score.low is not None  # a mean over rows has an interval
    spec = json.loads(entry.file.with_suffix(".json").read_text())["spec"]
    assert spec["metric"] == {"name": "distance", "power": 2.0}
    told = run_summary(workspace, "tiny", only_run(workspace).name)
    assert (told["metric"], told["higher"]) == ("distance", False)
    assert [row["class"] for row in told["by_class"] if row["value"] is None] == []


def test_a_metric_of_an_adapter_is_named_where_another_word_is_near(workspace: Workspace) -> None:
    folder = own(workspace, METRIC, 'metric = "distanse"', 'title = "Tiny"')
    with pytest.raises(SpecError, match="no metric is called 'distanse'; did you mean 'distance'"):
        load_competition(folder)
    edit(folder / "competition.toml", "distanse", "distance")
    assert load_competition(folder).metric.title == "distance"
