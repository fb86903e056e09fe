"""Kaggle's own client, tamed: silent, with a timeout on each request, failures in few words.

It (2.2.4) has no timeouts, authenticates when it is imported, and prints; docs/platforms.md says
how it fails. It is imported here alone. It has no types: what others use of it is the protocols
below.
"""

import contextlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from foldwise.errors import UnreachedError
from foldwise.store.files import need_space
from foldwise.submitting.platforms import credentials

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session
    from urllib3 import Retry

T = TypeVar("T")
LONGEST_WAIT = 30.0  # seconds before a request is repeated, at most, whatever the server asks for
PUT_TRIES = 3  # of an upload, which counts for nothing until it is submitted
BUSY = (429, 500, 502, 503, 504)  # statuses of what may be asked again


class Facts(Protocol):
    """What the client tells of a competition."""

    is_kernels_submissions_only: bool
    submissions_disabled: bool
    user_has_entered: bool
    deadline: datetime | None


class RequestLimits(Protocol):
    """What the client tells of a team's submissions."""

    num_today: int
    num_total: int
    num_allowed_now: int
    limited_by_total: bool


class Competitions(Protocol):
    """The calls about competitions that change nothing. They take requests, see `request`."""

    def get_competition(self, asked: object, /) -> Facts:
        """What the competition is."""

    def get_submission_limits(self, asked: object, /) -> RequestLimits:
        """What the team has sent, and may send."""


class Services(Protocol):
    """The part of an opened client that has these calls."""

    competition_api_client: Competitions


class Opened(Protocol):
    """An opened client."""

    competitions: Services


class Submitted(Protocol):
    """The client's reply to a submission: its number, 0 where it failed."""

    ref: int
    message: str


class Api(Protocol):
    """The client, as far as it is used here."""

    uploaded: Callable[[], None] | None  # called when a file's bytes are at Kaggle

    def authenticate(self) -> None:
        """Find credentials and try them."""

    def build_kaggle_client(self) -> AbstractContextManager[Opened]:
        """Open it."""

    def with_retry(self, call: Callable[[], T], max_retries: int) -> Callable[[], T]:
        """The call, made again where nobody answers."""

    def competition_submit(
        self, file: str, message: str, competition: str, *, quiet: bool
    ) -> Submitted:
        """Submit a file."""

    def competition_download_files(self, competition: str, path: str, *, quiet: bool) -> object:
        """Download the data."""

    def competition_leaderboard_download(
        self, competition: str, path: str, *, quiet: bool
    ) -> object:
        """Download the leaderboard."""


def timeout() -> float:
    """Seconds that any one call to a platform may take; FOLDWISE_TIMEOUT, else 60."""
    return float(os.environ.get("FOLDWISE_TIMEOUT") or 60)


def client(seconds: float) -> Api:
    """A KaggleApi that waits this long at most; not yet authenticated.

    Its `uploaded` is called when a file's bytes are at Kaggle, before the submission counts.
    Raises: UnreachedError: the client's import did not end in time.
    """
    made: Api = _with_timeout(_import_client(2 * seconds), seconds)()
    return made


def request(name: str, slug: str | None = None, **fields: object) -> object:
    """A request of the client's SDK with its fields set."""
    from kagglesdk.competitions.types import competition_api_service as types

    made = getattr(types, f"Api{name}Request")()
    if slug is not None:
        made.competition_name = slug
    for key, value in fields.items():
        setattr(made, key, value)
    return cast(object, made)


def plain(client: Any, method: str, asked: object) -> dict[str, object]:
    """A reply of the client's SDK as plain JSON.

    The SDK's own types refuse a whole page for one status that they do not know.
    """
    reply = client.http_client().call("competitions.CompetitionApiService", method, asked, _Plain)
    return dict(reply)


