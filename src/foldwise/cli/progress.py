"""Progress of images, folds and epochs: bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from foldwise.data.images.decoding import Progress as Images
from foldwise.kinds.events import BatchDone, EpochDone, Event, FoldDone, FoldStarted, Observer


@contextmanager
def show_progress(console: Console) -> Iterator[tuple[Observer, Images]]:
    """Two observers: one for training events, one for images decoded (done, all)."""
    if not console.is_terminal:
        lines = LineObserver(console)
        yield lines.event, lines.images
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
        TextColumn("elapsed"),
        TimeRemainingColumn(),
        TextColumn("left"),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as progress:
        bars = Bars(progress)
        yield bars.event, bars.images


class LineObserver:
    """One line per epoch and fold, for logs."""

    def __init__(self, console: Console) -> None:
        self.console, self.begun, self.folds = console, time.monotonic(), 0

    def event(self, event: Event) -> None:
        """Print a training event."""
        if isinstance(event, FoldStarted):
            self.folds = event.folds
        elif isinstance(event, EpochDone):
            self.console.print(f"{title(event, self.folds)} {epoch_note(event)}")
        elif isinstance(event, FoldDone):
            self.console.print(f"{title(event, self.folds)} done in {event.seconds:.1f} s")

    def images(self, done: int, total: int) -> None:
        """Print the number of decoded images about ten times."""
        step = max(1, total // 10)
        if done == total or done % step < 64:
            self.console.print(f"images {done}/{total} decoded")


class Bars:
    """One bar for the images and one per fold, with the last epoch's numbers."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[object, TaskID] = {}
        self.folds = 0

    def event(self, event: Event) -> None:
        """Move the fold's bar."""
        key = (event.run, event.fold)
        if isinstance(event, FoldStarted):
            self.folds = event.folds
            if key in self.tasks:  # it goes on elsewhere, after its node died
                self.progress.update(self.tasks[key], note="goes on")
                return
            self.tasks[key] = self.progress.add_task(
                title(event, self.folds), total=event.batches, unit="batches", note=""
            )
        elif isinstance(event, BatchDone):
            self.progress.update(self.tasks[key], completed=event.done)
        elif isinstance(event, EpochDone):
            self.progress.update(self.tasks[key], note=epoch_note(event))

    def images(self, done: int, total: int) -> None:
        """Move the images' bar."""
        if "images" not in self.tasks:
            self.tasks["images"] = self.progress.add_task(
                "decoding", total=total, unit="images", note=""
            )
        self.progress.update(self.tasks["images"], completed=done)


def title(event: Event, folds: int) -> str:
    """The run and fold of an event, counted from 1."""
    return f"{event.run} fold {event.fold + 1}/{folds}"


def epoch_note(event: EpochDone) -> str:
    """An epoch's numbers in a line."""
    return (
        f"epoch {event.epoch}/{event.epochs} train {event.train_loss:.4f} "
        f"valid {event.valid_loss:.4f} {event.images_per_second:.0f} images/s"
    )
