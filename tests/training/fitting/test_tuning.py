"""`auto` becomes something once, from what was measured, and is read afterwards."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from foldwise.commands.planning import Selection
from foldwise.commands.train import train
from foldwise.config.adapter import kinds_of
from foldwise.config.recipe import SizedRecipe
from foldwise.data.opened import open_competition
from foldwise.errors import RunError
from foldwise.store.files import read_json
from foldwise.store.predictions import read_predictions
from foldwise.training.fitting import tuning
from foldwise.training.speed.apart import apart
from foldwise.workspace import Workspace
from tiny import CLASSES, SETTLED

BASE = {
    "name": "r",
    "model": "test_resnet",
    "weights": "none",
    "image_size": 32,
    "batch_size": 8,
    "stage": [{"epochs": 50, "lr": 1e-3}, {"epochs": 40, "lr": 1e-3, "image_size": 16}],
}


# of all models the soonest compiled
OF_LINEAR = ["--set", "model=linear", "--set", "compile=true"]


def recipe(**changes: object) -> SizedRecipe:
    return SizedRecipe.model_validate({**BASE, **changes})


def timed(monkeypatch: pytest.MonkeyPatch, eager: float, compiled: float, first: float) -> None:
    """Steps that take so many seconds; nothing is built."""
    monkeypatch.setattr(tuning, "step_of", lambda *a: None)
    monkeypatch.setattr(tuning, "step_seconds", lambda step: (eager, 0.0))
    monkeypatch.setattr(tuning, "apart", lambda *a: (compiled, first))
    monkeypatch.setattr(tuning, "COMPILING_SHARE", {"cuda": 0.1, "cpu": 0.1})


def test_what_is_set_stays_and_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tuning, "step_of")
    values = tuning.settle(recipe(compile=False, precision="fp32"), 1000, 3, 1, 5)
    assert values == {
        "precision": "fp32",
        "device": values["device"],
        "batch_size": 8,
        "compile": False,
    }
    assert tuning.settle(recipe(compile=True), 1000, 3, 1, 5)["compile"] is True


def test_a_run_of_few_steps_is_not_even_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tuning, "step_of")
    # 50 epochs at full size and 40 at a quarter of the pixels, of 2 batches, in 1 fold: 120
    values = tuning.settle(recipe(), 16, 3, 1, 1)
    assert (values["compile"], values["measured"]) == (False, {})


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU's memory is probed instead")
def test_an_automatic_batch_is_64_on_a_cpu() -> None:
    values = tuning.settle(recipe(batch_size="auto"), 128, 3, 1, 1)
    assert values["batch_size"] == 64
    assert recipe(batch_size="auto").settle({**values, "loss": "bce"}).batch_size == 64


@pytest.mark.parametrize(
    ("eager", "compiled", "first", "expected"),
    [
        (2.0, 1.9, 60.5, False),  # 6000 steps save 600 s; 2 stages in 5 folds cost 605 s
        (2.0, 1.89, 60.0, True),
        (2.0, 2.1, 0.0, False),
        (1.0, 0.1, 0.1, False),  # a tenth of 100 minutes would go into compiling 11 times
    ],
)
def test_it_is_compiled_where_the_run_wins_it_back(
    monkeypatch: pytest.MonkeyPatch, eager: float, compiled: float, first: float, expected: bool
) -> None:
    timed(monkeypatch, eager, compiled, first)
    values = tuning.settle(recipe(), 160, 3, 1, 5)  # 60 epochs of 20 batches in 5 folds
    assert values["compile"] is expected
    assert values["measured"]["eager_step_seconds"] == eager
    if eager == 2:
        saved = 6000 * (eager - compiled) - 10 * first
        assert values["measured"]["saved_seconds"] == pytest.approx(saved)


def test_compiling_has_no_more_time_than_its_share_of_what_it_can_win(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bounds = []

    def apart(function: object, arguments: object, seconds: float) -> None:
        bounds.append(seconds)
        raise TimeoutError("it takes longer")

    timed(monkeypatch, 22.0, 1.0, 1.0)
    monkeypatch.setattr(tuning, "apart", apart)
    caplog.set_level("INFO")
    values = tuning.settle(recipe(), 160, 3, 1, 5)  # 132,000 s, a tenth of it shared by 11
    assert bounds == [pytest.approx(1200)]
    assert values["compile"] is False
    assert values["measured"] == {"eager_step_seconds": 22.0, "compile_seconds_over": 1200.0}
    assert "not compiled: torch.compile takes more than the 1200 s that it could win" in caplog.text


def test_where_compiling_fails_it_is_said_and_the_run_goes_on_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def apart(*arguments: object) -> None:
        raise RuntimeError("InductorError: no C++ compiler")

    timed(monkeypatch, 2.0, 0.1, 1.0)
    monkeypatch.setattr(tuning, "apart", apart)
    assert tuning.settle(recipe(), 160, 3, 1, 5)["compile"] is False
    assert "not compiled: torch.compile fails here (InductorError: no C++ compiler)" in caplog.text


@pytest.mark.slow
def test_a_compiled_step_is_timed_in_another_process() -> None:
    settled = recipe(model="linear", stage=[{"epochs": 1, "lr": 1e-3}]).settle(SETTLED)
    arguments = ("", settled.model_dump(mode="json"), 3, 1, 8, 1)
    compiled, first = apart(tuning.compiled_seconds, arguments, 600)
    assert 0 < compiled < first


OWN_METHOD = """\
from typing import ClassVar, Literal

