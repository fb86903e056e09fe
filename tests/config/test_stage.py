"""Stages say how long they are, and refuse what contradicts itself."""

import re
import tomllib

import pytest

from foldwise.config.loading import parse
from foldwise.config.stage import Stage
from foldwise.errors import SpecError
from foldwise.training.fitting.schedules import Constant, FlatCos, OneCycle, Sgdr


def stage(**settings: object) -> Stage:
    return Stage.model_validate({"epochs": 4, "lr": 1e-3, **settings})


def cycles(**settings: object) -> Stage:
    return Stage.model_validate({"lr": 1e-3, "schedule": {"name": "sgdr", **settings}})


def test_sgdrs_epochs_follow_from_its_cycles() -> None:
    assert cycles(cycles=3, cycle_mult=2).length == 7
    assert cycles(cycles=3, cycle_length=2).length == 6
    five = {"name": "sgdr", "cycles": 1, "cycle_length": 5}
    assert stage(schedule=five, epochs=5).length == 5
    assert stage().length == 4


def test_a_schedule_says_which_lengths_it_can_have_and_takes_them() -> None:
    restarts = cycles(cycles=2, cycle_mult=2)
    assert restarts.schedule.lengths(20) == [1, 3, 7, 15]
    assert restarts.with_epochs(15).schedule == Sgdr(cycles=4, cycle_mult=2)
    warm = stage(schedule={"name": "constant", "warmup": 2})
    assert warm.schedule.lengths(5) == [1, 2, 3, 4, 5]
    assert warm.with_epochs(1).schedule == Constant(warmup=0.5)
    assert warm.with_epochs(8).schedule == Constant(warmup=2)
    assert stage().with_epochs(7).schedule == stage().schedule


def test_pct_start_is_fastais_for_the_schedule() -> None:
    assert stage().schedule == OneCycle(pct_start=0.25)
    assert stage(schedule="flat_cos").schedule == FlatCos(pct_start=0.75)


def test_the_keys_of_earlier_versions_are_answered_with_where_they_went() -> None:
    assert len(Stage.moved) == 7
    for key, instead in Stage.moved.items():
        with pytest.raises(SpecError, match=f"unknown key '{key}'; {re.escape(instead)}$"):
            parse(Stage, {"epochs": 4, "lr": 1, key: 1}, "r.toml")
        written = tomllib.loads(instead.removeprefix("write "))
        assert key in written["schedule"]
        assert stage(epochs=None if "sgdr" in instead else 4, **written).length > 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": None}, "a stage needs epochs, e.g. epochs = 5"),
        ({"schedule": "sgdr", "epochs": None}, "the key 'schedule.cycles' is missing"),
        (
            {"schedule": {"name": "sgdr", "cycles": 3}},
            "sgdr's cycles take 3 epochs, got epochs = 4",
        ),
        ({"schedule": {"cycles": 2}}, 'cycles belongs to name = "sgdr", not to "one_cycle"'),
        ({"lr": (1e-2, 1e-3)}, r"lr must be \[low, high\] with low <= high, got \[0.01, 0.001\]"),
        (
            {"schedule": {"warmup": 1}},
            'warmup belongs to name = "flat_cos" or "constant", not to "one_cycle"',
        ),
        (
            {"schedule": {"name": "constant", "warmup": 4}},
            "warmup must be shorter than the stage, got 4.0",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(Stage, {"epochs": 4, "lr": 1e-3, **settings}, "r.toml")
