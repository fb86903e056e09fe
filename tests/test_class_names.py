"""Classes that are called like foldwise's own columns go from their CSVs to a board."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.commands.submit import submit
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.workspace import Workspace
from tiny import draw

CLASSES = ("id", "self", "label", "part")
SPEC = """
title = "Names"
platform = "local"
[files]
train = "train.csv"
format = "sample.csv"
solution = "solution.csv"
[labels]
id = "image"
{labels}
[images]
path = "{{id}}.png"
mode = "L"
[metric]
name = "{metric}"
[folds.default]
kind = "stratified"
n = 2
[submit]
recipes = ["prior"]
"""


def written(root: Path, labels: str, metric: str) -> Workspace:
    """A workspace with such a competition; class columns hold its labels."""
    folder = root / "competitions" / "names"
    (folder / "recipes").mkdir(parents=True)
    (folder / "competition.toml").write_text(SPEC.format(labels=labels, metric=metric))
    (folder / "recipes" / "prior.toml").write_text('model = "prior"\n')
    workspace = Workspace(root, root / "data", root / "runs")
    raw, rng = workspace.raw("names"), np.random.default_rng(0)
    raw.mkdir(parents=True)
    for part, n in (("train", 24), ("solution", 12)):
        names = [f"{part}{i:02d}" for i in range(n)]
        hot = pd.DataFrame(np.eye(4, dtype=int)[np.arange(n) % 4], columns=list(CLASSES))
        hot.insert(0, "image", names)
        hot.to_csv(raw / f"{part}.csv", index=False)
        if part == "solution":
            hot.to_csv(raw / "sample.csv", index=True, index_label="")
        for i, name in enumerate(names):
            draw(raw / f"{name}.png", i % 4, rng)
    return workspace


@pytest.mark.parametrize(
    ("labels", "metric"),
    [('format = "class_columns"', "log_loss"), ('format = "class_columns"\nmulti = true', "auc")],
)
def test_such_classes_go_all_the_way_and_an_index_keeps_its_empty_header(
    tmp_path: Path, labels: str, metric: str
) -> None:
    workspace = written(tmp_path, labels, metric)
    data = load_data(workspace, "names")
    assert data.classes == CLASSES
    assert data.train.marks()[:4].tolist() == np.eye(4).tolist()
    entry = submit(open_competition(workspace, "names"))
    lines = entry.file.read_text().splitlines()
    assert lines[0] == ",image,id,self,label,part"
    assert lines[2].startswith("1,solution01,0.25,0.25,0.25,0.25")
    expected = {"log_loss": np.log(4), "auc": 0.5}[metric]
    assert entry.receipt is not None
    assert entry.receipt.public == pytest.approx(expected, abs=1e-5)
