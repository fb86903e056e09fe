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

from foldwise.config.recipe import Augment
from foldwise.training.loading.draws import draw
from foldwise.training.loading.geometry import (
    Geometry,
    drawn,
    homographies,
    moves,
    perspectives,
    prefilters,
    resampled,
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


def uniform(n: int = N, seed: int = 0) -> Any:
    return draw(n, torch.Generator().manual_seed(seed))


def still(n: int = N, **changes: Sequence[float]) -> Geometry:
    """The geometry that changes nothing, but for some parameters."""
    geometry = drawn(Augment(), uniform(n))
    return geometry._replace(**{key: torch.tensor(value) for key, value in changes.items()})


def ours(
    geometry: Geometry, size: tuple[int, int], padding: str, to: tuple[int, int] | None = None
) -> torch.Tensor:
    return resampled(pictures(size), homographies(geometry, to or size), to or size, padding)


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
    made, expected = ours(still(**changes), size, padding), theirs(transforms(), size, padding)
    assert (expected - pictures(size)).abs().max() > 0.1
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=0)


def test_it_is_fastais_geometry_at_another_size_too() -> None:
    transforms, changes, size = CASES["flip, warp, rotate, zoom"]
    made = ours(still(**changes), size, "reflection", (30, 42))
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
    whole, crop = (homographies(still(**each), WIDE) for each in (others, region))
    torch.testing.assert_close(homographies(still(**region, **others), WIDE), whole @ crop)


def test_a_crop_is_the_region_cut_out_and_resized() -> None:
    x = pictures(SQUARE)
    left, width, top, height = 6, 30, 12, 24
    region = {
        "crop_width": [width / 48] * N,
        "crop_height": [height / 48] * N,
        "crop_x": [(2 * left + width) / 48 - 1] * N,
        "crop_y": [(2 * top + height) / 48 - 1] * N,
    }
    made = ours(still(**region), SQUARE, "reflection", (36, 40))
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
    geometry = still(warp_x=[0.3] * N, warp_y=[0.3] * N, angle=[0.8] * N, zoom=[0.3] * N)
    made = ours(geometry, WIDE, "reflection")
    assert made.isfinite().all()
    assert made.min() >= pictures(WIDE).min()


def test_a_rotation_turns_pixels_not_normalised_coordinates() -> None:
    maps = homographies(drawn(Augment(rotate=180), uniform(50)), (10, 40))
    scale = torch.tensor([4.0, 1.0])  # width over height, in pixels
    linear = maps[:, :2, :2] * scale[:, None] / scale[None, :]
    torch.testing.assert_close(linear @ linear.mT, torch.eye(2).expand(50, 2, 2))


def test_draws_fill_their_ranges() -> None:
    augment = Augment(rotate=30, zoom=(0.5, 2), shift=0.1, warp=0.2, dihedral=True)
    made = drawn(augment, uniform(4000))
    for values, low, high in (
        (made.angle, -math.radians(30), math.radians(30)),
        (made.zoom, 0.5, 2.0),
        (made.shift_x, -0.2, 0.2),
        (made.shift_y, -0.2, 0.2),  # 0.1 of a side that is 2 long
        (made.warp_x, -0.2, 0.2),
        (made.warp_y, -0.2, 0.2),
    ):
        assert low - 1e-6 <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high + 1e-6
    assert (made.zoom < 1).float().mean() == pytest.approx(0.5, abs=0.05)  # by octaves
    assert made.dihedral.bincount(minlength=8).min() > 400


def test_a_random_crop_keeps_its_share_of_the_area_and_lies_inside() -> None:
    made = drawn(Augment(crop=(0.2, 1)), uniform(4000))
    area, ratio = made.crop_width * made.crop_height, made.crop_width / made.crop_height
    assert 0.2 - 1e-6 < area.min() < 0.21
    assert area.mean() == pytest.approx(0.6, abs=0.02)
    assert area.max() > 0.99
    assert 0.75 - 1e-4 < ratio.min() < 0.76
    assert 1.32 < ratio.max() < 1.3334
    for middle, side in (
        (made.crop_x, made.crop_width),
        (made.crop_y, made.crop_height),
    ):
        assert (middle.abs() + side).max() <= 1 + 1e-6
        assert middle.min() < -0.5
        assert middle.max() > 0.5
    whole = drawn(Augment(crop=(1, 1)), uniform(50))
    torch.testing.assert_close(whole.crop_width, torch.ones(50))
    torch.testing.assert_close(whole.crop_height, torch.ones(50))


