"""A fold of a network: its stages, what predicts afterwards, and what reports look at."""

from functools import partial

import torch
from fastai.data.core import DataLoaders

from foldwise.kinds.events import Observer
from foldwise.store.frames import write_parquet
from foldwise.store.predictions import read_predictions
from foldwise.training.applying import NetworkPredictor
from foldwise.training.fitting.fold import FoldInputs
from foldwise.training.fitting.report import Report
from foldwise.training.fitting.stages import Place, Trainable, train_stages
from foldwise.training.loading.showing import augmented_images
from foldwise.training.maps import worst_maps
from foldwise.training.methods.base import Fitted
from foldwise.training.models.building import Preprocessing, build_on_device


def trainable_of(inputs: FoldInputs, about: Preprocessing) -> Trainable:
    """The fold's network with its first weights, and what its stages train it by.

    about: the inputs' preprocessing. Random weights come from the global generator.
    Raises: WeightsError, SpecError: see `build_model`.
    """
    model = build_on_device(inputs.recipe, about.n_outputs, len(inputs.mode))
    return Trainable(
        model=model,
        block_of=partial(inputs.block, about),
        recipe=inputs.recipe,
        meaning=about.meaning,
    )


def fit_network(inputs: FoldInputs, about: Preprocessing, observe: Observer) -> Fitted:
    """Train the recipe's network through all stages."""
    trainable = trainable_of(inputs, about)
    model = trainable.model
    dls, report, stopped = train_stages(
        trainable,
        Place(
            run=inputs.run,
            seed=inputs.seed,
            fold=inputs.fold,
            folds=inputs.folds.n,
            folder=inputs.folder,
            score=inputs.score,
        ),
        observe,
    )
    # of an early stop the images that it validates on decide: so it is said
    early = {} if stopped is None else {"stopped_early_after_epoch": stopped}
    return Fitted(
        model=model,
        predictor=NetworkPredictor(model, about, dls),
        history=report.history,
        told={**_speeds(report), **early},
        show=partial(_write_shown, inputs, model, dls, about, report),
    )


def _speeds(report: Report) -> dict[str, object]:
    """Images per second, the mean weighted by time; and what each epoch took."""
    total = sum(epoch["seconds"] for epoch in report.epochs)
    images = sum(epoch["images_per_second"] * epoch["seconds"] for epoch in report.epochs)
    epochs = [{key: round(value, 3) for key, value in epoch.items()} for epoch in report.epochs]
    return {"images_per_second": round(images / total, 1), "epochs": epochs} if total else {}


def _write_shown(
    inputs: FoldInputs,
    model: torch.nn.Module,
    dls: DataLoaders,
    about: Preprocessing,
    report: Report,
) -> None:
    """Write what reports alone look at. Nothing of it takes part in what the fold predicts."""
    files = inputs.files
    oof = read_predictions(files.oof, inputs.train.classes)
    tables = {
        files.rates: report.rates(),
        files.augmented: augmented_images(dls, inputs.train, about, inputs.seed, inputs.fold),
        files.maps: worst_maps(model, dls, inputs.train, oof),
    }
    for path, table in tables.items():
        if table is not None:
            write_parquet(path, table)
