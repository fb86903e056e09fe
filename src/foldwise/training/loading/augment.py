"""Augmentation of a whole batch on its device: one resampling, one multiply-add."""

from collections.abc import Sequence

import torch
from fastai.data.transforms import DisplayedTransform, Normalize
from fastai.vision.core import TensorImage

from foldwise.config.recipe import Augment
from foldwise.training.loading.draws import Draws, draw, log_uniform, sides, signed
from foldwise.training.loading.geometry import (
    drawn,
    homographies,
    moves,
    resampled,
    resampled_bytes,
)
from foldwise.training.speed.precision import sent

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 weights of red, green and blue, as fastai and PIL
# Zhong et al. 2017 (arXiv:1708.04896, section 5.1) and timm's RandomErasing, read 2026-11-22
ERASED_AREA, ERASED_RATIO = (0.02, 0.33), (0.3, 3.3)


class Augmentation(DisplayedTransform):
    """Random geometry, lighting and erasing for training batches, drawn anew for every image.

    All geometry is one map per image and thus one resampling, from the cache's size to `size`
    (height, width). mean: the colour that Normalize makes zero, one number per channel.
    """

    split_idx, order = 0, 30  # training only; after the conversion to floats in 0..1

    def __init__(
        self, augment: Augment, size: tuple[int, int], mean: Sequence[float], seed: int = 0
    ) -> None:
        super().__init__()
        self.augment, self.size, self.mean = augment, size, tuple(mean)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Begin the stream anew; training does so at each epoch's start."""
        self.generator = torch.Generator().manual_seed(seed)

    def encodes(self, x: TensorImage) -> TensorImage:
        """The changed batch, float (n, channels, *size), values in 0..1."""
        images, u = x.as_subclass(torch.Tensor), draw(len(x), self.generator)
        maps = homographies(drawn(self.augment, u), self.size) if moves(self.augment) else None
        made = resampled(images, maps, self.size, self.augment.padding)
        if made is images:
            made = images.clone()  # the rest writes in place, which saves a batch of memory
        light(made, self.augment, u)
        erase(made, self.augment.erase, self.mean, u)
        return TensorImage(made)


class Resampling(DisplayedTransform):
    """Brings validation and test batches to the stage's size the way training does.

    On a CPU in whole levels, before the conversion to floats: there torch is several times as fast
    with bytes, and rounding moves a pixel by a third of a level of 255 in the mean.
    """

    split_idx, order = 1, 5

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def encodes(self, x: TensorImage) -> TensorImage:
        """The batch uint8 at the stage's size; floats of 0 to 255 on a GPU."""
        images = x.as_subclass(torch.Tensor)
        if images.device.type == "cpu" and images.dtype == torch.uint8:
            return TensorImage(resampled_bytes(images, self.size))
        return TensorImage(resampled(images.float(), None, self.size))


class NormalizeInPlace(Normalize):
    """fastai's Normalize on the very batch, which the transforms before it have made: half of the
    time of a new one for each of the two steps."""

    def encodes(self, x: TensorImage) -> TensorImage:
        """(x - mean) / std."""
        return x.sub_(self.mean).div_(self.std)


def light(images: torch.Tensor, augment: Augment, u: Draws) -> None:
    """Change brightness, contrast and saturation in place, and clip to 0..1.

    They make one multiply-add: with contrast c about the middle, brightness b added, and a blend
    s with the grey image, x becomes s*c*x + (1-s)*c*grey(x) + (1-c)/2 + b. Grey images have no
    saturation; an alpha channel is left alone.
    """
    if not (augment.brightness or augment.contrast or augment.saturation):
        return
    p, colours = augment.p_lighting, images[:, :3]
    contrast = 1 + signed(u.contrast, u.contrast_chance, p) * augment.contrast
    brightness = signed(u.brightness, u.brightness_chance, p) * augment.brightness
    blend = 1 + signed(u.saturation, u.saturation_chance, p) * augment.saturation
    table = torch.stack([contrast, 0.5 * (1 - contrast) + brightness, blend])  # (3, n)
    table = sent(table.to(images.dtype), images.device)
    factor, offset, blend = table[:, :, None, None, None].unbind()
    if augment.saturation and colours.shape[1] == 3:
        red, green, blue = colours.split(1, dim=1)
        grey = (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])
        offset = grey.mul_((1 - blend) * factor).add_(offset)  # (n, 1, height, width)
        factor = blend * factor
    colours.mul_(factor).add_(offset).clamp_(0, 1)


def erase(images: torch.Tensor, p: float, mean: Sequence[float], u: Draws) -> None:
    """Replace a rectangle by the mean colour, in place, in images with the chance p."""
    if not p:
        return
    low, high = ERASED_AREA
    area = low + u.erase_area * (high - low)
    shares = sides(area, log_uniform(u.erase_ratio, *ERASED_RATIO))
    width, height = (
        (share * n).round().clamp(1, n)
        for share, n in zip(shares, images.shape[:1:-1], strict=True)
    )
    left = (u.erase_x * (images.shape[3] - width + 1)).floor()
    top = (u.erase_y * (images.shape[2] - height + 1)).floor()
    boxes = torch.stack([top, top + height, left, left + width], dim=1).long()
    for i in (u.erase_chance < p).nonzero()[:, 0].tolist():
        above, below, start, end = boxes[i].tolist()
        for channel, value in enumerate(mean):
            images[i, channel, above:below, start:end] = value
