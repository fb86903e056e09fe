"""What changes under a run stops it: labels, settings, images, versions of what trains it."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foldwise import doctor
from foldwise.commands import train as training
from foldwise.commands.planning import Selection, Session
from foldwise.commands.submit import submit
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.errors import RunError, SpecError
from foldwise.kinds.events import Event, FoldDone
from foldwise.store.files import read_json, write_json
from foldwise.submitting.entry import Entry
from foldwise.training.fitting.run import Run, need_same_data, need_same_versions, versions
from foldwise.workspace import Workspace
from tiny import copy, edit, ids, only_run


def swap_two_labels(workspace: Workspace) -> None:
    """Exchange the labels of two training rows."""
    path = workspace.raw("tiny") / "train_labels.csv"
    table = pd.read_csv(path, dtype=str)
    first, other = 0, table.index[(table.iloc[:, 1:] != table.iloc[0, 1:]).any(axis=1)][0]
    table.iloc[[first, other], 1:] = table.iloc[[other, first], 1:].to_numpy()
    table.to_csv(path, index=False)


def folds_done(workspace: Workspace) -> list[str]:
    """The folds that have a marker."""
    return sorted(path.parent.name for path in only_run(workspace).glob("fold*/done.json"))


def test_labels_that_change_while_folds_train_stop_a_submit_until_they_are_back(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    other = copy(submitted[0], tmp_path)
    for fold in (1, 2):
        (only_run(other) / f"fold{fold}" / "done.json").unlink()
    labels = other.raw("tiny") / "train_labels.csv"
    before = labels.read_bytes()

    def observe(event: Event) -> None:
        if isinstance(event, FoldDone) and event.fold == 1:
            swap_two_labels(other)

    message = r"tiny-s0-\w+: the ids, labels or groups are not those it was begun with; undo the"
    with pytest.raises(RunError, match=message):
        submit(open_competition(other, "tiny"), session=Session(observe=observe))
    assert folds_done(other) == ["fold0", "fold1", "fold2"]  # the last one of what was loaded
    labels.write_bytes(before)
    assert submit(open_competition(other, "tiny")).sha256 == submitted[1].sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_two_labels, "the ids, labels or groups are not those it was begun with"),
        (
            lambda workspace: shutil.copy(
                workspace.raw("tiny") / "images" / f"{ids('train', 30)[0]}.png",
                workspace.raw("tiny") / "images" / f"{ids('test', 12)[0]}.png",
            ),
            "tiny: the images are not those that its runs were begun with; undo the change",
        ),
    ],
)
def test_what_changes_after_the_last_fold_is_not_submitted(
    submitted: tuple[Workspace, Entry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Workspace], object],
    message: str,
) -> None:
    other, train = copy(submitted[0], tmp_path), training.train
    (only_run(other) / "fold2" / "done.json").unlink()

    def train_and_change(*args: Any, **settings: Any) -> list[Run]:
        runs = train(*args, **settings)
        change(other)
        return runs

    monkeypatch.setattr("foldwise.commands.submit.train", train_and_change)
    with pytest.raises(RunError, match=message):
        submit(open_competition(other, "tiny"), again=True)


def test_settings_and_soft_labels_are_those_a_run_was_begun_with(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    other = copy(submitted[0], tmp_path)
    folder, data = only_run(other), load_data(other, "tiny")
    need_same_data(folder, data)
    record = read_json(folder / "run.json")
    for key, what in (("spec", r"\[images\] of competition"), ("soft", "the shares or weights")):
        begun = record["begun_with"] | {key: "another"}
        write_json(folder / "run.json", {**record, "begun_with": begun})
        with pytest.raises(RunError, match=what):
            need_same_data(folder, data)


def test_a_run_is_not_trained_on_by_other_versions(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    other = copy(submitted[0], tmp_path)
    folder = only_run(other)
    assert read_json(folder / "fold1" / "done.json")["versions"] == versions()
    record = read_json(folder / "run.json")
    record["begun_with"]["versions"]["timm"] = "0.1"
    write_json(folder / "run.json", record)
    training.train(open_competition(other, "tiny"))  # all of it is there
    (folder / "fold2" / "done.json").unlink()
    with pytest.raises(
        RunError, match=r"was begun with timm 0.1, and here is .* install timm==0.1"
    ):
        training.train(open_competition(other, "tiny"))
    assert folds_done(other) == ["fold0", "fold1"]


def test_a_run_from_before_its_beginning_was_recorded_goes_on(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    other = copy(submitted[0], tmp_path)
    folder = only_run(other)
    record = read_json(folder / "run.json")
    write_json(folder / "run.json", {k: v for k, v in record.items() if k != "begun_with"})
    need_same_versions(folder)
    need_same_data(folder, load_data(other, "tiny"))


def test_a_recipe_that_is_named_twice_is_refused(workspace: Workspace) -> None:
    message = (
        "recipes should be different ones, got 'tiny' 2 times; name it once "
        "(its `seeds` train it several times)"
    )
    with pytest.raises(SpecError, match=re.escape(message)):
        training.train(open_competition(workspace, "tiny"), Selection(("tiny", "tiny")))
    spec = workspace.competition("tiny") / "competition.toml"
    edit(spec, 'recipes = ["tiny"]', 'recipes = ["tiny", "tiny"]')
    (error,) = doctor.check(workspace, "tiny").errors
    assert message in error


def test_check_says_that_the_metric_s_hook_is_missing(workspace: Workspace) -> None:
    spec = workspace.competition("tiny") / "competition.toml"
    edit(spec, "[folds.default]", '[metric]\nname = "hook"\n\n[folds.default]')
    (error,) = doctor.check(workspace, "tiny").errors
    assert '[metric] name = "hook" needs score in adapter.py; write it, or choose another' in error
    with pytest.raises(SpecError, match=r"needs score in adapter.py"):
        training.train(open_competition(workspace, "tiny"))
