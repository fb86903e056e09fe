"""Credentials are found where Kaggle's client looks, and no text from elsewhere shows a secret."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from foldwise.submitting.platforms import credentials
from foldwise.submitting.platforms.credentials import (
    CredentialSource,
    find_source,
    redact,
    refusal_advice,
    warnings,
)

KEY, TOKEN = "5ec7e7" * 5, "KGAT_5ec7e7t0ken5ec7e7"
LEGACY = json.dumps({"username": "ann", "key": KEY})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder without anything."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_without_any_nothing_is_found_and_it_is_said_what_to_set() -> None:
    assert find_source() is None
    assert refusal_advice().startswith(
        "no credentials were found; make a token at https://www.kaggle.com"
    )


def test_the_clients_order_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oauth = put(home / ".kaggle" / "credentials.json", json.dumps({"refresh_token": TOKEN}))
    assert find_source() == CredentialSource("oauth", str(oauth))
    file = put(home / ".kaggle" / "kaggle.json", LEGACY)
    assert find_source() == CredentialSource("key", str(file))
    monkeypatch.setenv("KAGGLE_USERNAME", "bob")
    assert find_source() == CredentialSource("key", str(file))  # the key is still the file's
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    assert find_source() == CredentialSource("key", "KAGGLE_USERNAME and KAGGLE_KEY")
    token = put(home / ".kaggle" / "access_token.txt", TOKEN)
    assert find_source() == CredentialSource("token", str(token))
    token = put(home / ".kaggle" / "access_token", f"{TOKEN}\n")
    assert find_source() == CredentialSource("token", str(token))
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(put(home / "empty", "\n")))
    assert find_source() == CredentialSource("token", str(token))
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(put(home / "mine", TOKEN)))
    assert find_source() == CredentialSource("token", "KAGGLE_API_TOKEN")
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert find_source() == CredentialSource("token", "KAGGLE_API_TOKEN")


PLACES = {  # where kaggle.json lies; what else there is; the variables
    "old": (".kaggle/kaggle.json", (), {}),
    "xdg": (".config/kaggle/kaggle.json", (), {}),
    "not xdg": (".config/kaggle/kaggle.json", (".kaggle/other",), {}),
    "other xdg": ("x/kaggle/kaggle.json", (), {"XDG_CONFIG_HOME": "x"}),
    "named": ("y/kaggle.json", (), {"KAGGLE_CONFIG_DIR": "y"}),
    "not named": (".kaggle/kaggle.json", (), {"KAGGLE_CONFIG_DIR": "y"}),
}
CLIENT = """
import contextlib, io, os, sys
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    from kaggle.api.kaggle_api_extended import KaggleApi
    api = KaggleApi()
    api.authenticate()
    os.write(2, (api.config + " " + api.config_values["username"]).encode())
"""


@pytest.mark.parametrize("place", PLACES)
def test_kaggle_json_is_found_where_the_client_finds_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    file, others, variables = PLACES[place]
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(home / folder))
    for other in others:
        put(home / other, "")
    put(home / file, LEGACY)
    ours = find_source()
    done = subprocess.run(
        [sys.executable, "-c", CLIENT], capture_output=True, text=True, check=True
    )
    assert done.stderr == (f"{ours.where} ann" if ours else "")
    assert (ours is None) == place.startswith("not")


def test_damaged_files_are_no_credentials(home: Path) -> None:
    put(home / ".kaggle" / "kaggle.json", '{"username": ')
    put(home / ".kaggle" / "credentials.json", "[]")
    (home / ".kaggle" / "access_token").write_bytes(b"\xff\xfe")
    assert find_source() is None
    assert redact("text") == "text"


def test_files_of_secrets_that_others_can_read_are_pointed_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [home / ".kaggle" / n for n in ("access_token", "credentials.json", "kaggle.json")]
    paths += [home / ".netrc", home / "my token"]
    for path in paths:
        put(path, LEGACY)
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(paths[-1]))
    assert warnings() == []
    paths[2].chmod(0o604)
    paths[4].chmod(0o640)
    assert warnings() == [
        f"{paths[2]} holds a secret and can be read by other users of this machine (mode 604); "
        f"close it: chmod 600 {paths[2]}",
        f"{paths[4]} holds a secret and can be read by other users of this machine (mode 640); "
        f"close it: chmod 600 '{paths[4]}'",
    ]
    paths[2].chmod(0o400)
    paths[4].chmod(0o700)
    assert warnings() == []


def test_a_refused_token_that_hides_a_key_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = put(home / ".kaggle" / "kaggle.json", LEGACY)
    assert refusal_advice().startswith(f"Kaggle does not accept what is in {file}; make a token at")
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert refusal_advice() == (
        "Kaggle does not accept the token in KAGGLE_API_TOKEN, and the client prefers it to the "
        f"key in {file}; unset (or remove) KAGGLE_API_TOKEN to use the key, or make a new token at "
        "https://www.kaggle.com/settings"
    )
    file.unlink()
    assert refusal_advice().startswith(
        "Kaggle does not accept what is in KAGGLE_API_TOKEN; make a token"
    )
    assert TOKEN not in refusal_advice()


def test_every_known_secret_is_redacted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [f"{number}-5ec7e7-5ec7e7" for number in range(8)]
    monkeypatch.setenv("KAGGLE_KEY", secrets[0])
    monkeypatch.setenv("KAGGLE_USERNAME", "ann")
    monkeypatch.setenv("WANDB_API_KEY", secrets[1])
    monkeypatch.setenv("HF_TOKEN", secrets[2])
    monkeypatch.setenv("KAGGLE_API_TOKEN", str(put(home / "token", secrets[3])))
    put(home / ".kaggle" / "kaggle.json", json.dumps({"username": "bob", "key": secrets[4]}))
    oauth = {"refresh_token": secrets[5], "access_token": secrets[6], "username": "bob"}
    put(home / ".kaggle" / "credentials.json", json.dumps(oauth))
    put(home / ".netrc", f"machine api.wandb.ai\n  login user\n  password {secrets[7]}\n")
    for secret in secrets:
        assert redact(f"401: {secret}, again {secret}!") == "401: ***, again ***!"
    for name, key in (("ann", secrets[0]), ("bob", secrets[4])):
        pair = base64.b64encode(f"{name}:{key}".encode()).decode()
        assert redact(f"sent {pair}") == "sent ***"
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN + secrets[0])  # a secret within another
    assert redact(f"<{TOKEN}{secrets[0]}>") == "<***>"
    monkeypatch.setenv("WANDB_API_KEY", "short")
    assert redact("a short text of ann's") == "a short text of ann's"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: Bearer ***"),
        ("'authorization': 'basic YW5uOjEyMzQ1Njc4OTA='", "'authorization': 'basic ***'"),
        ("a basic misunderstanding of bearer tokens", "a basic misunderstanding of bearer tokens"),
        ("GET /up?X-Goog-Signature=0a1b&x=2 HTTP", "GET /up?X-Goog-Signature=***&x=2 HTTP"),
        ("/o?a=1&upload_id=ABg5-Uz&token=u7 failed", "/o?a=1&upload_id=***&token=*** failed"),
        ("proxy http://ann:pass@host:80/x", "proxy http://***@host:80/x"),
        ("http://host/a@b, mail a@b.org", "http://host/a@b, mail a@b.org"),
    ],
)
def test_what_looks_like_a_secret_is_redacted(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_a_source_never_holds_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert TOKEN not in repr(find_source())
    assert TOKEN not in credentials.HOW + refusal_advice()
