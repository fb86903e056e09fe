"""Averaged weights are the ones evaluated and left in the model; training goes on with its own."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from fastai.callback.core import (
    Callback,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelValidException,
)
from fastai.callback.training import BnFreeze
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from foldwise.training.fitting.averaging import Averaging, Ema, Swa
from foldwise.training.fitting.optim import Adam
from foldwise.training.speed.precision import Autocast, Compiled
from weights import assert_same_weights

State = dict[str, torch.Tensor]


class Watch(Callback):
    """Keeps the weights at an event, after everything else has run."""

    order = 80

    def __init__(self, event: str = "after_step") -> None:
        self.seen: list[State] = []
        setattr(self, event, self.keep)

    def keep(self) -> None:
        self.seen.append(state_of(self.learn.model))


def state_of(model: nn.Module) -> State:
    return deepcopy(dict(model.state_dict()))


def learner_of(*cbs: Callback) -> Learner:
    """A small model with BatchNorm on four training batches, always in one order."""
    torch.manual_seed(0)
    rows = [(torch.randn(4), torch.randn(1)) for _ in range(26)]
    parts = [DataLoader(part, bs=4, num_workers=0) for part in (rows[:16], rows[16:])]
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1))
    return Learner(DataLoaders(*parts), model, nn.MSELoss(), opt_func=Adam, cbs=list(cbs))


def fit(learner: Learner, epochs: int) -> None:
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs, 0.05)


def validation_loss(model: nn.Module, batches: Any) -> float:
    """The mean loss per row in evaluation mode."""
    model = deepcopy(model).eval()
    with torch.no_grad():
        losses = torch.cat([(model(x) - y).square() for x, y in batches])
    return losses.mean().item()


def assert_close(made: State, expected: State, names: Sequence[str] = ()) -> None:
    for name in names or expected:
        torch.testing.assert_close(made[name], expected[name], rtol=1e-5, atol=1e-6, msg=name)


def recursion(states: Sequence[State], decay: float) -> State:
    """The moving average of states, the first of which is the one before training."""
    made = deepcopy(states[0])
    for n, state in enumerate(states[1:], start=1):
        kept = min(decay, (1 + n) / (10 + n))
        for name, value in state.items():
            made[name] = (
                kept * made[name] + (1 - kept) * value if value.is_floating_point() else value
            )
    return made


def test_ema_is_the_recursion_by_hand_over_all_fits() -> None:
    watch, ema = Watch(), Ema(0.5, 3)
    learner = learner_of(watch, ema)
    before = state_of(learner.model)
    fit(learner, 2)
    fit(learner, 1)  # the same average goes on
    assert ema.steps == len(watch.seen) == 12
    made = state_of(learner.model)
    assert_close(made, recursion([before, *watch.seen], 0.5))
    assert not torch.allclose(made["0.weight"], watch.seen[-1]["0.weight"], atol=1e-3)
    assert not torch.allclose(made["1.running_mean"], watch.seen[-1]["1.running_mean"], atol=1e-3)
    assert made["1.num_batches_tracked"] == 12


class Timm(Callback):
    """timm's average of the same steps, with the decay that ours has at each."""

    order = 80

    def __init__(self, decay: float) -> None:
        self.decay, self.steps = decay, 0

    def before_fit(self) -> None:
        self.average = ModelEmaV3(self.learn.model)

    def after_step(self) -> None:
        self.steps += 1
        self.average.decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.average.update(self.learn.model)


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.9999])
def test_ema_is_timms_with_the_same_decay_at_each_step(decay: float) -> None:
    timms = Timm(decay)
    learner = learner_of(timms, Ema(decay, 2))
    fit(learner, 2)
    assert timms.steps == 8
    assert_same_weights(state_of(learner.model), timms.average.module.state_dict())


