"""Stages say how long they are, and refuse what contradicts itself."""

import pytest
from pydantic import ValidationError

from foldwise.config.stage import Stage


def stage(**settings: object) -> Stage:
    return Stage.model_validate({"epochs": 4, "lr": 1e-3, **settings})


def cycles(**settings: object) -> Stage:
    return Stage.model_validate({"lr": 1e-3, "schedule": "sgdr", **settings})


def test_sgdrs_epochs_follow_from_its_cycles() -> None:
    assert cycles(cycles=3, cycle_mult=2).cycle_epochs == (1, 2, 4)
    assert cycles(cycles=3, cycle_mult=2).length == 7
    assert cycles(cycles=3, cycle_length=2).cycle_epochs == (2, 2, 2)
    assert cycles(cycles=1, cycle_length=5, epochs=5).length == 5
    assert stage().length == 4


def test_pct_start_is_fastais_for_the_schedule() -> None:
    assert stage().start == 0.25
    assert stage(schedule="flat_cos").start == 0.75
    assert stage(schedule="flat_cos", pct_start=0.5).start == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": None}, "a stage needs epochs, e.g. epochs = 5"),
        ({"schedule": "sgdr", "epochs": None}, 'schedule = "sgdr" needs cycles, e.g. cycles = 3'),
        ({"schedule": "sgdr", "cycles": 3}, "sgdr's cycles take 3 epochs, got epochs = 4"),
        ({"cycles": 2}, 'cycles are for schedule = "sgdr", got "one_cycle"'),
        ({"lr": (1e-2, 1e-3)}, r"lr must be \[low, high\] with low <= high, got \[0.01, 0.001\]"),
        ({"warmup": 1}, "warmup is for constant and flat_cos, got one_cycle; one_cycle rises by"),
        ({"warmup": 4, "schedule": "constant"}, "warmup must be shorter than the stage, got 4.0"),
    ],
)
def test_what_contradicts_itself_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        stage(**settings)