def test_each_affine_change_has_its_own_chance() -> None:
    augment = Augment(hflip=True, rotate=30, zoom=(1.1, 2), shift=0.1, warp=0.2, p_affine=0.75)
    made = drawn(augment, uniform(4000))
    changed = torch.stack(
        [made.angle != 0, made.zoom != 1, made.shift_x != 0, made.warp_x != 0, made.warp_y != 0]
    ).float()
    assert changed.mean(dim=1).tolist() == pytest.approx([0.75] * 5, abs=0.04)
    assert torch.corrcoef(changed).triu(1).abs().max() < 0.06
    assert ((made.shift_x != 0) == (made.shift_y != 0)).all()
    assert (made.flip_x < 0).float().mean() == pytest.approx(0.5, abs=0.04)


def test_one_setting_leaves_the_numbers_of_the_others_alone() -> None:
    everything = Augment(
        hflip=True,
        vflip=True,
        dihedral=True,
        rotate=20,
        zoom=(0.9, 1.2),
        shift=0.1,
        warp=0.1,
        crop=(0.3, 1),
    )
    alone = drawn(Augment(rotate=20), uniform())
    assert torch.equal(alone.angle, drawn(everything, uniform()).angle)
    alone = drawn(Augment(crop=(0.3, 1)), uniform())
    assert torch.equal(alone.crop_x, drawn(everything, uniform()).crop_x)


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
def test_every_geometric_setting_asks_for_a_map(setting: dict[str, Any]) -> None:
    assert moves(Augment(**setting))
    eye = torch.eye(3).expand(20, 3, 3)
    assert not torch.equal(homographies(drawn(Augment(**setting), uniform(20)), SQUARE), eye)
    assert not moves(Augment(brightness=0.1, saturation=0.1, erase=0.1, padding="zeros"))
    assert torch.equal(homographies(drawn(Augment(), uniform(20)), SQUARE), eye)


def test_shrinking_averages_instead_of_dropping_pixels() -> None:
    stripes = torch.zeros(1, 1, 32, 32)
    stripes[..., ::2] = 1
    assert (resampled(stripes, None, (4, 4)) - 0.5).abs().max() < 0.1
    assert resampled(stripes, None, (32, 32)) is stripes
    out = homographies(still(1, zoom=[0.2]), (24, 24))  # shrinks more than the sizes tell
    assert (resampled(stripes, out, (24, 24)) - 0.5).abs().max() < 0.3


def test_what_is_enlarged_stays_as_sharp_as_the_cache_has_it() -> None:
    noise = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    quarter = homographies(still(1, crop_width=[0.25], crop_height=[0.25]), (32, 32))
    cut = F.interpolate(noise[..., 24:40, 24:40], (32, 32), mode="bilinear", align_corners=False)
    made = resampled(noise, quarter, (32, 32))
    torch.testing.assert_close(made[..., 2:-2, 2:-2], cut[..., 2:-2, 2:-2], atol=1e-5, rtol=0)


def test_each_image_is_averaged_by_its_own_map_whatever_is_in_the_batch() -> None:
    x = pictures((96, 120), 5)
    maps = homographies(still(5, zoom=[0.5, 1.0, 1.2, 2.5, 1.0], angle=[0.5] * 4 + [0.0]), (40, 50))
    kept = prefilters(maps, (96, 120), (40, 50)).tolist()
    assert kept == [[30, 38], [60, 75], [72, 90], [96, 120], [60, 75]]
    together = resampled(x, maps, (40, 50))
    alone = torch.cat([resampled(x[i : i + 1], maps[i : i + 1], (40, 50)) for i in range(5)])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together[4:], resampled(x[4:], None, (40, 50)))


@pytest.mark.parametrize("to", [(32, 40), (20, 24), (9, 11), (48, 60)])
def test_bytes_are_resampled_as_floats_are_but_for_rounding(to: tuple[int, int]) -> None:
    x = torch.randint(0, 256, (3, 3, 32, 40), dtype=torch.uint8)
    x = x.contiguous(memory_format=torch.channels_last)
    found, expected = resampled_bytes(x, to), resampled(x.float(), None, to)
    assert found.dtype == torch.uint8
    assert found.shape == expected.shape
    assert (found.float() - expected).abs().max() < 2.1
    assert (found.float() - expected).abs().mean() < 0.6
    assert (found.float() - expected).mean().abs() < 0.3  # of 255: halves are rounded up