class _Plain:
    @classmethod
    def prepare_from(cls, response: "Response") -> dict[str, object]:
        """The reply's JSON; the SDK calls this, by its name for it."""
        reply = response.json()
        if not isinstance(reply, dict):
            raise ValueError(f"expected a JSON object, got {type(reply).__name__}")
        return reply


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """What the client prints is caught."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        yield text


def status_of(error: Exception) -> int | None:
    """The HTTP status of a failure, or the code in its body; None where no answer came."""
    reply = getattr(error, "response", None)
    if reply is None:
        return None
    with contextlib.suppress(Exception):  # a body that is no JSON has no code
        return int(reply.json().get("code") or reply.status_code)
    return int(reply.status_code)


def words_of(error: Exception) -> str:
    """What a failure says, in at most 200 characters and without credentials."""
    from requests import ConnectionError, Timeout

    if isinstance(error, Timeout):
        return f"no answer within {timeout():g} seconds"
    if isinstance(error, ConnectionError):
        return "no connection, or it broke off without an answer"
    if status_of(error) is None and isinstance(error, ValueError):
        return "an answer that is not Kaggle's, as from a proxy or a sign-in page"
    return credentials.redact(" ".join(str(error).split()) or type(error).__name__)[:200]


def _import_client(seconds: float) -> Any:
    """The client's class. Importing it authenticates, without a timeout: it gets this long."""
    found: list[Any] = []

    def load() -> None:
        with contextlib.suppress(SystemExit):
            from kaggle.api.kaggle_api_extended import KaggleApi

            found.append(KaggleApi)

    thread = threading.Thread(target=load, daemon=True)
    with quiet():
        thread.start()
        thread.join(seconds)
    if not found:
        raise UnreachedError(
            f"Kaggle's client did not start within {seconds:g} seconds; is the network up? "
            "Nothing was sent: run the same command again"
        )
    return found[0]


def _with_timeout(kaggle_api: Any, seconds: float) -> Any:
    """The client's class with a timeout on each of its requests, and word of a finished upload."""

    class Timed(kaggle_api):
        uploaded: Callable[[], None] | None = None

        def build_kaggle_client(self) -> Any:
            client = super().build_kaggle_client()
            http = client.http_client()
            http._init_session()
            _limit(http._session, seconds)
            return client

        def _is_retriable(self, error: Exception) -> bool:
            return super()._is_retriable(error) or status_of(error) in BUSY

        def _get_retry_after_delay(self, response: "Response") -> float | None:
            asked = super()._get_retry_after_delay(response)
            return None if asked is None else min(asked, LONGEST_WAIT)

        def download_file(
            self, response: "Response", outfile: str, *rest: object, **settings: object
        ) -> object:
            target, size = Path(outfile), int(response.headers.get("Content-Length") or 0)
            there = target.stat().st_size if target.is_file() else 0
            need_space(target.parent, size - there, f"downloading {target.name}")
            return super().download_file(response, outfile, *rest, **settings)

        def upload_complete(self, path: str, url: str, quiet: bool, resume: bool = False) -> object:
            from kaggle.models.kaggle_models_extended import ResumableUploadResult

            status = _upload(path, url, seconds, self._get_retry_after_delay)
            if status not in (200, 201):
                print(f"HTTP {status}")
                return ResumableUploadResult.FAILED
            if self.uploaded:
                self.uploaded()
            return ResumableUploadResult.COMPLETE

    return Timed


def _upload(
    path: str, url: str, seconds: float, asked: Callable[["Response"], float | None]
) -> int:
    """The HTTP status of an upload; the client's own has no timeout and blocks for minutes.

    asked: the seconds that a reply asks to wait, if it does. A busy server gets the whole file
    again.
    """
    from requests import Session
    from urllib3 import Retry

    for left in reversed(range(PUT_TRIES)):
        with Session() as session, open(path, "rb") as body:
            _limit(session, seconds, Retry(2, backoff_factor=0.5, respect_retry_after_header=False))
            reply = session.put(url, data=body)
        if not left or reply.status_code not in BUSY:
            break
        pause = asked(reply)
        time.sleep(PUT_TRIES - left if pause is None else pause)
    return int(reply.status_code)


def _limit(session: "Session", seconds: float, retries: "Retry | int" = 0) -> None:
    """Give each request of a session a timeout."""
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def send(self, request: "PreparedRequest", *rest: Any, **settings: Any) -> "Response":
            settings["timeout"] = settings.get("timeout") or seconds
            return super().send(request, *rest, **settings)

    for scheme in ("http://", "https://"):
        session.mount(scheme, Adapter(max_retries=retries))
