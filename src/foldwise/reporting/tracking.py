"""Weights & Biases: one run per fold, grouped under the run, and one that sums a submission up.

Tracking is a view of files that are on disk anyway: whatever fails in it costs one warning, and
nothing is tracked from then on.
"""

import functools
import logging
import netrc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal
from urllib.parse import urlsplit

import pandas as pd

from foldwise.spec.competition import CompetitionSpec
from foldwise.storage import read_json
from foldwise.training.events import EpochDone, Event, FoldDone, FoldStarted, Observer

log = logging.getLogger(__name__)

Mode = Literal["online", "offline", "disabled"]
ANSWER = 3.0  # seconds that a server has to answer before anything is sent
INIT, FINISH = 10.0, 20.0  # seconds for W&B to begin and to end a run
SYNC = 600.0  # seconds for one offline run to be sent


def mode(track: bool = True) -> Mode:
    """Where tracking goes: `online` with a key and a server that answers, else `offline`.

    track: False is `disabled`, as is WANDB_MODE=disabled; WANDB_MODE=offline is asked nothing.
    """
    wanted = os.environ.get("WANDB_MODE", "")
    if not track or wanted == "disabled":
        return "disabled"
    if wanted in ("offline", "dryrun") or not has_key():
        return "offline"
    if not _answers():
        log.warning("W&B at %s does not answer; runs are tracked offline, and `foldwise status "
                    "--sync` sends them later", server())  # fmt: skip
        return "offline"
    return "online"


