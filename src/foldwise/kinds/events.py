"""Plain events that training sends to observers; importing them loads nothing heavy."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class FoldStarted:
    """A fold begins; `batches` is its number of training batches over all epochs."""

    run: str
    fold: int
    folds: int
    epochs: int
    batches: int


@dataclass(frozen=True)
class BatchDone:
    """`done` training batches of the fold are through."""

    run: str
    fold: int
    done: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch is through; `valid_loss` is the mean per image, `train_loss` the
    smoothed one of fastai's Recorder."""

    run: str
    fold: int
    epoch: int  # counted over all stages, from 1
    epochs: int
    train_loss: float
    valid_loss: float
    images_per_second: float  # of the training part
    seconds: float
    accuracy: float | None = None  # of the validation part; None with many labels per image
    score: float | None = None  # the competition's metric there, where it can be had
    rates: tuple[float, float] | None = None  # the least and the largest at the epoch's end


@dataclass(frozen=True)
class FoldDone:
    """A fold's weights and predictions are on disk."""

    run: str
    fold: int
    seconds: float


Event = FoldStarted | BatchDone | EpochDone | FoldDone
Observer = Callable[[Event], None]
