"""A finished submit: nothing heavy is loaded, and each table is read once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from foldwise.commands.planning import Session
from foldwise.commands.submit import submit
from foldwise.data.opened import open_competition
from foldwise.kinds.events import Event
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from tiny import copy, only_run

AGAIN = """
import json, sys
import pandas as pd

read, paths = pd.read_csv, []
def counted(path, **options):
    if "nrows" not in options:  # a header alone
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
