"""Augmentation of a whole batch on its device: one resampling, one multiply-add."""

import math

import torch
import torch.nn.functional as F
from fastai.data.transforms import DisplayedTransform
from fastai.vision.core import TensorImage

from foldwise.spec.recipe import Augment

PREFILTER = 1.5  # images that shrink more than this are first averaged down to it


class Augmentation(DisplayedTransform):
    """Random geometry and lighting for training batches, drawn anew for every image.

    Flips, rotation, zoom and shift are one affine map per image and thus one resampling, from the
    cache's size to `size` (height, width). Numbers are drawn on the CPU from one stream, so they
    are the same on every device.
    """

    split_idx, order = 0, 30  # training only; after the conversion to floats in 0..1

    def __init__(self, augment: Augment, size: tuple[int, int], seed: int = 0) -> None:
        super().__init__()
        self.augment, self.size = augment, size
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Begin the stream anew; training does so at each epoch's start."""
        self.generator = torch.Generator().manual_seed(seed)

    def encodes(self, x: TensorImage) -> TensorImage:
        """The changed batch, float (n, channels, *size), values in 0..1."""
        theta = affine_maps(self.augment, len(x), self.size, self.generator)
        images = resampled(x.as_subclass(torch.Tensor), theta, self.size, self.augment.padding)
        return TensorImage(lit(images, self.augment, self.generator))


class Resampling(DisplayedTransform):
    """Brings validation and test batches to the stage's size the way training does."""

    split_idx, order = 1, 30

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def encodes(self, x: TensorImage) -> TensorImage:
        """The batch at the stage's size, otherwise unchanged."""
        return TensorImage(resampled(x.as_subclass(torch.Tensor), None, self.size))


def resampled(
    images: torch.Tensor,
    theta: torch.Tensor | None,
    size: tuple[int, int],
    padding: str = "reflection",
) -> torch.Tensor:
    """The batch (n, c, h, w) through its affine maps (n, 2, 3) at size (height, width).

    One bilinear sampling, after an area average where it shrinks more than PREFILTER, since
    sampling alone would alias. Untouched where there is no map and the size fits already.
    """
    limit = [
        min(side, math.ceil(PREFILTER * to))
        for side, to in zip(images.shape[2:], size, strict=True)
    ]
    if limit != list(images.shape[2:]):
        images = F.interpolate(images, limit, mode="bilinear", antialias=True, align_corners=False)
    if theta is None:
        if tuple(images.shape[2:]) == tuple(size):
            return images
        theta = torch.eye(2, 3).expand(len(images), 2, 3)
    grid = F.affine_grid(theta.to(images.device, images.dtype), [len(images), 1, *size], False)
    return F.grid_sample(images, grid, "bilinear", padding, align_corners=False)


def affine_maps(
    augment: Augment, n: int, size: tuple[int, int], generator: torch.Generator
) -> torch.Tensor | None:
    """Maps from output to input coordinates, (n, 2, 3) as `affine_grid` takes them.

    None where the recipe changes no geometry.
    """
    if augment == Augment(brightness=augment.brightness, contrast=augment.contrast):
        return None
    # one row of draws per image, whether used or not: the stream does not depend on the settings
    u = torch.rand(n, 6, generator=generator)
    angle = (2 * u[:, 0] - 1) * math.radians(augment.rotate)
    low, high = augment.zoom
    scale = 1 / torch.exp(torch.log(torch.tensor(low)) + u[:, 1] * math.log(high / low))
    shift = (2 * u[:, 2:4] - 1) * 2 * augment.shift  # coordinates run from -1 to 1
    flip_x = torch.where((u[:, 4] < 0.5) & augment.hflip, -1.0, 1.0)
    flip_y = torch.where((u[:, 5] < 0.5) & augment.vflip, -1.0, 1.0)
    aspect = size[1] / size[0]  # a rotation must turn pixels, not normalised coordinates
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    top = torch.stack([cos * flip_x, -sin * flip_y / aspect, shift[:, 0]], dim=1)
    bottom = torch.stack([sin * flip_x * aspect, cos * flip_y, shift[:, 1]], dim=1)
    return torch.stack([top, bottom], dim=1)


def lit(images: torch.Tensor, augment: Augment, generator: torch.Generator) -> torch.Tensor:
    """Brightness and contrast as one multiply-add per image, clipped to 0..1."""
    if not augment.brightness and not augment.contrast:
        return images
    u = 2 * torch.rand(len(images), 2, generator=generator) - 1
    factor = 1 + u[:, 0] * augment.contrast
    offset = 0.5 * (1 - factor) + u[:, 1] * augment.brightness
    shape = (-1, 1, 1, 1)
    factor, offset = (t.to(images.device, images.dtype).view(shape) for t in (factor, offset))
    return (images * factor + offset).clamp_(0, 1)
