"""The optimizer takes the steps of fastai's Adam, through freezing and changing rates."""

import fastai.optimizer
import pytest
import torch
from torch import nn

from foldwise.training.optim import OPTIMIZERS, Adam


def model() -> nn.Sequential:
    """Two layers and a norm between them that does not cancel the first one's bias."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 3))


def trained(make: type, wd: float, device: str = "cpu") -> tuple[nn.Module, object]:
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
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_its_steps_are_fastais_on_a_gpu() -> None:
    ours, _ = trained(Adam, 0.1, "cuda")
    theirs, _ = trained(fastai.optimizer.Adam, 0.1, "cuda")
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-5, atol=1e-6)


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
def test_plain_gradient_descent_is_torchs_without_momentum(wd: float) -> None:
    ours = model()
    optimizer = OPTIMIZERS["sgd"]([list(ours.parameters())], lr=0.1, wd=wd)
    theirs = model()
    expected = torch.optim.SGD(theirs.parameters(), lr=0.1)
    images = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    for number in range(5):
        optimizer.set_hypers(mom=0.95 - 0.1 * number)  # as a one-cycle schedule does: no matter
        for net, each in ((ours, optimizer), (theirs, expected)):
            net(images).square().mean().backward()
            if net is theirs:
                with torch.no_grad():  # decoupled from the gradient, as in fastai
                    for param in net.parameters():
                        param *= 1 - 0.1 * wd
            each.step()
            each.zero_grad()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    for each in (optimizer, Adam([list(ours.parameters())], lr=0.1)):
        ours(images).sum().backward()
        each.zero_grad()
        assert all(param.grad is None for param in ours.parameters())
    assert OPTIMIZERS["adam"] is Adam