def server() -> str:
    """The address of W&B's server; WANDB_BASE_URL names another."""
    return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def has_key() -> bool:
    """Whether there is a key for the server: in WANDB_API_KEY, or in ~/.netrc (`wandb login`)."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        return netrc.netrc(str(path)).authenticators(str(urlsplit(server()).hostname)) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _answers() -> bool:
    import requests

    try:
        requests.head(server(), timeout=ANSWER)
    except requests.RequestException:
        return False
    return True


def _never_in_the_way(method: Callable[..., None]) -> Callable[..., None]:
    """A method of Tracker that stops nothing: its first failure is a warning, and the last."""

    @functools.wraps(method)
    def safe(self: "Tracker", *args: Any, **kwargs: Any) -> None:
        if self.mode == "disabled":
            return
        try:
            method(self, *args, **kwargs)
        except Exception as error:  # W&B's own, and whatever its libraries raise
            self.mode = "disabled"
            log.warning("W&B: %s: %s; nothing more is tracked (--no-track turns this off)",
                        type(error).__name__, " ".join(str(error).split())[:200])  # fmt: skip
            log.debug("W&B", exc_info=True)

    return safe


class Tracker:
    """An observer of a competition's trainings, as a context that ends what is still open.

    runs: the competition's runs folder; offline runs lie in `wandb/` below it. config: what every
    run's config has besides its recipe, the resolved spec for one. mode: None is decided when the
    first fold begins.
    """

    def __init__(
        self, runs: Path, competition: str, config: Mapping[str, Any], mode: Mode | None = None
    ) -> None:
        self.runs, self.competition, self.config, self.mode = runs, competition, config, mode
        self.open: dict[tuple[str, int], Any] = {}

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close(1 if kind else 0)

    @_never_in_the_way
    def __call__(self, event: Event) -> None:
        """Begin, feed or end a fold's run."""
        key = (event.run, event.fold)
        if isinstance(event, FoldStarted):
            if key in self.open:  # it goes on elsewhere: its node or process died
                return
            name = f"{event.run}-fold{event.fold}"
            run = self.begin(name, event.run, "fold", self._config(event))
            if run is not None:
                self.open[key] = run
        elif key not in self.open:
            return
        elif isinstance(event, EpochDone):
            self.open[key].log({
                "epoch": event.epoch, "train_loss": event.train_loss,
                "valid_loss": event.valid_loss, "seconds": event.seconds,
                "images_per_second": event.images_per_second,
            })  # fmt: skip
        elif isinstance(event, FoldDone):
            self.open[key].summary["fold_seconds"] = event.seconds
            self.open.pop(key).finish()

    @_never_in_the_way
    def close(self, exit_code: int) -> None:
        """End the runs of folds that did not come to their end."""
        while self.open:
            self.open.popitem()[1].finish(exit_code=exit_code)

    @_never_in_the_way
    def summary(
        self,
        file: Path,
        config: Mapping[str, Any],
        numbers: Mapping[str, Any],
        tables: Mapping[str, pd.DataFrame],
        pictures: Sequence[tuple[Any, str]],
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
            rows: list[Any] = frame.to_numpy().tolist()
            run.log({name: wandb.Table(columns=[*frame.columns], data=rows)})
        shown: list[Any] = [wandb.Image(image, caption=text) for image, text in pictures]
        run.log({"pictures": shown})
        artifact = wandb.Artifact(f"{self.competition}-submission", "submission",
                                  metadata=dict(numbers))  # fmt: skip
        artifact.add_file(str(file))
        run.log_artifact(artifact)
        run.finish()

    @_never_in_the_way
    def scores(self, name: str, numbers: Mapping[str, Any]) -> None:
        """Scores that arrived after a run of this name was ended."""
        run = self.begin(name, name, "summary", {})
        if run is not None:
            run.summary.update(dict(numbers))
            run.finish()

    def begin(self, name: str, group: str, job: str, config: Mapping[str, Any]) -> Any:
        """A new W&B run, or the one of that name again: what goes on there goes on here.

        None where the mode, which is decided here if it is not yet, is `disabled`.
        """
        self.mode = self.mode or mode()
        if self.mode == "disabled":
            return None
        import wandb

        if self.mode == "offline":  # else it looks a host up to report its own errors to
            os.environ["WANDB_ERROR_REPORTING"] = "false"
        settings = wandb.Settings(
            silent=True, console="off", init_timeout=INIT, finish_timeout=FINISH,
            finish_timeout_raises=True, disable_git=True, disable_code=True,
        )  # fmt: skip
        self.runs.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or f"foldwise-{self.competition}", name=name,
            id=name, group=group, job_type=job, config=dict(config), mode=self.mode,
            dir=str(self.runs), resume="allow", reinit="create_new", settings=settings,
        )  # fmt: skip

    def _config(self, event: FoldStarted) -> dict[str, Any]:
        record = read_json(self.runs / event.run / "run.json")
        told = {key: record[key] for key in ("recipe", "resolved", "seed", "scheme", "identity")}
        return {**self.config, **told, "run": event.run, "fold": event.fold, "folds": event.folds}


@contextmanager
def tracked(
    runs: Path, spec: CompetitionSpec, observe: Observer, track: bool = True
) -> Iterator[Observer]:
    """An observer that tells W&B too what it tells `observe`."""
    config = {"spec": spec.model_dump(mode="json", exclude_unset=True)}
    with Tracker(runs, spec.name, config, None if track else "disabled") as tracker:

        def both(event: Event) -> None:
            observe(event)
            tracker(event)

        yield both


def offline_runs(runs: Path) -> list[Path]:
    """The files of offline runs below a competition's runs folder that were not sent yet.

    Only the marker that W&B writes beside a sent file counts: `wandb sync` ends well on errors too.
    """
    files = sorted(runs.glob("wandb/offline-run-*/run-*.wandb"))
    return [file for file in files if not file.with_name(f"{file.name}.synced").exists()]


def sync(runs: Path) -> tuple[int, list[Path]]:
    """Send the offline runs; returns how many were sent, and the files that were not."""
    waiting = offline_runs(runs)
    for file in waiting:
        command = [sys.executable, "-m", "wandb", "sync", "--no-include-synced", str(file.parent)]
        try:
            subprocess.run(command, capture_output=True, timeout=SYNC, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            log.warning("W&B: %s is not sent: %s", file.parent.name, error)
    left = [file for file in waiting if file in offline_runs(runs)]
    return len(waiting) - len(left), left
