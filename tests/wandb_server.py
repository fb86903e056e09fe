"""A stand-in for W&B's server: it keeps what unmodified clients send, and fails on order."""

import gzip
import json
import threading
from base64 import b64encode
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "k" * 40
VIEWER, STREAM = "viewer", "file_stream"


class WandbServer:
    """A server on loopback, as a context.

    history: the rows that came, by run. runs: each run's last name, group and job type. faults:
    from a kind of request (`viewer`, `graphql`, `file_stream`, `put`) to the HTTP status that it
    gets, or to None, which is silence. asked: the kinds of all requests in order.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.summaries: dict[str, dict[str, Any]] = defaultdict(dict)
        self.runs: dict[str, dict[str, Any]] = defaultdict(dict)
        self.faults: dict[str, int | None] = {}
        self.asked: list[str] = []
        self.ended = threading.Event()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.standin = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "WandbServer":
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()

    def fail(self, status: int | None, *kinds: str) -> None:
        """Answer these kinds of requests, by default all, with a status or not at all."""
        for kind in kinds or (VIEWER, "graphql", STREAM, "put"):
            self.faults[kind] = status

    def query(self, text: str, given: dict[str, Any]) -> dict[str, Any]:
        """What GraphQL answers to the few questions that clients ask of a run."""
        if "upsertBucket" in text:
            name = given["name"]
            self.runs[name].update({k: v for k, v in given.items() if v is not None})
            project = {
                "id": "cA==",
                "name": given["project"],
                "entity": {"id": "ZQ==", "name": "me"},
            }
            bucket = {
                "id": "aWQ=",
                "name": name,
                "displayName": name,
                "project": project,
                "historyLineCount": len(self.history[name]),
            }
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "createRunFiles" in text:
            files = [{"name": f, "uploadUrl": f"{self.url}/put/{f}"} for f in given["files"]]
            return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}
        return {"viewer": {"id": "dQ==", "entity": "me"}, "serverInfo": {"features": []}}

    def stream(self, run: str, sent: dict[str, Any]) -> None:
        """Keep a part of a run's history and summary."""
        for name, part in sent.get("files", {}).items():
            rows = [json.loads(line) for line in part["content"]]
            if name == "wandb-history.jsonl":
                del self.history[run][part["offset"] :]
                self.history[run] += rows
            elif name == "wandb-summary.json":
                self.summaries[run] |= rows[-1]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    standin: WandbServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        standin, body = self.server.standin, self._body()
        if self.path.endswith("/file_stream"):
            self._answer(STREAM, lambda: standin.stream(self.path.split("/")[4], json.loads(body)))
            return
        asked = json.loads(body)
        kind = VIEWER if "query Viewer" in asked["query"] else "graphql"
        given = asked.get("variables") or {}
        self._answer(kind, lambda: {"data": standin.query(asked["query"], given)})

    def do_PUT(self) -> None:
        self._body()
        self._answer("put", lambda: None)

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, kind: str, act: Any) -> None:
        standin = self.server.standin
        standin.asked.append(kind)
        status = standin.faults.get(kind, 200)
        known = f"Basic {b64encode(f'api:{KEY}'.encode()).decode()}"
        if status == 200 and kind != "put" and self.headers.get("Authorization") != known:
            status = 401
        if status is None:
            standin.ended.wait()
            return
        body = json.dumps((act() if status == 200 else None) or {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
