"""The processes of a cluster that serve a driver: one on each job, and one beside the driver."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import ray
from ray.exceptions import RayError

from foldwise.errors import FoldwiseError
from foldwise.executors import ClusterError, R, T
from foldwise.executors.node import Order, complaint, report, supply
from foldwise.executors.shipping import Position, ShippedFile, list_files, part_of, receive
from foldwise.kinds.events import Event, Observer

log = logging.getLogger(__name__)

OFTEN = 0.2  # seconds: what a job tells within them is sent at once

News = Event | tuple[str, int, str]  # an event, or a log line: its logger, level and message
Given = TypeVar("Given")


class RemoteMethod(Protocol, Generic[Given]):
    """A method of an actor, called in its process."""

    def remote(self, *arguments: object) -> ray.ObjectRef[Given]:
        """Begin the call; what it will give."""


class RemoteDesk(Protocol):
    """A Desk in its own process, which others call."""

    put: RemoteMethod[None]
    take: RemoteMethod[list[News]]
    files_in: RemoteMethod[list[ShippedFile]]
    part: RemoteMethod[bytes]


class Desk:
    """Beside the driver: takes what jobs tell, and gives raw files to nodes."""

    def __init__(self) -> None:
        self.news: list[News] = []
        self.files: dict[Path, list[ShippedFile]] = {}

    def put(self, told: Sequence[News]) -> None:
        """Take what a job tells."""
        self.news += told

    def take(self) -> list[News]:
        """What was told since."""
        told, self.news = self.news, []
        return told

    @ray.method(concurrency_group="files")
    def files_in(self, folder: Path) -> list[ShippedFile]:
        """The raw files of a competition's data folder."""
        return self._files_in(folder)

    @ray.method(concurrency_group="files")
    def part(self, folder: Path, place: Position) -> bytes:
        """The bytes of these files from a place on."""
        return part_of(folder, self._files_in(folder), place)

    def _files_in(self, folder: Path) -> list[ShippedFile]:
        self.files[folder] = self.files.get(folder) or list_files(folder)
        return self.files[folder]


class Relay(logging.Handler):
    """Tells the desk a job's events and log lines, in their order; many at once when they come
    fast."""

    def __init__(self, desk: RemoteDesk) -> None:
        super().__init__(logging.INFO)
        self.desk, self.sent = desk, 0.0
        self.held: list[News] = []

    def event(self, told: News) -> None:
        """Tell an event, now or with the next one."""
        self.held.append(told)
        if time.monotonic() - self.sent > OFTEN:
            self.pass_on()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a log line."""
        self.event((record.name, record.levelno, record.getMessage()))

    def pass_on(self) -> None:
        """Send what is held."""
        held, self.held = self.held, []
        self.sent, self.ref = time.monotonic(), self.desk.put.remote(held)

    def __enter__(self) -> "Relay":
        logger = logging.getLogger("foldwise")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("foldwise").removeHandler(self)
        self.pass_on()
        try:
            ray.get(self.ref)  # all of it is there before the job has ended
        except RayError:  # nobody to tell: the fold is done all the same
            log.warning("what this job told did not arrive")


def work(
    function: Callable[[T, Observer], R],
    job: T,
    order: Order,
    own: dict[str, bytes],
    desk: RemoteDesk,
) -> tuple[R | None, FoldwiseError | None]:
    """What a function gives for a job, or the mistake that stopped it: run by a node's process.

    A mistake is a value: whoever looks at it needs no traceback, and Ray does not repeat it.
    """
    if not job.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves all of them visible
    with Relay(desk) as relay:
        try:
            told = report(order)
            if said := complaint(order, told):
                raise ClusterError(said)
            if job.reads_data:
                job = supply(job, order, own, *_raw_files(order, desk))
                log.info(
                    "%s: on %s with %d CPUs, %g GPUs", job.what, told["host"], job.cpus, job.gpus
                )
            return function(job, relay.event), None
        except FoldwiseError as error:
            return None, error


def _raw_files(
    order: Order, desk: RemoteDesk
) -> tuple[Callable[[], list[ShippedFile]], Callable[[Path, list[ShippedFile]], None]]:
    """What gives the list of the driver's raw files, and what fetches them; see `supply`."""

    def files_of() -> list[ShippedFile]:
        return ray.get(desk.files_in.remote(order.data))

    def fetch(folder: Path, files: list[ShippedFile]) -> None:
        size = sum(file.size for file in files) / 1e9
        log.info("%s: receiving %d raw files, %.2f GB", folder, len(files), size)

        def ask(place: Position) -> ray.ObjectRef[bytes]:
            return desk.part.remote(order.data, place)

        def take(part: ray.ObjectRef[bytes]) -> bytes:
            return ray.get(part)

        receive(folder, files, ask, take)

    return files_of, fetch
