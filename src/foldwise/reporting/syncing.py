"""Sending W&B's offline runs: beside a training that writes them, or later.

W&B's own command sends. It ends well whatever happens, and marks a run as sent although the server
refused its numbers: so both its marker and its words are looked at.
"""

import contextlib
import logging
import netrc
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from foldwise.errors import PlatformError, StorageError
from foldwise.store.files import hold_lock
from foldwise.store.layout import CompetitionRuns, TrackedRun

log = logging.getLogger(__name__)

ANSWER = 3.0  # seconds that a server has to answer a question
SYNC = 600.0  # seconds for one run to be sent later
END = 5.0  # seconds for W&B's command to end once it is asked to
SERVICE = "WANDB_SERVICE"  # where W&B finds the service of the process that started it
NICE = 10  # a training comes first
SENDER = """
import os, subprocess, threading

started = []

class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        started.append(self)

subprocess.Popen = Popen

def end_with_whoever_started_this():
    os.read(0, 1)
    for process in started:  # W&B's service, which would go on trying
        process.kill()
    os._exit(1)

threading.Thread(target=end_with_whoever_started_this, daemon=True).start()
from wandb.cli.cli import cli
cli()
"""


def server() -> str:
    """The address of W&B's server; WANDB_BASE_URL names another."""
    return (os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").rstrip("/")


def key() -> str | None:
    """The key for the server: that of WANDB_API_KEY, or of ~/.netrc (`wandb login`)."""
    if os.environ.get("WANDB_API_KEY"):
        return os.environ["WANDB_API_KEY"]
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        found = netrc.netrc(str(path)).authenticators(str(urlsplit(server()).hostname))
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def trouble() -> str | None:
    """Why the server takes nothing now, as what it does; None where it knows the key."""
    import requests

    question = {"query": "query Viewer { viewer { id } }"}
    try:
        reply = requests.post(
            f"{server()}/graphql", json=question, auth=("api", key() or ""), timeout=ANSWER
        )
    except requests.RequestException:
        return "does not answer"
    refuses = "does not accept your key (`wandb login` stores another one)"
    if reply.status_code in (401, 403):
        return refuses
    if reply.status_code != 200:
        return f"answers with an error (HTTP {reply.status_code})"
    try:
        return None if reply.json()["data"]["viewer"] else refuses
    except (ValueError, KeyError, TypeError):
        return "does not answer as W&B does"


@dataclass
class Sending:
    """W&B's command at work on one run's file, with what it says in a log beside it."""

    file: Path
    process: subprocess.Popen[bytes]
    log: Path
    since: float | None = None  # when the file was complete, as time.monotonic() has it

    def wait(self, seconds: float) -> None:
        """Wait until it ends, this long at most; then end it."""
        assert self.process.stdin is not None
        try:
            self.process.wait(max(seconds, 0.0))
        except subprocess.TimeoutExpired:
            self.process.stdin.close()  # see SENDER
            try:
                self.process.wait(END)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()

    def has_arrived(self) -> bool:
        """Whether the whole run is at the server; else its marker is removed, if it has one."""
        marker = self.file.with_name(f"{self.file.name}.synced")
        if self.process.poll() is None or not marker.exists():
            return False
        if "wandb: ERROR" in self.log.read_text(encoding="utf-8", errors="replace"):
            marker.unlink()
        return marker.exists()


def send(file: Path, live: bool = False) -> Sending:
    """Begin to send an offline run. live: while it is still written, until its end is."""
    words = ["beta", "sync", "--live"] if live else ["sync", "--no-include-synced"]
    path = file.parent / "logs" / "sending.log"
    path.parent.mkdir(exist_ok=True)
    changed = {
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_MODE": "online",
        "WANDB_DIR": str(file.parents[2]),
    }  # of its own logs; else the current folder
    # with this process's service it would go on sending there once it is ended itself
    inherited = {name: value for name, value in os.environ.items() if name != SERVICE}
    with path.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", SENDER, *words, str(file)],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            env={**inherited, **changed},
        )
    with contextlib.suppress(AttributeError, OSError):  # Windows; or it is over already
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    return Sending(file=file, process=process, log=path)


def offline_runs(runs: Path) -> list[Path]:
    """The files of offline runs below a competition's runs folder that were not sent, by time."""
    files = sorted(CompetitionRuns(runs).tracked.glob("offline-run-*/run-*.wandb"))
    return [file for file in files if not file.with_name(f"{file.name}.synced").exists()]


def sync(runs: Path) -> tuple[int, list[Path]]:
    """Send the offline runs; returns how many were sent, and the files that were not.

    Those that are still written by a training are left to it.
    Raises: PlatformError: the server takes nothing now; nothing was sent.
    """
    waiting, sent, left = offline_runs(runs), 0, list[Path]()
    if waiting and (why := trouble()):
        raise PlatformError(
            f"W&B at {server()} {why}; {len(waiting)} offline runs wait in "
            f"{CompetitionRuns(runs).tracked}, and the same command sends them later"
        )
    for number, file in enumerate(waiting, 1):
        log.info(
            "%s: sending run %d of %d to %s",
            file.stem.removeprefix("run-"),
            number,
            len(waiting),
            server(),
        )
        try:
            with hold_lock(TrackedRun(file.parent).lock, f"the W&B run {file.stem}", wait=False):
                sending = send(file)
                sending.wait(SYNC)
        except StorageError as error:
            log.info("%s", error)
            continue
        if sending.has_arrived():
            sent += 1
        else:
            left.append(file)
            log.warning("%s was not sent; W&B's own words are in %s", file.parent.name, sending.log)
    return sent, left
