"""How images are brought to a size."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image, ImageOps

from foldwise.arrays import Array
from foldwise.config.recipe import SizedRecipe

BILINEAR = "bilinear"


@dataclass(frozen=True)
class Resizing:
    """How an image is brought to a size: what becomes of its shape, and Pillow's filter.

    shape: `squash` (it is lost), `crop` (the centre is kept) or `pad` (borders are added).
    interpolation: the filter by its name: bilinear, bicubic, lanczos, box or nearest.
    """

    shape: str
    interpolation: str = BILINEAR

    @classmethod
    def of(cls, recipe: SizedRecipe) -> Self:
        """As a recipe says."""
        return cls(shape=recipe.resize, interpolation=recipe.interpolation)

    def fit(self, image: Image.Image, size: tuple[int, int]) -> Array:
        """The image as uint8 (height, width, channels). size: height and width in pixels."""
        height, width = size
        kernel = Image.Resampling[self.interpolation.upper()]
        if image.size != (width, height):
            if self.shape == "crop":
                image = ImageOps.fit(image, (width, height), kernel)
            elif self.shape == "pad":
                image = ImageOps.pad(image, (width, height), kernel)
            else:
                image = image.resize((width, height), kernel)
        pixels = np.asarray(image)
        return pixels[:, :, None] if pixels.ndim == 2 else pixels
