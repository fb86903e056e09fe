"""Small convolutions give the same numbers and gradients as torch's, by another way."""

import itertools

import pytest
import timm
import torch
from torch import nn

from foldwise.config.recipe import SettledRecipe
from foldwise.training.models.building import build_model
from foldwise.training.speed.fusing import FusedConv, for_prediction
from foldwise.training.speed.precision import autocast
from foldwise.training.speed.smallconv import SmallConv, applies, with_small_convs

CPU = torch.device("cpu")


def pair(kernel: int, stride: int, bias: bool, channels: int = 64) -> tuple[nn.Conv2d, nn.Module]:
    """A convolution, and a model that holds a small one with the same parameters."""
    conv = nn.Conv2d(channels, channels + 32, kernel, stride, kernel // 2, bias=bias)
    return conv, with_small_convs(nn.Sequential(conv))


@pytest.mark.parametrize(
    ("kernel", "stride", "bias", "size"),
    [
        *itertools.product([1, 3], [1, 2], [True, False], [(1, 1), (1, 2), (2, 1), (2, 2)]),
        *itertools.product([1, 3], [1], [True, False], [(3, 3), (4, 2), (1, 16)]),
        *itertools.product([1, 3], [2], [True, False], [(3, 3), (7, 8), (5, 4)]),
    ],
)
def test_outputs_and_gradients_are_those_of_a_convolution(
    kernel: int, stride: int, bias: bool, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    channels = 64 if max(size) <= 2 else 256
    conv, small = pair(kernel, stride, bias, channels)
    conv.double()
    assert applies(conv, torch.rand(1, channels, *size))
    found = []
    for layer in (conv, small):
        torch.manual_seed(1)
        x = torch.randn(5, channels, *size, dtype=torch.float64, requires_grad=True)
        out = layer(x)
        (out * torch.randn(out.shape)).sum().backward()
        found.append([out, x.grad, *(param.grad.clone() for param in conv.parameters())])
        conv.zero_grad()
    torch.testing.assert_close(found[1], found[0])


def test_it_is_used_for_few_pixels_many_channels_and_plain_kernels_only() -> None:
    conv, small = pair(3, 1, False)
    assert type(small[0]) is SmallConv
    assert small[0].weight is conv.weight
    assert applies(conv, torch.rand(1, 64, 2, 2))
    assert not applies(conv, torch.rand(1, 64, 3, 2))
    wide, _ = pair(3, 2, False, 256)
    assert applies(wide, torch.rand(1, 256, 8, 8))
    assert not applies(wide, torch.rand(1, 256, 9, 8))
    torch.testing.assert_close(small(torch.ones(2, 64, 5, 3)), conv(torch.ones(2, 64, 5, 3)))
    others = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.Conv2d(64, 64, 3),
        nn.Conv2d(64, 64, 5, padding=2),
        nn.Conv2d(64, 64, 3, padding=1, groups=2),
        nn.Conv2d(64, 64, 3, padding=2, dilation=2),
        nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(64, 64, 3, padding="same"),
    )
    assert [type(layer) for layer in with_small_convs(others)] == [nn.Conv2d] * 7


def test_autocast_computes_it_in_bf16_and_keeps_gradients_in_fp32() -> None:
    conv, small = pair(3, 2, True)
    x = torch.randn(8, 64, 2, 2)
    with autocast("bf16", CPU):
        out = small(x)
        assert out.dtype == torch.bfloat16
        assert torch.allclose(out, conv(x), atol=0.02)
    out.float().sum().backward()
    assert conv.weight.grad.dtype == torch.float32


def test_a_models_names_groups_and_predictions_stay() -> None:
    recipe = SettledRecipe.model_validate(
        {
            "name": "r",
            "model": "resnet18",
            "weights": "none",
            "image_size": 64,
            "stage": [{"epochs": 1, "lr": 1e-3}],
        }
    )
    model = build_model(recipe, 4, 3).eval()
    plain = timm.create_model("resnet18", num_classes=4).eval()
    assert any(type(layer) is SmallConv for layer in model.modules())
    assert list(plain.state_dict()) == list(model.state_dict())
    plain.load_state_dict(model.state_dict())
    for side in (32, 64, 96):
        images = torch.randn(3, 3, side, side)
        with torch.inference_mode():
            expected = plain(images)
            assert torch.allclose(model(images), expected, atol=1e-5)
            fused = for_prediction(model, images[:1], "fp32")
            assert any(isinstance(layer, FusedConv) for layer in fused.modules())
            assert torch.allclose(fused(images), expected, atol=1e-4)


def test_gradients_of_a_strided_convolution_on_one_pixel_are_numbers() -> None:
    conv, small = pair(3, 2, False)
    for _ in range(20):  # torch 2.15's bf16 kernel reads memory there that nobody wrote
        with autocast("bf16", CPU):
            out = small(torch.randn(16, 64, 1, 1))
        out.float().sum().backward()
        assert conv.weight.grad.isfinite().all()
        assert (conv.weight.grad[:, :, 0, 0] == 0).all()  # a tap that sees no pixel
