"""Convolutions on feature maps of a few pixels, as one matrix product: many times as fast on a CPU.

The last blocks of a ResNet see 4x4 pixels of a 128-pixel image, 1x1 of a 32-pixel one. oneDNN's
convolutions are slow there, backwards above all (docs/architecture.md has the figures).
"""

import torch
from torch import nn
from torch.nn import functional as F

FEWEST_CHANNELS = 64  # channels; below, a convolution is quick enough
MANY, PIXELS = 256, 16  # channels; and results per image, for which patches pay


class SmallConv(nn.Conv2d):
    """A convolution of 3x3 or 1x1 that is a matrix product where its input is small."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The same numbers as nn.Conv2d gives, summed in another order."""
        if not applies(self, input):
            return super().forward(input)
        return small_conv(self, input)


def with_small_convs(model: nn.Module) -> nn.Module:
    """The model itself, in place; its 3x3 and 1x1 convolutions look at their input's size."""
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if type(layer) is nn.Conv2d and _is_small_conv(layer):
                small = SmallConv.__new__(SmallConv)
                small.__dict__ = layer.__dict__  # the parameters themselves, hooks and all
                setattr(parent, name, small)
    return model


def applies(conv: nn.Conv2d, images: torch.Tensor) -> bool:
    """Whether a convolution of `images` (n, c, h, w) is better a matrix product: on a CPU, for up
    to 2x2 pixels, or with many channels for results of up to 4x4 pixels."""
    if images.device.type != "cpu" or not _is_small_conv(conv):
        return False
    height, width = images.shape[2:]
    results = -(-height // conv.stride[0]) * -(-width // conv.stride[1])
    many = min(conv.in_channels, conv.out_channels) >= MANY
    return (height <= 2 and width <= 2) or (many and results <= PIXELS)


def small_conv(conv: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
    """The convolution of images (n, c, h, w), to which it `applies`.

    Of 2x2 pixels and fewer, every result sees every pixel through one tap of a 3x3 kernel, so all
    of them together are one product with a matrix made of the taps; else the pixels that a result
    sees are copied side by side (im2col). With 1x1 each sees its own.
    """
    weight, bias, stride = conv.weight, conv.bias, conv.stride[0]
    if torch.is_autocast_enabled("cpu"):  # once here: what is multiplied is larger
        dtype = torch.get_autocast_dtype("cpu")
        images, weight = images.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    pixels = images.permute(0, 2, 3, 1)  # (n, h, w, c)
    if conv.kernel_size == (1, 1):
        out = F.linear(pixels[:, ::stride, ::stride], weight[:, :, 0, 0], bias)
    else:
        taps = weight.permute(0, 2, 3, 1)  # (outputs, 3, 3, c)
        by = _by_taps if max(images.shape[2:]) <= 2 else _by_patches
        out = by(pixels, taps, stride)
        out = out if bias is None else out + bias
    return out.permute(0, 3, 1, 2)


def _by_taps(pixels: torch.Tensor, taps: torch.Tensor, stride: int) -> torch.Tensor:
    """Results (n, h', w', outputs) of at most 2x2 pixels."""
    n, height, width, channels = pixels.shape
    rows, columns = range(0, height, stride), range(0, width, stride)
    matrix = torch.stack(
        [taps[:, 1 - i : 1 - i + height, 1 - j : 1 - j + width] for i in rows for j in columns]
    )
    seen = height * width * channels
    out = F.linear(pixels.reshape(n, seen), matrix.reshape(-1, seen))
    return out.view(n, len(rows), len(columns), len(taps))


def _by_patches(pixels: torch.Tensor, taps: torch.Tensor, stride: int) -> torch.Tensor:
    """Results (n, h', w', outputs) of any number of pixels."""
    n, height, width, channels = pixels.shape
    rows, columns = -(-height // stride), -(-width // stride)
    padded = F.pad(pixels, (0, 0, 1, 1, 1, 1))
    patches = torch.stack(
        [
            padded[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
            for i in range(3)
            for j in range(3)
        ],
        dim=3,
    )
    out = F.linear(patches.reshape(-1, 9 * channels), taps.reshape(len(taps), -1))
    return out.view(n, rows, columns, len(taps))


def _is_small_conv(conv: nn.Conv2d) -> bool:
    """Whether a convolution is of the kind that `small_conv` computes."""
    kernel, stride = conv.kernel_size, conv.stride
    return (
        kernel in ((1, 1), (3, 3))
        and conv.padding == (kernel[0] // 2, kernel[1] // 2)
        and stride in ((1, 1), (2, 2))
        and (conv.dilation, conv.groups, conv.padding_mode) == ((1, 1), 1, "zeros")
        and min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS
    )