from foldwise.training.methods.fine_tune import FineTune


class Own(FineTune):
    name: Literal["own"] = "own"
    backbone: str = "test_resnet"
    head_scale: float = 1.0

    @property
    def word(self):
        return None
"""


def test_the_process_that_times_a_compiled_step_knows_the_adapters_method(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "adapter.py").write_text(OWN_METHOD)
    timed(monkeypatch, 2.0, 0.1, 1.0)
    calls = []
    monkeypatch.setattr(tuning, "apart", lambda *call: (calls.append(call), (0.1, 1.0))[1])
    settings = {**BASE, "model": {"name": "own", "head_scale": 2.0}}
    own = SizedRecipe.model_validate(settings, context=kinds_of(tmp_path))
    assert tuning.settle(own, 160, 3, 1, 5)["compile"] is True
    ((function, arguments, _),) = calls
    built = []
    monkeypatch.setattr(tuning, "step_of", lambda *arguments: built.append(arguments[0]))
    assert function(*json.loads(json.dumps(arguments))) == (2.0, 0.0)
    assert [recipe.model.model_dump() for recipe in built] == [
        {"name": "own", "backbone": "test_resnet", "head_scale": 2.0}
    ]


def test_a_step_is_real_and_leaves_the_generators_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    real = tuning.step_of

    def step_of(*arguments: object) -> Callable[[], None]:
        step = real(*arguments)  # type: ignore[arg-type]
        return lambda: (step(), taken.append(arguments[-1]))[0]

    monkeypatch.setattr(tuning, "step_of", step_of)
    before = torch.get_rng_state()
    values = tuning.settle(recipe(), 160, 3, 1, 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert taken == [False] * 4
    assert 0 < values["measured"]["eager_step_seconds"] < 5


@pytest.mark.slow
def test_the_largest_batch_that_fits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    used = {"batch": 0}

    def step_of(*arguments: object, compiled: bool) -> Callable[[], None]:
        used["batch"] = arguments[4]
        if arguments[4] > 256:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return lambda: None

    class Properties:
        total_memory = 1000

    monkeypatch.setattr(tuning, "step_of", step_of)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Properties)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3 * used["batch"])
    assert tuning._largest_batch(recipe(), "fp32", 3, 1) == 256
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 10 * used["batch"])
    assert tuning._largest_batch(recipe(), "fp32", 3, 1) == 64
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 901)
    with pytest.raises(RunError, match="a batch of 16 images of test_resnet does not fit"):
        tuning._largest_batch(recipe(), "fp32", 3, 1)


def test_a_run_keeps_what_auto_became(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(open_competition(workspace, "tiny"), Selection(folds=(0,)))[0]
    kept = read_json(run.folder / "run.json")["resolved"]
    assert kept["compile"] is False
    assert kept["batch_size"] == 8
    monkeypatch.setattr(tuning, "settle", lambda *a: pytest.fail("measured again"))
    again = train(open_competition(workspace, "tiny"), Selection(folds=(1,)))[0]
    assert again.record.resolved == kept


def test_a_compiled_run_trains_to_the_same_predictions_nearly(workspace: Workspace) -> None:
    settings = ["precision=fp32", "stage.0.epochs=3"]
    plain, compiled = (
        train(
            open_competition(workspace, "tiny"),
            Selection(overrides=(*settings, f"compile={value}"), folds=(0,)),
        )[0]
        for value in ("false", "true")
    )
    assert compiled.record.resolved["compile"] is True
    first, second = (
        read_predictions(run.fold(0).oof, CLASSES).iloc[:, 1:] for run in (plain, compiled)
    )
    assert abs(first - second).to_numpy().max() < 0.05
    assert not first.equals(second)  # the compiled model was another one


def test_a_compiler_that_is_missing_is_one_line(workspace: Workspace) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "foldwise", "train", "tiny", *OF_LINEAR],
        cwd=workspace.root,
        capture_output=True,
        text=True,
        env={
            "PATH": "/nowhere",
            "CXX": "/nowhere/g++",
            "HOME": str(workspace.root),
            "TORCHINDUCTOR_CACHE_DIR": str(workspace.root / "inductor"),
        },
    )
    assert done.returncode == 1
    assert "torch.compile fails here" in done.stderr
    assert "--set compile=false" in done.stderr
    assert "Traceback" not in done.stderr
