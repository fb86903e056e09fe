"""A fold's stages of training: one fastai Learner, fitted stage by stage, from a checkpoint on."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import fastai.callback.schedule  # noqa: F401  (adds lr_find to Learner)
import pandas as pd
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.callback.schedule import ParamScheduler
from fastai.callback.training import BnFreeze
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import nn

from foldwise.arrays import Array
from foldwise.config.recipe import SettledRecipe
from foldwise.config.stage import Stage
from foldwise.kinds.events import FoldStarted, Observer
from foldwise.store.layout import FoldFolder
from foldwise.training.fitting.activations import CLASSES, Meaning
from foldwise.training.fitting.averaging import Averaging, averaging_callbacks
from foldwise.training.fitting.checkpoint import Checkpoints, Resumable, interruptible
from foldwise.training.fitting.criterion import loss_of
from foldwise.training.fitting.finder import find_rate, rate_found
from foldwise.training.fitting.gradients import gradients
from foldwise.training.fitting.meters import AccuracyMeter, ValidationScore, on_device
from foldwise.training.fitting.optim import optimizer_of
from foldwise.training.fitting.report import Report
from foldwise.training.fitting.stopping import EarlyStop
from foldwise.training.fitting.streams import EpochStreams
from foldwise.training.loading.balance import class_weights
from foldwise.training.loading.batches import FrameBlock, stage_loaders, training_targets
from foldwise.training.loading.mixing import Mixing
from foldwise.training.models.groups import check_groups, frozen_groups, layer_groups, rates_of
from foldwise.training.models.sizes import bring_to, changes
from foldwise.training.speed.memory import keep_freed_memory
from foldwise.training.speed.precision import Autocast, Compiled, compile_errors, device

NO_RATE = 1e-9  # a rate where no step is taken
WATCHERS = (
    Report,
    ValidationScore,
    Averaging,
    EarlyStop,
    Checkpoints,
)  # they see trainings, no finder's trials


@dataclass(frozen=True)
class Place:
    """Which fold of which run is trained, and where its files lie."""

    run: str
    seed: int
    fold: int
    folds: int
    folder: Path | None = None  # the fold's, for checkpoints and rates found; None: none are kept
    score: Callable[[pd.DataFrame], float | None] | None = None  # see `ValidationScore`


@dataclass(frozen=True)
class Trainable:
    """A network with all that its stages of training need: the one door to their Learners.

    model: on the device, its weights those to begin with. block_of: the DataBlock of a stage by its
    number. meaning: what the model's logits mean.
    """

    model: nn.Module
    block_of: Callable[[int], FrameBlock]
    recipe: SettledRecipe
    meaning: Meaning = CLASSES

    def loaders(self, number: int) -> DataLoaders:
        """The DataLoaders of a stage."""
        return stage_loaders(self.block_of(number), self.recipe, number)

    def learner(self, dls: DataLoaders) -> Resumable:
        """A Learner of the model, of no stage yet: see `learner_of` and `prepare_stage`."""
        return learner_of(self.model, dls, self.recipe, self.meaning)

    def stage_learner(self, number: int) -> Resumable:
        """A Learner where a stage begins, had there been none before it on this model.

        Raises: RunError: see `prepare_stage`.
        """
        learner = self.learner(self.loaders(number))
        prepare_stage(learner, self.recipe, self.recipe.stage[number])
        return learner


def train_stages(
    trainable: Trainable, place: Place, observe: Observer
) -> tuple[DataLoaders, Report, int | None]:
    """Train the model in place through all stages, going on from the folder's checkpoint, if any.

    Returns the last DataLoaders; the report, whose history has `train_loss`, `valid_loss` and,
    with one label per image, `accuracy` per epoch; and the epoch after which an early stop ended
    it, or None.

    Raises: RunError: the training diverges, or torch.compile fails. Interrupted: by Ctrl-C.
    """
    keep_freed_memory()
    recipe = trainable.recipe
    loaders = [trainable.loaders(number) for number in range(len(recipe.stage))]
    lengths = [stage.length for stage in recipe.stage]
    batches = sum(n * len(dls.train) for n, dls in zip(lengths, loaders, strict=True))
    observe(
        FoldStarted(
            run=place.run,
            fold=place.fold,
            folds=place.folds,
            epochs=sum(lengths),
            batches=batches,
        )
    )
    report = Report(place.run, place.fold, sum(lengths), batches, observe)
    learner = trainable.learner(loaders[0])
    kept = [report, *averaging_callbacks(recipe)]
    stopping = EarlyStop(recipe.early_stop, lengths, f"{place.run} fold {place.fold}")
    if recipe.early_stop:
        kept.append(stopping)
    score = ValidationScore(place.score, trainable.meaning)
    report.log_score = score.value
    learner.add_cbs([*kept, score])
    saver = saver_of(place, learner, kept)
    with (
        compile_errors() if recipe.compile else nullcontext(),
        interruptible(saver.stop) if saver else nullcontext(),
    ):
        for number, dls in enumerate(loaders):
            learner.dls, report.stage = dls, number
            resize(learner, recipe, recipe.stage[number])
            if saver is None or saver.begin(number, number == len(loaders) - 1):
                fit_stage(learner, recipe, number, place, over=stopping.stopped is not None)
    return loaders[-1], report, stopping.stopped


def learner_of(
    model: nn.Module, dls: DataLoaders, recipe: SettledRecipe, meaning: Meaning
) -> Resumable:
    """A Learner with the recipe's loss, optimizer and the callbacks that change its steps."""
    weights = class_weights(recipe.class_weights, dls.vocab, training_targets(dls))
    callbacks: list[Callback] = [Autocast(recipe.precision, device()), *gradients(recipe)]
    if recipe.compile:
        callbacks.append(Compiled())
    if recipe.mixup or recipe.cutmix:
        callbacks.append(Mixing(recipe.mixup, recipe.cutmix, len(dls.vocab)))
    learner = Resumable(
        dls,
        model,
        loss_func=loss_of(recipe, meaning, weights),
        opt_func=optimizer_of(recipe),
        metrics=[] if meaning.outputs in ("sigmoids", "numbers") else [AccuracyMeter()],
        cbs=callbacks,
    )
    learner.remove_cbs(learner._grab_cbs(ProgressCallback))
    on_device(learner)
    return learner


