"""The random numbers of a batch: a table of uniform draws, some columns per kind."""

import math

import torch

COLUMNS = {  # in the table, whatever the recipe uses of it
    "hflip": slice(0, 1),
    "vflip": slice(1, 2),
    "dihedral": slice(2, 3),
    "warp": slice(3, 7),
    "rotate": slice(7, 9),
    "zoom": slice(9, 11),
    "shift": slice(11, 14),
    "crop": slice(14, 18),
    "brightness": slice(18, 20),
    "contrast": slice(20, 22),
    "saturation": slice(22, 24),
    "erase": slice(24, 29),
}


def draw(n: int, generator: torch.Generator) -> torch.Tensor:
    """The draws of a batch of n images, (29, n), on the CPU."""
    return torch.rand(n, 29, generator=generator).T


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
