"""Mixed precision is resolved from what the hardware really has, and trains."""

import pytest
import torch
from fastai.callback.core import CancelStepException
from torch import nn

from foldwise.config.loading import parse
from foldwise.config.recipe import Recipe
from foldwise.errors import RunError
from foldwise.training.fitting.tuning import settle
from foldwise.training.speed import machine, precision
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


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [
        (True, True, "cuda"),
        (True, False, "cuda"),
        (False, True, "mps"),
        (False, False, "cpu"),
    ],
)
def test_the_device_is_cuda_then_apples_then_the_cpu(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "a card")
    assert precision.device() == torch.device(expected)
    names = {"cuda": "a card", "mps": "Apple GPU (MPS)", "cpu": None}
    assert machine.gpu() == names[expected]


def test_apples_gpu_trains_in_fp32_uncompiled_unless_a_recipe_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(precision, "_cpu_has_bf16", lambda: True)
    assert resolve("auto", torch.device("mps")) == "fp32"
    assert resolve("fp16", torch.device("mps")) == "fp16"
    stage = {"epochs": 1, "lr": 1e-3}
    words = {
        "name": "r",
        "model": "test_resnet",
        "weights": "none",
        "image_size": 32,
        "stage": [stage],
    }
    recipe = parse(Recipe, {**words, "compile": "auto", "batch_size": "auto"}, "a recipe")
    values = settle(recipe.with_sizes((32, 32), "bilinear"), 100_000, 3, 3, 5)
    assert values["device"] == "mps"
    assert (values["precision"], values["compile"], values["batch_size"]) == ("fp32", False, 64)


def test_whoever_waits_for_a_gpu_waits_for_the_one_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: asked.append("cuda"))
    monkeypatch.setattr(torch.mps, "synchronize", lambda: asked.append("mps"))
    for cuda, mps in ((True, False), (False, True), (False, False)):
        monkeypatch.setattr(torch.cuda, "is_available", lambda own=cuda: own)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda own=mps: own)
        machine.wait_for_gpu()
    assert asked == ["cuda", "mps"]


def test_numbers_of_apples_gpu_get_float64_on_the_cpu() -> None:
    class OnApple:
        device = torch.device("mps")

        def cpu(self) -> torch.Tensor:
            return torch.ones(2)

    for numbers in (OnApple(), torch.ones(2)):
        double = precision.in_float64(numbers)
        assert (double.dtype, double.device) == (torch.float64, CPU)


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
