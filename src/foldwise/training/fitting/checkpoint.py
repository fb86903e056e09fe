"""Checkpoints: all that a fold's training needs to go on where it was, bit for bit."""

import io
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol, TypedDict

import torch
from fastai.callback.core import Callback, CancelEpochException
from fastai.learner import Learner
from fastai.torch_core import to_device

from foldwise.errors import Interrupted, RunError, terminate
from foldwise.store.files import need_readable, replace_file
from foldwise.training.fitting.streams import StreamStates, capture, restore_globals, restore_own

CHECKPOINT_SECONDS = 600.0  # seconds between checkpoints within an epoch
FORMAT = 2  # of the file; 2: random streams have names


class Stateful(Protocol):
    """Something whose state goes into a checkpoint as tensors and plain values."""

    def state_dict(self) -> Mapping[str, object]:
        """Its state."""

    def load_state_dict(self, state: Mapping[str, object], /) -> object:
        """Take a state back."""


class Checkpoint(TypedDict):
    """The content of a checkpoint's file."""

    format: int
    stage: int
    epoch: int  # epochs and batches of the stage that are done
    epochs: int  # of the stage
    batch: int
    model: dict[str, torch.Tensor]
    opt: list[dict[str, object]]  # the optimizer's state, parameter by parameter
    smooth: tuple[int, torch.Tensor]  # the smoothed loss: batches, and its value
    progress: tuple[float, int]  # fastai's pct_train and train_iter
    streams: StreamStates
    kept: dict[str, Mapping[str, object]]


class Stop(threading.Event):
    """Set by a signal that asks a training to save and to stop, whose number it keeps."""

    number: int = signal.SIGINT


class Resumable(Learner):
    """fastai's Learner, whose fit may begin at a later epoch.

    fastai's own start_epoch runs through the epochs before it and calls after_epoch for each, so
    that every callback would count them again.
    """

    start = 0  # the next fit's first epoch

    def _do_fit(self) -> None:
        first, self.start = self.start, 0
        for epoch in range(first, self.n_epoch):
            self.epoch = epoch
            self._with_events(self._do_epoch, "epoch", CancelEpochException)


