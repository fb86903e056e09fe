"""Geometry is fastai's for the same parameters, in one resampling without aliases or blur."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fastai.vision.augment import (
    Dihedral,
    Flip,
    Rotate,
    Warp,
    Zoom,
    aug_transforms,
    setup_aug_tfms,
)
from fastai.vision.core import TensorImage

from foldwise.config.augment import Augment
from foldwise.training.loading.augment import homographies
from foldwise.training.loading.geometry import (
    perspectives,
    prefilters,
    resample,
    resampled_bytes,
)

N = 4
WIDE, SQUARE = (40, 56), (48, 48)
ANGLES, ZOOMS = [-170.0, -35.0, 10.0, 90.0], [0.7, 1.0, 1.3, 2.5]
WARPS_X, WARPS_Y = [-0.3, 0.2, 0.0, 0.1], [0.1, 0.2, -0.25, 0.0]
PADDINGS = ["reflection", "zeros", "border"]


def pictures(size: tuple[int, int], n: int = N) -> torch.Tensor:
    """Smooth colours without any symmetry."""
    rough = torch.rand(n, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    return F.interpolate(rough, size, mode="bicubic", align_corners=False)


WIDEST = Augment(
    warp=0.3,
    shift=0.5,
    hflip=True,
    vflip=True,
    dihedral=True,
    rotate=180,
    zoom=(0.1, 10),
    crop={"share": (0.01, 1), "ratio": (0.1, 10)},
)


def column(values: Sequence[float], low: float, high: float) -> torch.Tensor:
    """The draws for which a range gives some values."""
    return (torch.tensor(values, dtype=torch.float64) - low) / (high - low)


def octaves(values: Sequence[float]) -> torch.Tensor:
    """The draws for which the range from 0.1 to 10 gives some values by octaves."""
    return column([math.log(value) for value in values], math.log(0.1), math.log(10))


def maps(size: tuple[int, int], n: int = N, **given: Sequence[float]) -> torch.Tensor:
    """The augmentations' maps for some parameters of n images; the others change nothing."""
    zero, one = [0.0] * n, [1.0] * n
    at = {
        **{key: zero for key in ("warp_x", "warp_y", "shift_x", "shift_y", "crop_x", "crop_y")},
        **{key: one for key in ("flip_x", "flip_y", "zoom", "crop_width", "crop_height")},
        "dihedral": zero,
        "angle": zero,
        **given,
    }
    always = torch.zeros(n, dtype=torch.float64)
    sides = list(zip(at["crop_width"], at["crop_height"], strict=True))
    places = [
        [x / (1 - side) if side < 1 else 0.0 for x, side in zip(xs, lengths, strict=True)]
        for xs, lengths in zip((at["crop_x"], at["crop_y"]), zip(*sides, strict=True), strict=True)
    ]
    rows = {
        "warp": [
            column(at["warp_x"], -0.3, 0.3),
            always,
            column(at["warp_y"], -0.3, 0.3),
            always,
        ],
        "shift": [column(at["shift_x"], -1, 1), column(at["shift_y"], -1, 1), always],
        "hflip": [column(at["flip_x"], -1, 1.1)],
        "vflip": [column(at["flip_y"], -1, 1.1)],
        "dihedral": [column([index + 0.5 for index in at["dihedral"]], 0, 8)],
        "rotate": [column(at["angle"], -math.pi, math.pi), always],
        "zoom": [octaves(at["zoom"]), always],
        "crop": [
            column([w * h for w, h in sides], 0.01, 1),
            octaves([w / h for w, h in sides]),
            *(column(place, -1, 1) for place in places),
        ],
    }
    draws = {name: torch.stack(each).float() for name, each in rows.items()}
    made = homographies(WIDEST.kinds, draws, size)
    assert made is not None
    return made


def ours(
    size: tuple[int, int],
    padding: str,
    to: tuple[int, int] | None = None,
    **changes: Sequence[float],
) -> torch.Tensor:
    return resample(pictures(size), maps(to or size, **changes), to or size, padding)


def theirs(
    transforms: list[Any], size: tuple[int, int], padding: str, to: tuple[int, int] | None = None
) -> torch.Tensor:
    """fastai's composition of its transforms, with pixels as areas and not as points."""
    for transform in transforms:
        transform.pad_mode, transform.align_corners, transform.size = padding, False, to
    composed = setup_aug_tfms(transforms)
    assert len(composed) == 1
    return composed[0](TensorImage(pictures(size)), split_idx=0).as_subclass(torch.Tensor)


