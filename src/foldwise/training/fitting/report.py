"""What a training tells: events for observers, and tables of its epochs and rates."""

import time
from collections.abc import Callable, Mapping
from typing import NotRequired, TypedDict, cast

import numpy as np
import pandas as pd
from fastai.callback.core import Callback

from foldwise.errors import RunError
from foldwise.kinds.events import BatchDone, EpochDone, Observer

RATES = 500  # rows of the table of rates, about


class ReportState(TypedDict):
    """What a checkpoint keeps of a Report; older ones know neither epochs' times nor rates."""

    done: int
    history: list[dict[str, float]]
    epochs: NotRequired[list[dict[str, float]]]
    rates: NotRequired[list[tuple[int, int, float, float]]]  # the rows of `Report.rates`


class Report(Callback):
    """Sends BatchDone and EpochDone events; keeps what the epochs that were trained were like.

    history: the losses of each epoch, and its accuracy. epochs: what its training part took:
    `epoch, seconds, images_per_second`, where it was interrupted of what came after. stage: the
    number of the one that is trained, set by whoever does.
    """

    order = 65  # after the Recorder, and after the schedule has set the rates
    run_valid = False

    def __init__(self, run: str, fold: int, epochs: int, batches: int, observe: Observer) -> None:
        self.run_name, self.fold, self.n_epochs, self.observe = run, fold, epochs, observe
        kept = np.linspace(1, batches, min(batches, RATES)).round().astype(int)
        self.kept = set(kept.tolist())  # the batches whose rates are
        self.log_score: Callable[[], float | None] = lambda: None  # the metric, after an epoch
        self.stage, self.done = 0, 0
        self.history: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.used: list[tuple[int, int, float, float]] = []  # the rows of `rates`

    def state_dict(self) -> ReportState:
        """Batches done and the tables, for a checkpoint."""
        return {
            "done": self.done,
            "history": [dict(entry) for entry in self.history],
            "epochs": [dict(entry) for entry in self.epochs],
            "rates": [*self.used],
        }

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a checkpoint's ReportState."""
        known = cast(ReportState, state)
        self.done, self.history = known["done"], [dict(entry) for entry in known["history"]]
        self.epochs = [dict(entry) for entry in known.get("epochs", ())]
        self.used = [(*row,) for row in known.get("rates", ())]

    def rates(self) -> pd.DataFrame:
        """The rates that batches were trained at: `batch, stage, low, high`.

        batch: counted over all stages, from 1; about RATES of them, evenly, with the first and the
        last one. low, high: the least and the largest rate of the optimizer's groups.
        """
        kinds = {"batch": np.int64, "stage": np.int64, "low": np.float64, "high": np.float64}
        return pd.DataFrame(self.used, columns=list(kinds)).astype(kinds)

    def before_train(self) -> None:
        """Start the clock of an epoch."""
        self.begun = time.perf_counter()
        self.images = 0

    def after_batch(self) -> None:
        """Count a training batch, and note its rates."""
        self.done += 1
        self.images += len(self.learn.xb[0])
        if self.used and self.used[-1][0] not in self.kept:
            self.used.pop()  # it was there in case that it is the last
        rates = [float(group["lr"]) for group in self.learn.opt.hypers]
        self.used.append((self.done, self.stage, min(rates), max(rates)))
        self.observe(BatchDone(run=self.run_name, fold=self.fold, done=self.done))

    def after_train(self) -> None:
        """Stop the clock of an epoch's training part."""
        self.seconds = time.perf_counter() - self.begun

    def after_epoch(self) -> None:
        """Report the epoch; stop a training that has diverged."""
        names = self.learn.recorder.metric_names[1:-1]  # without epoch and time
        values = [float(value) for value in self.learn.recorder.log[1 : 1 + len(names)]]
        entry = dict(zip(names, values, strict=True))
        self.history.append(entry)
        speed = self.images / self.seconds
        self.epochs.append(
            {"epoch": len(self.history), "seconds": self.seconds, "images_per_second": speed}
        )
        if entry["train_loss"] != entry["train_loss"]:
            raise RunError(
                f"{self.run_name} fold {self.fold}: the training loss became NaN in epoch "
                f'{len(self.history)}; lower lr, or use precision = "fp32"'
            )
        self.observe(
            EpochDone(
                run=self.run_name,
                fold=self.fold,
                epoch=len(self.history),
                epochs=self.n_epochs,
                train_loss=entry["train_loss"],
                valid_loss=entry["valid_loss"],
                images_per_second=speed,
                seconds=self.seconds,
                accuracy=entry.get("accuracy"),
                score=self.log_score(),
                rates=self.used[-1][2:],
            )
        )
