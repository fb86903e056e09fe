"""A run's identity: an added option finds it again, and a changed default does not take it over."""

import json
from pathlib import Path
from typing import Any

import pytest

from foldwise.commands.planning import scheme_folds
from foldwise.config.recipe import SizedRecipe, load_recipe
from foldwise.data.competition import CompetitionData, load_data
from foldwise.data.opened import OpenCompetition
from foldwise.errors import RunError
from foldwise.training.fitting.run import Run, RunData, open_run
from foldwise.workspace import Workspace


class Newer(SizedRecipe):
    """Recipes of a version that has one more option."""

    novelty: float = 0.5


def opened(workspace: Workspace, data: CompetitionData, recipe: SizedRecipe) -> Run:
    """The recipe's run, its folder made where there is none."""
    folds = scheme_folds(OpenCompetition(workspace, data))
    on = RunData(competition=data, folds=folds, caches=[])
    return open_run(workspace.runs, on, recipe, 0, lambda: {"precision": "fp32"})


@pytest.fixture
def parts(workspace: Workspace) -> tuple[Workspace, CompetitionData, dict[str, Any]]:
    """A workspace, its data, and a recipe's settings as they are written."""
    recipe = load_recipe(workspace.competition("tiny"), "tiny")
    written = recipe.model_dump(mode="json", exclude_unset=True)
    return workspace, load_data(workspace, "tiny"), written


def test_an_added_option_finds_the_same_run_until_it_is_used(
    parts: tuple[Workspace, CompetitionData, dict[str, Any]],
) -> None:
    workspace, data, written = parts
    before = opened(workspace, data, SizedRecipe.model_validate(written))
    assert opened(workspace, data, Newer.model_validate(written)).folder == before.folder
    default = {**written, "novelty": 0.5}
    assert opened(workspace, data, Newer.model_validate(default)).folder == before.folder
    used = {**written, "novelty": 0.7}
    assert opened(workspace, data, Newer.model_validate(used)).folder != before.folder
    assert len([*(workspace.runs / "tiny").glob("tiny-s0-*")]) == 2


def test_what_is_written_as_the_default_is_no_other_run(
    parts: tuple[Workspace, CompetitionData, dict[str, Any]],
) -> None:
    workspace, data, written = parts
    before = opened(workspace, data, SizedRecipe.model_validate(written))
    same = SizedRecipe.model_validate({**written, "ema": 0.0, "loss": "auto", "cpus": 1})
    assert opened(workspace, data, same).folder == before.folder
    other = SizedRecipe.model_validate({**written, "loss": "cross_entropy"})
    assert opened(workspace, data, other).folder != before.folder  # named: another setting


@pytest.mark.parametrize(
    ("section", "keys", "value", "message"),
    [
        ("recipe", ["ema"], 0.25, r"trained with ema = 0.25, which is 0.0 now"),
        ("recipe", ["stage", 0, "groups"], "block", r'stage.0.groups = "block", which is "fastai"'),
        ("data", ["images", "mode"], "RGB", r'images.mode = "RGB", which is "L" now; if this is'),
    ],
)
def test_a_changed_default_never_answers_for_an_old_run(
    parts: tuple[Workspace, CompetitionData, dict[str, Any]],
    section: str,
    keys: list[Any],
    value: object,
    message: str,
) -> None:
    workspace, data, written = parts
    recipe = SizedRecipe.model_validate(written)
    path = opened(workspace, data, recipe).files.record
    record = json.loads(path.read_text())
    table = record[section]
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value  # as an older version, whose default that was, has recorded it
    Path(path).write_text(json.dumps(record))
    with pytest.raises(RunError, match=message):
        opened(workspace, data, recipe)


def test_settings_that_have_gone_since_are_not_compared(
    parts: tuple[Workspace, CompetitionData, dict[str, Any]],
) -> None:
    workspace, data, written = parts
    recipe = SizedRecipe.model_validate(written)
    path = opened(workspace, data, recipe).files.record
    record = json.loads(path.read_text())
    record["recipe"]["of_old"] = 1
    Path(path).write_text(json.dumps(record))
    assert opened(workspace, data, recipe).record.recipe["of_old"] == 1
