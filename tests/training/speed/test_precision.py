"""Mixed precision is resolved from what the hardware really has, and trains."""

import pytest
import torch
from fastai.callback.core import CancelStepException
from torch import nn

from foldwise.errors import RunError
from foldwise.training.speed import precision
from foldwise.training.speed.precision import Autocast, autocast, determinism, resolve

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = [CPU, pytest.param(CUDA, marks=[pytest.mark.gpu, NO_GPU])]


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


@pytest.mark.parametrize("on", DEVICES, ids=str)
def test_an_overflow_in_fp16_skips_the_step_and_lowers_the_scale(on: torch.device) -> None:
    weight = nn.Parameter(torch.ones(2, device=on))

    class Learn:
        opt = type("Opt", (), {"param_groups": [{"params": [weight]}]})()
        loss_grad = (weight * torch.inf).sum()

    callback = Autocast("fp16", on)
    callback.learn = Learn()
    before = callback.scaler.get_scale()
    callback.before_backward()
    callback.learn.loss_grad.backward()
    with pytest.raises(CancelStepException):
        callback.before_step()
    assert callback.scaler.get_scale() == before / 2


@pytest.mark.parametrize("on", DEVICES, ids=str)
def test_finite_gradients_are_unscaled_before_the_step(on: torch.device) -> None:
    weight = nn.Parameter(torch.ones(2, device=on))

    class Learn:
        opt = type("Opt", (), {"param_groups": [{"params": [weight]}]})()
        loss_grad = (weight * 3).sum()

    callback = Autocast("fp16", on)
    callback.learn = Learn()
    callback.before_backward()
    callback.learn.loss_grad.backward()
    callback.before_step()
    assert weight.grad is not None
    assert weight.grad.tolist() == [3, 3]


def test_an_operation_without_a_deterministic_form_is_named() -> None:
    with pytest.raises(RunError, match=r"adaptive_max_pool2d_backward_cuda has no such form on a"):
        with determinism(True):
            raise RuntimeError(
                "adaptive_max_pool2d_backward_cuda does not have a deterministic implementation, "
                "but you set 'torch.use_deterministic_algorithms(True)'."
            )
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="something else"), determinism(True):
        raise RuntimeError("something else")
