"""Schedules are fastai's where it has them, and restart where they say so."""

import numpy as np
import pytest
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import nn, randn

from foldwise.config.stage import Stage
from foldwise.training.fitting.stages import scheduler_curves

RATES = np.array([1e-3, 1e-2])


def stage(**settings: object) -> Stage:
    return Stage.model_validate({"lr": 1e-2, **settings})


def curve(of: Stage, steps: int) -> np.ndarray:
    """The rates before each step: (steps, groups)."""
    rates = scheduler_curves(of, RATES)["lr"]
    return np.array([rates(i / steps) for i in range(steps)])


def fastais(fit: str, epochs: int, *arguments: object, **settings: object) -> list[np.ndarray]:
    """The rates and momenta of the last group, per batch, in a fit by fastai; 5 batches each."""
    rows = [(randn(2), randn(1)) for _ in range(20)]
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    learner = Learner(
        DataLoaders(*[DataLoader(rows, bs=4, num_workers=0)] * 2),
        model,
        nn.MSELoss(),
        splitter=lambda m: [[*m[0].parameters()], [*m[1].parameters()]],
    )
    with learner.no_bar(), learner.no_logging():
        getattr(learner, fit)(epochs, *arguments, **settings)
    return [np.array(learner.recorder.hps[name]) for name in learner.recorder.hps]


def test_one_cycle_is_fastais() -> None:
    settings = stage(epochs=3, schedule={"pct_start": 0.3, "div": 5, "div_final": 1e4})
    rates, momenta = fastais(
        "fit_one_cycle", 3, slice(1e-3, 1e-2), pct_start=0.3, div=5, div_final=1e4
    )
    assert curve(settings, 15)[:, 1] == pytest.approx(rates)
    ours = [float(scheduler_curves(settings, RATES)["mom"](i / 15)) for i in range(15)]  # type: ignore[arg-type]
    assert ours == pytest.approx(momenta)
    assert curve(settings, 15)[:, 0] == pytest.approx(rates / 10)


def test_flat_cos_is_fastais() -> None:
    rates = fastais("fit_flat_cos", 4, slice(1e-3, 1e-2))[0]
    assert curve(stage(epochs=4, schedule="flat_cos"), 20)[:, 1] == pytest.approx(rates)


def test_sgdr_is_fastais_but_for_the_first_batch_of_a_cycle() -> None:
    ours = curve(stage(schedule={"name": "sgdr", "cycles": 3, "cycle_mult": 2}), 35)[:, 1]
    rates = fastais("fit_sgdr", 3, 1, 1e-2)[0]
    same = np.ones(35, dtype=bool)
    same[[5, 15]] = False
    assert ours[same] == pytest.approx(rates[same], abs=1e-6)


def test_sgdr_starts_anew_with_each_cycle() -> None:
    ours = curve(stage(schedule={"name": "sgdr", "cycles": 3, "cycle_mult": 2}), 70)[:, 1]
    assert np.flatnonzero(np.isclose(ours, 1e-2)).tolist() == [0, 10, 30]
    assert (np.diff(ours)[[i for i in range(69) if i not in (9, 29)]] < 0).all()
    again = curve(stage(schedule={"name": "sgdr", "cycles": 10}), 100)[:, 0]
    assert np.flatnonzero(np.isclose(again, 1e-3)).tolist() == list(range(0, 100, 10))


def test_a_constant_rate_may_be_warmed_up() -> None:
    assert (curve(stage(epochs=2, schedule="constant"), 10) == RATES).all()
    warm = curve(stage(epochs=2, schedule={"name": "constant", "warmup": 1}), 10)
    assert warm[0] == pytest.approx(RATES / 100)
    assert (np.diff(warm[:5, 0]) > 0).all()
    assert (warm[5:] == RATES).all()
    flat = curve(stage(epochs=4, schedule={"name": "flat_cos", "warmup": 2, "pct_start": 0.5}), 20)
    assert (flat[10:15] == RATES).all()
    assert flat[19, 1] < 2e-3
