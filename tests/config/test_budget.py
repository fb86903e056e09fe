"""A budget is kept: epochs shrink and grow first, then images shrink, then folds are left out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from foldwise.config.budget import (
    FACTORS,
    KEPT,
    Costs,
    Measures,
    fit_budget,
    seconds_of,
    share_of,
    shrunk,
    with_lengths,
)
from foldwise.config.recipe import SettledRecipe
from foldwise.errors import SpecError
from foldwise.training.fitting.schedules import Constant, Sgdr


def recipe(*stages: dict[str, Any], **settings: Any) -> SettledRecipe:
    return SettledRecipe.model_validate(
        {
            "name": "r",
            "model": "test_resnet",
            "image_size": 64,
            "presize": 72,
            "stage": [{"lr": 1e-3, **stage} for stage in stages],
            **settings,
        }
    )


def costs(pixel: float, fixed: float = 2.0) -> Any:
    """A machine on which a batch takes so many seconds per pixel of a side squared."""

    def of(fitted: SettledRecipe) -> Costs:
        steps = tuple(pixel * h * w for h, w in map(fitted.stage_size, fitted.stage))
        return Costs(steps, (0.5,) * len(steps), tuple(2 * s for s in steps), 0.1, 1.0, fixed)

    return of


def plan(
    which: SettledRecipe,
    seconds: float,
    of: Any,
    batches: Sequence[int] | None = None,
    folds: int = 5,
) -> tuple[SettledRecipe, dict[str, Any]]:
    """The recipe that fits, and the plan."""
    counts = batches or [100] * len(which.stage)
    measures = Measures(costs_of=of, left=lambda: seconds)
    made = fit_budget(which, counts, list(range(folds)), len(which.seeds), measures)
    return which.with_plan(made), made.model_dump(mode="json")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("90s", 90), ("1.5h", 5400), ("7m30s", 450)],
)
def test_times_are_hours_minutes_and_seconds(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds
    assert seconds_of(share_of(text, 4)) == pytest.approx(seconds / 4, rel=1e-4)


@pytest.mark.parametrize("text", ["30", "30 m", "m", "", "1d", "half an hour", "30m "])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r"a budget is a time such as 30m, 2h or 1h30m, got"):
        recipe({"epochs": 1}, budget=text)
    with pytest.raises(SpecError, match=f"30m, 2h or 1h30m, got '{text}'"):
        share_of(text, 2)
    with pytest.raises(ValidationError, match="longer than nothing and at most a year, got '0m'"):
        recipe({"epochs": 1}, budget="0m")


@pytest.mark.parametrize("seed", range(20))
def test_the_plan_takes_nearly_all_of_the_time_and_never_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = [int(size) for size in rng.choice([32, 48, 64], int(rng.integers(1, 4)))]
    which = recipe(*({"epochs": int(rng.integers(4, 9)), "image_size": s} for s in sizes))
    of = costs(float(rng.uniform(1e-6, 1e-5)))
    batches = [int(rng.integers(20, 200))] * len(sizes)
    needed = 5 * of(which).fold(which, batches)
    for seconds in needed * np.array([0.2, 0.4, 0.8, 1.0, 1.5, 2.5]):
        fitted, made = plan(which, seconds, of, batches)
        spent = len(made["folds"]) * of(fitted).fold(fitted, batches)
        assert made["seconds"] == pytest.approx(spent, abs=0.06)
        assert spent <= seconds
        grown = all(
            s.length == 4 * w.length for s, w in zip(fitted.stage, which.stage, strict=True)
        )
        if len(made["folds"]) == 5 and not grown:  # an epoch more for each stage would not do
            both = zip(fitted.stage, which.stage, strict=True)
            more = with_lengths(fitted, [min(s.length + 1, 4 * w.length) for s, w in both])
            assert 5 * of(more).fold(more, batches) > 0.96 * seconds


def test_a_recipe_that_fits_as_it_is_keeps_its_sizes_and_grows_to_four_times_at_most() -> None:
    which = recipe({"epochs": 2}, {"epochs": 3, "image_size": 48}, swa=2)
    fitted, made = plan(which, 1e9, costs(1e-5))
    assert [stage.length for stage in fitted.stage] == [8, 12]
    assert fitted.cache_sizes == which.cache_sizes
    assert [fitted.stage_size(s) for s in fitted.stage] == [(64, 64), (48, 48)]
    assert fitted.swa == 2
    assert made["folds"] == [0, 1, 2, 3, 4]


def test_epochs_go_first_then_sizes_then_folds() -> None:
    which, of = recipe({"epochs": 8}), costs(1e-5)
    needed = 5 * of(which).fold(which, [100])

    def short(share: float) -> tuple[int, int, int]:
        fitted, made = plan(which, share * needed / KEPT, of)
        return fitted.stage[0].length, fitted.stage_size(fitted.stage[0])[0], len(made["folds"])

    assert short(0.7) == (5, 64, 5)
    assert short(0.5) == (6, 48, 5)
    assert short(0.25) == (5, 32, 5)
    assert short(0.17) == (2, 32, 5)
    assert short(0.1)[2] < 5
    fitted, _ = plan(which, 0.25 * needed / KEPT, of)
    assert fitted.cache_sizes == which.cache_sizes == ((72, 72),)  # images are not cached anew


def test_a_shorter_time_than_anything_takes_says_how_much_is_needed() -> None:
    said = r"a quarter of its 8 epochs at half its image size takes about \d s, and 5 s are left"
    with pytest.raises(SpecError, match=said):
        plan(recipe({"epochs": 8}), 5, costs(1e-5))


def test_seeds_share_the_time() -> None:
    one, _ = plan(recipe({"epochs": 8}), 400, costs(1e-5))
    two, made = plan(recipe({"epochs": 8}, seeds=[0, 1]), 800, costs(1e-5))
    assert one.stage == two.stage
    assert made["seconds"] <= 400


def test_warm_restarts_have_whole_cycles() -> None:
    which = recipe(
        {"schedule": {"name": "sgdr", "cycles": 3, "cycle_mult": 2}},
        {"epochs": 4, "schedule": {"name": "constant", "warmup": 1}},
    )
    fitted, _ = plan(which, 200, costs(1e-5))
    first, second = fitted.stage
    assert first.length in (1, 3, 7, 15)
    assert SettledRecipe.model_validate(fitted.model_dump()).stage == fitted.stage
    assert isinstance(second.schedule, Constant)
    assert second.schedule.warmup < second.length
    once = with_lengths(which, [1, 2])
    assert once.stage[0].schedule == Sgdr(cycles=1, cycle_mult=2)
    assert once.stage[1].schedule == Constant(warmup=0.5)


def test_each_size_is_measured_once_and_what_measuring_takes_counts() -> None:
    seen, clock = [], [0.0]

    def of(fitted: SettledRecipe) -> Costs:
        seen.append(fitted.stage_size(fitted.stage[0]))
        clock[0] += 10
        return costs(1e-5)(fitted)

    which = recipe({"epochs": 8})
    measures = Measures(costs_of=of, left=lambda: 80 - clock[0])
    made = fit_budget(which, [100], range(5), 1, measures).model_dump(mode="json")
    assert seen == [(64, 64), (48, 48), (32, 32)]
    assert 30 < made["seconds"] <= 50


@pytest.mark.parametrize("factor", FACTORS)
def test_shrinking_keeps_proportions_and_what_is_cached(factor: float) -> None:
    which = recipe(
        {"epochs": 1}, {"epochs": 1, "image_size": 24}, image_size=[64, 128], presize=[80, 160]
    )
    small = shrunk(which, factor)
    assert small.stage_size(small.stage[0]) == (64 * factor, 128 * factor)
    assert small.stage_size(small.stage[1]) == (24, 24)  # never smaller
    assert small.cache_sizes == which.cache_sizes
