"""A fused model says what the plain one says; what cannot be fused is left as it is."""

import copy
import logging

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn import functional as F

from foldwise.training.speed.fusing import FusedConv, for_prediction
from foldwise.training.speed.precision import autocast
from weights import assert_same_weights

CPU = torch.device("cpu")


def trained(model: nn.Module) -> nn.Module:
    """The model with statistics and factors as after a training."""
    torch.manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return model.eval()


class Net(nn.Module):
    """Convolutions, norms and sums in one of the ways below."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1, groups=2, bias=False)
        self.second = BatchNormAct2d(4, act_layer=nn.SiLU)
        self.scale = nn.Conv2d(4, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)), inplace=True)
        y = self.conv(x)
        match self.kind:
            case "sum":
                y = F.silu(x + self.scale(self.second(y)))
            case "two sums":
                y = torch.relu(self.second(y) + self.scale(x) + x)
            case "scaled sum":
                y = torch.relu(torch.add(self.scale(y), x, alpha=3))
            case "itself":
                y = self.scale(y)
                y = torch.relu(y + y)
            case "used twice":
                y = self.second(y) * y
            case "called twice":
                y = self.scale(self.scale(self.second(y)))
            case "broadcast":
                y = torch.relu(self.scale(self.second(y)) + x.mean((2, 3), keepdim=True))
            case "number":
                y = torch.relu(self.scale(self.second(y)) + 1)
            case "looks at values":
                y = self.second(y) if y.sum() > 0 else y
            case "draws":
                y = self.second(y) * float(torch.rand(()))
        return y.mean((2, 3))


@pytest.mark.parametrize(
    ("kind", "fused", "norms"),
    [
        ("sum", 3, 0),
        ("two sums", 3, 0),
        ("scaled sum", 3, 0),
        ("itself", 3, 0),
        ("used twice", 2, 1),
        ("called twice", 2, 0),
        ("number", 3, 0),
        ("broadcast", 3, 0),
    ],
)
def test_every_way_of_joining_layers_keeps_the_outputs(kind: str, fused: int, norms: int) -> None:
    model, images = trained(Net(kind)), torch.randn(5, 3, 9, 7)
    ready = for_prediction(model, images[:2], "fp32")
    with torch.inference_mode():
        assert torch.allclose(ready(images), model(images), rtol=1e-4, atol=1e-5)
    assert sum(isinstance(layer, FusedConv) for layer in ready.modules()) == fused
    left = sum(isinstance(layer, nn.BatchNorm2d | BatchNormAct2d) for layer in ready.modules())
    assert left == norms  # where something else reads the convolution before it too


def test_folded_weights_that_are_too_large_for_fp16_are_left_apart() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=0.0)).eval()
    model[1].running_var.fill_(1e-12)  # folded, weights become a million times as large
    images = 1e-3 * torch.randn(2, 3, 5, 5)
    ready = for_prediction(model, images, "fp16")
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in ready.modules())
    layers = list(for_prediction(model, images, "bf16").modules())
    assert layers
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)


@pytest.mark.parametrize(
    ("kind", "said"),
    [("looks at values", "without fused layers"), ("draws", "outputs moved by")],
)
def test_a_model_that_cannot_be_fused_predicts_as_it_is(
    kind: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    model, images = trained(Net(kind)), torch.randn(5, 3, 9, 7)
    with caplog.at_level(logging.INFO):
        ready = for_prediction(model, images[:2], "fp32")
    assert said in caplog.text
    assert [layer for layer in ready.modules() if isinstance(layer, FusedConv)] == []
    if kind != "draws":  # another number at every call
        with torch.inference_mode():
            assert torch.equal(ready(images), model(images))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "resnet26t"])
def test_timms_models_keep_their_outputs_and_their_own_weights(name: str) -> None:
    model = trained(timm.create_model(name, num_classes=3))
    before = copy.deepcopy(model.state_dict())
    images = torch.randn(4, 3, *model.default_cfg["input_size"][1:])
    ready = for_prediction(model.train(), images[:2], "bf16")
    assert model.training
    assert_same_weights(model, before)
    with torch.inference_mode():
        expected = model.eval()(images)
        with autocast("bf16", CPU):
            found = ready(images).float()
    assert not torch.equal(found, expected)  # it was bf16
    assert torch.allclose(found, expected, atol=0.03 * float(expected.abs().max()))
    layers = [type(layer) for layer in ready.modules()]
    assert name == "test_vit" or nn.BatchNorm2d not in layers
    assert name == "test_vit" or layers.count(FusedConv) == layers.count(nn.Conv2d)


def test_weights_are_cast_once_to_what_autocast_would_make_of_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LayerNorm(144), nn.Linear(144, 2))
    images = torch.rand(5, 3, 8, 8)
    ready = for_prediction(model, images, "bf16")
    assert [p.dtype for p in ready.parameters()] == [torch.bfloat16] * 2 + [torch.float32] * 2 + [
        torch.bfloat16
    ] * 2
    with torch.inference_mode(), autocast("bf16", CPU):
        assert torch.equal(ready(images), model(images))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    same = for_prediction(model, images, "fp32")
    assert {p.dtype for p in same.parameters()} == {torch.float32}
