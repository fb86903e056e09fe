"""Augmentations that move pixels: fastai's geometry, and random resized crops."""

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from foldwise.kinds.bounds import Share
from foldwise.training.loading.augmentations.base import GeometricAugmentation

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple[float, float]


def _within(least: float, most: float) -> AfterValidator:
    """A check of ranges [low, high]."""

    def check(value: Pair) -> Pair:
        if not least <= value[0] <= value[1] <= most:
            wanted = f"[low, high] with {least} <= low <= high <= {most}"
            raise ValueError(f"must be {wanted}, got {list(value)}")
        return value

    return AfterValidator(check)


class Warp(GeometricAugmentation):
    """A change of perspective: an edge of the image gets longer, the opposite one shorter."""

    main: ClassVar[str] = "magnitude"
    draws: ClassVar[int] = 4

    name: Literal["warp"] = "warp"
    # fastai's magnitude; drawn from ±`magnitude`, across and along. Example: 0.2
    magnitude: float = Field(ge=0, le=0.3)
    p: Share = 1.0  # The chance of each of the two directions. Example: 0.5

    def maps(self, u: "Tensor", size: tuple[int, int]) -> "Tensor":
        """See `GeometricAugmentation`."""
        from foldwise.training.loading.draws import signed_draws
        from foldwise.training.loading.geometry import perspectives

        x, y = (signed_draws(u[i], u[i + 1], self.p) * self.magnitude for i in (0, 2))
        return perspectives(x, y)


class Shift(GeometricAugmentation):
    """A shift to the side, up or down."""

    main: ClassVar[str] = "share"
    draws: ClassVar[int] = 3

    name: Literal["shift"] = "shift"
    # The share of the sides; drawn from ±`share` for each. Example: 0.1
    share: float = Field(ge=0, le=0.5)
    p: Share = 1.0  # The chance that an image is changed. Example: 0.75

    def maps(self, u: "Tensor", size: tuple[int, int]) -> "Tensor":
        """See `GeometricAugmentation`."""
        from foldwise.training.loading.draws import signed_draws
        from foldwise.training.loading.geometry import regions

        side = 2 * self.share  # coordinates of a side are 2 long
        x, y, chance = u
        return regions(
            x=signed_draws(x, chance, self.p) * side, y=signed_draws(y, chance, self.p) * side
        )


class HorizontalFlip(GeometricAugmentation):
    """A horizontal flip: left and right change places."""

    main: ClassVar[str] = "p"

    name: Literal["hflip"] = "hflip"
    p: Share = 0.5  # The chance that an image is changed. Example: 0.75

    def maps(self, u: "Tensor", size: tuple[int, int]) -> "Tensor":
        """See `GeometricAugmentation`."""
        from foldwise.training.loading.geometry import regions

        return regions(width=1.0 - 2.0 * (u[0] < self.p))


class VerticalFlip(GeometricAugmentation):
    """A vertical flip: top and bottom change places."""

    main: ClassVar[str] = "p"

    name: Literal["vflip"] = "vflip"
    p: Share = 0.5  # The chance that an image is changed. Example: 0.75

    def maps(self, u: "Tensor", size: tuple[int, int]) -> "Tensor":
        """See `GeometricAugmentation`."""
        from foldwise.training.loading.geometry import regions

        return regions(height=1.0 - 2.0 * (u[0] < self.p))


class Dihedral(GeometricAugmentation):
    """One of the eight symmetries of the square: turns by 90 degrees, with and without a flip."""

    name: Literal["dihedral"] = "dihedral"

    def maps(self, u: "Tensor", size: tuple[int, int]) -> "Tensor":
        """See `GeometricAugmentation`."""
        from foldwise.training.loading.geometry import symmetries

        return symmetries((u[0] * 8).long())

    def check_size(self, size: tuple[int, int]) -> None:
        """Refuse what is no square. Raises: ValueError: the sides differ."""
        if size[0] != size[1]:
            raise ValueError(
                f"augment.dihedral needs a square image_size, got {[*size]}; use augment.hflip and "
                "augment.vflip, or another image_size"
            )


class Rotate(GeometricAugmentation):
    """A rotation about the centre."""

    main: ClassVar[str] = "degrees"
    draws: ClassVar[int] = 2

    name: Literal["rotate"] = "rotate"
    degrees: float = Field(ge=0, le=180)  # Degrees; drawn from ±`degrees`. Example: 10
    p: Share = 1.0  # The chance that an image is changed. Example: 0.75

    def maps(self, u: "Tensor", size: tuple[int, int]) -> "Tensor":
        """See `GeometricAugmentation`."""
        from foldwise.training.loading.draws import signed_draws
        from foldwise.training.loading.geometry import rotations

        return rotations(signed_draws(u[0], u[1], self.p) * math.radians(self.degrees), size)


class Zoom(GeometricAugmentation):
    """A change of scale about the centre."""

    main: ClassVar[str] = "factor"
    neutral: ClassVar[object] = (1.0, 1.0)
    draws: ClassVar[int] = 2

    name: Literal["zoom"] = "zoom"
    # [low, high], between 0.1 and 10, by octaves; above 1 less of the image is seen. Example: [1.0,
    # 1.2]
    factor: Annotated[Pair, _within(0.1, 10)]
    p: Share = 1.0  # The chance that an image is changed. Example: 0.75

    def maps(self, u: "Tensor", size: tuple[int, int]) -> "Tensor":
        """See `GeometricAugmentation`."""
        import torch

        from foldwise.training.loading.draws import log_uniform
        from foldwise.training.loading.geometry import regions

        scale = 1 / torch.where(u[1] < self.p, log_uniform(u[0], *self.factor), 1.0)
        return regions(scale, scale)


class Crop(GeometricAugmentation):
    """A random resized crop: a part of the image, resized to the size of the whole."""

    main: ClassVar[str] = "share"
    neutral: ClassVar[object] = None  # the whole image, too, is a crop of it
    draws: ClassVar[int] = 4

    name: Literal["crop"] = "crop"
    # [low, high] of the area that is kept, between 0.01 and 1. Example: [0.3, 1.0]
    share: Annotated[Pair, _within(0.01, 1)]
    # [low, high] of width to height, as shares of the image's own, between 0.1 and 10, by octaves.
    # Example: [0.9, 1.1]
    ratio: Annotated[Pair, _within(0.1, 10)] = (0.75, 1.3333)

    def maps(self, u: "Tensor", size: tuple[int, int]) -> "Tensor":
        """See `GeometricAugmentation`."""
        from foldwise.training.loading.draws import log_uniform, sides
        from foldwise.training.loading.geometry import regions

        area = self.share[0] + u[0] * (self.share[1] - self.share[0])
        width, height = sides(area, log_uniform(u[1], *self.ratio))
        return regions(width, height, (2 * u[2] - 1) * (1 - width), (2 * u[3] - 1) * (1 - height))
