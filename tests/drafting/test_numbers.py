"""Which columns of numbers are measurements, and which are the codes of classes."""

import numpy as np
import pandas as pd
import pytest

from foldwise.drafting.numbers import describe_measurements


def described(values: object, name: str = "label") -> str | None:
    return describe_measurements(pd.Series(values, name=name).astype(str))


def bell(n: int, seed: int, spread: float = 20.0) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Whole numbers of 1 to 100 around 38, as scores are distributed."""
    return np.random.default_rng(seed).normal(38, spread, n).clip(1, 100).round().astype(int)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [1000, 9912])
def test_scores_of_1_to_100_are_measurements(seed: int, n: int) -> None:
    why = described(bell(n, seed))
    assert why is not None
    assert why.endswith("whole numbers, of which neighbours are about equally frequent")


def test_fractions_and_numbers_that_come_once_are_measurements() -> None:
    assert described([0.5, 1.0, 1.5, 2.0]) == "4 different numbers, some of them fractions"
    prices = np.random.default_rng(0).integers(1000, 900_000, 300)
    assert str(described(prices)).endswith("different whole numbers, most of them in one row alone")


def test_empty_cells_say_nothing() -> None:
    assert described(["", "0.5", "1", "7.25", ""]) == "3 different numbers, some of them fractions"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [21, 99, 120, 1000])
def test_codes_of_classes_are_none(seed: int, classes: int) -> None:
    generator = np.random.default_rng(seed)
    even = np.repeat(np.arange(classes), 10)
    assert described(even) is None
    assert described(generator.permutation(even)[: 6 * classes]) is None
    drawn = generator.integers(0, classes, 10 * classes)
    assert described(drawn) is None
    sizes = generator.permutation((300 / np.arange(1, classes + 1)).astype(int) + 2)
    assert described(np.repeat(np.arange(classes), sizes)) is None
    ranked = np.sort(sizes)[::-1]  # the most frequent class is 0
    assert described(np.repeat(np.arange(classes), ranked)) is None


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (np.arange(1000, 1400), "label"),  # rows that are counted
        (np.random.default_rng(0).integers(1000, 900_000, 300), "product_id"),
        ([f"{n:05d}" for n in np.random.default_rng(0).integers(0, 90_000, 300)], "label"),
        (bell(5000, 0) // 6, "grade"),  # no more than 20 of them
        (["0.5", "a", "1.5"], "label"),
        ([0.5, 1.5, 0.5, 1.5], "label"),
    ],
)
def test_ids_few_values_and_texts_are_none(values: object, name: str) -> None:
    assert described(values, name) is None
