"""Where jobs run: a module-level function mapped over plain, picklable jobs, here or on Ray."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import ClassVar, Protocol, TypeVar

from foldwise.errors import FoldwiseError
from foldwise.kinds.events import Observer


class ClusterError(FoldwiseError):
    """A cluster cannot be reached, or cannot run what it is asked for."""


@dataclass(frozen=True)
class Job:
    """Something to compute with a competition's data, as plain values."""

    root: Path  # the workspace's folders
    data: Path
    runs: Path
    competition: str
    _: KW_ONLY
    cpus: int | None = None  # threads to compute with; None: as many as the executor has for it
    gpus: float | None = None  # or a part of one; None: one where there are some
    memory: float | None = None  # GB to find free
    beside: int = 1  # jobs that will want a place at the same time
    patience: float = 0.0  # seconds to wait for what another process still holds

    reads_data: ClassVar[bool] = True  # the competition's folder and raw files, not the runs alone

    @property
    def what(self) -> str:
        """The job's name, for people."""
        return self.competition


@dataclass(frozen=True)
class FoldJob(Job):
    """One fold of one run."""

    run: Path  # the run's directory
    fold: int

    @property
    def what(self) -> str:
        """The run and the fold, counted from 1 as in the progress."""
        return f"{self.run.name} fold {self.fold + 1}"


T = TypeVar("T", bound=Job)
R = TypeVar("R")


class Execute(Protocol):
    """Runs a function on each job and returns what it gave, in the order of the jobs.

    The function is a module's own: other processes import it. Its second argument takes the events
    that go to `observe`. A job that fails here is the last one; elsewhere the others come to
    their end first.
    """

    def __call__(
        self, function: Callable[[T, Observer], R], jobs: Iterable[T], observe: Observer
    ) -> list[R]: ...


def run_here(function: Callable[[T, Observer], R], jobs: Iterable[T], observe: Observer) -> list[R]:
    """Run the jobs one after another in this process; returns what they gave."""
    return [function(job, observe) for job in jobs]


@contextmanager
def _here(address: str) -> Iterator[Execute]:
    """This process."""
    yield run_here


@contextmanager
def _on_ray(address: str) -> Iterator[Execute]:
    """A Ray cluster. Raises: ClusterError: Ray is not installed, or no cluster answers."""
    # read when Ray is imported: it says nothing to its makers, and what needs too much memory is
    # not tried for ever
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_task_oom_retries", "3")
    try:
        from foldwise.executors.cluster import on_ray
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"--executor ray needs Ray, which is not installed here ({error}): "
            "pip install 'foldwise[ray]'"
        ) from None
    with on_ray(address) as execute:
        yield execute


@dataclass(frozen=True)
class Runner:
    """Somewhere that jobs can run. open: gives what runs them, at an address."""

    open: Callable[[str], AbstractContextManager[Execute]]
    addressed: bool  # it has an address that a person may name


EXECUTORS = {  # by the word of --executor
    "local": Runner(open=_here, addressed=False),
    "ray": Runner(open=_on_ray, addressed=True),
}


def executor(kind: str, address: str = "auto") -> AbstractContextManager[Execute]:
    """What runs jobs: `local` in this process, `ray` on the cluster at an address.

    address: HOST:PORT; `auto`, the cluster that this machine belongs to; or `local`, one that is
    started for this command on this machine alone.
    Raises, when entered: ClusterError: Ray is not installed, or no cluster answers.
    """
    return EXECUTORS[kind].open(address)