class Bounded(nn.Module):
    """Clamps to bounds that weights may bring, and that are infinite without."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bounds", torch.tensor([-torch.inf, torch.inf]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(*self.bounds)


@pytest.mark.parametrize("make", [lambda: Ema(0.9, 2), lambda: Swa(2, 2)])
def test_infinite_bounds_stay_as_they_are_in_averaged_weights(make: Any) -> None:
    learner = learner_of(make())
    learner.model.append(Bounded())
    fit(learner, 1)
    fit(learner, 1)
    assert learner.model[-1].bounds.tolist() == [-torch.inf, torch.inf]
    rest = learner.model[:-1].state_dict()
    assert rest
    assert all(tensor.isfinite().all() for tensor in rest.values())


def test_timms_average_of_infinite_bounds_is_not_a_number() -> None:
    model = nn.Sequential(nn.Linear(1, 1), Bounded())
    ema = ModelEmaV3(model, decay=0.9)
    ema.update(model)
    assert ema.module[1].bounds.isnan().all()


def test_a_high_decay_does_not_hold_a_short_training_at_its_start() -> None:
    watch, ema = Watch(), Ema(0.9999, 2)
    learner = learner_of(watch, ema)
    before = state_of(learner.model)
    fit(learner, 2)
    assert_close(state_of(learner.model), recursion([before, *watch.seen], 0.9999))
    start, own, made = (s["0.weight"] for s in (before, watch.seen[-1], state_of(learner.model)))
    assert (made - own).norm() < (made - start).norm()


@pytest.mark.parametrize("make", [lambda: Ema(0.9, 3), lambda: Swa(2, 3)])
def test_training_itself_is_as_without_an_average(make: Any) -> None:
    plain, averaged = Watch(), Watch()
    for watch, cbs in ((plain, []), (averaged, [make()])):
        learner = learner_of(watch, *cbs)
        fit(learner, 1)
        fit(learner, 2)
    assert plain.seen
    assert plain.seen[0]
    for theirs, ours in zip(plain.seen, averaged.seen, strict=True):
        assert_same_weights(ours, theirs)


@pytest.mark.parametrize("make", [lambda: Ema(0.9, 3), lambda: Swa(2, 3)])
def test_the_averaged_weights_are_evaluated_and_left_in_the_model(make: Any) -> None:
    watch = Watch("after_epoch")
    learner = learner_of(watch, make())
    fit(learner, 3)
    reported = float(learner.recorder.values[-1][1])
    assert reported == pytest.approx(validation_loss(learner.model, learner.dls.valid), rel=1e-5)
    own = deepcopy(learner.model)
    own.load_state_dict(watch.seen[-1])  # between epochs the model has its own
    assert reported != pytest.approx(validation_loss(own, learner.dls.valid), rel=1e-3)


class Leave(Callback):
    """Leaves validation at its first batch."""

    def __init__(self, by: type[Exception]) -> None:
        self.by = by

    def before_batch(self) -> None:
        if not self.training:
            raise self.by


@pytest.mark.parametrize("by", [CancelValidException, CancelEpochException])
def test_a_validation_that_is_left_gives_the_models_own_weights_back(by: type[Exception]) -> None:
    steps, epochs = Watch(), Watch("before_train")
    learner = learner_of(steps, epochs, Ema(0.9, 2), Leave(by))
    fit(learner, 2)
    assert torch.equal(epochs.seen[1]["0.weight"], steps.seen[3]["0.weight"])


class Skip(Callback):
    """Skips every second step."""

    def before_step(self) -> None:
        if self.iter % 2:
            raise CancelStepException


def test_a_step_that_is_skipped_does_not_count() -> None:
    watch, ema = Watch(), Ema(0.5, 1)
    learner = learner_of(watch, ema, Skip())
    before = state_of(learner.model)
    fit(learner, 1)
    assert ema.steps == 2
    assert_close(
        state_of(learner.model), recursion([before, *watch.seen[::2]], 0.5), ["0.weight", "3.bias"]
    )


def test_ema_counts_the_steps_that_fp16_takes() -> None:
    watch, ema = Watch(), Ema(0.5, 12)
    autocast = Autocast("fp16", torch.device("cpu"))
    learner = learner_of(watch, ema, autocast)
    autocast.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=10**6)
    fit(learner, 12)
    halved = 24 - int(torch.tensor(autocast.scaler.get_scale()).log2())
    assert 0 < halved < 48
    assert ema.steps == 48 - halved


def test_swa_is_the_mean_of_the_weights_after_the_last_epochs() -> None:
    watch = Watch("after_train")
    learner = learner_of(watch, Swa(2, 4))
    fit(learner, 3)
    fit(learner, 1)
    own = [{k: v for k, v in state.items() if "0." in k or "3." in k} for state in watch.seen]
    made = state_of(learner.model)
    mean = {name: (own[2][name] + own[3][name]) / 2 for name in own[0]}
    assert_close(made, mean)
    assert not torch.allclose(own[2]["0.weight"], own[3]["0.weight"], atol=1e-3)


def test_swa_counts_the_statistics_of_batchnorm_anew() -> None:
    watch = Watch("after_train")
    learner = learner_of(watch, Swa(3, 5))
    fit(learner, 5)
    made = state_of(learner.model)
    with torch.no_grad():
        outs = [learner.model[0](x) for x, _ in learner.dls.train]  # of the averaged weights
    mean = torch.stack([out.mean(dim=0) for out in outs]).mean(dim=0)
    var = torch.stack([out.var(dim=0) for out in outs]).mean(dim=0)
    torch.testing.assert_close(made["1.running_mean"], mean)
    torch.testing.assert_close(made["1.running_var"], var)
    assert not torch.allclose(watch.seen[-1]["1.running_mean"], mean, atol=1e-3)


def test_swa_evaluates_the_models_own_weights_before_its_first_epoch() -> None:
    losses = []
    for cbs in ([], [Swa(1, 3)]):
        learner = learner_of(*cbs)
        fit(learner, 3)
        losses.append([float(values[1]) for values in learner.recorder.values])
    assert losses[0][:2] == losses[1][:2]
    assert losses[0][2] != losses[1][2]  # one epoch's weights, but other statistics


def test_swa_leaves_the_statistics_of_frozen_layers_alone_and_counts_without_dropout() -> None:
    learner = learner_of(Swa(2, 2), BnFreeze())
    learner.model.insert(0, nn.Dropout(0.5))
    learner.model.append(nn.BatchNorm1d(1))
    for param in learner.model[2].parameters():
        param.requires_grad_(False)
    frozen = deepcopy(learner.model[2].state_dict())
    fit(learner, 2)
    assert_same_weights(learner.model[2], frozen)
    learner.model.eval()
    with torch.no_grad():
        outs = [learner.model[:-1](x) for x, _ in learner.dls.train]
    mean = torch.stack([out.mean(dim=0) for out in outs]).mean(dim=0)
    torch.testing.assert_close(learner.model[-1].running_mean, mean)


class Saving(Callback):
    """Saves everything after an epoch, into a file."""

    order = 90

    def __init__(self, path: Path, average: Averaging) -> None:
        self.path, self.kept = path, average

    def after_epoch(self) -> None:
        torch.save(
            [self.model.state_dict(), self.opt.state_dict(), self.kept.state_dict()],
            self.path / f"{self.epoch}.pt",
        )


@pytest.mark.parametrize("make", [lambda: Ema(0.9, 4), lambda: Swa(2, 4), lambda: Swa(3, 4)])
def test_a_training_goes_on_from_its_saved_state_bit_for_bit(make: Any, tmp_path: Path) -> None:
    average = make()
    whole = learner_of(average, Saving(tmp_path, average))
    fit(whole, 4)
    average = make()
    resumed = learner_of(average)
    model, optimizer, state = torch.load(tmp_path / "1.pt", weights_only=False)
    resumed.model.load_state_dict(model)
    resumed.create_opt()
    resumed.opt.load_state_dict(optimizer)
    average.load_state_dict(state)
    fit(resumed, 2)
    assert_same_weights(resumed.model, whole.model)
    assert float(resumed.recorder.values[-1][1]) == float(whole.recorder.values[-1][1])


class End(Callback):
    """Ends the fit before its second epoch."""

    def before_epoch(self) -> None:
        if self.epoch == 1:
            raise CancelFitException


def test_between_stages_the_model_has_its_own_weights_and_after_an_early_stop_the_average() -> None:
    watch = Watch()
    learner = learner_of(watch, Ema(0.9, 5))
    fit(learner, 2)
    assert torch.equal(learner.model[0].weight, watch.seen[-1]["0.weight"])
    learner.add_cb(End())
    fit(learner, 3)
    assert len(watch.seen) == 12
    assert not torch.equal(learner.model[0].weight, watch.seen[-1]["0.weight"])


def test_the_state_after_a_fit_is_still_the_averages() -> None:
    ema, watch = Ema(0.9, 1), Watch()
    learner = learner_of(ema, watch)
    fit(learner, 1)
    state = ema.state_dict()["average"]
    assert torch.equal(state["0.weight"], learner.model[0].weight)
    assert not torch.equal(state["0.weight"], watch.seen[-1]["0.weight"])


def test_a_compiled_models_average_is_the_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrapped(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self._orig_mod = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self._orig_mod(x)

    monkeypatch.setattr(torch, "compile", lambda model, dynamic: Wrapped(model))
    states = []
    for cbs in ([], [Compiled()]):
        learner = learner_of(Ema(0.9, 2), *cbs)
        fit(learner, 2)
        states.append(state_of(learner.model))
    assert_same_weights(*states)
