"""A headless Chromium for tests, spoken to by its DevTools protocol over a pipe: no port, no other
package. https://chromedevtools.github.io/devtools-protocol/ (read 2026-11-22)."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60  # seconds for one answer


def program() -> str | None:
    """The browser's path; None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Tab:
    """A tab of its own browser, with all that it fetched and complained of since it was opened."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process, self.number, self.rest = process, 0, b""
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command; events that come before it are kept."""
        self.number += 1
        own = {} if self.session is None else {"sessionId": self.session}
        message = {"id": self.number, "method": method, "params": params, **own}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\0")
        self.process.stdin.flush()
        while (told := self._next()).get("id") != self.number:
            self.events.append(told)
        assert "result" in told, f"{method}: {told}"
        return dict(told["result"])

    def _next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        handle, ends = self.process.stdout.fileno(), time.monotonic() + PATIENCE
        while b"\0" not in self.rest:
            ready, _, _ = select.select([handle], [], [], max(0.0, ends - time.monotonic()))
            part = os.read(handle, 1 << 20) if ready else b""
            assert part, f"Chromium says nothing (exit code {self.process.poll()})"
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return dict(json.loads(message))

    def open(self, path: Path) -> None:
        """Load a file, and wait until all of it is there."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not self.of("Page.loadEventFired"):
            self.events.append(self._next())
        self.value("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression on the page; a promise is waited for."""
        told = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def of(self, *methods: str) -> list[dict[str, Any]]:
        """What events of some kinds said."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def fetched(self) -> list[str]:
        """The addresses of everything asked for, the page's own first; data in it is no request."""
        urls = [each["request"]["url"] for each in self.of("Network.requestWillBeSent")]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[dict[str, Any]]:
        """Errors and warnings on the console, exceptions, and requests that failed."""
        said = [
            each
            for each in self.of("Runtime.consoleAPICalled")
            if each["type"] in ("error", "warning", "assert")
        ]
        return said + self.of("Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed")

    def look(self, width: int, dark: bool = False, media: str = "screen") -> None:
        """Be as wide as so many pixels, light or dark, a screen or paper (`print`)."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def picture(self, path: Path) -> None:
        """A PNG of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        self.call("Emulation.setEmulatedMedia", media="")  # else paper would look like a screen
        made = self.call(
            "Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69
        )
        return base64.b64decode(made["data"])


@contextmanager
def opened(browser: str, profile: Path) -> Iterator[Tab]:
    """A browser with one tab; the whole of it is gone afterwards."""
    words = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-sync",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
    ]
    pipes = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'  # where Chromium wants them
    process = subprocess.Popen(
        ["sh", "-c", pipes, "sh", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Tab(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
