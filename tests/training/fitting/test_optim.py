"""The optimizers take the steps of fastai's Adam and torch's SGD, at changing rates and momenta."""

from collections.abc import Callable
from typing import Any

import fastai.optimizer
import pytest
import torch
from torch import nn

from foldwise.config.recipe import SettledRecipe
from foldwise.training.fitting.optim import Adam, optimizer_of
from weights import assert_same_weights


def model() -> nn.Sequential:
    """Two layers and a norm between them that does not cancel the first one's bias."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 3))


def trained(make: Callable[..., Any], wd: float, device: str = "cpu") -> tuple[nn.Module, object]:
    """A model after steps with the body frozen, then free, at changing rates and momenta."""
    net = model().to(device)
    body, head = [*net[0].parameters(), *net[1].parameters()], list(net[2].parameters())
    optimizer = make([body, head], lr=1e-2, wd=wd)
    for param in (net[0].bias, *net[1].parameters(), net[2].bias):
        optimizer.state[param]["do_wd"] = False
    for param in net[1].parameters():
        optimizer.state[param]["force_train"] = True
    generator = torch.Generator().manual_seed(1)
    for number in range(12):
        optimizer.freeze() if number < 4 else optimizer.unfreeze()
        optimizer.set_hypers(lr=[1e-3 * (number + 1), 1e-2], mom=0.95 - 0.01 * number)
        images = torch.randn(8, 6, generator=generator).to(device)
        net(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return net, optimizer


@pytest.mark.parametrize("wd", [0.0, 0.1])
def test_its_steps_are_fastais(wd: float) -> None:
    ours, _ = trained(Adam, wd)
    theirs, _ = trained(fastai.optimizer.Adam, wd)
    assert_same_weights(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_its_steps_are_fastais_on_a_gpu() -> None:
    ours, _ = trained(Adam, 0.1, "cuda")
    theirs, _ = trained(fastai.optimizer.Adam, 0.1, "cuda")
    assert_same_weights(ours, theirs, rtol=1e-5, atol=1e-6)


def test_its_state_goes_into_fastais_and_back() -> None:
    net, optimizer = trained(Adam, 0.1)
    saved = optimizer.state_dict()  # type: ignore[attr-defined]
    assert {"grad_avg", "sqr_avg", "step"} <= set(saved["state"][0])
    assert int(saved["state"][0]["step"]) == 8  # the body was frozen for four of twelve
    assert int(saved["state"][-1]["step"]) == 12
    lists = [[*net[0].parameters(), *net[1].parameters()], list(net[2].parameters())]
    other = fastai.optimizer.Adam(lists, lr=1e-2)
    other.load_state_dict(saved)
    assert torch.equal(other.state[net[0].weight]["sqr_avg"], saved["state"][0]["sqr_avg"])


@pytest.mark.parametrize("wd", [0.0, 0.1])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_is_torchs_but_for_its_decay(wd: float, momentum: float) -> None:
    ours, theirs = model(), model()
    make = optimizer_of(recipe(optimizer="sgd", momentum=momentum))
    optimizer = make([list(ours.parameters())], lr=0.1, wd=wd)
    undecayed = (ours[0].bias, theirs[0].bias)
    optimizer.state[ours[0].bias]["do_wd"] = False
    expected = torch.optim.SGD(
        theirs.parameters(), lr=0.1, momentum=momentum, nesterov=momentum > 0
    )
    images = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    for number in range(5):
        moved = 0.95 - 0.1 * number  # as a one-cycle schedule does: plain steps take no notice
        optimizer.set_hypers(mom=moved)
        expected.param_groups[0]["momentum"] = moved if momentum else 0
        for net, each in ((ours, optimizer), (theirs, expected)):
            net(images).square().mean().backward()
            if net is theirs:
                with torch.no_grad():  # decoupled from the gradient, as in fastai
                    for param in net.parameters():
                        param *= 1 if any(param is each for each in undecayed) else 1 - 0.1 * wd
            each.step()
            each.zero_grad()
    assert_same_weights(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gradient_descent_is_the_same_on_a_gpu() -> None:
    def make(*arguments: object, **keys: float) -> object:
        return optimizer_of(recipe(optimizer="sgd", momentum=0.9))(*arguments, **keys)

    ours, _ = trained(make, 0.1, "cuda")
    theirs, _ = trained(make, 0.1)
    assert_same_weights(ours.cpu(), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "sgd", "momentum": 0.9}])
def test_gradients_are_dropped_and_missing_ones_skipped(settings: dict[str, object]) -> None:
    net = model()
    optimizer = optimizer_of(recipe(**settings))([list(net.parameters())], lr=0.1)
    before = net[2].weight.detach().clone()
    net[0](torch.ones(2, 6)).sum().backward()  # the last layer has no gradient
    optimizer.step()
    assert torch.equal(net[2].weight, before)
    optimizer.zero_grad()
    assert {param.grad for param in net.parameters()} == {None}


def test_a_recipe_names_its_optimizer() -> None:
    assert optimizer_of(recipe()) is Adam
    with pytest.raises(ValueError, match='momentum is of optimizer = "sgd", got "adam"'):
        recipe(momentum=0.9)


def recipe(**settings: object) -> SettledRecipe:
    table = {"name": "r", "model": "resnet18", "image_size": 8, "stage": [{"epochs": 1, "lr": 1}]}
    return SettledRecipe.model_validate(table | settings)
