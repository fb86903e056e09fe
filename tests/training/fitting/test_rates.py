"""What a training tells of itself: the rates it used, its epochs' times, the memory it took."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from foldwise.commands import train as training
from foldwise.commands.planning import Selection, Session
from foldwise.data.opened import open_competition
from foldwise.kinds.events import BatchDone, EpochDone, Event
from foldwise.store.files import read_json
from foldwise.training.fitting import report
from foldwise.workspace import Workspace
from tiny import edit, only_run, write_tiny

TWO = """
groups = "stage"
schedule = "constant"

[[stage]]
epochs = 2
lr = 1e-4
schedule = {name = "constant", warmup = 1}
"""


class Stop(Exception):
    """Ends a training from its observer."""


def train(workspace: Workspace, *settings: str, stop_after: int | None = None) -> Path:
    """The folder of a fold trained with these settings, up to a batch or to its end."""

    def observe(event: Event) -> None:
        if isinstance(event, BatchDone) and event.done == stop_after:
            raise Stop("here")

    overrides = ["batch_size=5", *settings]  # four batches an epoch
    with contextlib.suppress(Stop):
        training.train(
            open_competition(workspace, "tiny"),
            Selection(overrides=tuple(overrides), folds=(0,)),
            session=Session(observe=observe),
        )
    return only_run(workspace) / "fold0"


def rates(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "rates.parquet")


def test_every_batch_has_its_stage_and_its_lowest_and_highest_rate(workspace: Workspace) -> None:
    recipe = workspace.competition("tiny") / "recipes" / "tiny.toml"
    edit(recipe, "lr = 3e-3", "lr = [1e-5, 1e-3]" + TWO)
    table = rates(train(workspace))
    assert table.dtypes.astype(str).to_dict() == {
        "batch": "int64",
        "stage": "int64",
        "low": "float64",
        "high": "float64",
    }
    assert table["batch"].tolist() == list(range(1, 13))
    assert table["stage"].tolist() == [0] * 4 + [1] * 8
    assert table["low"][:4].tolist() == pytest.approx([1e-5] * 4)
    assert table["high"][:4].tolist() == pytest.approx([1e-3] * 4)
    warm = 1e-4 * (0.01 + 0.99 * np.arange(4) / 4)
    assert table["high"][4:].tolist() == pytest.approx([*warm, *[1e-4] * 4])
    assert (table["low"][4:] == table["high"][4:]).all()


def test_many_batches_are_thinned_evenly_and_the_last_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "RATES", 4)
    whole = rates(train(write_tiny(tmp_path / "whole"), "stage.0.epochs=3"))
    assert whole["batch"].tolist() == [1, 5, 8, 12]
    folder = train(
        write_tiny(tmp_path / "early"), "stage.0.epochs=40", "stage.0.lr=0.1", "early_stop=1"
    )
    last = 4 * read_json(folder / "done.json")["stopped_early_after_epoch"]
    assert last < 160
    assert rates(folder)["batch"].tolist() == sorted({n for n in (1, 54, 107) if n < last} | {last})


def test_a_fold_that_went_on_has_the_same_rates_and_all_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "RATES", 4)
    whole = train(write_tiny(tmp_path / "whole"), "stage.0.epochs=3")
    workspace = write_tiny(tmp_path / "stopped")
    for stop in (6, 11):
        train(workspace, "stage.0.epochs=3", stop_after=stop)
    folder = train(workspace, "stage.0.epochs=3")
    assert (folder / "rates.parquet").read_bytes() == (whole / "rates.parquet").read_bytes()
    for each in (folder, whole):
        assert [epoch["epoch"] for epoch in read_json(each / "done.json")["epochs"]] == [1, 2, 3]


def test_a_checkpoint_from_before_there_were_rates_is_gone_on_from(workspace: Workspace) -> None:
    settings = "stage.0.epochs=2"
    folder = train(workspace, settings, stop_after=6)
    state: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    for key in ("rates", "epochs"):
        del state["kept"]["Report"][key]
    torch.save(state, folder / "checkpoint.pt")
    train(workspace, settings)
    assert rates(folder)["batch"].tolist() == [5, 6, 7, 8]
    done = read_json(folder / "done.json")
    assert [epoch["epoch"] for epoch in done["epochs"]] == [2]
    assert done["images_per_second"] > 0


def test_done_says_what_each_epoch_took_and_the_most_memory(workspace: Workspace) -> None:
    events: list[Event] = []
    (run,) = training.train(
        open_competition(workspace, "tiny"),
        Selection(overrides=("stage.0.epochs=2",), folds=(0,)),
        session=Session(observe=events.append),
    )
    done = read_json(run.fold(0).path / "done.json")
    told = [event for event in events if isinstance(event, EpochDone)]
    assert done["epochs"] == [
        {
            "epoch": event.epoch,
            "seconds": round(event.seconds, 3),
            "images_per_second": round(event.images_per_second, 3),
        }
        for event in told
    ]
    assert 1e8 < done["memory_bytes"] < 1e12  # torch alone takes more than 100 MB
    assert ("device_memory_bytes" in done) == torch.cuda.is_available()


def test_a_prior_has_no_rates_images_or_maps(workspace: Workspace) -> None:
    recipes = workspace.competition("tiny") / "recipes"
    (recipes / "prior.toml").write_text('model = "prior"\n')
    (run,) = training.train(open_competition(workspace, "tiny"), Selection(("prior",), folds=(0,)))
    files = {path.name for path in run.fold(0).path.iterdir()}
    assert not files & {"rates.parquet", "augmented.parquet", "maps.parquet"}
    done = read_json(run.fold(0).path / "done.json")
    assert done["memory_bytes"] > 1e8
    assert "epochs" not in done
