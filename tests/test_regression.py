"""A regression from its CSV to the board: the height of a bright bar in each image."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise import Competition
from foldwise.commands import blend as blending
from foldwise.commands.submit import submit
from foldwise.commands.train import train
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.errors import SpecError
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from tiny import edit

N_TRAIN, N_TEST = 60, 20
SPEC = """
title = "Bars"
platform = "local"
metric = "rmse"

[files]
train = "train.csv"
test = "test.csv"
format = "sample.csv"

[labels]
format = "number"
column = "height"

[images]
path = "{id}.png"
mode = "L"

[submission]
shape = "numbers"

[folds.default]
kind = "stratified"
n = 3

[submit]
recipes = ["net"]
"""
RECIPE = """
model = "test_resnet"
weights = "none"
deterministic = true
image_size = 32
batch_size = 8
tta = ["none", "hflip"]
augment.hflip = true

[[stage]]
epochs = 25
lr = 2e-2
"""


def write_bars(root: Path) -> Workspace:
    """A workspace with the competition `bars`: heights of 100 to 1,450, not a network's scale."""
    folder = root / "competitions" / "bars"
    (folder / "recipes").mkdir(parents=True)
    (folder / "competition.toml").write_text(SPEC)
    (folder / "recipes" / "net.toml").write_text(RECIPE)
    workspace = Workspace(root, root / "data", root / "runs")
    raw = workspace.raw("bars")
    (raw.parent / "platform").mkdir(parents=True)
    raw.mkdir()
    rng = np.random.default_rng(0)
    for part, n in (("train", N_TRAIN), ("test", N_TEST)):
        rows = rng.integers(2, 30, n)
        ids = [f"{part[0]}{number:03d}" for number in range(n)]
        for id, height in zip(ids, rows, strict=True):
            pixels = rng.integers(0, 60, (32, 32))
            pixels[-height:] += 180
            Image.fromarray(pixels.astype(np.uint8)).save(raw / f"{id}.png")
        table = pd.DataFrame({"id": ids, "height": 50.0 * rows})
        if part == "train":
            table.to_csv(raw / "train.csv", index=False)
        else:
            table[["id"]].to_csv(raw / "test.csv", index=False)
            table.assign(height=0).to_csv(raw / "sample.csv", index=False)
            table.to_csv(raw.parent / "platform" / "truth.csv", index=False)
    return workspace


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Entry]:
    """The competition, submitted once."""
    workspace = write_bars(tmp_path_factory.mktemp("bars"))
    return workspace, submit(open_competition(workspace, "bars"))


def test_a_regression_is_trained_scored_by_its_file_and_entered(
    bars: tuple[Workspace, Entry],
) -> None:
    workspace, entry = bars
    data = load_data(workspace, "bars")
    heights = data.train.targets.values[:, 0]
    assert entry.receipt is not None
    assert entry.receipt.state == "scored"
    said = pd.read_csv(entry.file, dtype={"id": str})
    assert list(said.columns) == ["id", "height"]
    assert list(said["id"]) == list(data.format.ids)
    truth = pd.read_csv(workspace.data / "bars" / "platform" / "truth.csv")
    own = np.sqrt(((said["height"] - truth["height"]) ** 2).mean())
    assert own < 0.7 * heights.std()  # it has learned, and says so on the CSV's own scale
    assert entry.score.value < 0.8 * heights.std()
    assert entry.score.low is not None
    assert entry.score.low < entry.score.value
    assert 0 < entry.expected.value <= entry.score.value  # the folds' mean is no worse


def test_a_second_submit_finds_it_all_done(bars: tuple[Workspace, Entry]) -> None:
    workspace, entry = bars
    again = submit(open_competition(workspace, "bars"))
    assert (again.file, again.sha256) == (entry.file, entry.sha256)


def test_runs_and_out_of_fold_predictions_are_numbers(
    bars: tuple[Workspace, Entry],
) -> None:
    workspace, entry = bars
    competition = Competition.load("bars", workspace.root)
    (run,) = competition.runs().to_dict("records")
    assert (run["metric"], run["higher"]) == ("RMSE", False)
    assert run["score"] == pytest.approx(entry.score.value, rel=1e-6)
    oof = competition.oof(run["run"])
    assert set(oof["id"]) == set(competition.train["id"])
    assert oof["height"].between(-1000, 3000).all()


def test_photos_are_predicted_as_numbers(bars: tuple[Workspace, Entry]) -> None:
    workspace, _ = bars
    competition = Competition.load("bars", workspace.root)
    (run,) = competition.runs()["run"]
    raw = workspace.raw("bars")
    said = competition.predict(run, [raw / "t000.png"])
    assert said["height"].iloc[0] == pytest.approx(float(said["answer"].iloc[0]), rel=1e-4)
    assert said["confidence"].isna().all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('metric = "rmse"', 'metric = "auc"', r'"auc" is of ranking, and the task is regression'),
        ('shape = "numbers"', 'shape = "label"', r"is of labels, .* predictions are numbers"),
    ],
)
def test_what_a_regression_cannot_answer_is_said(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    workspace = write_bars(tmp_path)
    edit(workspace.competition("bars") / "competition.toml", old, new)
    with pytest.raises(SpecError, match=message):
        load_data(workspace, "bars")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('loss = "cross_entropy"', r'loss = "cross_entropy" is of classes'),
        ("label_smoothing = 0.1", "label_smoothing"),
        ('class_weights = "balanced"', "class_weights"),
    ],
)
def test_what_a_regression_cannot_train_is_said(tmp_path: Path, line: str, message: str) -> None:
    workspace = write_bars(tmp_path)
    recipe = workspace.competition("bars") / "recipes" / "net.toml"
    recipe.write_text(line + "\n" + recipe.read_text())
    with pytest.raises(SpecError, match=message):
        train(open_competition(workspace, "bars"))


@pytest.mark.parametrize("method", ["climb", "weights", "rank", "auto"])
def test_regressions_are_blended_by_what_is_not_of_probabilities(
    bars: tuple[Workspace, Entry], method: str
) -> None:
    workspace, _ = bars
    blend = blending.blend(open_competition(workspace, "bars"), method=method)
    assert blend.score.value > 0
    with pytest.raises(SpecError, match=r'"stack" is of probabilities, .* task is regression'):
        blending.blend(open_competition(workspace, "bars"), method="stack")
