"""What a node of a cluster does before it runs a job: it looks, complains, and gets its files."""

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, TypeVar

from foldwise.executors import Job
from foldwise.executors.shipping import ShippedFile, digest_of, equal
from foldwise.store.files import hold_lock, is_locked, sha256_text
from foldwise.store.layout import DataFolder, SuppliedFolder
from foldwise.store.versions import versions

T = TypeVar("T", bound=Job)


@dataclass(frozen=True)
class Order:
    """What the driver knows and a node has to agree with. Folders are the competition's own."""

    token: str  # a file that the driver has just written into runs and data
    runs: Path
    data: Path
    machine: tuple[str, int, int]  # the driver's, see `machine_of`
    versions: Mapping[str, str]


def machine_of(folder: Path) -> tuple[str, int, int]:
    """What only the same folder on the same machine has: the boot's id, and its own on the disk."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    stat = folder.stat()
    return boot.read_text() if boot.is_file() else platform.node(), stat.st_dev, stat.st_ino


class NodeReport(TypedDict):
    """What a node says of itself."""

    host: str
    versions: Mapping[str, str]
    sees_runs: bool
    locks: bool  # whether a lock that the driver holds in the runs folder holds here too


def report(order: Order) -> NodeReport:
    """What this node says of itself."""
    path = order.runs / order.token
    seen = path.is_file()
    return NodeReport(
        host=platform.node(),
        versions=versions(),
        sees_runs=seen,
        locks=is_locked(path) if seen else True,
    )


def complaint(order: Order, told: NodeReport) -> str | None:
    """What keeps a node from taking part, and what to do; None where nothing does."""
    theirs = told["versions"]
    names = dict.fromkeys([*order.versions, *theirs])
    pairs = {name: (theirs.get(name, "none"), order.versions.get(name, "none")) for name in names}
    other = [
        f"{name} {its} instead of {ours}" for name, (its, ours) in pairs.items() if its != ours
    ]
    if other:
        return (
            f"node {told['host']} has {', '.join(other)}; install the same versions on all nodes, "
            "and start Ray there again"
        )
    if not told["sees_runs"]:
        return (
            f"node {told['host']} does not see {order.runs}; runs have to lie on storage that "
            "every node sees under the same path: mount it there, or set FOLDWISE_RUNS to a "
            "folder that is"
        )
    return None


def supply(
    job: T,
    order: Order,
    own: Mapping[str, bytes],
    files_of: Callable[[], list[ShippedFile]],
    fetch: Callable[[Path, list[ShippedFile]], None],
) -> T:
    """The job with folders of this node that hold what it needs.

    Where the driver's data folder is this machine's, nothing is done. Where the node only sees it,
    raw files are links to it and the rest, image caches above all, is the node's own. Where it
    does not, or something else lies there, raw files are copied, once. The node's own folder is
    FOLDWISE_DATA, if that is set there to another folder than the driver's, else foldwise/ in
    XDG_CACHE_HOME or ~/.cache.

    own: the files of the competition's folder. files_of: gives the raw files there should be;
    fetch: writes them into a folder.
    """
    set_here = os.environ.get("FOLDWISE_DATA")
    apart = set_here is not None and Path(set_here).resolve() != job.data
    if not apart and order.data.is_dir() and machine_of(order.data) == order.machine:
        return job
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    base = Path(set_here) if set_here and apart else Path(cache) / "foldwise"
    base /= platform.node()  # a home folder may be shared
    return replace(
        job,
        root=_write_workspace(base, job.competition, own),
        data=_raw(base, job.competition, order, files_of, fetch),
    )


def _write_workspace(base: Path, competition: str, own: Mapping[str, bytes]) -> Path:
    """A workspace's folder with the competition's own files in it."""
    root = base / "specs" / sha256_text(repr(sorted(own.items())))[:16]
    with _once(root) as wanted:
        for name, content in own.items() if wanted else ():
            path = root / "competitions" / competition / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return root


def _raw(
    base: Path,
    competition: str,
    order: Order,
    files_of: Callable[[], list[ShippedFile]],
    fetch: Callable[[Path, list[ShippedFile]], None],
) -> Path:
    """A data folder with the competition's raw files in it."""
    if (order.data / order.token).is_file():
        data = base / f"seen-{sha256_text(str(order.data))[:16]}"
        with _once(data):  # each time: there may be more than before
            _link(order.data, data / competition)
        return data
    files = files_of()
    data = base / f"data-{digest_of(files)[:16]}"
    with _once(data) as wanted:
        if wanted and equal(order.data, files):
            _link(order.data, data / competition)
        elif wanted:
            fetch(data / competition, files)
    return data


def _link(there: Path, here: Path) -> None:
    pairs = zip(DataFolder(there).files_to_ship(), DataFolder(here).files_to_ship(), strict=True)
    for target, link in pairs:
        if target.exists() and not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


@contextmanager
def _once(folder: Path) -> Iterator[bool]:
    """Whether the block has to fill the folder: by one process at a time, and once."""
    supplied = SuppliedFolder(folder)
    with hold_lock(supplied.lock, f"getting the files of {folder.name}"):
        wanted = not supplied.done.is_file()
        yield wanted
        if wanted:
            os.sync()
            supplied.done.touch()


def own_files(folder: Path) -> dict[str, bytes]:
    """The files of a competition's folder with their contents."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
