"""Weights & Biases: a run per fold, grouped under the run, and one that sums a submission up.

Tracking is a view of files that are on disk anyway: whatever fails in it costs one warning, and
nothing is tracked from then on. Every W&B run is written offline first, by a thread, so that no
server is waited for; where there is a server, each is sent by a process beside the training.
"""

import functools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec

import pandas as pd

from foldwise.config.competition import CompetitionSpec
from foldwise.kinds.events import (
    BatchDone,
    EpochDone,
    Event,
    FoldDone,
    FoldStarted,
    Observer,
)
from foldwise.reporting.syncing import Sending, key, send, server, trouble
from foldwise.store.files import hold_lock
from foldwise.store.layout import CompetitionRuns, TrackedRun
from foldwise.store.run_records import RunRecord

if TYPE_CHECKING:
    from PIL.Image import Image
    from wandb import Run

log = logging.getLogger(__name__)
P = ParamSpec("P")

Mode = Literal["online", "offline", "disabled"]
WRITE, SEND = 30.0, 20.0  # seconds at the end for what is to be written, and for what is to be sent


def mode(track: bool = True) -> Mode:
    """Where tracking goes: `online` with a key and a server that takes it, else `offline`.

    track: False is `disabled`, as is WANDB_MODE=disabled; WANDB_MODE=offline is asked nothing.
    """
    wanted = os.environ.get("WANDB_MODE", "")
    if not track or wanted == "disabled":
        return "disabled"
    if wanted in ("offline", "dryrun") or key() is None:
        return "offline"
    if why := trouble():
        log.warning(
            "W&B at %s %s; runs are tracked offline, and `foldwise status --sync` sends them later",
            server(),
            why,
        )
        return "offline"
    return "online"


