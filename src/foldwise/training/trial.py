"""Trials of one fold: a few of its rows alone, what the learning-rate finder says of it, and a
sheet of its images."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from foldwise.store.run_records import RateSearch
from foldwise.training.fitting.finder import find_rate
from foldwise.training.fitting.fold import FoldInputs
from foldwise.training.fitting.networks import trainable_of
from foldwise.training.fitting.stages import own_callbacks
from foldwise.training.fitting.streams import EpochStreams, seed_block
from foldwise.training.loading.showing import save_sheet
from foldwise.training.speed.memory import keep_freed_memory
from foldwise.training.speed.precision import determinism

TRIAL_BATCHES = 3  # of the training part; as many rows are validated, and predicted of the test set


def few(inputs: FoldInputs) -> FoldInputs:
    """The inputs with so few rows that an epoch has BATCHES batches of the largest stage.

    Rows are drawn by the seed: where files are sorted by class, the first ones are of one class.
    """
    recipe, ids = inputs.recipe, inputs.train.frame["id"]
    rows = TRIAL_BATCHES * max(
        (recipe.stage_batch(s) for s in recipe.stage), default=recipe.batch_size
    )
    order = np.random.default_rng(inputs.seed).permutation(len(ids))
    fold = inputs.folds.of(ids)[order]
    keep = np.zeros(len(ids), dtype=bool)
    keep[order[(fold >= 0) & (fold != inputs.fold)][:rows]] = True
    keep[order[fold == inputs.fold][:rows]] = True
    first = np.arange(len(inputs.test)) < rows
    return replace(inputs, train=inputs.train.where(keep), test=inputs.test.where(first))


def search(inputs: FoldInputs) -> RateSearch:
    """What `find_rate` finds for the first stage of a fold: where its training would begin.

    Weights, batches, precision and random numbers are those of a stage with `lr = "find"`, so it
    is the same rate. Nothing is trained or written, and the model is not compiled: there are at
    most 100 batches.
    """
    inputs = replace(inputs, recipe=inputs.recipe.model_copy(update={"compile": False}))
    keep_freed_memory()
    with determinism(inputs.recipe.deterministic), seed_block(inputs.seed, inputs.fold, "init"):
        learner = trainable_of(inputs, inputs.preprocessing).stage_learner(0)
        streams = EpochStreams(inputs.seed, inputs.fold, 0)
        return find_rate(learner, own_callbacks(inputs.recipe.stage[0], streams))


def sheet(inputs: FoldInputs, path: Path) -> int:
    """Save a sheet of a fold's training images as its last stage sees them; returns their number.

    Nothing is trained; no model is made.
    """
    inputs = inputs.taught()
    with seed_block(inputs.seed, inputs.fold, "sheet"):
        return save_sheet(inputs.loaders(), path, inputs.seed, inputs.fold)
