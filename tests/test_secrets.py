"""No secret is written anywhere: planted keys are sought in all that a submit leaves and says."""

import base64
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from tiny import copy, edit

KEY, TOKEN, WANDB = "5ec7e7" * 5, "KGAT_5ec7e7t0ken5ec7e7", "3a4d8" * 8
BASIC = base64.b64encode(f"ann:{KEY}".encode()).decode()
SECRETS = (KEY, TOKEN, WANDB, BASIC)


class Gossip(BaseHTTPRequestHandler):
    """Refuses everything, and says all that it was told, and more."""

    status = 500

    def _refuse(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        said = f"{KEY} {TOKEN} {WANDB} {body} {self.headers}"
        text = json.dumps({"code": self.status, "message": said}).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _refuse

    def log_message(self, format: str, *given: object) -> None:
        """Say nothing."""


@pytest.fixture
def gossip() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gossip)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def on_kaggle(submitted: tuple[Workspace, Entry], tmp_path: Path) -> Workspace:
    """A copy of the trained workspace whose competition is Kaggle's."""
    workspace = copy(submitted[0], tmp_path / "w")
    spec = workspace.competition("tiny") / "competition.toml"
    edit(spec, 'platform = "local"', 'platform = "kaggle"\nslug = "tiny"')
    return workspace


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("kind", ["key", "token", "file"])
def test_a_planted_key_is_in_nothing_that_a_failing_submit_writes_or_says(
    on_kaggle: Workspace,
    gossip: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    status: int,
) -> None:
    monkeypatch.setattr(Gossip, "status", status)
    monkeypatch.setenv("HOME", str(tmp_path))
    from kagglesdk import kaggle_env  # not the client, which authenticates

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, gossip)
    monkeypatch.setenv("WANDB_API_KEY", WANDB)
    files = tmp_path / ".kaggle"
    files.mkdir()
    (files / "kaggle.json").write_text(json.dumps({"username": "ann", "key": KEY}))
    (files / "credentials.json").write_text(json.dumps({"refresh_token": TOKEN}))
    if kind == "key":
        monkeypatch.setenv("KAGGLE_USERNAME", "ann")
        monkeypatch.setenv("KAGGLE_KEY", KEY)
    elif kind == "token":
        monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    else:
        (files / "access_token").write_text(f"{TOKEN}\n")
    caplog.set_level(logging.INFO)
    result = CliRunner().invoke(app, ["submit", "tiny", "--root", str(on_kaggle.root)])
    assert result.exit_code == 1, result.output
    assert "error Kaggle: ***" in result.stderr
    assert "***" in result.stderr
    assert list((on_kaggle.root / "submissions" / "tiny").glob("*.csv"))  # it is kept
    captured = capfd.readouterr()
    texts = {
        "output": result.output,
        "stdout": captured.out,
        "stderr": captured.err,
        "log": caplog.text,
    }
    for path in on_kaggle.root.rglob("*"):
        if path.is_file():
            texts[str(path)] = path.read_bytes().decode("latin-1")
    assert any(name.endswith("ledger.jsonl") for name in texts)
    assert any("manifest_sha256" in text for text in texts.values())
    for name, text in texts.items():
        for secret in SECRETS:
            assert secret not in text, name
