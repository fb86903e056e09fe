"""Augmentations that write pixels: random erasing."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from foldwise.kinds.bounds import Share
from foldwise.training.loading.augmentations.base import Painting

if TYPE_CHECKING:
    from torch import Tensor

# Zhong et al. 2017 (arXiv:1708.04896, section 5.1) and timm's RandomErasing, read 2026-11-22
AREA, RATIO = (0.02, 0.33), (0.3, 3.3)


class Erase(Painting):
    """Random erasing: a rectangle is filled with the mean colour."""

    main: ClassVar[str] = "p"
    draws: ClassVar[int] = 5

    name: Literal["erase"] = "erase"
    p: Share  # The chance that an image is changed. Example: 0.75

    def paint(self, images: "Tensor", u: "Tensor", mean: Sequence[float]) -> None:
        """See `Painting`."""
        import torch

        from foldwise.training.loading.draws import log_uniform, sides

        chance, area, ratio, x, y = u
        low, high = AREA
        shares = sides(low + area * (high - low), log_uniform(ratio, *RATIO))
        width, height = (
            (share * n).round().clamp(1, n)
            for share, n in zip(shares, images.shape[:1:-1], strict=True)
        )
        left = (x * (images.shape[3] - width + 1)).floor()
        top = (y * (images.shape[2] - height + 1)).floor()
        boxes = torch.stack([top, top + height, left, left + width], dim=1).long()
        for i in (chance < self.p).nonzero()[:, 0].tolist():
            above, below, start, end = boxes[i].tolist()
            for channel, value in enumerate(mean):
                images[i, channel, above:below, start:end] = value
