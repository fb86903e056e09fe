"""Geometric kinds: what they draw fills their ranges, by their own chances."""

import math
from typing import Any

import pytest
import torch

from foldwise.config.augment import Augment
from foldwise.training.loading.augment import homographies
from foldwise.training.loading.geometry import perspectives

SQUARE = (48, 48)


def uniform(n: int, **settings: Any) -> torch.Tensor:
    """The maps of one augmentation for uniform draws of n images."""
    (kind,) = Augment(**settings).kinds
    generator = torch.Generator().manual_seed(0)
    made = homographies([kind], {kind.name: torch.rand(kind.draws, n, generator=generator)}, SQUARE)
    assert made is not None
    return made


def test_draws_fill_their_ranges() -> None:
    turns, shifts = uniform(4000, rotate=30), uniform(4000, shift=0.1)
    zooms = 1 / uniform(4000, zoom=(0.5, 2))[:, 0, 0]
    for values, low, high in (
        (torch.atan2(turns[:, 0, 1], turns[:, 0, 0]), -math.radians(30), math.radians(30)),
        (zooms, 0.5, 2.0),
        (shifts[:, 0, 2], -0.2, 0.2),
        (shifts[:, 1, 2], -0.2, 0.2),  # 0.1 of a side that is 2 long
    ):
        assert low - 1e-6 <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high + 1e-6
    assert (zooms < 1).float().mean() == pytest.approx(0.5, abs=0.05)  # by octaves


def test_a_warp_draws_both_directions_from_its_range() -> None:
    (kind,) = Augment(warp=0.2).kinds
    u = torch.tensor([[0.0, 0.25], [0.5, 0.5], [1.0, 0.5], [0.5, 0.5]])
    made = homographies([kind], {"warp": u}, SQUARE)
    expected = perspectives(torch.tensor([-0.2, -0.1]), torch.tensor([0.2, 0.0]))
    torch.testing.assert_close(made, expected)


def test_the_eight_symmetries_are_equally_likely() -> None:
    counts = uniform(4000, dihedral=True)[:, :2, :2].unique(dim=0, return_counts=True)[1]
    assert len(counts) == 8
    assert counts.min() > 400


@pytest.mark.parametrize(("name", "at"), [("hflip", 0), ("vflip", 1)])
def test_a_flip_has_its_chance(name: str, at: int) -> None:
    for value, chance in ((True, 0.5), (0.2, 0.2), (1, 1.0)):
        mirrored = uniform(4000, **{name: value})[:, at, at] < 0
        assert mirrored.float().mean() == pytest.approx(chance, abs=0.04)


def test_a_random_crop_keeps_its_share_of_the_area_and_lies_inside() -> None:
    made = uniform(4000, crop=(0.2, 1))
    width, height = made[:, 0, 0], made[:, 1, 1]
    area, ratio = width * height, width / height
    assert 0.2 - 1e-6 < area.min() < 0.21
    assert area.mean() == pytest.approx(0.6, abs=0.02)
    assert area.max() > 0.99
    assert 0.75 - 1e-4 < ratio.min() < 0.76
    assert 1.32 < ratio.max() < 1.3334
    for middle, side in ((made[:, 0, 2], width), (made[:, 1, 2], height)):
        assert (middle.abs() + side).max() <= 1 + 1e-6
        assert middle.min() < -0.5
        assert middle.max() > 0.5
    torch.testing.assert_close(uniform(50, crop=(1, 1)), torch.eye(3).expand(50, 3, 3))


@pytest.mark.parametrize(
    ("name", "setting", "changed"),
    [
        ("rotate", {"degrees": 30}, [[0, 1]]),
        ("zoom", {"factor": (1.1, 2)}, [[0, 0]]),
        ("shift", {"share": 0.1}, [[0, 2], [1, 2]]),
        ("warp", {"magnitude": 0.2}, [[2, 0]]),
        ("warp", {"magnitude": 0.2}, [[2, 1]]),
    ],
)
def test_each_affine_change_has_its_own_chance(
    name: str, setting: dict[str, Any], changed: list[list[int]]
) -> None:
    made = uniform(4000, **{name: {**setting, "p": 0.75}}) - torch.eye(3)
    moved = torch.stack([made[:, row, at] != 0 for row, at in changed])
    assert moved[0].float().mean() == pytest.approx(0.75, abs=0.04)
    assert (moved == moved[0]).all()


@pytest.mark.parametrize(
    "setting",
    [
        {"hflip": True},
        {"vflip": True},
        {"dihedral": True},
        {"rotate": 1},
        {"zoom": (1, 1.1)},
        {"shift": 0.1},
        {"warp": 0.1},
        {"crop": (0.9, 1)},
    ],
)
def test_every_geometric_kind_moves_pixels(setting: dict[str, Any]) -> None:
    assert not torch.equal(uniform(20, **setting), torch.eye(3).expand(20, 3, 3))


def test_without_a_geometric_kind_there_is_no_map() -> None:
    kinds = Augment(brightness=0.1, saturation=0.1, erase=0.1, padding="zeros").kinds
    assert len(kinds) == 3
    assert homographies(kinds, {}, SQUARE) is None
