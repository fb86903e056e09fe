"""The competitions that come with the repository: facts, recipes, and digits from end to end."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise import doctor
from foldwise.cli import app
from foldwise.commands import status
from foldwise.commands.data import get_data
from foldwise.commands.submit import submit
from foldwise.config.competition import CompetitionSpec, load_competition, recipe_names
from foldwise.config.loading import parse
from foldwise.config.recipe import Recipe, SizedRecipe, load_recipe
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.shapes.submission import read_submission
from foldwise.tables.archives import add_to_raw
from foldwise.tasks import MultiClass
from foldwise.training.models.building import preprocessing_of
from foldwise.workspace import Workspace
from tiny import copy, edit

ROOT = Path(__file__).resolve().parents[1]
NAMES = Workspace(ROOT, ROOT, ROOT).names()


def copied(name: str, target: Path) -> Workspace:
    """A workspace with one of the repository's competitions and no data."""
    shutil.copytree(ROOT / "competitions" / name, target / "competitions" / name)
    return Workspace(target, target / "data", target / "runs")


@pytest.mark.parametrize("name", NAMES)
def test_every_competition_and_recipe_is_valid_and_explained(name: str) -> None:
    folder = ROOT / "competitions" / name
    spec = load_competition(folder)
    assert spec.platform.page or spec.platform.practice
    assert (folder / "README.md").read_text().startswith(f"# {name}\n")
    assert recipe_names(folder)
    for recipe in recipe_names(folder):
        preprocessing_of(
            load_recipe(folder, recipe).with_sizes((0, 0), "bilinear"),
            MultiClass(("a", "b")),
            spec.images.mode,
        )


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with digits prepared."""
    workspace = copied("digits", tmp_path_factory.mktemp("digits"))
    get_data(workspace, "digits")
    return workspace


def test_digits_has_the_shape_that_a_platform_ships(digits: Workspace) -> None:
    raw = digits.raw("digits")
    features, labels, test = (
        pd.read_csv(raw / name, dtype=str)
        for name in ("train_features.csv", "train_labels.csv", "test_features.csv")
    )
    assert len(features) + len(test) == 1797
    assert len(test) == 1797 // 5
    assert list(labels.columns) == ["id", *"0123456789"]
    assert set(labels.iloc[:, 1:].to_numpy().ravel()) == {"0.0", "1.0"}
    assert len(list((raw / "images").glob("*.png"))) == 1797
    assert Image.open(raw / features["filepath"][0]).size == (8, 8)
    shape = load_data(digits, "digits").format
    assert len(read_submission(raw / "submission_format.csv", shape)) == len(test)
    assert set(features["id"]).isdisjoint(test["id"])


def test_the_truth_of_digits_is_outside_raw_and_covers_the_test_set(digits: Workspace) -> None:
    truth = pd.read_csv(digits.data / "digits" / "platform" / "truth.csv", dtype=str)
    test = pd.read_csv(digits.raw("digits") / "test_features.csv", dtype=str)
    assert sorted(truth["id"]) == sorted(test["id"])
    assert truth["part"].value_counts().to_dict() == {"public": 179, "private": 180}
    headers = {p.name: p.open().readline() for p in digits.raw("digits").glob("*.csv")}
    assert {"train_features.csv", "test_features.csv", "train_labels.csv"} <= headers.keys()
    assert [name for name, header in headers.items() if "part" in header] == []
    from sklearn.datasets import load_digits

    images = load_digits()
    known = {
        (im * 255 / 16).round().astype(np.uint8).tobytes(): t
        for im, t in zip(images.images, images.target, strict=True)
    }
    paths = test.set_index("id")["filepath"]
    for id, label in zip(truth["id"], truth["label"], strict=True):
        pixels = np.asarray(Image.open(digits.raw("digits") / paths[id]))
        assert known[pixels.tobytes()] == int(label)


def test_digits_passes_its_check_and_its_board_has_measured_baselines(digits: Workspace) -> None:
    findings = doctor.check(digits, "digits")
    assert (findings.errors, findings.warnings) == ([], [])
    entries = digits.data / "digits" / "platform" / "entries"
    assert {path.stem for path in entries.glob("*.csv")} == {
        "class prior",
        "logistic regression",
        "support vector machine",
    }
    data = load_data(digits, "digits")
    for path in entries.glob("*.csv"):
        read_submission(path, data.format)


def test_digits_from_end_to_end_scores_at_most_0_03(digits: Workspace, tmp_path: Path) -> None:
    workspace = copy(digits, tmp_path)
    edit(workspace.competition("digits") / "competition.toml", "n = 5", "n = 3")  # half the time
    shutil.rmtree(workspace.data / "digits" / "folds", ignore_errors=True)
    entry = submit(open_competition(workspace, "digits"))
    assert entry.score.value <= 0.03
    assert len(entry.member_scores) == 2
    (row,) = status.status(workspace, "digits")
    assert row["rank"] == 1
    assert row["teams"] == 4
    assert row["private"] < 0.06


@pytest.mark.realdata
def test_leaf_as_kaggle_ships_it_passes_its_check(realdata: Path, tmp_path: Path) -> None:
    workspace = copied("leaf", tmp_path)
    add_to_raw(realdata / "leaf-classification.zip", workspace.raw("leaf"))
    findings = doctor.check(workspace, "leaf")
    assert (findings.errors, findings.warnings) == ([], [])
    assert findings.facts["train_rows"] == 990
    assert len(findings.facts["classes"]) == 99
    assert findings.facts["images"]["files"] == 1584


def examples(page: str) -> list[dict[str, Any]]:
    """The TOML documents of a how-to guide, in order."""
    text = (ROOT / "docs" / "how-to" / page).read_text()
    return [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]


def test_the_guides_examples_are_a_valid_competition_and_recipe() -> None:
    spec, recipes = examples("describe-a-competition.md")[0], examples("recipes.md")
    assert parse(CompetitionSpec, {"name": "birds", **spec}, "guide").submit.blend.method == "mean"
    recipe = {"name": "baseline", **recipes[0]}
    assert parse(SizedRecipe, recipe, "guide").cache_sizes == ((288, 288),)
    pseudo = next(table for table in recipes if "pseudo" in table)
    assert parse(Recipe, {**recipe, **pseudo, "name": "student"}, "guide").pseudo is not None


def test_the_documented_commands_exist() -> None:
    guide = (ROOT / "docs" / "how-to" / "commands.md").read_text()
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    assert set(re.findall(r"^\| `foldwise (\w+)", guide, re.MULTILINE)) == verbs
    text = (ROOT / "README.md").read_text()
    assert (
        {"new", "check", "submit"}
        <= set(re.findall(r"^foldwise (\w+) .*#", text, re.MULTILINE))
        <= verbs
    )
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    assert {"submit", "test"} <= set(re.findall(r"\bmake ([\w-]+)", text)) <= targets
