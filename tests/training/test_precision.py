"""Mixed precision is resolved from what the hardware really has, and trains."""

import pytest
import torch
from fastai.callback.core import CancelStepException
from torch import nn

from foldwise.training import precision
from foldwise.training.precision import Autocast, autocast, resolve

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("has_bf16", [True, False])
def test_auto_is_bf16_where_the_hardware_has_it(
    monkeypatch: pytest.MonkeyPatch, has_bf16: bool
) -> None:
    asked = {}

    def supported(including_emulation: bool = True) -> bool:
        asked["emulation"] = including_emulation
        return has_bf16

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(precision, "_cpu_has_bf16", lambda: has_bf16)
    assert resolve("auto", CUDA) == ("bf16" if has_bf16 else "fp16")
    assert resolve("auto", CPU) == ("bf16" if has_bf16 else "fp32")
    assert asked == {"emulation": False}
    assert resolve("fp32", CUDA) == "fp32"


def test_autocast_computes_in_the_precision_it_names() -> None:
    layer, x = nn.Linear(4, 4), torch.rand(2, 4)
    with autocast("bf16", CPU):
        assert layer(x).dtype == torch.bfloat16
    with autocast("fp32", CPU):
        assert layer(x).dtype == torch.float32


def test_an_overflow_in_fp16_skips_the_step_and_lowers_the_scale() -> None:
    weight = nn.Parameter(torch.ones(2))

    class Learn:
        opt = type("Opt", (), {"param_groups": [{"params": [weight]}]})()
        loss_grad = (weight * torch.inf).sum()

    callback = Autocast("fp16", CPU)
    callback.learn = Learn()
    before = callback.scaler.get_scale()
    callback.before_backward()
    callback.learn.loss_grad.backward()
    with pytest.raises(CancelStepException):
        callback.before_step()
    assert callback.scaler.get_scale() == before / 2


def test_finite_gradients_are_unscaled_before_the_step() -> None:
    weight = nn.Parameter(torch.ones(2))

    class Learn:
        opt = type("Opt", (), {"param_groups": [{"params": [weight]}]})()
        loss_grad = (weight * 3).sum()

    callback = Autocast("fp16", CPU)
    callback.learn = Learn()
    callback.before_backward()
    callback.learn.loss_grad.backward()
    callback.before_step()
    assert weight.grad is not None
    assert weight.grad.tolist() == [3, 3]
