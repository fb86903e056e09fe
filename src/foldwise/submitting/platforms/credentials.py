"""Where Kaggle's client takes credentials from, and keeping all secrets out of texts; no kaggle."""

import base64
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SETTINGS = "https://www.kaggle.com/settings"
HOW = (
    f"make a token at {SETTINGS} (API) and set KAGGLE_API_TOKEN to it, or put it into "
    "~/.kaggle/access_token (chmod 600)"
)
VARIABLES = (
    "KAGGLE_API_TOKEN",
    "KAGGLE_KEY",
    "KAGGLE_TOKEN",
    "KAGGLE_IAP_TOKEN",
    "WANDB_API_KEY",
    "HF_TOKEN",
)
KEYS = ("key", "token", "access_token", "refresh_token")  # of kaggle.json and credentials.json
PATTERNS = (  # in what servers and libraries say: headers, signed addresses, proxies' passwords
    (re.compile(r"\b(Bearer|Basic)\s+(?=\S*[\d=])[\w.~+/=-]{16,}", re.I), r"\1 ***"),
    (
        re.compile(r"([?&][\w%-]*(?:token|signature|credential|key|upload_id)=)[^&\s'\")]+", re.I),
        r"\1***",
    ),
    (re.compile(r"(://)[^/\s@'\"]+@"), r"\1***@"),
)
SHORTEST = 8  # characters; shorter ones would tear words apart


@dataclass(frozen=True)
class CredentialSource:
    """Where credentials are, never what they are. kind: `token`, `key` (with a name) or `oauth`."""

    kind: str
    where: str  # variables or a file's path


def find_source() -> CredentialSource | None:
    """Where Kaggle's client would take credentials from; None where it would find none.

    The order is that of kaggle 2.2.4 (its source, read 2026-11-22): an access token, a user name
    with a key (each from the environment, else kaggle.json), OAuth.
    """
    return next(_sources(), None)


def warnings() -> list[str]:
    """One line for each file of secrets that other users of the machine can read."""
    lines = []
    for path in _files():
        mode = path.stat().st_mode & 0o777
        if os.name != "nt" and mode & 0o044:
            lines.append(
                f"{path} holds a secret and can be read by other users of this machine (mode "
                f"{mode:o}); close it: chmod 600 {shlex.quote(str(path))}"
            )
    return lines


def refusal_advice() -> str:
    """What to do after a 401: the end of an error, by where the credentials came from."""
    sources = list(_sources())
    if not sources:
        return f"no credentials were found; {HOW}"
    first, hidden = sources[0], [source for source in sources[1:] if source.kind == "key"]
    if first.kind == "token" and hidden:
        return (
            f"Kaggle does not accept the token in {first.where}, and the client prefers it to the "
            f"key in {hidden[0].where}; unset (or remove) {first.where} to use the key, or make a "
            f"new token at {SETTINGS}"
        )
    return f"Kaggle does not accept what is in {first.where}; {HOW}"


def redact(text: str) -> str:
    """A text from a server or a library, with every secret that is known replaced by `***`.

    Known are the values of the usual variables, what is in the files of Kaggle's client and in
    ~/.netrc, also as a basic authorization; and by their look: authorization headers, signatures
    and tokens in addresses, and names with passwords before a host.
    """
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, "***")
    for pattern, replacement in PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _sources() -> Iterator[CredentialSource]:
    token, home = os.environ.get("KAGGLE_API_TOKEN"), Path.home() / ".kaggle"
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ and "KAGGLE_DATA_PROXY_URL" in os.environ:
        path = os.environ.get("KAGGLE_API_V1_TOKEN")
        if path and _text(Path(path)):
            yield CredentialSource(kind="token", where="KAGGLE_API_V1_TOKEN")
    if token and (not os.path.exists(token) or _text(Path(token))):
        yield CredentialSource(kind="token", where="KAGGLE_API_TOKEN")
    for file in (home / "access_token", home / "access_token.txt"):
        if _text(file):
            yield CredentialSource(kind="token", where=str(file))
    file = _folder() / "kaggle.json"
    stored = _json(_text(file))
    if all(os.environ.get(name) for name in ("KAGGLE_USERNAME", "KAGGLE_KEY")):
        yield CredentialSource(kind="key", where="KAGGLE_USERNAME and KAGGLE_KEY")
    elif all(os.environ.get(f"KAGGLE_{n.upper()}") or stored.get(n) for n in ("username", "key")):
        yield CredentialSource(kind="key", where=str(file))
    if _json(_text(home / "credentials.json")).get("refresh_token"):
        yield CredentialSource(kind="oauth", where=str(home / "credentials.json"))


def _folder() -> Path:
    """The folder of kaggle.json, as the client chooses it."""
    old = Path.home() / ".kaggle"
    if os.environ.get("KAGGLE_CONFIG_DIR"):
        return Path(os.environ["KAGGLE_CONFIG_DIR"])
    if sys.platform.startswith("linux") and not old.exists():
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    return old


def _files() -> list[Path]:
    """The files of secrets that there are."""
    home, named = Path.home(), [os.environ.get("KAGGLE_API_TOKEN")]
    named.append(os.environ.get("KAGGLE_API_V1_TOKEN"))
    paths = [home / ".kaggle" / n for n in ("access_token", "access_token.txt", "credentials.json")]
    paths += [_folder() / "kaggle.json", home / ".netrc"]
    paths += [Path(name) for name in named if name and os.path.exists(name)]
    return [path for path in dict.fromkeys(paths) if path.is_file()]


def _secrets() -> set[str]:
    values = [os.environ.get(name) or "" for name in VARIABLES]
    secrets = {value for value in values if value and not os.path.exists(value)}
    names, keys = [os.environ.get("KAGGLE_USERNAME")], [os.environ.get("KAGGLE_KEY")]
    for path in _files():
        text = _text(path)
        stored = _json(text)
        if path.name == ".netrc":
            secrets.update(re.findall(r"\bpassword\s+(\S+)", text))
        elif stored:
            secrets.update(stored[key] for key in KEYS if stored.get(key))
            names.append(stored.get("username"))
            keys.append(stored.get("key"))
        else:
            secrets.add(text)
    pairs = [f"{name}:{key}" for name in names for key in keys if name and key]
    secrets.update(base64.b64encode(pair.encode()).decode() for pair in pairs)
    return {secret for secret in secrets if len(secret) >= SHORTEST}


def _text(path: Path) -> str:
    """A file's text without blanks around it; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _json(text: str) -> dict[str, str]:
    """The values of a JSON object as text, empty where one is null; nothing of other texts."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return {key: str(own or "") for key, own in value.items()} if isinstance(value, dict) else {}
