"""What a training tells: events for observers, and the history of its epochs."""

import time
from typing import Any

from fastai.callback.core import Callback

from foldwise.errors import RunError
from foldwise.training.events import BatchDone, EpochDone, Observer


class Report(Callback):
    """Sends BatchDone and EpochDone events; keeps the history of the epochs that were trained."""

    order = 65  # after the Recorder
    run_valid = False

    def __init__(self, run: str, fold: int, epochs: int, observe: Observer) -> None:
        self.run_name, self.fold, self.epochs, self.observe = run, fold, epochs, observe
        self.done, self.history = 0, []  # type: int, list[dict[str, float]]

    def state_dict(self) -> dict[str, Any]:
        """Batches done and the history, for a checkpoint."""
        return {"done": self.done, "history": [dict(entry) for entry in self.history]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.done, self.history = state["done"], [dict(entry) for entry in state["history"]]

    def before_train(self) -> None:
        """Start the clock of an epoch."""
        self.begun = time.perf_counter()
        self.images = 0

    def after_batch(self) -> None:
        """Count a training batch."""
        self.done += 1
        self.images += len(self.learn.xb[0])
        self.observe(BatchDone(self.run_name, self.fold, self.done))

    def after_train(self) -> None:
        """Stop the clock of an epoch's training part."""
        self.seconds = time.perf_counter() - self.begun

    def after_epoch(self) -> None:
        """Report the epoch; stop a training that has diverged."""
        names = self.learn.recorder.metric_names[1:-1]  # without epoch and time
        values = [float(value) for value in self.learn.recorder.log[1 : 1 + len(names)]]
        entry = dict(zip(names, values, strict=True))
        self.history.append(entry)
        if entry["train_loss"] != entry["train_loss"]:
            raise RunError(
                f"{self.run_name} fold {self.fold}: the training loss became NaN in epoch "
                f'{len(self.history)}; lower lr, or use precision = "fp32"'
            )
        self.observe(
            EpochDone(
                self.run_name,
                self.fold,
                len(self.history),
                self.epochs,
                entry["train_loss"],
                entry["valid_loss"],
                self.images / self.seconds,
                self.seconds,
            )
        )
