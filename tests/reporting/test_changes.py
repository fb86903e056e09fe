"""What a run changed beside an earlier one, and the command that makes it again."""

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from foldwise.config.recipe import load_recipe
from foldwise.data.competition import CompetitionData, load_data
from foldwise.reporting.comparing import compare_runs
from foldwise.reporting.html.changes import commands, flat, record_changes, what_changed
from foldwise.store.layout import CompetitionRuns
from foldwise.store.run_records import RunRecord
from foldwise.workspace import Workspace
from reporting.making import write_run
from tiny import edit


def record(folder: Path) -> RunRecord:
    return RunRecord.read(folder / "run.json")


@pytest.fixture
def data(workspace: Workspace) -> CompetitionData:
    return load_data(workspace, "tiny")


def test_a_run_is_set_beside_the_best_one_that_was_begun_before(
    workspace: Workspace, data: CompetitionData
) -> None:
    made: list[tuple[str, dict[str, Any]]] = [
        ("first", {"sure": 2.0}),
        ("best", {"sure": 6.0, "overrides": ("stage.0.epochs=3",)}),
        ("last", {"sure": 3.0, "overrides": ("batch_size=4", "augment.rotate=0")}),
        ("apart", {"shift": 1}),
        ("half", {"done": (0, 1)}),
    ]
    for number, (name, settings) in enumerate(made):
        folder = write_run(workspace, data, name, **settings)
        os.utime(folder / "run.json", (1e9 + number, 1e9 + number))
    runs = workspace.runs / "tiny"
    rows = {
        row["run"]: row
        for row in what_changed(
            workspace.competition("tiny"), CompetitionRuns(runs), compare_runs(runs, data)
        )
    }
    assert [*rows] == ["half", "apart", "last", "best", "first"]
    assert (rows["first"]["than"], rows["first"]["changes"]) == (None, [])
    assert rows["first"]["begun"] == "2001-09-09 01:46"
    assert rows["best"]["than"] == "first"
    assert rows["best"]["changes"] == [{"key": "stage.0.epochs", "old": 1, "new": 3}]
    assert rows["last"]["than"] == rows["half"]["than"] == "best"
    assert {each["key"]: (each["old"], each["new"]) for each in rows["last"]["changes"]} == {
        "batch_size": (8, 4),
        "augment.rotate": (5, None),
        "stage.0.epochs": (3, 1),
    }
    assert rows["last"]["difference"] > 0
    assert (rows["apart"]["than"], rows["apart"]["verdict"]) == ("last", "other folds")
    assert rows["half"]["verdict"] == "too few folds"


def test_stages_that_only_one_has_are_named_and_the_hardware_is(
    workspace: Workspace, data: CompetitionData
) -> None:
    old = record(write_run(workspace, data, "old"))
    new = old.model_copy(
        update={
            "recipe": {**old.recipe, "stage": old.recipe["stage"] * 2},
            "seed": 3,
            "resolved": {**old.resolved, "device": "cuda"},
        }
    )
    found = {
        each["key"]: (each["old"], each["new"])
        for each in record_changes(workspace.competition("tiny"), old, new)
    }
    assert found["stage.1.epochs"] == (None, 1)
    assert (found["seed"], found["device"]) == ((0, 3), ("cpu", "cuda"))
    assert not any(key.startswith("stage.0") for key in found)


def test_a_budgets_stages_are_those_that_were_trained(
    workspace: Workspace, data: CompetitionData
) -> None:
    old = record(write_run(workspace, data, "old"))
    stage = {**old.recipe["stage"][0], "epochs": 17}
    plan = {"stage": [stage], "swa": 0}
    new = old.model_copy(update={"resolved": {**old.resolved, "plan": plan}})
    assert record_changes(workspace.competition("tiny"), old, new) == [
        {"key": "stage.0.epochs", "old": 1, "new": 17}
    ]


def test_what_another_version_did_not_know_is_no_change(
    workspace: Workspace, data: CompetitionData
) -> None:
    new = record(write_run(workspace, data, "new"))
    fewer = {key: value for key, value in new.recipe.items() if key != "ema"}
    default = new.model_copy(update={"recipe": fewer})
    assert record_changes(workspace.competition("tiny"), default, new) == []  # its default is meant
    recipe = {**fewer, "gone": 1, "batch_size": 2}
    other = new.model_copy(update={"recipe": recipe, "resolved": {}})
    assert record_changes(workspace.competition("tiny"), other, new) == [
        {"key": "batch_size", "old": 2, "new": new.recipe["batch_size"]}
    ]


def test_keys_are_those_of_set() -> None:
    values = {"a": {"b": 1}, "stage": [{"lr": [1, 2]}, {"lr": "find"}], "tta": ["none"]}
    assert dict(flat(values)) == {
        "a.b": 1,
        "stage.0.lr": [1, 2],
        "stage.1.lr": "find",
        "tta": ["none"],
    }


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("batch_size=4", "stage.0.lr=[0.001, 0.01]"),
        ('tta=["none"]', "augment.hflip=false"),
        ("model=prior", "stage=[]", "augment={}", 'tta=["none"]'),
    ],
)
def test_the_command_makes_the_same_recipe(
    workspace: Workspace, data: CompetitionData, overrides: tuple[str, ...]
) -> None:
    told = record(write_run(workspace, data, "run", overrides=overrides))
    (command,) = commands(workspace, data, told)
    words = shlex.split(command)
    assert words[:5] == ["foldwise", "train", "tiny", "--recipe", "tiny"]
    sets = words[6::2]
    assert words[5::2] == ["--set"] * len(sets)
    again = load_recipe(workspace.competition("tiny"), "tiny", sets).with_sizes((0, 0), "bilinear")
    assert again.model_dump(mode="json") == told.recipe


def test_another_scheme_is_named_and_a_recipe_that_has_gone_has_no_command(
    workspace: Workspace, data: CompetitionData
) -> None:
    told = record(write_run(workspace, data, "run"))
    assert commands(workspace, data, told.model_copy(update={"scheme": "sites"})) == [
        "foldwise train tiny --recipe tiny --scheme sites"
    ]
    recipe = workspace.competition("tiny") / "recipes" / "tiny.toml"
    edit(recipe, "epochs = 1", "epochs = 2")  # the file is another one now
    assert "--set stage.0.epochs=1" in commands(workspace, data, told)[0]
    recipe.write_text(recipe.read_text() + "\n[[stage]]\nepochs = 1\nlr = 1e-3\n")
    assert commands(workspace, data, told) == []
    recipe.unlink()
    assert commands(workspace, data, told) == []
