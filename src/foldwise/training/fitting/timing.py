"""What the parts of a fold's training take on this machine: measured on its first batches."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import gettempdir

import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.data.core import DataLoaders
from torch import nn

from foldwise.config.budget import BudgetPlan, Costs, Measures, fit_budget
from foldwise.config.recipe import SettledRecipe
from foldwise.store.files import scratch
from foldwise.store.layout import FoldFolder
from foldwise.training.fitting.checkpoint import save_state
from foldwise.training.fitting.fold import FoldInputs
from foldwise.training.fitting.networks import trainable_of
from foldwise.training.fitting.run import RunData
from foldwise.training.fitting.stages import own_callbacks
from foldwise.training.fitting.streams import EpochStreams, seed_block
from foldwise.training.models.sizes import takes
from foldwise.training.predict import predict
from foldwise.training.speed.machine import wait_for_gpu
from foldwise.training.speed.memory import keep_freed_memory
from foldwise.training.speed.precision import autocast, determinism, device

log = logging.getLogger(__name__)

STEPS, SECONDS = 12, 6.0  # a stage is timed over so many batches, or so long,
TIMED_SHARE = 0.02  # or for this share of the time that is left; over four batches at least
TIMED_BATCHES = (
    4  # of validation, and of prediction, are timed; or a third of that time; one at least
)


class Timed(Callback):
    """Notes the ends of training batches, and ends the fit after some of them."""

    order = 80  # after everything that a batch does

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def before_fit(self) -> None:
        """Begin."""
        self.ends = [clock()]

    def after_batch(self) -> None:
        """Note the time."""
        if self.training:
            self.ends.append(clock())
            if len(self.ends) > STEPS or (
                len(self.ends) > 4 and self.ends[-1] - self.ends[2] > self.seconds
            ):
                raise CancelFitException

    @property
    def step(self) -> float:
        """Seconds of a batch."""
        return _pace(self.ends, range(len(self.ends)))

    @property
    def start(self) -> float:
        """Seconds that the first batch took beside."""
        return max(self.ends[1] - self.ends[0] - self.step, 0.0)


def plan(
    on: RunData,
    recipe: SettledRecipe,
    rows: int,
    wanted: Sequence[int],
    left: Callable[[], float],
) -> BudgetPlan:
    """The plan of a run's recipe: see `plan_of`."""
    inputs = FoldInputs(
        run="plan",
        folder=Path(),
        recipe=recipe,
        seed=recipe.seeds[0],
        fold=wanted[0],
        folds=on.folds,
        caches=tuple(on.caches),
        train=on.competition.train,
        test=on.competition.test,
        mode=on.competition.spec.images.mode,
    )
    return plan_of(inputs, rows, wanted, left)


def plan_of(
    inputs: FoldInputs, rows: int, wanted: Sequence[int], left: Callable[[], float]
) -> BudgetPlan:
    """The plan that fits the inputs' recipe to its budget: see `budget.fit_budget`.

    rows: in the training part of a fold. wanted: the folds to train. left: gives the seconds that
    are left.
    Raises: SpecError: the budget is too short.
    """
    recipe, folds = inputs.recipe, inputs.folds
    log.info("%s: measuring its speed, to plan for %s", recipe.name, recipe.budget)

    def costs_of(fitted: SettledRecipe) -> Costs:
        return measure(replace(inputs, recipe=fitted), min(SECONDS, TIMED_SHARE * left()))

    # a short last batch is left out
    batches = [max(rows // recipe.stage_batch(stage), 1) for stage in recipe.stage]
    measures = Measures(costs_of=costs_of, left=left, takes=takes)
    made = fit_budget(recipe, batches, wanted, len(recipe.seeds), measures)
    fitted = recipe.with_plan(made)
    log.info(
        "%s: %d of %d folds with %s epochs (the recipe has %s) at %s px (%s): about %.1f min%s",
        recipe.name,
        len(made.folds),
        folds.n,
        _join_values(s.length for s in fitted.stage),
        _join_values(s.length for s in recipe.stage),
        _join_values("x".join(map(str, fitted.stage_size(s))) for s in fitted.stage),
        _join_values("x".join(map(str, recipe.stage_size(s))) for s in recipe.stage),
        made.seconds / 60,
        " a seed" if len(recipe.seeds) > 1 else "",
    )
    return made


def _join_values(values: Iterable[object]) -> str:
    """Values with a plus between them."""
    return " + ".join(map(str, values))


def measure(inputs: FoldInputs, seconds: float) -> Costs:
    """The costs of a fold of these inputs. Nothing is kept of the training that measures them.

    seconds: for timing the batches of a stage, about.
    """
    recipe = inputs.recipe
    keep_freed_memory()
    begun = clock()
    with (
        scratch(Path(gettempdir()), "foldwise-timing") as folder,
        determinism(recipe.deterministic),
        seed_block(inputs.seed, inputs.fold, "timing"),
    ):
        trainable = trainable_of(inputs, inputs.preprocessing)
        model = trainable.model
        fixed, steps, starts, checks = clock() - begun, [], [], []
        for number, stage in enumerate(recipe.stage):
            begun = clock()
            learner = trainable.stage_learner(number)
            dls: DataLoaders = learner.dls
            fixed += clock() - begun
            timed = Timed(seconds)
            streams = EpochStreams(inputs.seed, inputs.fold, number)
            with learner.no_bar(), learner.no_logging():
                learner.fit(1, cbs=[timed, *own_callbacks(stage, streams)])
            steps.append(timed.step)
            starts.append(timed.start)
            checks.append(
                _per_image(_validate(model, dls, recipe), seconds / 3) * len(dls.valid_ds)
            )
        views = predict(
            model, dls.valid, recipe.tta, recipe.precision, trainable.meaning, recipe.tta_shift
        )
        predicting = _per_image((len(mean) for mean, _ in views), seconds / 3)
        begun = clock()
        save_state(FoldFolder(folder).checkpoint, [model.state_dict(), learner.opt.state_dict()])
        save = clock() - begun
    images = len(dls.valid_ds) + len(inputs.test)
    return Costs(
        step=tuple(steps),
        start=tuple(starts),
        check=tuple(checks),
        save=save,
        predict=predicting * images,
        fixed=fixed,
    )


def clock() -> float:
    """Seconds, once a GPU, if any, has done what it was given."""
    wait_for_gpu()
    return time.perf_counter()


def _validate(model: nn.Module, dls: DataLoaders, recipe: SettledRecipe) -> Iterator[int]:
    """The sizes of validation batches as the model goes through them."""
    model.eval()
    for batch in dls.valid:
        with torch.inference_mode(), autocast(recipe.precision, device()):
            model(batch[0])
        yield len(batch[0])


def _per_image(sizes: Iterable[int], seconds: float) -> float:
    """Seconds per image of what works through batches of these sizes, a few of them."""
    ends, images = [clock()], [0]
    for size in islice(sizes, TIMED_BATCHES):
        ends.append(clock())
        images.append(images[-1] + size)
        if ends[-1] - ends[0] > seconds:
            break
    return _pace(ends, images)


def _pace(ends: Sequence[float], done: Sequence[int]) -> float:
    """Seconds per unit, of the times at which batches ended and the units done by then.

    The first half of the batches warms up: memory is slow where it is used for the first time.
    """
    half = (len(ends) - 1) // 2
    return (ends[-1] - ends[half]) / (done[-1] - done[half])
