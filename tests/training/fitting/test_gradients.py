"""Gradients of several batches make one step, clipped as one vector, in fp16 too."""

import itertools
from typing import Any

import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.optimizer import SGD
from torch import nn

from foldwise.config.recipe import SettledRecipe
from foldwise.training.fitting.gradients import Accumulate, gradients
from foldwise.training.fitting.optim import Adam
from foldwise.training.speed.precision import Autocast
from tiny import RECIPE

CPU = torch.device("cpu")


def of_recipe(**settings: Any) -> list[Callback]:
    """The callbacks of a recipe with these settings."""
    import tomllib

    return gradients(
        SettledRecipe.model_validate({"name": "r", **tomllib.loads(RECIPE), **settings})
    )


class Norms(Callback):
    """Keeps the norm of all gradients: of the plain ones, and of those that the step takes."""

    order = 20

    def __init__(self) -> None:
        self.norms: list[float] = []

    def before_step(self) -> None:
        grads = [p.grad.flatten() for p in self.model.parameters()]
        self.norms.append(torch.cat(grads).norm().item())


def trained(
    *cbs: Callback, bs: int = 4, rows: int = 20, epochs: int = 2, opt: Any = SGD, lr: float = 0.1
) -> tuple[torch.Tensor, list[float]]:
    """The weights of a model without BatchNorm after training, and the norms at its steps."""
    torch.manual_seed(0)
    data = [(torch.randn(4), torch.randn(1)) for _ in range(rows)]
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 1))
    dls = DataLoaders(*(DataLoader(data, bs=bs, num_workers=0) for _ in range(2)))
    norms = Norms()
    learner = Learner(dls, model, nn.MSELoss(), opt_func=opt, wd=0.01, cbs=[*cbs, norms])
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs, lr)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), norms.norms


@pytest.mark.parametrize("opt", [SGD, Adam])
@pytest.mark.parametrize(("batches", "steps"), [(1, 5), (2, 3), (3, 2), (5, 1), (9, 1)])
def test_steps_are_those_of_larger_batches_the_last_of_an_epoch_too(
    batches: int, steps: int, opt: Any
) -> None:
    made, norms = trained(Accumulate(batches), opt=opt, lr=0.01)
    expected, larger = trained(bs=4 * batches, opt=opt, lr=0.01)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)
    assert len(norms) == len(larger) == 2 * steps
    assert norms == pytest.approx(larger, rel=1e-4)
    if batches > 1:
        assert not torch.allclose(made, trained(opt=opt, lr=0.01)[0], atol=1e-4)


def test_nothing_is_left_for_the_next_epoch() -> None:
    both, _ = trained(Accumulate(2), epochs=2)
    expected, _ = trained(bs=8, epochs=2)
    torch.testing.assert_close(both, expected, rtol=0, atol=1e-6)


def test_clipping_bounds_the_norm_of_each_step() -> None:
    _, plain = trained()
    made, norms = trained(*of_recipe(clip=0.05))
    assert max(plain) > min(plain) > 0.05
    assert norms == pytest.approx([0.05] * len(plain), rel=1e-4)
    wide, _ = trained(*of_recipe(clip=1e3))
    assert torch.equal(wide, trained()[0])
    assert not torch.allclose(made, wide, atol=1e-3)


def test_what_is_clipped_is_the_mean_over_the_batches_of_a_step() -> None:
    made, norms = trained(*of_recipe(clip=0.3, accumulate=2))
    expected, larger = trained(*of_recipe(clip=0.3), bs=8)
    assert norms == pytest.approx(larger, rel=1e-4)
    assert max(norms) == pytest.approx(0.3, rel=1e-4)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-6)


def test_fp16_gradients_are_unscaled_once_per_step_and_then_clipped() -> None:
    autocast = Autocast("fp16", CPU)
    autocast.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8, growth_interval=10**6)
    steps: list[int] = []
    step = autocast.scaler.step
    autocast.scaler.step = lambda opt: (steps.append(1), step(opt))
    made, norms = trained(autocast, *of_recipe(clip=0.05, accumulate=2))
    assert len(steps) == len(norms) == 6
    assert norms == pytest.approx([0.05] * 6, rel=1e-4)
    expected, _ = trained(*of_recipe(clip=0.05, accumulate=2))
    torch.testing.assert_close(made, expected, rtol=0, atol=2e-3)


def test_an_overflow_in_one_batch_drops_the_whole_step() -> None:
    autocast = Autocast("fp16", CPU)
    autocast.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=10**6)
    made, norms = trained(autocast, *of_recipe(accumulate=2), epochs=10)
    halved = 24 - int(torch.tensor(autocast.scaler.get_scale()).log2())
    assert len(norms) == 30 - halved > 0  # a step that is dropped is not clipped either
    assert made.isfinite().all()


def test_a_recipe_without_them_has_none() -> None:
    assert of_recipe() == []
    for accumulate, clip in itertools.product((1, 2), (0, 1.0)):
        assert len(of_recipe(accumulate=accumulate, clip=clip)) == (accumulate > 1) + (clip > 0)