def _never_in_the_way(
    method: Callable[Concatenate["Tracker", P], None],
) -> Callable[Concatenate["Tracker", P], None]:
    """A method of Tracker that stops nothing: its first failure is a warning, and the last."""

    @functools.wraps(method)
    def safe(self: "Tracker", /, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.mode == "disabled":
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # W&B's own, and whatever its libraries raise
            self.mode = "disabled"
            log.warning(
                "W&B: %s: %s; nothing more is tracked (--no-track turns this off)",
                type(error).__name__,
                " ".join(str(error).split())[:200],
            )
            log.debug("W&B", exc_info=True)

    return safe


class Tracker:
    """An observer of a competition's trainings, as a context that ends what is still open.

    Events are taken by a thread, in their order; a training waits for nothing of W&B.
    runs: the competition's runs folder; offline runs lie in `wandb/` below it. config: what every
    run's config has besides its recipe, the resolved spec for one. mode: None is decided when the
    first run begins.
    """

    def __init__(
        self, runs: Path, competition: str, config: Mapping[str, object], mode: Mode | None = None
    ) -> None:
        self.runs, self.competition, self.config, self.mode = runs, competition, config, mode
        self.open: dict[tuple[str, int], Run] = {}
        self.sending: list[Sending] = []
        self.written = ExitStack()  # the locks of what is, or is still sent
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(1 if kind else 0)

    def __call__(self, event: Event) -> None:
        """Leave an event to the thread."""
        if not isinstance(event, BatchDone):
            self._later(functools.partial(self._take, event))

    def log_score(self, run: str, numbers: Mapping[str, object]) -> None:
        """Tell a run's group what all its folds come to, in a W&B run of its own."""
        self._later(functools.partial(self.scores, f"{run}-oof", numbers, run))

    def _later(self, job: Callable[[], None]) -> None:
        if self.mode == "disabled":
            return
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, name="W&B", daemon=True)
            self.thread.start()
        self.jobs.put(job)

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            job()

    @_never_in_the_way
    def _take(self, event: Event) -> None:
        """Begin, feed or end a fold's run."""
        key = (event.run, event.fold)
        if isinstance(event, FoldStarted):
            if key in self.open:  # it goes on elsewhere: its node or process died
                return
            name = f"{event.run}-fold{event.fold}"
            run = self.begin(name, event.run, "fold", self._config(event))
            if run is not None:
                self.open[key] = run
                self._send(run, live=True)
        elif key not in self.open:
            return
        elif isinstance(event, EpochDone):
            self.open[key].log(_numbers(event))
        elif isinstance(event, FoldDone):
            self.open[key].summary["fold_seconds"] = event.seconds
            self._finish(self.open.pop(key))

    def close(self, exit_code: int) -> None:
        """End the runs of folds that did not come to their end; wait for what is being sent."""
        if self.thread is not None:
            self.jobs.put(None)
            self.thread.join(WRITE)
            if self.thread.is_alive():
                log.warning(
                    "W&B did not write its runs within %g seconds after the training; some "
                    "are not complete (--no-track turns this off)",
                    WRITE,
                )
                return
        self._end(exit_code)
        self._settle()

    @_never_in_the_way
    def _end(self, exit_code: int) -> None:
        while self.open:
            self._finish(self.open.popitem()[1], exit_code)

    def _finish(self, run: "Run", exit_code: int = 0) -> None:
        """End a run's file, and send it unless that has begun."""
        run.finish(exit_code=exit_code)
        file = Path(run.settings.sync_file)
        self._send(run)
        for sending in self.sending:
            if sending.file == file:
                sending.since = time.monotonic()

    def _send(self, run: "Run", live: bool = False) -> None:
        file = Path(run.settings.sync_file)
        if self.mode == "online" and not any(sending.file == file for sending in self.sending):
            self.sending.append(send(file, live))

    def _still_online(self) -> None:
        """Go on offline where what was to be sent before did not arrive."""
        now = time.monotonic()
        for sending in self.sending if self.mode == "online" else ():
            over = sending.process.poll() is not None or now - (sending.since or now) > SEND
            if over and not sending.has_arrived():
                log.warning(
                    "W&B at %s %s; tracking goes on offline, and `foldwise status --sync` "
                    "sends it later",
                    server(),
                    trouble() or "takes nothing",
                )
                self.mode = "offline"
                return

    def _settle(self) -> None:
        """Wait for what is being sent, some seconds in all; the rest is said, and kept."""
        ends = time.monotonic() + SEND
        for sending in self.sending:
            sending.wait(ends - time.monotonic() if sending.since else 0.0)
        left = [sending for sending in self.sending if not sending.has_arrived()]
        self.sending.clear()
        self.written.close()
        if left:
            log.warning(
                "%d W&B runs were not sent, as %s %s; they are kept in %s: `foldwise "
                "status %s --sync` sends them",
                len(left),
                server(),
                trouble() or f"did not take them within {SEND:g} seconds",
                CompetitionRuns(self.runs).tracked,
                self.competition,
            )

    @_never_in_the_way
    def summary(
        self,
        file: Path,
        config: Mapping[str, object],
        numbers: Mapping[str, object],
        tables: Mapping[str, pd.DataFrame],
        pictures: Sequence[tuple["Image", str]],
    ) -> None:
        """A run that sums a submission file up: numbers, tables, and the file as an artifact.

        pictures: PIL images with their captions.
        """
        run = self.begin(file.stem, file.stem, "summary", config)
        if run is None:
            return
        import wandb

        run.summary.update(dict(numbers))
        for name, frame in tables.items():
            frame = frame.astype(object).where(frame.notna(), None)
            rows: list[Iterable[object]] = [*frame.to_numpy().tolist()]
            run.log({name: wandb.Table(columns=[*frame.columns], data=rows)})
        shown = [wandb.Image(image, caption=text) for image, text in pictures]
        run.log({"pictures": shown})
        artifact = wandb.Artifact(
            f"{self.competition}-submission", "submission", metadata=dict(numbers)
        )
        artifact.add_file(str(file))
        run.log_artifact(artifact)
        self._finish(run)

    @_never_in_the_way
    def scores(self, name: str, numbers: Mapping[str, object], group: str | None = None) -> None:
        """Scores alone: of a group, or those that arrived after a run of this name was ended."""
        run = self.begin(name, group or name, "summary", {})
        if run is not None:
            run.summary.update(dict(numbers))
            self._finish(run)

    def begin(self, name: str, group: str, job: str, config: Mapping[str, object]) -> "Run | None":
        """A new W&B run, or the one of that name again: what goes on there goes on here.

        None where the mode, which is decided here if it is not yet, is `disabled`.
        """
        self.mode = self.mode or mode()
        if self.mode == "disabled":
            return None
        self._still_online()
        os.environ["WANDB_ERROR_REPORTING"] = "false"  # else it looks a host up
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            x_save_requirements=False,  # 0.2 s a run; a fold's record has the versions that matter
        )
        self.runs.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or f"foldwise-{self.competition}",
            name=name,
            id=name,
            group=group,
            job_type=job,
            config=dict(config),
            mode="offline",
            dir=str(self.runs),
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
        folder = Path(run.settings.sync_file).parent
        self.written.enter_context(
            hold_lock(TrackedRun(folder).lock, f"the W&B run {name}", wait=False)
        )
        return run

    def _config(self, event: FoldStarted) -> dict[str, object]:
        record = RunRecord.read(CompetitionRuns(self.runs).run(event.run).record)
        told = record.model_dump(include={"recipe", "resolved", "seed", "scheme", "identity"})
        return {**self.config, **told, "run": event.run, "fold": event.fold, "folds": event.folds}


def _numbers(event: EpochDone) -> dict[str, float]:
    """What an epoch is told by; a number that there is not is left out."""
    values = {
        "epoch": event.epoch,
        "train_loss": event.train_loss,
        "valid_loss": event.valid_loss,
        "accuracy": event.accuracy,
        "score": event.score,
        "seconds": event.seconds,
        "images_per_second": event.images_per_second,
    }
    low, high = event.rates or (None, None)
    values |= {"rate": high, "rate_lowest": low if low != high else None}
    return {key: value for key, value in values.items() if value is not None}


@contextmanager
def track_runs(
    runs: Path, spec: CompetitionSpec, observe: Observer, track: bool = True
) -> Iterator[tuple[Observer, Tracker]]:
    """An observer that tells W&B too what it tells `observe`; and the tracker that does."""
    config = {"spec": spec.model_dump(mode="json", exclude_unset=True)}
    with Tracker(runs, spec.name, config, None if track else "disabled") as tracker:

        def both(event: Event) -> None:
            observe(event)
            tracker(event)

        yield both, tracker
