"""What training wrote beside predictions: times, memory, epochs, rates, samples, maps.

Runs of earlier versions lack some of the files; what they would tell is empty then.
"""

from collections.abc import Sequence
from typing import TypedDict, cast

import pandas as pd

from foldwise.reporting.html.pictures import data_url
from foldwise.reporting.summary import FoldScore
from foldwise.store.frames import read_stored
from foldwise.store.layout import RunFolder
from foldwise.store.run_records import FoldRecord, RateSearch, read_history

POINTS = 160  # of a curve: what is drawn, and what the table below it holds
AUGMENTED_SAMPLES = 24  # augmented images
GB = 1e9  # bytes


class FoldTrace(FoldScore, total=False):
    """A fold as its training went, see `folds_of`; of a blend's fold its score alone."""

    seconds: float
    images_per_second: float | None
    memory_GB: float | None
    GPU_memory_GB: float | None
    early: int | None
    epochs: list[dict[str, float | None]]


class RateRow(TypedDict):
    """The learning rates of a batch, see `rates_of`."""

    batch: int
    stage: int
    low: float
    high: float


class RateRows(TypedDict):
    """The learning rates of a fold, see `rates_of`."""

    fold: int
    rows: list[RateRow]


class RatePoint(TypedDict):
    """A point of a finder's curve."""

    rate: float
    loss: float


class Search(TypedDict):
    """What the rate finder saw in a stage, see `finder_of`."""

    fold: int
    stage: str
    suggestions: dict[str, float]
    rows: list[RatePoint]


class AugmentedRow(TypedDict):
    """An image as the model saw it, see `augmented_of`."""

    id: str
    label: str
    image: str


def folds_of(run: RunFolder, scored: Sequence[FoldScore]) -> list[FoldTrace]:
    """`fold, rows, value, seconds, images_per_second, memory_GB, GPU_memory_GB, early, epochs`.

    Of each fold that is done. scored: `by_fold` of its summary. Memory: the peak. early: the epoch
    after which it was stopped. epochs: a list of `epoch, train_loss, valid_loss` and what else the
    history has.
    """
    found: list[FoldTrace] = []
    for row in scored:
        fold = run.fold(row["fold"])
        done, history = FoldRecord.read(fold.record), read_history(fold.history)
        times = {epoch["epoch"]: epoch for epoch in done.epochs}
        found.append(
            {
                **row,
                "seconds": done.seconds,
                "images_per_second": done.images_per_second,
                "memory_GB": done.memory_bytes and done.memory_bytes / GB,
                "GPU_memory_GB": done.device_memory_bytes and done.device_memory_bytes / GB,
                "early": done.stopped_early_after_epoch,
                "epochs": [
                    {"epoch": number, **epoch, **times.get(number, {})}
                    for number, epoch in enumerate(history, 1)
                ],
            }
        )
    return found


def rates_of(run: RunFolder) -> RateRows | None:
    """The learning rates of the first fold that has them: `fold`, and `rows`, at most POINTS.

    rows: `batch, stage, low, high`: the lowest and the highest rate of all layer groups.
    """
    for fold in run.folds_with("rates"):
        frame = read_stored(fold.rates)
        step = -(-len(frame) // POINTS)
        ends = frame["stage"] != frame["stage"].shift(-1)
        kept = frame[(pd.RangeIndex(len(frame)) % step == 0) | ends]
        return {"fold": fold.number, "rows": cast(list[RateRow], kept.to_dict("records"))}
    return None


def finder_of(run: RunFolder) -> list[Search]:
    """What the rate finder saw: `fold, stage, suggestions, rows`; rows: `rate, loss`.

    Of each stage that asked for it. suggestions: a rate by the method's name.
    """
    found: list[Search] = []
    for fold in run.there():
        for stage, path in fold.rate_searches().items():
            search = RateSearch.read(path)
            curve = zip(search.rates, search.losses, strict=False)
            found.append(
                {
                    "fold": fold.number,
                    "stage": stage,
                    "suggestions": search.suggestions,
                    "rows": [{"rate": rate, "loss": loss} for rate, loss in curve],
                }
            )
    return found


def augmented_of(run: RunFolder) -> list[AugmentedRow]:
    """Training images as the model saw them, `id, label, image`; of the first fold that has them.

    image: a data URL.
    """
    for fold in run.folds_with("augmented"):
        rows = read_stored(fold.augmented).head(AUGMENTED_SAMPLES).to_dict("records")
        return [
            {"id": row["id"], "label": row["label"], "image": data_url(row["image"])}
            for row in rows
        ]
    return []


def maps_of(run: RunFolder) -> dict[str, tuple[str, bytes]]:
    """By id, the class that an activation map speaks for, and the map: a grey PNG."""
    folds = run.folds_with("maps")
    rows = (row for fold in folds for row in read_stored(fold.maps).to_dict("records"))
    return {row["id"]: (row["said"], row["map"]) for row in rows}
