"""What a model learned of places in an image, interpolated for another number of places."""

import math

import torch
from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table_simple
from torch.nn import functional as F

HeightWidth = tuple[int, int]  # height, width


def resample(
    name: str, tensor: torch.Tensor, shape: torch.Size, before: HeightWidth, after: HeightWidth
) -> torch.Tensor | None:
    """A tensor of a model for images of one size in the shape that it has for another; None where
    it is nothing that can be interpolated.

    That are positions as tokens (1, n, C), as a grid (1, C, h, w) or (1, h, w, C), along a side
    (2 h - 1, C), by distance (heads, h w), or of a window ((2 h - 1)(2 w - 1), heads).

    name: the tensor's. before, after: image sizes in pixels.
    """
    if tensor.ndim != len(shape):
        return None
    if tensor.ndim == 3 and tensor.shape[2] == shape[2] and tensor.shape[0] == shape[0] == 1:
        return _tokens(tensor, shape[1], before, after)
    if tensor.ndim == 4:
        return _grid(tensor, shape, before, after)
    if tensor.ndim == 2 and tensor.shape[1] == shape[1]:
        if name.endswith("relative_position_bias_table"):
            return _window(tensor, shape)
        if "rel" in name.rsplit(".", 1)[-1] and tensor.shape[0] % 2 == shape[0] % 2 == 1:
            return F.interpolate(tensor.T[None], shape[0], mode="linear")[0].T
    if name.endswith("attention_biases") and tensor.ndim == 2 and tensor.shape[0] == shape[0]:
        tokens = _tokens(tensor.T[None], shape[1], before, after)
        return None if tokens is None else tokens[0].T
    return None


def _tokens(
    tensor: torch.Tensor, n: int, before: HeightWidth, after: HeightWidth
) -> torch.Tensor | None:
    """Tokens (1, n, C): of the class and its like, which stay, then of places, row by row."""
    for first in (0, 1, 2):
        old, new = _sides(tensor.shape[1] - first, before), _sides(n - first, after)
        if old is not None and new is not None:
            made: torch.Tensor = resample_abs_pos_embed(
                tensor, list(new), list(old), num_prefix_tokens=first
            )
            return made
    return None


def _sides(n: int, size: HeightWidth) -> HeightWidth | None:
    """The rows and columns of n places in an image of a size."""
    rows = max(round(math.sqrt(max(n, 0) * size[0] / size[1])), 1)
    columns = max(round(rows * size[1] / size[0]), 1)
    return (rows, columns) if rows * columns == n else None


def _grid(
    tensor: torch.Tensor, shape: torch.Size, before: HeightWidth, after: HeightWidth
) -> torch.Tensor | None:
    """A grid of places (1, C, h, w) or (1, h, w, C), as many each way as the image's sides say."""
    last = tensor.shape[3] == shape[3] and tensor.shape[1] != shape[1]
    old, new = (tuple(s[1:3]) if last else tuple(s[2:]) for s in (tensor.shape, shape))
    if (not last and tensor.shape[1] != shape[1]) or any(
        _sides(sides[0] * sides[1], size) != sides for sides, size in ((old, before), (new, after))
    ):
        return None
    channels_first = tensor.permute(0, 3, 1, 2) if last else tensor
    made = F.interpolate(channels_first, new, mode="bicubic", antialias=True)
    return made.permute(0, 2, 3, 1) if last else made


def _window(tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor | None:
    """The bias of each distance within a square window."""
    sides = [math.isqrt(n) for n in (tensor.shape[0], shape[0])]
    if [side**2 for side in sides] != [tensor.shape[0], shape[0]]:
        return None
    window = ((sides[1] + 1) // 2,) * 2
    made: torch.Tensor = resize_rel_pos_bias_table_simple(tensor, window, tuple(shape))
    return made
