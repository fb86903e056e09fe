"""A metric, a shape and a blend method of an adapter.py, taken through a submission."""

import json
from pathlib import Path

import pandas as pd
import pytest

from foldwise.commands import blend as blending
from foldwise.commands.planning import Session
from foldwise.commands.predict import predict
from foldwise.commands.submit import submit
from foldwise.config.competition import load_competition
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.errors import SpecError, SubmissionError
from foldwise.kinds.events import EpochDone, Event
from foldwise.reporting.summary import run_summary
from foldwise.shapes.submission import read_submission
from foldwise.workspace import Workspace
from tiny import CLASSES, edit, only_run

CLASSES_KEY = f"classes = {json.dumps(CLASSES)}\ngroup ="  # the format file does not tell them

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


SHAPE = '''
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from foldwise.errors import SubmissionError
from foldwise.kinds.shape import SubmissionFormat
from foldwise.shapes.numbers import OneColumn


class Shares(OneColumn):
    """Each class with its share in whole parts, as "zebra 3, ant 7"."""

    shape: Literal["shares"] = "shares"
    parts: int = 10

    def decide(self, probs: np.ndarray) -> np.ndarray:
        return (probs * self.parts).round() / self.parts

    def write(self, answers: np.ndarray, form: SubmissionFormat) -> pd.DataFrame:
        cells = []
        for row in answers:
            given = [(n, p) for n, p in zip(form.classes, row, strict=True) if p]
            cells.append(", ".join(f"{n} {round(p * self.parts)}" for n, p in given))
        return form.fill({form.answers[0]: cells})

    def read(self, frame: pd.DataFrame, form: SubmissionFormat, path: Path) -> np.ndarray:
        answers = np.zeros((len(form.ids), len(form.classes)))
        for row, cell in enumerate(frame[form.answers[0]]):
            for part in cell.split(", "):
                name, _, count = part.partition(" ")
                if name not in form.classes:
                    raise SubmissionError(f"{path}: {part!r} is no share of a class")
                answers[row, form.classes.index(name)] = int(count) / self.parts
        return answers
'''

BLENDING = '''
from typing import Literal

import numpy as np

from foldwise.arrays import RowIndex
from foldwise.kinds.blending import Blending, Fitted, Stack
from foldwise.kinds.goal import Goal


class Median(Blending):
    """The median of the members, drawn to the most even one by a share."""

    method: Literal["median"] = "median"
    share: float = 0.0

    def fit(self, stack: Stack, rows: np.ndarray, goal: Goal) -> Fitted:
        costs = [goal.cost(stack.of(m, rows), rows) for m in range(len(stack))]
        return {"best": int(np.argmin(costs))}

    def apply(self, fitted: Fitted, stack: Stack, rows: RowIndex) -> np.ndarray:
        middle = np.median([stack.of(m, rows) for m in range(len(stack))], axis=0)
        return (1 - self.share) * middle + self.share * stack.of(fitted["best"], rows)
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
    entry = submit(open_competition(workspace, "tiny"), session=Session(observe=events.append))
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


def test_a_shape_is_written_read_back_and_scored(workspace: Workspace) -> None:
    own(workspace, SHAPE, '[submission]\nshape = "shares"\nparts = 20\n\n[metric]\nname = "kappa"')
    path = workspace.raw("tiny") / "submission_format.csv"
    names = pd.read_csv(path, dtype=str)["id"]
    pd.DataFrame({"id": names, "shares": "ant 20"}).to_csv(path, index=False)
    edit(workspace.competition("tiny") / "competition.toml", "group =", CLASSES_KEY)
    (workspace.data / "tiny" / "platform" / "entries" / "uniform.csv").unlink()
    entry = submit(open_competition(workspace, "tiny"))
    written = pd.read_csv(entry.file, dtype=str)
    assert list(written.columns) == ["id", "shares"]
    assert list(written["id"]) == list(names)
    parts = [part.rsplit(" ", 1) for cell in written["shares"] for part in cell.split(", ")]
    assert {name for name, _ in parts} <= set(CLASSES)
    counts = pd.Series([int(count) for _, count in parts])
    assert counts.between(1, 20).all()
    assert entry.receipt is not None
    assert entry.receipt.state == "scored"
    spec = json.loads(entry.file.with_suffix(".json").read_text())["spec"]
    assert spec["submission"] == {"shape": "shares", "parts": 20}
    text = entry.file.read_text()
    entry.file.write_text(text.replace("ant ", "aunt "))
    form = load_data(workspace, "tiny").format
    with pytest.raises(SubmissionError, match="is no share of a class"):
        read_submission(entry.file, form)


def test_a_blend_method_is_fitted_submitted_and_applied_to_photos(workspace: Workspace) -> None:
    folder = workspace.competition("tiny")
    (folder / "adapter.py").write_text(BLENDING)
    blend = 'blend = {method = "median", share = 0.25}'
    edit(folder / "competition.toml", 'recipes = ["tiny"]', f'recipes = ["tiny"]\n{blend}')
    edit(folder / "recipes" / "tiny.toml", "batch_size = 8", "batch_size = 8\nseeds = [0, 1, 2]")
    entry = submit(open_competition(workspace, "tiny"))
    told = json.loads(entry.file.with_suffix(".json").read_text())
    assert told["blend"]["directory"].startswith("blend-median-")
    assert told["blend"]["chain"]["method"] == {"method": "median", "share": 0.25}
    assert told["blend"]["chain"]["fitted"]["best"] in (0, 1, 2)
    assert told["spec"]["submit"]["blend"] == {"method": "median", "share": 0.25}
    written = pd.read_csv(entry.file, dtype={"id": str}).set_index("id")
    photos = [workspace.raw("tiny") / "images" / f"{id}.png" for id in written.index]
    said = predict(workspace, told["blend"]["directory"], photos)
    assert said[list(CLASSES)].to_numpy() == pytest.approx(written.to_numpy(), abs=1e-6)
    again = blending.blend(open_competition(workspace, "tiny"), method="median")
    assert again.folder.name != told["blend"]["directory"]  # without the share
    assert again.record.chain["method"] == "median"
    with pytest.raises(SpecError, match="no blend method is called 'medien'; did you mean 'median"):
        blending.blend(open_competition(workspace, "tiny"), method="medien")
