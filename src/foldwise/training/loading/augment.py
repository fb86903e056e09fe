"""Augmentation of a whole batch on its device: one resampling, one multiply-add."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

import torch
from fastai.data.transforms import DisplayedTransform, Normalize
from fastai.vision.core import TensorImage

from foldwise.config.augment import Augment
from foldwise.kinds.augmentation import Augmentation
from foldwise.training.loading.augmentations.base import (
    Colouring,
    ColourMap,
    GeometricAugmentation,
    Painting,
)
from foldwise.training.loading.draws import Streams
from foldwise.training.loading.geometry import resample, resampled_bytes
from foldwise.training.speed.precision import send

GREY_WEIGHTS = (
    0.299,
    0.587,
    0.114,
)  # ITU-R BT.601 weights of red, green and blue, as fastai and PIL


class Augmenter(DisplayedTransform):
    """A recipe's augmentations on training batches, drawn anew for every image.

    The order is fixed. First all geometry, as one map per image and thus one resampling from the
    cache's size to `size` (height, width); then all colour, as one multiply-add; then what writes
    pixels. Among each of these the order is that of the table of kinds, which for geometry is
    that of fastai's aug_transforms. Seen as changes of the image: warp, shift, flip or dihedral,
    rotation, zoom, crop. fastai multiplies its affine matrices in the order of its list (flip,
    rotation, zoom), so that the last meets the output's coordinates first; its warp is a function
    of the coordinates that come out (AffineCoordTfm, `coord_fs`); its crop is a transform of its
    own after that. A zoom off the centre there is a zoom and a shift here.

    mean: the colour that Normalize makes zero, one number per channel.
    """

    split_idx, order = 0, 30  # training only; after the conversion to floats in 0..1

    def __init__(self, augment: Augment, size: tuple[int, int], mean: Sequence[float]) -> None:
        super().__init__()
        self.augment, self.size, self.mean = augment, size, tuple(mean)
        self.streams = Streams(f"augment.{kind.name}" for kind in augment.kinds)

    def encodes(self, x: TensorImage) -> TensorImage:
        """The changed batch, float (n, channels, *size), values in 0..1."""
        images, kinds = x.as_subclass(torch.Tensor), self.augment.kinds
        draws = {
            kind.name: self.streams.uniform(f"augment.{kind.name}", len(x), kind.draws)
            for kind in kinds
        }
        maps = homographies(kinds, draws, self.size)
        made = resample(images, maps, self.size, self.augment.padding)
        if made is images:
            made = images.clone()  # the rest writes in place, which saves a batch of memory
        recolour(made, colour_map(kinds, draws))
        for kind in kinds:
            if isinstance(kind, Painting):
                kind.paint(made, draws[kind.name], self.mean)
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
        return TensorImage(resample(images.float(), None, self.size))


class NormalizeInPlace(Normalize):
    """fastai's Normalize on the very batch, which the transforms before it have made: half of the
    time of a new one for each of the two steps."""

    def encodes(self, x: TensorImage) -> TensorImage:
        """(x - mean) / std."""
        return x.sub_(self.mean).div_(self.std)


def homographies(
    kinds: Iterable[Augmentation], draws: Mapping[str, torch.Tensor], size: tuple[int, int]
) -> torch.Tensor | None:
    """The product of all maps (n, 3, 3); None where no kind is a `GeometricAugmentation`.

    draws: each kind's uniform numbers (draws, n) by its name. size: the output's (height, width).
    """
    maps = [
        kind.maps(draws[kind.name], size)
        for kind in kinds
        if isinstance(kind, GeometricAugmentation)
    ]
    # products of 3 by 3 matrices, a few dozen of them: not worth a formula
    return reduce(torch.matmul, maps) if maps else None


def colour_map(
    kinds: Iterable[Augmentation], draws: Mapping[str, torch.Tensor]
) -> ColourMap | None:
    """All maps of colour as one; None where no kind changes colours. draws: as above."""
    maps = [kind.colours(draws[kind.name]) for kind in kinds if isinstance(kind, Colouring)]
    return reduce(ColourMap.then, maps) if maps else None


def recolour(images: torch.Tensor, map: ColourMap | None) -> None:
    """Change colours in place, by one multiply-add, and clip them to 0..1.

    Grey images have no colour to blend; an alpha channel is left alone.
    """
    if map is None:
        return
    colours = images[:, :3]
    rows = [map.factor, map.offset, *([] if map.blend is None else [map.blend])]
    table = send(torch.stack(rows).to(images.dtype), images.device)
    factor, offset, *blends = table[:, :, None, None, None].unbind()
    if blends and colours.shape[1] == 3:
        (blend,) = blends
        red, green, blue = colours.split(1, dim=1)
        grey = (
            (red * GREY_WEIGHTS[0])
            .add_(green, alpha=GREY_WEIGHTS[1])
            .add_(blue, alpha=GREY_WEIGHTS[2])
        )
        offset = grey.mul_((1 - blend) * factor).add_(offset)  # (n, 1, height, width)
        factor = blend * factor
    colours.mul_(factor).add_(offset).clamp_(0, 1)
