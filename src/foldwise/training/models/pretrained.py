"""timm's pretrained weights as a file: from the local cache of the hub, else downloaded."""

import errno
import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import timm
import torch
from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers, httpx  # type: ignore[attr-defined]

from foldwise.errors import StorageError, WeightsError
from foldwise.store.files import replace_file, sha256_file
from foldwise.training.models.weights import tensor_names

FILE = "model.safetensors"
TIMEOUT = 10.0  # seconds to wait for the hub's first answer
NO_HEAD = (405, 501)  # what servers answer that know no HEAD
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}
DISK_WORDS = ("No space left", "Permission denied", "Read-only file system")  # of hf_xet, in Rust


@dataclass(frozen=True)
class WeightsSource:
    """Where timm says that a model's weights are."""

    model: str
    repository: str | None  # of the hub; None: they lie elsewhere
    name: str  # the file's
    url: str

    @property
    def page(self) -> str:
        """The page where a person sees the model."""
        return f"{constants.ENDPOINT}/{self.repository}" if self.repository else self.url

    @property
    def plain(self) -> Path:
        """Where the file is kept if its server is no hub: a hub's cache needs a commit's name."""
        if self.repository is None:  # timm's own place
            return Path(torch.hub.get_dir()) / "checkpoints" / self.name
        folder = self.repository.replace("/", "--")
        return Path(constants.HF_HOME) / "foldwise" / folder / self.name

    def cached(self) -> Path | None:
        """The file if it is on this machine."""
        if self.repository is not None:
            found = try_to_load_from_cache(self.repository, self.name)
            if isinstance(found, str):
                return Path(found)
        return self.plain if self.plain.is_file() else None


def hub_file(model: str) -> Path:
    """The weights file of a timm model name; the local cache is asked before the network.

    A file that is damaged is removed, so that the next command downloads it again.
    Raises: WeightsError: timm knows no weights for it, the file is damaged, or it cannot be had;
            the message names the ways out. Random weights are never put in its place.
            StorageError: the cache cannot be written.
    """
    source = source_of(model)
    return _sound(source.cached() or _download(source), source)


def source_of(model: str) -> WeightsSource:
    """Where the weights of a timm model name are. Raises: WeightsError: nowhere."""
    config = timm.get_pretrained_cfg(model)
    repository = config.hf_hub_id if config else None
    if config is None or not (repository or config.url):
        raise WeightsError(
            f'timm has no pretrained weights for {model}; write weights = "none" to train from '
            "scratch, or name a weights file"
        )
    if not repository:
        file = Path(urlsplit(config.url).path).name
        return WeightsSource(model=model, repository=None, name=file, url=config.url)
    name = config.hf_hub_filename or FILE
    url = hf_hub_url(repository, name)
    return WeightsSource(model=model, repository=repository, name=name, url=url)


def _download(source: WeightsSource) -> Path:
    """Download a file. A server is asked once, with a short timeout: the hub's client would try
    for about 50 s before it says that there is no network."""
    headers = build_hf_headers() if source.repository else {}
    with _one_line(source):
        if source.repository and _is_hub(source.url):
            return Path(hf_hub_download(source.repository, source.name))
        source.plain.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(source.plain) as temporary, temporary.open("wb") as handle:
            http_get(source.url, handle, headers=headers)
        return source.plain


def _is_hub(url: str) -> bool:
    """Whether a server names commits, as a hub does; a mirror may serve files alone."""
    try:
        about = get_hf_file_metadata(url, timeout=TIMEOUT)
    except HfHubHTTPError as error:
        if error.response.status_code in NO_HEAD:
            return False
        raise
    return bool(about.commit_hash and about.etag)


@contextmanager
def _one_line(source: WeightsSource) -> Iterator[None]:
    """Turn whatever a download raises into one line."""
    try:
        yield
    except (HfHubHTTPError, httpx.HTTPError, httpx.InvalidURL, OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if getattr(error, "errno", None) in DISK or any(word in reason for word in DISK_WORDS):
            raise StorageError(
                f"the weights of {source.model} cannot be kept in {constants.HF_HUB_CACHE} "
                f"({reason}); make room and see that you may write there, or set HF_HOME to a "
                "folder on another disk, and run the same command again"
            ) from error
        happened, remedy = _explain(error, reason, source)
        owner = f" of the hub's repository {source.repository}" if source.repository else ""
        raise WeightsError(
            f"the weights of {source.model} are not in the local cache and {happened}. Ways out: "
            f"1. {remedy}; 2. download {source.name}{owner} elsewhere and write weights = "
            f'"<path to that file>" into the recipe; 3. weights = "none" trains from scratch'
        ) from error


def _explain(error: Exception, reason: str, source: WeightsSource) -> tuple[str, str]:
    """What happened, and what to do about it."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    server = "the hub" if source.repository else urlsplit(source.url).netloc
    again = "run the same command again"
    if isinstance(error, OfflineModeIsEnabled):
        return "the hub cannot be reached (HF_HUB_OFFLINE is set)", f"unset it and {again}"
    if isinstance(error, GatedRepoError) or status == 403:
        return (
            f"{server} refuses access ({status})",
            f"accept the terms at {source.page}, set HF_TOKEN to a token of the account that "
            f"accepted them, and {again}",
        )
    if status == 401:
        return (
            f"{server} wants to know who asks (401)",
            f"set HF_TOKEN to a valid token that may read {source.page} (the hub answers the "
            f"same where there is no such model), and {again}",
        )
    if status == 404:
        return (
            f"{server} has no such model (404 for {source.url})",
            "write another model or weights tag, or set HF_ENDPOINT to a server that has it",
        )
    if status == 429:
        return f"{server} has had too many requests (429)", f"wait some minutes and {again}"
    if status is not None and status >= 500:
        return f"{server} is out of order (it answers {status})", f"wait some minutes and {again}"
    if status is not None:
        return f"{server} answers {status} for {source.url}", f"look at that page and {again}"
    return f"{server} cannot be reached ({reason})", f"connect and {again}"


def _sound(path: Path, source: WeightsSource) -> Path:
    """The path itself, of a file that can be read; one that cannot is removed.

    The hub's cache names a file by the SHA-256 of its content.
    Raises: WeightsError: the file is damaged. StorageError: it may not be read.
    """
    blob = path.resolve()
    try:
        tensor_names(path)
        about = blob.stat()
        named = re.fullmatch("[0-9a-f]{64}", blob.name)
        if not named or _digest(blob, about.st_size, about.st_mtime_ns) == blob.name:
            return path
        reason = "its content is not that of its SHA-256"
    except WeightsError as error:
        reason = str(error)
        if isinstance(error.__cause__, OSError):
            raise StorageError(f"{reason}; see that you may read it") from error
    try:
        blob.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        removed = "it was removed: run the same command again, which downloads it anew"
    except OSError:
        removed = "remove it and run the same command again, which downloads it anew"
    raise WeightsError(
        f"the weights of {source.model} are damaged: {path} should be a weights file "
        f"({reason.removeprefix(f'{path} ')}); {removed}. Where that does not help, see what "
        f"{source.url} answers in a browser (a proxy or a sign-in page may stand before it)"
    )


@functools.cache
def _digest(path: Path, size: int, changed: int) -> str:
    """The SHA-256 of a file of this size and time of change, computed once in a process."""
    return sha256_file(path)
