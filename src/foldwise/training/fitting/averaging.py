"""Averaged weights: EMA over the steps of a training, SWA over its last epochs."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TypedDict, cast

import torch
from fastai.callback.core import Callback
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from foldwise.config.recipe import SettledRecipe
from foldwise.training.speed.precision import autocast, device

# training batches from which SWA counts BatchNorm's statistics, as fvcore's PreciseBN does; more
# make no difference (Wu and Johnson 2021, arXiv:2105.07576, 3.2; read 2026-11-22)
STATISTICS_BATCHES = 200


class AveragingState(TypedDict):
    """What a checkpoint keeps of averaged weights."""

    left: int  # epochs that are not trained yet
    average: dict[str, torch.Tensor]


class EmaState(AveragingState):
    """What a checkpoint keeps of an exponential moving average."""

    steps: int


class Averaging(Callback):
    """Keeps averaged weights beside the model's own, evaluates them, and leaves them in the model.

    The two change places, by pointer: the averaged weights are in the model while it validates and
    when training is over, its own while it trains and between stages. Parameters and float buffers
    are averaged. Whole numbers are copied, and infinite ones, such as bounds that nothing reaches:
    an average that adds a share of the difference makes NaN of them. (torch's AveragedModel keeps a
    second model, rounds averages of whole numbers, and waits for the GPU at each update.)

    epochs: of all stages together.
    """

    order = -9  # after the model is on its device, before everything that reads its weights

    def __init__(self, epochs: int) -> None:
        self.average: dict[str, torch.Tensor] = {}
        self.left = epochs  # not trained yet
        self.swapped = False

    def before_fit(self) -> None:
        """Put the model's own weights back, and begin the average where there is none."""
        self._put(averaged=False)
        self.own = _tensors(self.learn.model)
        with torch.no_grad():  # in the layout of the model's own, wherever the average comes from
            self.average = {
                name: torch.empty_like(tensor).copy_(self.average.get(name, tensor))
                for name, tensor in self.own.items()
            }
        floats = [
            name
            for name, tensor in self.own.items()
            if tensor.is_floating_point() and not tensor.isinf().any()
        ]
        self.floats = [[held[name] for name in floats] for held in (self.average, self.own)]
        self.copied = [name for name in self.own if name not in floats]

    def follow(self, model: nn.Module, change: Callable[[nn.Module], None]) -> None:
        """Change the average as the model is about to be changed, whose parameters become others.

        Averages of another shape are a checkpoint's, of a later stage.
        """
        self._put(averaged=False)
        own = _tensors(model)
        if {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in self.average.items()}:
            twin = copy.deepcopy(model)
            for name, tensor in _tensors(twin).items():
                tensor.data.copy_(self.average[name])
            change(twin)
            self.average = {name: tensor.detach() for name, tensor in _tensors(twin).items()}

    def after_train(self) -> None:
        """Count the epoch."""
        self.left -= 1

    def before_validate(self) -> None:
        """Put the averaged weights into the model."""
        self._put(averaged=True)

    def after_validate(self) -> None:
        """Put the model's own weights back."""
        self._put(averaged=False)

    def after_epoch(self) -> None:
        """Put the model's own weights back, where validation was left without its end."""
        self._put(averaged=False)

    def after_cancel_fit(self) -> None:
        """Note that training is over: it was stopped early."""
        self.left = 0

    def after_fit(self) -> None:
        """Leave the averaged weights in the model, if training is over."""
        self._put(averaged=not self.left)

    def state_dict(self) -> AveragingState:
        """What to save between two steps: plain numbers, and the tensors of `average` by name."""
        held = self.own if self.swapped else self.average
        return {"left": self.left, "average": {k: v.detach() for k, v in held.items()}}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a saved state; the next fit takes it over."""
        known = cast(AveragingState, state)
        self.left, self.average = known["left"], dict(known["average"])

    def _put(self, averaged: bool) -> None:
        """Exchange the weights, if the others are in the model."""
        if averaged == self.swapped:
            return
        if averaged:
            for name in self.copied:
                self.average[name].copy_(self.own[name])
        for name, own in self.own.items():
            average = self.average[name]
            own.data, average.data = average.data, own.data
        self.swapped = averaged


class Ema(Averaging):
    """The exponential moving average of the weights over all steps of a training.

    decay: the share that the average keeps at each step. The first steps keep less, at step n
    (1 + n) / (10 + n), or a short training would end near the weights that it began with: the rule
    of tf.train.ExponentialMovingAverage with num_updates (tensorflow.org, read 2026-11-22).
    BatchNorm's statistics are averaged as the weights are, as in timm's ModelEmaV3 (timm 1.0.31).
    """

    def __init__(self, decay: float, epochs: int) -> None:
        super().__init__(epochs)
        self.decay, self.steps, self.cancelled = decay, 0, False

    def after_cancel_step(self) -> None:
        """Note that there was no step: fp16's gradients overflowed."""
        self.cancelled = True

    def after_step(self) -> None:
        """Average the weights in."""
        if self.cancelled:
            self.cancelled = False
            return
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        get_ema_multi_avg_fn(decay)(*self.floats, None)

    def state_dict(self) -> EmaState:
        """What to save between two steps."""
        return {"steps": self.steps, **super().state_dict()}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a saved state."""
        super().load_state_dict(state)
        self.steps = cast(EmaState, state)["steps"]


class Swa(Averaging):
    """The mean of the weights after each of the last epochs (Izmailov et al. 2018, 1803.05407).

    Means of BatchNorm's statistics would be those of other weights: they are counted anew before
    each validation of averaged weights, on training images (augmented, not mixed).

    last: how many epochs count.
    """

    def __init__(self, last: int, epochs: int, precision: str = "fp32") -> None:
        super().__init__(epochs)
        self.last, self.precision = last, precision

    def after_train(self) -> None:
        """Average the weights in, where the epoch is one of the last."""
        super().after_train()
        if self.left < self.last:
            get_swa_multi_avg_fn()(*self.floats, self.last - self.left - 1)
        modules = self.learn.model.modules()  # frozen layers are not in training mode
        self.norms = [m for m in modules if isinstance(m, _BatchNorm) and m.training]

    def before_validate(self) -> None:
        """Put the averaged weights, if there are any yet, into the model, with new statistics."""
        if self.left < self.last:
            super().before_validate()
            batches = (batch[0] for batch in islice(self.learn.dls.train, STATISTICS_BATCHES))
            count_statistics(self.learn.model, self.norms, batches, self.precision)


@torch.no_grad()
def count_statistics(
    model: nn.Module,
    norms: Sequence[_BatchNorm],
    batches: Iterable[torch.Tensor],
    precision: str,
) -> None:
    """Count the statistics of BatchNorm layers anew, as the mean over batches of images.

    The model is in evaluation mode, these layers apart. (torch's update_bn counts for all layers,
    frozen ones too, and with dropout and drop path, which those who evaluate do not see.)
    """
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # each batch counts the same
        norm.train()
    for images in batches if norms else ():
        with autocast(precision, device()):  # the model alone: augmentation stays in fp32
            model(images.as_subclass(torch.Tensor))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def averaging_callbacks(recipe: SettledRecipe) -> list[Averaging]:
    """The callback for a recipe's `ema` or `swa`, if it has one. recipe: a settled one."""
    epochs = sum(stage.length for stage in recipe.stage)
    if recipe.ema:
        return [Ema(recipe.ema, epochs)]
    return [Swa(recipe.swa, epochs, recipe.precision)] if recipe.swa else []


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """The model's parameters and buffers themselves, by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
