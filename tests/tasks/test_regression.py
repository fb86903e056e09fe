"""Regression: numbers in and out, strata by quantiles, drawn truths as far off as known ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.kinds.rows import Rows
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import CellError, Known
from foldwise.tasks import Regression, task_in

TASK = Regression(("height", "id"))  # one is called as a column of foldwise's own
NUMBERS = np.array([[1.5, -2.0], [0.1, 1e6], [3.0, 0.0]])


def rows(numbers: np.ndarray) -> Rows:
    """Rows with these numbers."""
    ids = pd.Series([str(row) for row in range(len(numbers))], dtype=str)
    return Rows(ids.to_frame("id"), ids, [], Path("train.csv"), numbers=numbers)


def test_numbers_survive_a_frame_and_a_files_text() -> None:
    targets = TASK.encode(rows(NUMBERS))
    frame = TASK.frame(targets)
    assert list(frame.columns) == ["height", "class:id"]
    assert task_in(frame.assign(id="1")) == TASK
    text = frame.map(repr)
    read = TASK.parse(text, lambda: text.to_numpy(dtype=np.float64))
    assert (read.values == NUMBERS).all()
    assert TASK.text(targets).tolist() == ["1.5 -2", "0.1 1000000", "3 0"]


def test_a_number_that_is_not_finite_is_told() -> None:
    cells = np.array([[1.0, 2.0], [np.inf, 1.0]])
    with pytest.raises(CellError, match="finite numbers") as caught:
        TASK.parse(pd.DataFrame(), lambda: cells)
    assert caught.value.right.tolist() == [True, False]
    assert TASK.unfit(cells).tolist() == [False, True]


def test_strata_are_quantiles_of_each_column() -> None:
    values = np.random.default_rng(0).lognormal(size=(1000, 2))
    strata = TASK.strata(Targets(values))
    assert strata.shape == (1000, 20)
    assert (strata.sum(axis=0) == 100).all()
    assert (strata[:, :10].sum(axis=1) == 1).all()
    lowest = values[strata[:, 0] == 1, 0]
    assert lowest.max() < values[strata[:, 1] == 1, 0].min()


@pytest.mark.parametrize("values", [np.zeros((40, 2)), np.arange(6.0).reshape(3, 2)])
def test_few_or_equal_numbers_have_fewer_strata(values: np.ndarray) -> None:
    strata = TASK.strata(Targets(values))
    assert (strata.sum(axis=1) == 2).all()  # one of each column
    assert ((strata.sum(axis=0) > 0).sum() == 2).all()


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_drawn_truths_are_as_far_off_as_known_ones_less_what_averaging_gains(
    spread: float,
) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(5000, 2))
    known = Known(Targets(truth), truth + rng.normal(size=truth.shape), spread)
    block = np.zeros((20_000, 2))
    drawn = TASK.draw(block, known, rng).values
    assert (drawn**2).mean() == pytest.approx(1 - spread, abs=0.03)


def test_baselines_and_losses_are_those_by_hand() -> None:
    targets = Targets(NUMBERS)
    made = TASK.baselines(targets, 2)
    assert made["mean"][1] == pytest.approx(NUMBERS.mean(axis=0))
    assert made["median"][0] == pytest.approx([1.5, 0.0])
    assert TASK.losses(targets, np.zeros((3, 2)))[0] == pytest.approx((1.5**2 + 2**2) / 2)
    told = TASK.facts(targets)["numbers"]["height"]
    assert told == {"low": 0.1, "high": 3.0, "mean": 1.53333, "deviation": 1.18415}


def test_nothing_of_probabilities_is_done_to_numbers() -> None:
    assert (TASK.at_temperature(NUMBERS, 2.0) == NUMBERS).all()
    assert (TASK.normalise(NUMBERS) == NUMBERS).all()
    assert (TASK.from_scores(TASK.to_scores(NUMBERS)) == NUMBERS).all()
    with pytest.raises(TypeError, match="a regression task has no classes"):
        TASK.marks(Targets(NUMBERS))
