"""Jobs on a Ray cluster: Ray places them, repeats what died with a node, and moves the bytes."""

import logging
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from foldwise.errors import FoldwiseError
from foldwise.executors import ClusterError, Execute, Job, R, T
from foldwise.executors.node import Order, complaint, machine_of, own_files, report
from foldwise.executors.placing import Needs, needs_of, offers_of
from foldwise.executors.worker import Desk, RemoteDesk, work
from foldwise.kinds.events import Observer
from foldwise.store.files import hold_lock, is_locked
from foldwise.store.versions import versions

log = logging.getLogger(__name__)

RETRIES = 5  # of a job whose node or process died
ANSWER, SURVEY, PARTING = 20.0, 30.0, 60.0  # seconds for a cluster, its nodes, stopped jobs
RELEASE_SECONDS = 300.0  # seconds for a process that lost its driver or node to let go of a fold
PAUSE, LOOK = 0.2, 10.0  # seconds between events, and between looks at the nodes
TOKEN = ".cluster-"
PROBE = """
import sys, ray
try:
    ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
except Exception as error:
    sys.exit(" ".join(f"{type(error).__name__}: {error}".split()))
"""


@contextmanager
def on_ray(address: str) -> Iterator[Execute]:
    """What runs jobs on the cluster at an address; see `executor`.

    Raises: ClusterError: no cluster answers there, or not to this machine.
    """
    if address != "local":
        _need_answer(address)
    ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    try:
        offers = offers_of(ray.nodes())
        cpus, gpus = sum(offer.cpus for offer in offers), sum(offer.gpus for offer in offers)
        log.info("Ray cluster: %d nodes, %d CPUs, %g GPUs in all", len(offers), cpus, gpus)
        with ExitStack() as stack:
            yield OnRay(stack)
    finally:
        ray.shutdown()


def _need_answer(address: str) -> None:
    """Ask with a process of its own: where nothing answers, Ray itself waits for ever.

    Raises: ClusterError: there is no cluster, this machine is not in it, or versions differ.
    """
    command = [sys.executable, "-W", "ignore", "-c", PROBE, address]
    try:
        done = subprocess.run(command, capture_output=True, timeout=ANSWER, check=False)
        said = (_last(done.stderr) or "it ended") if done.returncode else ""
    except subprocess.TimeoutExpired as error:
        why = _last(error.stderr)
        said = f"nothing within {ANSWER:.0f} s" + (f" ({why})" if why else "")
    if said:
        raise ClusterError(
            f"expected a Ray cluster that this machine belongs to at {address}, got: {said}. "
            "`ray start --head` starts one here, `ray start --address=HOST:PORT` adds this machine "
            "to one; --address local needs none (docs/cluster.md)"
        )


def _last(output: bytes | None) -> str:
    """The last line of what a process said, without the time and place that Ray begins it with."""
    lines = (output or b"").decode(errors="replace").strip().splitlines()
    return re.sub(r"^\[[^]]*\] (\w+\.(cc|h):\d+: )?", "", lines[-1]) if lines else ""


FileContents = dict[str, bytes]  # of a competition's folder, by their names
Outcome = tuple[object, Exception | None]  # what a job gave, and what stopped it
Waiting = dict[ray.ObjectRef[Outcome], int]  # the number of the job by what it will give


class _Remote(Protocol):
    """What Ray makes of a class, or of a function with any number of arguments."""

    def options(self, **options: object) -> "_Remote": ...

    def remote(self, *arguments: object) -> object: ...


class _MakeRemote(Protocol):
    """ray.remote, whose own types know neither groups nor functions of any type."""

    def __call__(self, **options: object) -> Callable[[object], _Remote]: ...


