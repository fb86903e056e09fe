"""Trials of one fold: a few of its rows alone, what the learning-rate finder says of it, and a
sheet of its images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from foldwise.store.run_records import RateSearch
from foldwise.training.fitting.finder import find_rate
from foldwise.training.fitting.fold import FoldInputs
from foldwise.training.fitting.stages import learner_of, own_callbacks, prepare_stage
from foldwise.training.fitting.streams import EpochStreams, seed_block
from foldwise.training.loading.batches import dataloaders
from foldwise.training.loading.showing import save_sheet
from foldwise.training.models.building import build_model
from foldwise.training.speed.memory import keep_freed_memory
from foldwise.training.speed.precision import determinism, device

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
    recipe = inputs.recipe.model_copy(update={"compile": False})
    stage, on = recipe.stage[0], device()
    keep_freed_memory()
    with determinism(recipe.deterministic), seed_block(inputs.seed, inputs.fold, "init"):
        about = inputs.preprocessing
        model = build_model(recipe, about.n_outputs, len(inputs.mode))
        model = model.to(on).to(memory_format=torch.channels_last)
        dls = dataloaders(inputs.block(about, 0), recipe.stage_batch(stage), on)
        learner = learner_of(model, dls, recipe, about.meaning)
        prepare_stage(learner, recipe, stage)
        streams = EpochStreams(inputs.seed, inputs.fold, 0)
        return find_rate(learner, own_callbacks(stage, streams))


def sheet(inputs: FoldInputs, path: Path) -> int:
    """Save a sheet of a fold's training images as its last stage sees them; returns their number.

    Nothing is trained; no model is made.
    """
    inputs = inputs.taught()
    recipe = inputs.recipe
    about = inputs.preprocessing
    with seed_block(inputs.seed, inputs.fold, "sheet"):
        dls = dataloaders(inputs.block(about), recipe.stage_batch(recipe.stage[-1]), device())
        return save_sheet(dls, path, inputs.seed, inputs.fold)