class Checkpoints(Callback):
    """Saves a fold's training at every epoch's end, and every ten minutes; and goes on from it.

    The file holds the position (stage, epochs and batches of it that are done), the weights, the
    optimizer's state, the random streams, and the state of whatever is kept beside (scaler,
    averages, history). Within an epoch, batches that are done are left out and everything drawn
    since its start is put back, so that an interrupted training ends in the same bytes.
    """

    order = 90  # after everything that changes state
    run_valid = False

    def __init__(self, path: Path, kept: Mapping[str, Stateful]) -> None:
        self.path, self.kept = path, kept
        self.stop = Stop()
        self.state = read_checkpoint(path)
        if self.state is not None:
            for name, thing in kept.items():
                thing.load_state_dict(self.state["kept"][name])

    def begin(self, stage: int, last: bool) -> bool:
        """Whether a stage is to be fitted; the learner is brought to where it begins.

        The last one is fitted in any case, be it for no epoch, so that what callbacks do at the
        end of a fit is done.
        """
        self.stage, self.resumed, state = stage, None, self.state
        if state is None or stage > state["stage"]:
            return True
        if stage < state["stage"]:
            return False
        self.learn.model.load_state_dict(state["model"])
        if state["epoch"] == state["epochs"] and not last:
            return False
        self.resumed, self.learn.start = state, state["epoch"]
        return True

    def before_fit(self) -> None:
        """Take back what belongs to a stage alone: the optimizer's state and the smoothed loss."""
        self.saved = time.monotonic()
        if self.resumed is not None:
            hypers = self.learn.opt.hypers  # the schedule sets them before each batch
            states = to_device(self.resumed["opt"], self.learn.dls.device)
            self.learn.opt.load_state_dict({"state": states, "hypers": hypers})
            smooth = self.learn.recorder.smooth_loss
            smooth.count, smooth.val = self.resumed["smooth"]
            if not self.resumed["batch"]:
                self.resumed = None

    def before_train(self) -> None:
        """Leave out the batches that are done; take back what transforms have drawn for them."""
        if self.resumed is not None:
            self.learn.dls.train.skip = self.resumed["batch"]
            self.learn.pct_train, self.learn.train_iter = self.resumed["progress"]
            restore_own(self.learn, self.resumed["streams"])

    def before_batch(self) -> None:
        """Count from the epoch's start; take back the global streams, which the loader has used."""
        self.learn.iter += self.learn.dls.train.skipped
        if self.resumed is not None:
            restore_globals(self.resumed["streams"])
            self.resumed = None

    def after_batch(self) -> None:
        """Save where it is time, or where the training was interrupted; then stop."""
        due = self.stop.is_set() or time.monotonic() - self.saved > CHECKPOINT_SECONDS
        within = self.iter + 1 < self.n_iter  # the last batch is followed by the epoch's end
        pending = any(param.grad is not None for param in self.model.parameters())  # accumulated
        if due and within and not pending:
            self._save(self.epoch, self.iter + 1)
            self._stop(f"batch {self.iter + 1} of {self.n_iter} in epoch {self.epoch + 1}")

    def after_epoch(self) -> None:
        """Save."""
        self._save(self.epoch + 1, 0)
        self._stop(f"epoch {self.epoch + 1} of {self.n_epoch}")

    def _stop(self, where: str) -> None:
        if self.stop.is_set():
            raise Interrupted(
                f"stopped after {where} of stage {self.stage + 1}; everything is saved, and the "
                "same command goes on from there",
                self.stop.number,
            )

    def _save(self, epoch: int, batch: int) -> None:
        """Write the file: whole, or as it was before."""
        smooth = self.learn.recorder.smooth_loss
        state: Checkpoint = {
            "format": FORMAT,
            "stage": self.stage,
            "epoch": epoch,
            "epochs": self.n_epoch,
            "batch": batch,
            "model": self.model.state_dict(),
            "opt": [dict(state) for state in self.learn.opt.state_dict()["state"]],
            "smooth": (smooth.count, smooth.val),
            "progress": (self.learn.pct_train, self.learn.train_iter),
            "streams": capture(self.learn),
            "kept": {name: thing.state_dict() for name, thing in self.kept.items()},
        }
        save_state(self.path, state)
        self.saved = time.monotonic()


def save_state(path: Path, state: object) -> None:
    """Write a state, atomically; by way of memory, since torch hides what a disk refuses."""
    content = io.BytesIO()
    torch.save(state, content)
    with replace_file(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def read_checkpoint(path: Path) -> Checkpoint | None:
    """A checkpoint's content; None where there is none.

    Raises: RunError: it is damaged, or another version of foldwise wrote it.
    """
    if not path.is_file():
        return None
    need_readable(path)
    remedy = "remove it, and the fold is trained from its start"
    try:
        state: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise RunError(f"{path} cannot be read ({error}); {remedy}") from error
    if state.get("format") != FORMAT:
        raise RunError(
            f"{path} should have format {FORMAT}, got {state.get('format', 1)}: another version of "
            f"foldwise wrote it, which draws other random numbers; {remedy}"
        )
    return state


@contextmanager
def interruptible(stop: Stop) -> Iterator[None]:
    """Ctrl-C sets the event, as does SIGTERM where a command takes it; a second one stops at once.

    In the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signal.SIGINT: signal.getsignal(signal.SIGINT)}
    if signal.getsignal(signal.SIGTERM) is terminate:
        before[signal.SIGTERM] = terminate

    def ask(number: int, frame: FrameType | None) -> None:
        stop.number = number
        stop.set()
        restore()

    def restore() -> None:
        for each, handler in before.items():
            signal.signal(each, handler)

    for each in before:
        signal.signal(each, ask)
    try:
        yield
    finally:
        restore()
