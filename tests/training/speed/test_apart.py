"""What is called in another process gives its result, its error, or nothing in time."""

import json
import operator
import time

import pytest

from foldwise.training.speed.apart import apart


def test_a_function_gives_what_it_returns() -> None:
    assert apart(operator.add, [[1.5], ["\u00e4"]], 600) == [1.5, "\u00e4"]


def test_what_it_raises_is_its_last_line() -> None:
    with pytest.raises(RuntimeError, match=r"json\.decoder\.JSONDecodeError: Expecting value"):
        apart(json.loads, ["x"], 600)


def test_a_function_that_takes_longer_than_it_may_is_ended() -> None:
    with pytest.raises(TimeoutError, match="sleep takes more than 0 s"):
        apart(time.sleep, [600], 0.4)