class OnRay:
    """Runs jobs on the cluster that this process is connected to."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack  # what has to be undone in the end
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote = cast(_MakeRemote, ray.remote)
        desk = remote(concurrency_groups={"files": 1}, num_cpus=0, max_restarts=-1)(Desk)
        self.desk = cast(RemoteDesk, desk.options(scheduling_strategy=here).remote())
        self.work = remote(max_retries=RETRIES)(work)
        self.gpu_work = remote(max_retries=RETRIES, max_calls=1)(work)  # a process for each
        self.orders: dict[tuple[Path, Path, str], tuple[Order, ray.ObjectRef[FileContents]]] = {}

    def __call__(
        self, function: Callable[[T, Observer], R], jobs: Iterable[T], observe: Observer
    ) -> list[R]:
        """See `Execute`. Raises: ClusterError: see `needs_of` and `_survey`."""
        todo, offers = list(jobs), offers_of(ray.nodes())
        count = max([len(todo), *(job.beside for job in todo)])
        needs = [needs_of(job, count, offers) for job in todo]
        waiting: Waiting = {}
        results: dict[int, object] = {}
        failed: dict[int, Exception] = {}
        try:
            for number, (job, need) in enumerate(zip(todo, needs, strict=True)):
                order, own = self._order(job)
                asked = replace(job, cpus=need.cpus, gpus=need.gpus, patience=RELEASE_SECONDS)
                place = self.gpu_work if need.gpus else self.work
                place = place.options(name=job.what, **need.options())
                ref = place.remote(function, asked, order, own, self.desk)
                waiting[cast(ray.ObjectRef[Outcome], ref)] = number
            for number, (result, error) in self._finished_jobs(waiting, needs, observe):
                results[number] = result
                if error is not None:
                    failed[number] = error
                    if waiting:
                        log.error("%s: %s", todo[number].what, _first_line(error))
        finally:
            _stop(waiting)
        _raise(failed, todo)
        return [cast(R, results[number]) for number in range(len(todo))]

    def _finished_jobs(
        self, waiting: Waiting, needs: Sequence[Needs], observe: Observer
    ) -> Iterator[tuple[int, Outcome]]:
        """Each job as it ends, what it gave and what stopped it; events are passed on."""
        looked, warned = time.monotonic(), False
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=PAUSE)
            self._pass_on(observe)
            for ref in done:
                yield waiting.pop(ref), _outcome(ref)
            if waiting and time.monotonic() - looked > LOOK:
                looked, offers = time.monotonic(), offers_of(ray.nodes())
                homeless = [
                    n for n in waiting.values() if not any(o.fits(needs[n]) for o in offers)
                ]
                if homeless and not warned:
                    log.warning(
                        "%d jobs wait for a node that offers %s; Ctrl-C stops, and what "
                        "is done is kept",
                        len(homeless),
                        needs[homeless[0]],
                    )
                warned = bool(homeless)

    def _pass_on(self, observe: Observer) -> None:
        """Tell what the desk was told: events to the observer, log lines to their loggers."""
        try:
            said = ray.get(self.desk.take.remote())
        except RayError:  # it is being started again
            return
        for told in said:
            if isinstance(told, tuple):
                name, level, message = told
                logging.getLogger(name).log(level, "%s", message)
            else:
                observe(told)

    def _order(self, job: Job) -> tuple[Order, ray.ObjectRef[FileContents]]:
        """The order for jobs of a competition, and its folder's files: once, after a survey."""
        key = job.root, job.runs, job.competition
        if key not in self.orders:
            runs, data = job.runs / job.competition, job.data / job.competition
            token = TOKEN + uuid.uuid4().hex[:16]
            for folder in (runs, data):
                folder.mkdir(parents=True, exist_ok=True)
                self.stack.enter_context(_hold_token(folder, token))
            order = Order(
                token=token, runs=runs, data=data, machine=machine_of(data), versions=versions()
            )
            _survey(order)
            folder = job.root / "competitions" / job.competition
            self.orders[key] = order, ray.put(own_files(folder))
        return self.orders[key]


@contextmanager
def _hold_token(folder: Path, name: str) -> Iterator[None]:
    """A locked file in a folder; those that killed drivers have left are removed."""
    for old in folder.glob(f"{TOKEN}*"):
        if not is_locked(old):
            old.unlink(missing_ok=True)
    with hold_lock(folder / name, "this command"):
        try:
            yield
        finally:
            (folder / name).unlink(missing_ok=True)


def _survey(order: Order) -> None:
    """Ask every node whether it can take part. Raises: ClusterError: one cannot."""
    ask = ray.remote(num_cpus=0, max_retries=1)(report)
    asked = {}
    for offer in offers_of(ray.nodes()):
        there = NodeAffinitySchedulingStrategy(offer.node, soft=False)
        asked[ask.options(scheduling_strategy=there).remote(order)] = offer.host
    done, late = ray.wait(list(asked), num_returns=len(asked), timeout=SURVEY)
    said: list[str | None] = []
    locks = True
    for ref in done:
        try:
            told = ray.get(ref)
        except RayError as error:
            said.append(f"node {asked[ref]} cannot run foldwise: {_first_line(error)}")
        else:
            said.append(complaint(order, told))
            locks = locks and told["locks"]
    if any(said):
        raise ClusterError(" | ".join(dict.fromkeys(filter(None, said))))
    for ref in late:
        log.warning("node %s has not answered within %.0f s", asked[ref], SURVEY)
    if not locks:
        log.warning(
            "%s: file locks do not hold between the nodes: never run two commands on the "
            "same runs at once (docs/cluster.md)",
            order.runs,
        )


def _outcome(ref: ray.ObjectRef[Outcome]) -> Outcome:
    """What an ended job gave, and what stopped it."""
    try:
        return ray.get(ref)
    except RayTaskError as error:
        return None, error
    except RayError as error:
        said = f"its process ended {RETRIES + 1} times, or was stopped ({_first_line(error)})"
        return None, ClusterError(f"{said}; run the same command again, and it goes on")


def _stop(waiting: Waiting) -> None:
    """Stop what still runs: each fold saves where it is, and ends."""
    for ref in waiting:
        ray.cancel(ref)
    if waiting:
        ray.wait(list(waiting), num_returns=len(waiting), timeout=PARTING)


def _raise(failed: dict[int, Exception], jobs: Sequence[Job]) -> None:
    """Raise what failed, if anything did, in the order of the jobs; a bug with its traceback."""
    failed = dict(sorted(failed.items()))  # not in the order in which they ended
    bug = next((error for error in failed.values() if not isinstance(error, FoldwiseError)), None)
    if bug is not None:
        raise bug
    said = [f"{jobs[number].what}: {error}" for number, error in failed.items()]
    if len(said) == 1:
        raise type(next(iter(failed.values())))(said[0])
    if said:
        raise FoldwiseError(
            f"{len(said)} of {len(jobs)} failed, the others are done: " + " | ".join(said)
        )


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return (lines[-1] if isinstance(error, RayTaskError) else lines[0]) if lines else repr(error)
