"""A model hub on loopback, and what stands in its place when something is wrong."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "c0ffee" * 6 + "c0ff"
PAGE = b"<!DOCTYPE html><html><body>Sign in to the network</body></html>"


@dataclass
class Hub:
    """What the hub answers: files below `<repository>/resolve/main/`, or a status for everything.

    plain: it serves files alone, without a commit's name. page: a sign-in page instead of them.
    cut: bytes of each file that come before the line breaks.
    """

    files: dict[str, bytes]
    status: int = 200
    code: str = ""  # X-Error-Code
    plain: bool = False
    page: bool = False
    head: bool = True
    cut: int | None = None
    asked: list[str] = field(default_factory=list)  # "GET /path" of each request
    url: str = ""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, *words: object) -> None:
            """Be silent."""

        def _answer(self) -> None:
            if not self.path.startswith("/api/"):  # the client's own questions, of no weight
                hub.asked.append(f"{self.command} {self.path}")
            content = hub.files.get(self.path.lstrip("/"))
            status = hub.status if content is not None else 404
            headers = {"X-Error-Code": hub.code} if hub.code else {}
            if self.command == "HEAD" and not hub.head:
                status = 501
            if status != 200:
                content = b""
            elif hub.page:
                content, headers["Content-Type"] = PAGE, "text/html"
            elif not hub.plain:
                digest = hashlib.sha256(content or b"").hexdigest()
                headers |= {"X-Repo-Commit": COMMIT, "ETag": f'"{digest}"'}
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write((content or b"")[: hub.cut])
                self.close_connection = hub.cut is not None

    return Handler


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub, at `hub.url` within the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