CASES = {
    "flip": (lambda: [Flip(p=1, draw=[0, 1, 1, 0])], {"flip_x": [1.0, -1.0, -1.0, 1.0]}, WIDE),
    "rotate": (
        lambda: [Rotate(p=1, draw=ANGLES)],
        {"angle": [math.radians(a) for a in ANGLES]},
        WIDE,
    ),
    "zoom": (lambda: [Zoom(p=1, draw=ZOOMS, draw_x=0.5, draw_y=0.5)], {"zoom": ZOOMS}, WIDE),
    "zoom off the centre": (
        lambda: [Zoom(p=1, draw=ZOOMS, draw_x=0.2, draw_y=0.9)],
        {
            "zoom": ZOOMS,
            "shift_x": [(1 - 1 / z) * (2 * 0.2 - 1) for z in ZOOMS],
            "shift_y": [(1 - 1 / z) * (2 * 0.9 - 1) for z in ZOOMS],
        },
        WIDE,
    ),
    "warp": (
        lambda: [Warp(p=1, draw_x=WARPS_X, draw_y=WARPS_Y)],
        {"warp_x": WARPS_X, "warp_y": WARPS_Y},
        WIDE,
    ),
    "dihedral, first half": (
        lambda: [Dihedral(p=1, draw=[0, 1, 2, 3])],
        {"dihedral": [0, 1, 2, 3]},
        SQUARE,
    ),
    "dihedral, second half": (
        lambda: [Dihedral(p=1, draw=[4, 5, 6, 7])],
        {"dihedral": [4, 5, 6, 7]},
        SQUARE,
    ),
    "flip, warp, rotate, zoom": (
        lambda: [
            Flip(p=1, draw=[0, 1, 1, 0]),
            Warp(p=1, draw_x=WARPS_X, draw_y=WARPS_Y),
            Rotate(p=1, draw=ANGLES),
            Zoom(p=1, draw=[*ZOOMS[1:], 1.1], draw_x=0.5, draw_y=0.5),
        ],
        {
            "flip_x": [1.0, -1.0, -1.0, 1.0],
            "warp_x": WARPS_X,
            "warp_y": WARPS_Y,
            "angle": [math.radians(a) for a in ANGLES],
            "zoom": [*ZOOMS[1:], 1.1],
        },
        WIDE,
    ),
    "dihedral, warp, rotate, zoom": (
        lambda: [
            Dihedral(p=1, draw=[3, 5, 6, 7]),
            Warp(p=1, draw_x=WARPS_X, draw_y=WARPS_Y),
            Rotate(p=1, draw=ANGLES),
            Zoom(p=1, draw=[*ZOOMS[1:], 1.1], draw_x=0.5, draw_y=0.5),
        ],
        {
            "dihedral": [3, 5, 6, 7],
            "warp_x": WARPS_X,
            "warp_y": WARPS_Y,
            "angle": [math.radians(a) for a in ANGLES],
            "zoom": [*ZOOMS[1:], 1.1],
        },
        SQUARE,
    ),
}


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", CASES)
def test_it_is_fastais_geometry_for_the_same_parameters(name: str, padding: str) -> None:
    transforms, changes, size = CASES[name]
    made, expected = ours(size, padding, **changes), theirs(transforms(), size, padding)
    assert (expected - pictures(size)).abs().max() > 0.1
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)


def test_it_is_fastais_geometry_at_another_size_too() -> None:
    transforms, changes, size = CASES["flip, warp, rotate, zoom"]
    made = ours(size, "reflection", (30, 42), **changes)
    expected = theirs(transforms(), size, "reflection", (30, 42))
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)


def test_fastai_composes_in_the_order_that_the_cases_give() -> None:
    composed = aug_transforms(p_affine=1, min_zoom=0.9)[0]
    assert [f.func.__name__ for f in composed.aff_fs] == ["flip_mat", "rotate_mat", "zoom_mat"]
    assert [type(f).__name__ for f in composed.coord_fs] == ["_WarpCoord"]


def test_the_crop_comes_last() -> None:
    region = {
        "crop_width": [0.5] * N,
        "crop_height": [0.7] * N,
        "crop_x": [0.2] * N,
        "crop_y": [-0.1] * N,
    }
    others = {"angle": [0.3] * N, "zoom": [1.2] * N, "warp_x": WARPS_X, "flip_x": [-1.0] * N}
    whole, crop = (maps(WIDE, **each) for each in (others, region))
    torch.testing.assert_close(maps(WIDE, **region, **others), whole @ crop)


