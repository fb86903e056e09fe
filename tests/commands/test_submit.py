"""A finished submit: nothing heavy is loaded, and each table is read once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from foldwise.commands import planning
from foldwise.commands.planning import Session
from foldwise.commands.submit import submit
from foldwise.config.loading import parse
from foldwise.config.recipe import Recipe, SizedRecipe
from foldwise.data.opened import open_competition
from foldwise.kinds.events import Event
from foldwise.store.files import write_json
from foldwise.store.layout import CompetitionRuns, RunFolder
from foldwise.store.run_records import RunRecord
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from tiny import copy, only_run

AGAIN = """
import json, sys
import pandas as pd

read, paths = pd.read_csv, []
def counted(path, **options):
    if options.get("nrows") is None:  # else a header alone
        paths.append(str(path))
    return read(path, **options)
pd.read_csv = counted

from foldwise.commands.submit import submit
from foldwise.data.opened import open_competition
from foldwise.workspace import Workspace

entry = submit(open_competition(Workspace.find(sys.argv[1]), "tiny"))
heavy = ("torch", "fastai", "timm", "sklearn", "scipy", "matplotlib", "wandb", "kaggle")
loaded = [name for name in heavy if name in sys.modules]
print(json.dumps({"sha256": entry.sha256, "loaded": loaded, "paths": paths}))
"""


def test_a_finished_submit_loads_nothing_heavy_and_reads_each_table_once(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    workspace = copy(submitted[0], tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(workspace.root)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["sha256"], told["loaded"]) == (submitted[1].sha256, [])
    raw = workspace.raw("tiny")
    counts = Counter(Path(path).name for path in told["paths"] if Path(path).parent == raw)
    names = ("submission_format.csv", "train_labels.csv", "train_features.csv", "test_features.csv")
    assert counts == dict.fromkeys(names, 1)


def test_folds_that_train_here_get_the_tables_that_are_loaded(
    submitted: tuple[Workspace, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = copy(submitted[0], tmp_path)
    for fold in (1, 2):
        (only_run(workspace) / f"fold{fold}" / "done.json").unlink()
    competition, loads = open_competition(workspace, "tiny"), []

    def load(*place: object) -> object:
        loads.append(place)
        return competition.data

    for module in ("jobs", "commands.submit", "data.opened"):
        monkeypatch.setattr(f"foldwise.{module}.load_data", load)
    events: list[Event] = []
    entry = submit(competition, session=Session(events.append))
    assert entry.sha256 == submitted[1].sha256
    assert events != []
    assert loads == [(workspace, "tiny")]  # afterwards: were files changed meanwhile?


def test_a_size_of_the_weights_is_the_one_that_a_trained_run_recorded(
    submitted: tuple[Workspace, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = copy(submitted[0], tmp_path)
    folder, run = workspace.competition("tiny"), RunFolder(only_run(workspace))
    runs = CompetitionRuns(run.path.parent)
    record = RunRecord.read(run.record)
    sized = {**record.recipe, "weights": "auto", "image_size": [40, 48], "interpolation": "bicubic"}
    write_json(run.record, {**record.plain(), "recipe": sized})
    written = {**sized, "image_size": "auto", "interpolation": "auto"}
    asked: list[str] = []

    def as_weights(recipe: Recipe) -> SizedRecipe:
        asked.append(recipe.name)
        return recipe.with_sizes((32, 32), "bilinear")

    monkeypatch.setattr("foldwise.training.models.building.as_weights", as_weights)
    monkeypatch.setattr(
        planning, "load_recipe", lambda *given: parse(Recipe, {**written, **changed}, "a recipe")
    )
    changed: dict[str, object] = {}
    (found,) = planning.recipes_of(folder, ["tiny"], runs=runs)
    assert (found.image_size, found.interpolation, asked) == ((40, 48), "bicubic", [])
    changed = {"batch_size": 3}  # another recipe: no run tells
    (found,) = planning.recipes_of(folder, ["tiny"], runs=runs)
    assert (found.image_size, asked) == ((32, 32), ["tiny"])
