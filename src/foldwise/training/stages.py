"""A fold's stages of training: one fastai Learner, fitted stage by stage."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import fastai.callback.schedule  # noqa: F401  (adds fit_one_cycle to Learner)
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from torch import nn

from foldwise.errors import RunError
from foldwise.spec.recipe import Recipe
from foldwise.training.batches import FrameBlock, dataloaders
from foldwise.training.events import BatchDone, EpochDone, FoldStarted, Observer
from foldwise.training.losses import loss_of
from foldwise.training.memory import keep_freed_memory
from foldwise.training.meters import on_device
from foldwise.training.mixing import Mixing
from foldwise.training.models import head_and_body
from foldwise.training.optim import Adam
from foldwise.training.precision import Autocast, Compiled, compile_errors, device
from foldwise.training.streams import EpochStreams


@dataclass(frozen=True)
class Place:
    """Which fold of which run is trained: for events, errors and random streams."""

    run: str
    seed: int
    fold: int
    folds: int


class Report(Callback):
    """Sends BatchDone and EpochDone events; keeps the history."""

    order = 65  # after the Recorder
    run_valid = False

    def __init__(self, place: Place, recipe: Recipe, observe: Observer) -> None:
        self.place, self.observe = place, observe
        self.epochs = sum(stage.epochs for stage in recipe.stage)
        self.done, self.history = 0, []  # type: int, list[dict[str, float]]

    def before_train(self) -> None:
        """Start the clock of an epoch."""
        self.begun = time.perf_counter()
        self.images = 0

    def after_batch(self) -> None:
        """Count a training batch."""
        self.done += 1
        self.images += len(self.learn.xb[0])
        self.observe(BatchDone(self.place.run, self.place.fold, self.done))

    def after_train(self) -> None:
        """Stop the clock of an epoch's training part."""
        self.seconds = time.perf_counter() - self.begun

    def after_epoch(self) -> None:
        """Report the epoch; stop a training that has diverged."""
        train_loss, valid_loss = (float(value) for value in self.learn.recorder.log[1:3])
        self.history.append({"train_loss": train_loss, "valid_loss": valid_loss})
        if train_loss != train_loss:
            raise RunError(
                f"{self.place.run} fold {self.place.fold}: the training loss became NaN in epoch "
                f'{len(self.history)}; lower lr, or use precision = "fp32"'
            )
        self.observe(
            EpochDone(
                self.place.run,
                self.place.fold,
                len(self.history),
                self.epochs,
                train_loss,
                valid_loss,
                self.images / self.seconds,
                self.seconds,
            )
        )


def train_stages(
    model: nn.Module,
    block_of: Callable[[int], FrameBlock],
    recipe: Recipe,
    place: Place,
    observe: Observer,
    multi: bool = False,
) -> tuple[DataLoaders, list[dict[str, float]]]:
    """Train the model in place through all stages; returns the last DataLoaders and the history.

    block_of: the DataBlock of a stage by its number. recipe: a settled one, no value is `auto`.
    multi: an image may have many labels. history: `train_loss` and `valid_loss` per epoch.

    Raises: RunError: the training diverges, or torch.compile fails.
    """
    keep_freed_memory()
    on = device()
    loaders = [dataloaders(block_of(i), recipe.batch, on)
               for i in range(len(recipe.stage))]  # fmt: skip
    report = Report(place, recipe, observe)
    batches = sum(s.epochs * len(dls.train) for s, dls in zip(recipe.stage, loaders, strict=True))
    observe(FoldStarted(place.run, place.fold, place.folds, report.epochs, batches))
    mixing = [Mixing(recipe.mixup, recipe.cutmix, len(loaders[0].vocab))
              ] if recipe.mixup or recipe.cutmix else []  # fmt: skip
    learner = Learner(
        loaders[0],
        model,
        loss_func=loss_of(recipe, multi),
        opt_func=Adam,
        splitter=head_and_body,
        wd=recipe.weight_decay,
        cbs=[
            Autocast(recipe.precision, on),
            report,
            *([Compiled()] if recipe.compile else []),
            *mixing,
        ],
    )
    learner.remove_cbs(learner._grab_cbs(ProgressCallback))
    on_device(learner)
    with compile_errors() if recipe.compile else nullcontext():
        for number, stage in enumerate(recipe.stage):
            learner.dls = loaders[number]
            learner.freeze() if stage.train == "head" else learner.unfreeze()
            with learner.no_logging():
                learner.fit_one_cycle(
                    stage.epochs,
                    stage.lr,
                    pct_start=stage.pct_start,
                    cbs=EpochStreams(place.seed, place.fold, number),
                )
    return loaders[-1], report.history