def test_a_crop_is_the_region_cut_out_and_resized() -> None:
    x = pictures(SQUARE)
    left, width, top, height = 6, 30, 12, 24
    region = {
        "crop_width": [width / 48] * N,
        "crop_height": [height / 48] * N,
        "crop_x": [(2 * left + width) / 48 - 1] * N,
        "crop_y": [(2 * top + height) / 48 - 1] * N,
    }
    made = ours(SQUARE, "reflection", (36, 40), **region)
    cut = x[:, :, top : top + height, left : left + width]
    expected = F.interpolate(cut, (36, 40), mode="bilinear", align_corners=False)
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))  # it sees beyond the region
    torch.testing.assert_close(made[inner], expected[inner], atol=1e-5, rtol=0)


def test_a_warp_takes_its_corners_to_those_of_the_square() -> None:
    x, y = torch.tensor(WARPS_X), torch.tensor(WARPS_Y)
    for right, down in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        corner = torch.stack([right * (1 - down * y), down * (1 - right * x), torch.ones(N)], dim=1)
        at = (perspectives(x, y) @ corner[:, :, None])[:, :, 0]
        expected = torch.tensor([[right, down]]).expand(N, 2).float()
        torch.testing.assert_close(at[:, :2] / at[:, 2:], expected)


def test_beyond_the_horizon_of_a_warp_there_still_are_pixels() -> None:
    changes = {"warp_x": [0.3] * N, "warp_y": [0.3] * N, "angle": [0.8] * N, "zoom": [0.3] * N}
    made = ours(WIDE, "reflection", **changes)
    assert made.isfinite().all()
    assert made.min() >= pictures(WIDE).min()


def test_a_rotation_turns_pixels_not_normalised_coordinates() -> None:
    turns = maps((10, 40), 5, angle=[-3.0, -1.0, 0.3, 1.0, 2.0])
    scale = torch.tensor([4.0, 1.0])  # width over height, in pixels
    linear = turns[:, :2, :2] * scale[:, None] / scale[None, :]
    torch.testing.assert_close(linear @ linear.mT, torch.eye(2).expand(5, 2, 2))


def test_shrinking_averages_instead_of_dropping_pixels() -> None:
    stripes = torch.zeros(1, 1, 32, 32)
    stripes[..., ::2] = 1
    assert (resample(stripes, None, (4, 4)) - 0.5).abs().max() < 0.1
    assert resample(stripes, None, (32, 32)) is stripes
    out = maps((24, 24), 1, zoom=[0.2])  # shrinks more than the sizes tell
    assert (resample(stripes, out, (24, 24)) - 0.5).abs().max() < 0.3


def test_what_is_enlarged_stays_as_sharp_as_the_cache_has_it() -> None:
    noise = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    quarter = maps((32, 32), 1, crop_width=[0.25], crop_height=[0.25])
    cut = F.interpolate(noise[..., 24:40, 24:40], (32, 32), mode="bilinear", align_corners=False)
    made = resample(noise, quarter, (32, 32))
    torch.testing.assert_close(made[..., 2:-2, 2:-2], cut[..., 2:-2, 2:-2], atol=1e-5, rtol=0)


def test_each_image_is_averaged_by_its_own_map_whatever_is_in_the_batch() -> None:
    x = pictures((96, 120), 5)
    moved = maps((40, 50), 5, zoom=[0.5, 1.0, 1.2, 2.5, 1.0], angle=[0.5] * 4 + [0.0])
    kept = prefilters(moved, (96, 120), (40, 50)).tolist()
    assert kept == [[30, 38], [60, 75], [72, 90], [96, 120], [60, 75]]
    together = resample(x, moved, (40, 50))
    alone = torch.cat([resample(x[i : i + 1], moved[i : i + 1], (40, 50)) for i in range(5)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together[4:], resample(x[4:], None, (40, 50)))


@pytest.mark.parametrize("to", [(32, 40), (20, 24), (9, 11), (48, 60)])
def test_bytes_are_resampled_as_floats_are_but_for_rounding(to: tuple[int, int]) -> None:
    x = torch.randint(0, 256, (3, 3, 32, 40), dtype=torch.uint8)
    x = x.contiguous(memory_format=torch.channels_last)
    found, expected = resampled_bytes(x, to), resample(x.float(), None, to)
    assert found.dtype == torch.uint8
    assert found.shape == expected.shape
    assert (found.float() - expected).abs().max() < 2.1
    assert (found.float() - expected).abs().mean() < 0.6
    assert (found.float() - expected).mean().abs() < 0.3  # of 255: halves are rounded up
