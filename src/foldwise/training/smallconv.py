"""Convolutions on feature maps of a few pixels, as one matrix product: many times as fast on a CPU.

The last blocks of a ResNet see 2x2 pixels of a 64-pixel image, 1x1 of a 32-pixel one. oneDNN's
convolutions are slow there, backwards above all (docs/architecture.md has the figures).
"""

import torch
from torch import nn
from torch.nn import functional as F

LEAST = 64  # channels; below, a convolution is quick enough


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
            if type(layer) is nn.Conv2d and _fitting(layer):
                small = SmallConv.__new__(SmallConv)
                small.__dict__ = layer.__dict__  # the parameters themselves, hooks and all
                setattr(parent, name, small)
    return model


def applies(conv: nn.Conv2d, images: torch.Tensor) -> bool:
    """Whether a convolution of `images` (n, c, h, w) is better a matrix product: on a CPU, where no
    pixel is further from another than the kernel reaches, and the channels are many."""
    height, width = images.shape[2:]
    return images.device.type == "cpu" and height <= 2 and width <= 2 and _fitting(conv)


def small_conv(conv: nn.Conv2d, images: torch.Tensor) -> torch.Tensor:
    """The convolution of images (n, c, h, w), to which it `applies`.

    Every output pixel sees every input pixel through one tap of a 3x3 kernel, so all of them
    together are one product with a matrix made of the taps. With 1x1 each sees its own.
    """
    weight, bias, stride = conv.weight, conv.bias, conv.stride[0]
    if torch.is_autocast_enabled("cpu"):  # once here: the matrix is larger than the weight
        dtype = torch.get_autocast_dtype("cpu")
        images, weight = images.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    pixels = images.permute(0, 2, 3, 1)  # (n, h, w, c)
    if conv.kernel_size == (1, 1):
        out = F.linear(pixels[:, ::stride, ::stride], weight[:, :, 0, 0], bias)
        return out.permute(0, 3, 1, 2)
    n, height, width, channels = pixels.shape
    rows, columns = range(0, height, stride), range(0, width, stride)
    taps = weight.permute(0, 2, 3, 1)  # (outputs, 3, 3, c)
    matrix = torch.stack(
        [taps[:, 1 - i : 1 - i + height, 1 - j : 1 - j + width] for i in rows for j in columns]
    )
    out = F.linear(
        pixels.reshape(n, height * width * channels),
        matrix.reshape(len(rows) * len(columns) * len(weight), height * width * channels),
    )
    out = out.view(n, len(rows), len(columns), len(weight))
    return (out if bias is None else out + bias).permute(0, 3, 1, 2)


def _fitting(conv: nn.Conv2d) -> bool:
    """Whether a convolution is of the kind that `small_conv` computes."""
    kernel, stride = conv.kernel_size, conv.stride
    return (
        kernel in ((1, 1), (3, 3))
        and conv.padding == (kernel[0] // 2, kernel[1] // 2)
        and stride in ((1, 1), (2, 2))
        and (conv.dilation, conv.groups, conv.padding_mode) == ((1, 1), 1, "zeros")
        and min(conv.in_channels, conv.out_channels) >= LEAST
    )
