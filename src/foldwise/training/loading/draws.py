"""The random numbers of a batch: one table of uniform draws, one column per use."""

import math
from typing import NamedTuple

import torch


class Draws(NamedTuple):
    """Uniform numbers in 0..1, one (n,) column for every use, a number per image.

    The table is drawn whole, whatever the recipe uses of it, and on the CPU: changing one setting
    leaves the other settings' numbers as they were, and they are the same on every device.
    `*_chance` decides whether an image gets the change at all.
    """

    hflip: torch.Tensor
    vflip: torch.Tensor
    dihedral: torch.Tensor
    warp_x: torch.Tensor
    warp_x_chance: torch.Tensor
    warp_y: torch.Tensor
    warp_y_chance: torch.Tensor
    rotate: torch.Tensor
    rotate_chance: torch.Tensor
    zoom: torch.Tensor
    zoom_chance: torch.Tensor
    shift_x: torch.Tensor
    shift_y: torch.Tensor
    shift_chance: torch.Tensor
    crop_area: torch.Tensor
    crop_ratio: torch.Tensor
    crop_x: torch.Tensor
    crop_y: torch.Tensor
    brightness: torch.Tensor
    brightness_chance: torch.Tensor
    contrast: torch.Tensor
    contrast_chance: torch.Tensor
    saturation: torch.Tensor
    saturation_chance: torch.Tensor
    erase_chance: torch.Tensor
    erase_area: torch.Tensor
    erase_ratio: torch.Tensor
    erase_x: torch.Tensor
    erase_y: torch.Tensor


def draw(n: int, generator: torch.Generator) -> Draws:
    """The draws of a batch of n images."""
    return Draws(*torch.rand(n, len(Draws._fields), generator=generator).unbind(1))


def signed(u: torch.Tensor, chance: torch.Tensor, p: float) -> torch.Tensor:
    """Numbers from -1 to 1, and 0 for images whose chance is not below p."""
    return torch.where(chance < p, 2 * u - 1, 0.0)


def log_uniform(u: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Numbers from low to high, as likely to be twice as large as half as large."""
    return low * torch.exp(u * math.log(high / low))


def sides(area: torch.Tensor, ratio: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Width and height, as shares of an image's own, of rectangles of an area share.

    ratio: width over height in those shares. It gives way where a side would be longer than the
    image, so that the area stays what was drawn.
    """
    ratio = torch.minimum(torch.maximum(ratio, area), 1 / area)
    return (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
