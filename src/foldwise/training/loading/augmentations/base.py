"""The three sorts of augmentation: parts of the geometry, parts of the colour map, pixels."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldwise.kinds.augmentation import Augmentation

if TYPE_CHECKING:
    from torch import Tensor


class GeometricAugmentation(Augmentation, ABC):
    """An augmentation that moves pixels: a homography per image."""

    @abstractmethod
    def maps(self, u: "Tensor", size: tuple[int, int]) -> "Tensor":
        """Maps (n, 3, 3), on the CPU, from output to input coordinates, x and y from -1 to 1.

        u: the images' uniform numbers in 0..1, (draws, n). size: the output's (height, width).
        """


@dataclass(frozen=True)
class ColourMap:
    """What becomes of a pixel x: factor * (blend * x + (1 - blend) * grey(x)) + offset.

    Fields (n,), on the CPU. blend: None where no colour is blended with its grey.
    """

    factor: "Tensor"
    offset: "Tensor"
    blend: "Tensor | None" = None

    def then(self, other: "ColourMap") -> "ColourMap":
        """This map, and another one on what it gives: one map, for grey(grey(x)) is grey(x)."""
        blend = other.blend if self.blend is None else self.blend
        if self.blend is not None and other.blend is not None:
            blend = self.blend * other.blend
        offset = other.factor * self.offset + other.offset
        return ColourMap(factor=other.factor * self.factor, offset=offset, blend=blend)


class Colouring(Augmentation, ABC):
    """An augmentation that changes colours, the same way everywhere in an image."""

    @abstractmethod
    def colours(self, u: "Tensor") -> ColourMap:
        """The map of each image's colours, whose values are 0..1; what leaves that range is cut.

        u: the images' uniform numbers in 0..1, (draws, n).
        """


class Painting(Augmentation, ABC):
    """An augmentation that writes pixels."""

    @abstractmethod
    def paint(self, images: "Tensor", u: "Tensor", mean: Sequence[float]) -> None:
        """Change the images in place: float (n, channels, height, width), values in 0..1.

        u: the images' uniform numbers in 0..1, (draws, n), on the CPU. mean: the colour that
        normalisation makes zero, a number per channel.
        """
