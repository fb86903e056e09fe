"""The optimizers by torch's fused kernels: fastai's Adam, and gradient descent with momentum."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import torch
from fastai.optimizer import Optimizer
from torch import nn
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from foldwise.config.recipe import SettledRecipe

Parameters = Sequence[nn.Parameter] | Sequence[Sequence[nn.Parameter]]  # of one group, or lists


class Dropping(Optimizer):
    """A fastai optimizer whose gradients are dropped, not zeroed.

    The next backward pass then writes them without reading, and whether there are any tells
    whether a step is due.
    """

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for params in self.param_lists:
            for param in params:
                param.grad = None


class Adam(Dropping):
    """fastai's Adam with decoupled weight decay: the same formula, in one pass over memory.

    fastai steps parameter by parameter, operation by operation. torch's AdamW has the same formula
    with other defaults (betas, eps, and it decays everything), so the recipe's values are passed;
    sums are taken in another order, which shows in the last digit.

    params: lists of parameters, one per group. mom, sqr_mom: beta 1 and beta 2. wd: weight decay;
    parameters whose state says `do_wd: False` (norms and biases) have none.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float,
        mom: float = 0.9,
        sqr_mom: float = 0.99,
        eps: float = 1e-5,
        wd: float = 0.01,
    ) -> None:
        super().__init__(params, [], lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step for every parameter that has a gradient."""
        for params, hyper in zip(self.param_lists, self.hypers, strict=True):
            moving = [p for p in params if p.grad is not None]
            decayed = [p for p in moving if self.state[p].get("do_wd", True)]
            others = [p for p in moving if not self.state[p].get("do_wd", True)]
            self._step(decayed, hyper, hyper["wd"])
            self._step(others, hyper, 0.0)

    def _step(self, params: list[torch.Tensor], hyper: dict[str, float], decay: float) -> None:
        """One step for parameters of one weight decay."""
        if not params:
            return
        states = [self._state_of(p) for p in params]
        adamw(
            params,
            [p.grad for p in params if p.grad is not None],
            [state["grad_avg"] for state in states],
            [state["sqr_avg"] for state in states],
            [],
            [state["step"] for state in states],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=hyper["mom"],
            beta2=hyper["sqr_mom"],
            lr=hyper["lr"],
            weight_decay=decay,
            eps=hyper["eps"],
        )

    def _state_of(self, param: torch.Tensor) -> dict[str, torch.Tensor]:
        """A parameter's averages and number of steps (a tensor on its device), made if new."""
        state: dict[str, torch.Tensor] = self.state[param]
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=param.device)
            state["grad_avg"] = torch.zeros_like(param)
            state["sqr_avg"] = torch.zeros_like(param)
        return state


class Sgd(Dropping):
    """Gradient descent, with Nesterov's momentum where it has one: torch's formula, fused.

    v = mom * v + gradient, p -= lr * (gradient + mom * v), as torch and timm write Sutskever et al.
    2013; plain, p -= lr * gradient, where momentum is 0, whatever a schedule then says of `mom`.
    wd: weight decay, decoupled from the gradient as Adam's here is: a step shrinks p by lr * wd,
    where torch.optim.SGD, whose decay passes through v, shrinks it by lr * wd / (1 - mom).
    """

    def __init__(
        self, params: Parameters, lr: float, momentum: float = 0.0, wd: float = 0.0
    ) -> None:
        super().__init__(params, [], lr=lr, mom=momentum, wd=wd)
        self.remembers = momentum > 0

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step for every parameter that has a gradient."""
        for params, hyper in zip(self.param_lists, self.hypers, strict=True):
            chosen = [p for p in params if p.grad is not None]
            decayed = [p for p in chosen if self.state[p].get("do_wd", True)]
            if decayed and hyper["wd"]:
                torch._foreach_mul_(decayed, 1 - hyper["lr"] * hyper["wd"])
            if chosen:
                sgd(
                    chosen,
                    [p.grad for p in chosen],
                    [self._velocity_of(p) if self.remembers else None for p in chosen],
                    fused=True,
                    weight_decay=0.0,
                    momentum=hyper["mom"] if self.remembers else 0.0,
                    lr=hyper["lr"],
                    dampening=0.0,
                    nesterov=self.remembers,
                    maximize=False,
                )

    def _velocity_of(self, param: torch.Tensor) -> torch.Tensor:
        """A parameter's v, zero if new."""
        state: dict[str, torch.Tensor] = self.state[param]
        if "grad_avg" not in state:  # fastai's name of it
            state["grad_avg"] = torch.zeros_like(param)
        return state["grad_avg"]


class MakeOptimizer(Protocol):
    """What a Learner's opt_func is."""

    def __call__(self, params: Parameters, lr: float) -> Dropping: ...


def optimizer_of(recipe: SettledRecipe) -> MakeOptimizer:
    """What makes a recipe's optimizer of lists of parameters, as a Learner's opt_func does."""
    return Adam if recipe.optimizer == "adam" else partial(Sgd, momentum=recipe.momentum)