def saver_of(place: Place, learner: Learner, kept: list[Callback]) -> Checkpoints | None:
    """The callback that saves the learner and what is kept; None where there is no folder."""
    if place.folder is None:
        return None
    states = {type(callback).__name__: callback for callback in kept}
    saver = Checkpoints(
        FoldFolder(place.folder).checkpoint, {"Scaler": learner.autocast.scaler, **states}
    )
    learner.add_cb(saver)
    return saver


def resize(learner: Resumable, recipe: SettledRecipe, stage: Stage) -> None:
    """Bring the learner's model, and averages of its weights, to a stage's image size."""
    size = recipe.stage_size(stage)
    if changes(learner.model, recipe.model.timm_name, size):
        bring = partial(bring_to, name=recipe.model.timm_name, size=size)
        for callback in learner.cbs:
            if isinstance(callback, Averaging):
                callback.follow(learner.model, bring)
        bring(learner.model)


def prepare_stage(learner: Resumable, recipe: SettledRecipe, stage: Stage) -> int:
    """The number of a stage's layer groups; the learner gets an optimizer of its own over them.

    That is how fastai's freeze and unfreeze begin one.
    Raises: RunError: see `check_groups`.
    """
    resize(learner, recipe, stage)
    groups = layer_groups(learner.model, stage.groups)
    check_groups(learner.model, groups)
    learner.splitter = lambda model: groups
    learner.train_bn = stage.norm == "train"
    learner.wd = recipe.stage_decay(stage)
    learner.create_opt()
    learner.freeze_to(frozen_groups(stage, len(groups)))
    return len(groups)


def fit_stage(
    learner: Resumable, recipe: SettledRecipe, number: int, place: Place, over: bool
) -> None:
    """Fit one stage with an optimizer of its own.

    over: an early stop has ended the training; the fit is for what callbacks do at its end.
    """
    stage = recipe.stage[number]
    count = prepare_stage(learner, recipe, stage)
    own = own_callbacks(stage, EpochStreams(place.seed, place.fold, number))
    rate = NO_RATE if over else stage.lr
    if rate == "find":
        path = FoldFolder(place.folder).rate_search(number) if place.folder else None
        aside = [callback for callback in learner.cbs if isinstance(callback, WATCHERS)]
        rate = rate_found(path, stage.find, partial(find_rate, learner, own, aside))
    rates = rates_of(stage, rate, count)
    with learner.no_logging():
        learner.fit(stage.length, cbs=[ParamScheduler(scheduler_curves(stage, rates)), *own])


def scheduler_curves(stage: Stage, rates: Array) -> dict[str, Callable[[float], object]]:
    """What fastai's ParamScheduler takes: `lr`, and `mom` where the schedule has momenta.

    rates: the highest of each layer group, (groups,).
    """
    lr, mom = stage.schedule.rates(stage.length, rates), stage.schedule.momenta()
    return {"lr": lr} if mom is None else {"lr": lr, "mom": mom}


def own_callbacks(stage: Stage, streams: EpochStreams) -> list[Callback]:
    """The callbacks that a stage has beside the learner's and its schedule."""
    return [streams, BnFreeze()] if stage.norm == "frozen" else [streams]
