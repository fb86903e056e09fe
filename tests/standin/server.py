"""A server on 127.0.0.1 that speaks Kaggle's wire to the unmodified client and fails as planned.

The client is led to it in two ways: by kagglesdk's table of endpoints (paths `/v1/...`), or from
the environment alone (`Standin.environment`); then this is its proxy to `http://localhost/api/v1/`.
"""

import base64
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from standin.faults import CUT, RESET, SHORT, SILENCE, Fault, refusal
from standin.methods import METHODS, Reply, put, send_file
from standin.state import Competition, RefusedError, World

BEFORE, AFTER, REPLIED = "before", "after", "replied"  # the effect, the effect, the reply is out
COMPETITIONS = "competitions.CompetitionApiService"


@dataclass
class Call:
    """A request in the journal."""

    method: str
    body: Any  # of a PUT its length and hash, of a method its fields
    time: float
    effect: bool = False
    status: int | None = None  # None: nothing was said
    fault: str = ""


class Standin:
    """A running server: `with Standin() as server`."""

    def __init__(self, world: World | None = None, port: int = 0) -> None:
        self.world = world or World()
        self.faults: list[Fault] = []
        self.journal: list[Call] = []
        self.ended = threading.Event()
        self._hooks: list[tuple[str, str, Callable[[], object]]] = []
        self._open: set[socket.socket] = set()
        self._http = _Server(("127.0.0.1", port), _Handler)
        self._http.standin = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "Standin":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def host(self, competition: Competition) -> Competition:
        """Enter a competition and return it."""
        self.world.competitions[competition.slug] = competition
        return competition

    def fail(self, method: str, kind: str, **plan: Any) -> Fault:
        """Plan a fault; see Fault for the fields."""
        self.faults.append(Fault(method, kind, **plan))
        return self.faults[-1]

    def on(self, method: str, when: str, act: Callable[[], object]) -> None:
        """Call `act` at every such request, BEFORE or AFTER it takes effect, or once REPLIED."""
        self._hooks.append((method, when, act))

    def heal(self) -> None:
        """Forget all faults and hooks; whoever waits in silence waits on."""
        self.faults.clear()
        self._hooks.clear()

    def calls(self, method: str) -> list[Call]:
        """The journal's requests of one method."""
        return [call for call in self.journal if call.method == method]

    def environment(self, home: Path, bearer: bool = False) -> dict[str, str]:
        """Variables for a child process: this one's, those of the user taken out, the way here.

        bearer: an access token instead of a username and a key.
        """
        kept = {k: v for k, v in os.environ.items() if not k.startswith("KAGGLE_")}
        return {**kept, "HOME": str(home), **self.pointing(bearer), "KAGGLE_CONFIG_DIR": str(home)}

    def pointing(self, bearer: bool = False) -> dict[str, str]:
        """The variables that lead the client here."""
        world = self.world
        keys = {"KAGGLE_USERNAME": world.username, "KAGGLE_KEY": world.key}
        return {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "HTTP_PROXY": self.url,
            "http_proxy": self.url,
            "NO_PROXY": "",
            "no_proxy": "",
            **({"KAGGLE_API_TOKEN": world.token} if bearer else keys),
        }

    def reach(self, method: str, when: str) -> None:
        """Call the hooks of this point."""
        for wanted, moment, act in list(self._hooks):
            if (wanted, moment) == (method, when):
                act()

    def strike(self, method: str) -> Fault | None:
        """The first planned fault that hits this request."""
        with self.world.lock:
            return next((f for f in self.faults if f.method == method and f.strikes()), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    standin: Standin

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are expected here; anything else is printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.standin._open.add(self.connection)

    def finish(self) -> None:
        self.server.standin._open.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        name = self._path().rsplit("/", 1)[-1]
        self._serve(name, lambda content: self._call(name, content))

    def do_PUT(self) -> None:
        token = self._path().removeprefix("/upload/")
        self._serve("PUT", lambda content: put(self.server.standin.world, token, content))

    def do_GET(self) -> None:
        path = self._path().removeprefix("/files/")
        world = self.server.standin.world
        self._serve("download", lambda content: send_file(world, path, self.headers))

    def _path(self) -> str:
        """The path on this server, whichever way the client came; elsewhere is nowhere."""
        parts = urlsplit(self.path)
        known = parts.hostname in (None, "localhost", "127.0.0.1")
        return parts.path.removeprefix("/api") if known else f"/unknown-host/{parts.hostname}"

    def _serve(self, name: str, act: Callable[[bytes], Reply]) -> None:
        """Answer one request: hooks, fault, effect, journal."""
        standin = self.server.standin
        fault = standin.strike(name)
        length = int(self.headers.get("Content-Length", 0))
        torn = name == "PUT" and fault is not None and fault.kind == RESET and not fault.after
        content = self.rfile.read(length // 2 if torn else length)
        call = Call(name, _fields(name, content), time.time(), fault=fault.kind if fault else "")
        standin.journal.append(call)
        standin.reach(name, BEFORE)
        reply: Reply | None = None
        if fault is None or fault.after or fault.kind in (CUT, SHORT):
            reply, call.effect = self._effect(act, content)
            standin.reach(name, AFTER)
        if fault is not None:
            if fault.kind == SILENCE:
                standin.ended.wait()
            reply = fault.change(reply)
        if reply is None:
            self._reset()
            return
        call.status = reply.status
        self._send(reply)
        standin.reach(name, REPLIED)

    def _effect(self, act: Callable[[bytes], Reply], content: bytes) -> tuple[Reply, bool]:
        with self.server.standin.world.lock:
            try:
                return act(content), True
            except RefusedError as refused:
                return refusal(refused.code, str(refused)), False

    def _call(self, name: str, content: bytes) -> Reply:
        """Call a method of the wire."""
        world, path = self.server.standin.world, self._path()
        service = "security.OAuthService" if name == "IntrospectToken" else COMPETITIONS
        if name not in METHODS or path != f"/v1/{service}/{name}":
            raise RefusedError(404, f"no method at {path}")
        if name != "IntrospectToken" and not self._known(world):
            raise RefusedError(401, "Unauthenticated")
        result = METHODS[name](world, json.loads(content or b"{}"), self.server.standin.url)
        return result if isinstance(result, Reply) else Reply(body=json.dumps(result).encode())

    def _known(self, world: World) -> bool:
        """Whether the request has the user's key or token."""
        pair = base64.b64encode(f"{world.username}:{world.key}".encode()).decode()
        return self.headers.get("Authorization") in (f"Basic {pair}", f"Bearer {world.token}")

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for key, value in reply.headers.items():
            self.send_header(key, value)
        self.send_header("Content-Type", reply.type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        body = reply.body if reply.cut is None else reply.body[: reply.cut]
        self.wfile.write(body)
        if reply.cut is not None:
            self.close_connection = True

    def _reset(self) -> None:
        """End the connection with a reset, so that the client sees no orderly end."""
        self.close_connection = True
        self.server.standin._open.discard(self.connection)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())


def _fields(name: str, content: bytes) -> Any:
    if name == "PUT":
        return {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    with suppress(ValueError):
        return json.loads(content or b"{}")
    return content
