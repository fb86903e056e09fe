"""A competition's adapter.py defines kinds of its own, and its runs go all the way."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.tiny import edit

from foldwise.commands.planning import Selection
from foldwise.commands.submit import submit
from foldwise.commands.train import train
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.errors import DataError
from foldwise.reporting.html.changes import commands
from foldwise.reproducing.reproduce import reproduce
from foldwise.store.run_records import RunRecord
from foldwise.workspace import Workspace

LOSS = '''
from typing import Literal
from foldwise.kinds.loss import Loss

class Power(Loss):
    """The right class's distance from 1, to some power."""
    name: Literal["power"] = "power"
    to: float = 2.0

    def formula(self, outputs):
        def power(logits, targets, reduction):
            rows = ((logits.softmax(dim=1) - targets).abs() ** self.to).sum(dim=1)
            return rows.mean() if reduction == "mean" else rows
        return power
'''


SCHEDULE = '''
from typing import Literal
from foldwise.kinds.schedule import Schedule

class Fall(Schedule):
    """From the highest rate down to a share of it, in a line."""
    name: Literal["fall"] = "fall"
    to: float = 0.0

    def rates(self, epochs, highest):
        return lambda done: highest * (1 - done * (1 - self.to))
'''


def with_own(workspace: Workspace, adapter: str, *edits: tuple[str, str]) -> Path:
    """The tiny competition's recipe file, edited, with an adapter beside it."""
    folder = workspace.competition("tiny")
    (folder / "adapter.py").write_text(adapter)
    recipe = folder / "recipes" / "tiny.toml"
    for old, new in edits:
        edit(recipe, old, new)
    return recipe


def records(workspace: Workspace) -> list[dict[str, Any]]:
    """The records of all runs."""
    paths = sorted((workspace.runs / "tiny").glob("*/run.json"))
    return [json.loads(path.read_text()) for path in paths]


def test_a_loss_and_a_schedule_of_an_adapter_are_submitted_and_made_again(
    workspace: Workspace,
) -> None:
    loss = 'loss = {name = "power", to = 1.5}'
    schedule = 'schedule = {name = "fall", to = 0.1}'
    own = (("batch_size", f"{loss}\nbatch_size"), ("epochs = 1", f"epochs = 1\n{schedule}"))
    with_own(workspace, LOSS + SCHEDULE, *own)
    entry = submit(open_competition(workspace, "tiny"))
    (record,) = records(workspace)
    assert record["recipe"]["loss"] == {"name": "power", "to": 1.5}
    assert record["recipe"]["stage"][0]["schedule"] == {"name": "fall", "to": 0.1}
    assert (
        submit(open_competition(workspace, "tiny")).file == entry.file
    )  # nothing is trained again
    assert len(records(workspace)) == 1
    told = RunRecord.model_validate(record)
    (command,) = commands(workspace, load_data(workspace, "tiny"), told)
    assert command == "foldwise train tiny --recipe tiny"
    assert reproduce(workspace, entry.file.name).same


def test_a_name_that_neither_has_is_refused_with_the_nearest(workspace: Workspace) -> None:
    with_own(workspace, LOSS, ("batch_size", 'loss = "powr"\nbatch_size'))
    with pytest.raises(DataError, match="no loss is called 'powr'; did you mean 'power'"):
        submit(open_competition(workspace, "tiny"))


INVERT = '''
from typing import ClassVar, Literal
from foldwise.kinds.bounds import Share
from foldwise.training.loading.augmentations.base import Colouring, ColourMap

class Invert(Colouring):
    """Black for white, in some images."""
    main: ClassVar[str] = "p"
    name: Literal["invert"] = "invert"
    p: Share

    def colours(self, u):
        factor = 1.0 - 2.0 * (u[0] < self.p)
        return ColourMap(factor, (1 - factor) / 2)
'''


def test_an_augmentation_of_an_adapter_is_submitted_and_made_again(workspace: Workspace) -> None:
    with_own(workspace, INVERT, ("rotate = 5", "rotate = 5\ninvert = 0.25"))
    entry = submit(open_competition(workspace, "tiny"))
    (record,) = records(workspace)
    assert record["recipe"]["augment"]["invert"] == 0.25
    assert submit(open_competition(workspace, "tiny")).file == entry.file
    assert len(records(workspace)) == 1
    assert reproduce(workspace, entry.file.name).same
    train(
        open_competition(workspace, "tiny"),
        Selection(overrides=("augment.invert=false",), folds=(0,)),
    )
    augments = [each["recipe"]["augment"] for each in records(workspace)]
    assert {"padding": "reflection", "hflip": True, "rotate": 5.0} in augments
    one, other = (workspace.runs / "tiny").glob("*/fold0/oof.parquet")
    assert one.read_bytes() != other.read_bytes()
