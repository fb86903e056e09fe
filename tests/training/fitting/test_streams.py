"""Randomness is a function of its place, and global generators are given back as they were."""

import random

import numpy as np
import pytest
import torch

from foldwise.training.fitting.streams import restore_globals, seed_block
from foldwise.training.loading.draws import stream


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))


def test_places_give_their_own_streams() -> None:
    places = [(s, f, e) for s in range(3) for f in range(3) for e in range(3)]
    assert len({stream(*place) for place in places}) == 27
    assert stream(1, "a") == stream(1, "a") != stream("1", "a")


def test_a_block_is_repeatable_and_leaves_the_generators_as_they_were() -> None:
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = draw()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    with seed_block(1, "init"):
        inside = draw()
    assert draw() == expected
    with seed_block(1, "init"):
        assert draw() == inside


def test_streams_of_gpus_that_are_gone_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.get_state(legacy=False)
    state = {
        "python": random.getstate(),
        "numpy": words,
        "torch": torch.get_rng_state(),
        "cuda": ["of the first GPU", "of the second"],
    }
    restored: list[list[str]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", restored.append)
    restore_globals(state)
    assert restored == [["of the first GPU"]]
