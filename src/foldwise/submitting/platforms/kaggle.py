"""Kaggle through its official client: submissions, data, leaderboard; a failure is one line."""

import logging
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from foldwise.errors import (
    DataError,
    FoldwiseError,
    PlatformError,
    StorageError,
    UnclearError,
    UnreachedError,
)
from foldwise.store.files import disk_errors
from foldwise.submitting.platforms import (
    Listed,
    Parcel,
    Quota,
    Receipt,
    Shared,
    credentials,
)
from foldwise.submitting.platforms.kaggle_client import (
    BUSY,
    Api,
    Competitions,
    Opened,
    client,
    plain,
    quiet,
    request,
    status_of,
    timeout,
    words_of,
)

log = logging.getLogger(__name__)

T = TypeVar("T")
SITE = "https://www.kaggle.com/competitions"
PAGE_ROWS = 100  # submissions asked for at once
READ_TRIES = 3  # of a call that changes nothing, after 429 or a lost connection
LARGE = 100_000_000  # bytes; above it a zip is suggested
CERTAIN = {400, 401, 403, 404, 413, 422, 429}  # statuses of a call that was not carried out


@dataclass(frozen=True)
class KaggleCompetition:
    """One competition on Kaggle: a `Remote`, which also downloads data and leaderboard."""

    slug: str
    api: Api  # has authenticated

    def examine(self, file: Path | None = None) -> None:
        """Raise for what would make an upload fail; warn of what would make it worthless.

        file: the one that is to be sent; None: nothing is trained yet.
        """
        asked = request("GetCompetition", self.slug)
        facts = self._ask(lambda client: _calls(client).get_competition(asked))
        page, kept = f"{SITE}/{self.slug}", f"{file} is kept" if file else "nothing was trained"
        if facts.is_kernels_submissions_only:
            raise PlatformError(
                f"{self.slug} takes notebooks, not files ({kept}): put the run's weights "
                "into a Kaggle dataset, predict in a notebook there, and submit it with `kaggle "
                f"competitions submit {self.slug} -k USER/NOTEBOOK -v VERSION -f submission.csv "
                '-m "..."`'
            )
        if facts.submissions_disabled:
            raise PlatformError(f"{self.slug} takes no submissions now; {kept}: see {page}")
        if not facts.user_has_entered:
            raise PlatformError(
                f"you have not joined {self.slug}; accept its rules at {page}/rules and run the "
                f"same command again ({kept})"
            )
        if facts.deadline and facts.deadline.replace(tzinfo=UTC) < datetime.now(UTC):
            log.warning(
                "%s ended on %s: a late submission is scored and has no place",
                self.slug,
                facts.deadline.date(),
            )
        if file is None:
            return
        size = file.stat().st_size
        if not size:
            raise PlatformError(f"{file} is empty; remove it and run the same command again")
        if size > LARGE:
            log.warning(
                "%s has %.0f MB; should Kaggle refuse it, upload a zip of it by hand",
                file.name,
                size / 1e6,
            )

    def quota(self) -> Quota:
        """What the team has used today and ever, and may still send today."""
        asked = request("GetSubmissionLimits", self.slug)
        limits = self._ask(lambda client: _calls(client).get_submission_limits(asked))
        return Quota(
            today=limits.num_today,
            total=limits.num_total,
            left=limits.num_allowed_now,
            for_good=limits.limited_by_total,
        )

    def submissions(self) -> list[Listed]:
        """The team's submissions from all pages, the newest first."""
        found: dict[int, Listed] = {}
        token, page = "", 1
        while True:
            at: dict[str, object] = {"page_token": token} if token else {"page": page}
            asked = request("ListSubmissions", self.slug, page_size=PAGE_ROWS, **at)
            reply = self._plain("ListSubmissions", asked)
            rows = reply.get("submissions")
            rows = rows if isinstance(rows, list) else []
            new = {row.ref: row for row in map(parse_row, rows) if row and row.ref not in found}
            found |= new
            token, page = str(reply.get("nextPageToken") or ""), page + 1
            if not new or (not token and len(rows) < PAGE_ROWS):
                return sorted(found.values(), key=lambda row: row.ref, reverse=True)

    def one(self, ref: int) -> Listed:
        """One submission by its number."""
        kept = "the submission is there"
        row = parse_row(self._plain("GetSubmission", request("GetSubmission", ref=ref), kept))
        if row is None:
            raise self.explain(ValueError("a submission without its number"), kept)
        return row

    def upload(self, file: Path, description: str, uploaded: Callable[[], None]) -> int:
        """Submit a file once; `uploaded` is called when its bytes are there, before it counts.

        Raises: UnclearError: it may have been submitted. PlatformError: it certainly was not.
        """
        stage: list[bool] = []

        def bytes_are_there() -> None:
            uploaded()
            stage.append(True)

        self.api.uploaded = bytes_are_there
        try:
            with quiet() as said:
                reply = self.api.competition_submit(str(file), description, self.slug, quiet=True)
        except FoldwiseError:  # of `uploaded`
            raise
        except Exception as error:  # the client raises what its libraries do
            if stage and status_of(error) not in CERTAIN:
                raise UnclearError(
                    f"Kaggle did not confirm the submission ({words_of(error)})"
                ) from error
            raise self.explain(error) from error
        if reply.ref > 0:
            return int(reply.ref)
        if stage:
            told = credentials.redact(str(reply.message))
            raise UnclearError(f"Kaggle did not number the submission ({told})")
        printed = credentials.redact(" ".join(said.getvalue().split()))[-200:]
        raise PlatformError(
            f"the upload of {file} failed ({printed or reply.message}); nothing was"
            " submitted: run the same command again"
        )

    def download(self, folder: Path) -> Path:
        """The competition's data as one verified archive in folder; an unfinished one goes on.

        Raises: PlatformError: it could not be had. DataError: what came is not the archive.
                StorageError: it does not fit on the disk.
        """
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with quiet(), disk_errors(folder):
                self.api.competition_download_files(self.slug, str(folder), quiet=True)
        except StorageError:  # the network is not to blame
            raise
        except Exception as error:  # the client raises what its libraries do
            raise self.explain(error, "what was downloaded is kept, and goes on") from error
        archives = sorted(folder.glob(f"{self.slug}.*"), key=lambda path: path.stat().st_mtime)
        whole = [path for path in archives if not path.name.endswith(".kaggle-partial")]
        if not whole:
            raise DataError(
                f"Kaggle sent no archive for {self.slug}; download it by hand at "
                f"{SITE}/{self.slug}/data"
            )
        return whole[-1]

    def board(self, folder: Path) -> Path:
        """The leaderboard as Kaggle sends it, a zip of one CSV, in folder."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with quiet(), disk_errors(folder):
                self.api.competition_leaderboard_download(self.slug, str(folder), quiet=True)
        except StorageError:
            raise
        except Exception as error:  # the client raises what its libraries do
            raise self.explain(error) from error
        path = folder / f"{self.slug}.zip"
        if not zipfile.is_zipfile(path):
            path.unlink(missing_ok=True)
            raise PlatformError(f"Kaggle sent no leaderboard for {self.slug}")
        return path

    def explain(self, error: Exception, kept: str = "nothing was sent") -> PlatformError:
        """A failure of the client as one line that says what to do."""
        status, page = status_of(error), f"{SITE}/{self.slug}"
        advice = {
            400: f"see {page}/submissions; used-up submissions come back at 00:00 UTC",
            401: credentials.refusal_advice(),
            403: f"accept the rules at {page}/rules with the account of your credentials",
            404: f"is {self.slug!r} the name in the address of its page, {page}?",
            429: "it asks for fewer requests; wait a few minutes",
            None: f"is the network up, and does {page} answer?",
        }.get(status, f"see {page}" if (status or 0) < 500 else "its server fails; try later")
        kind = PlatformError if status in CERTAIN and status not in BUSY else UnreachedError
        return kind(f"Kaggle: {words_of(error)}; {kept}: {advice}; then run the same command again")

    def _plain(
        self, method: str, asked: object, kept: str = "nothing was sent"
    ) -> dict[str, object]:
        """The reply of a call that changes nothing, by its name on the wire, as plain JSON."""
        return self._ask(lambda client: plain(client, method, asked), kept)

    def _ask(self, call: Callable[[Opened], T], kept: str = "nothing was sent") -> T:
        """What a call that changes nothing gives."""

        def once() -> T:
            with self.api.build_kaggle_client() as client:
                return call(client)

        try:
            with quiet():
                return self.api.with_retry(once, max_retries=READ_TRIES)()
        except Exception as error:  # the client raises what its libraries do
            raise self.explain(error, kept) from error


def _calls(client: Opened) -> Competitions:
    return client.competitions.competition_api_client


def connect(slug: str) -> KaggleCompetition:
    """The competition, with the credentials that the client finds by itself.

    Raises: PlatformError: there are none, they are refused, or nobody answers in time.
    """
    for warning in credentials.warnings():
        log.warning("%s", warning)
    api = client(timeout())
    made = KaggleCompetition(slug=slug, api=api)
    try:
        with quiet():
            api.authenticate()
    except SystemExit:
        raise PlatformError(f"{credentials.refusal_advice()}; nothing was sent") from None
    except Exception as error:  # the client raises what its libraries do
        raise made.explain(error) from error
    return made


class Kaggle(Shared):
    """Kaggle: through its client where there are credentials, else a person uploads the file."""

    online: ClassVar[bool] = True
    any_order: ClassVar[bool] = True  # by ids and header: kaggle.com/wiki/SubmissionParser

    name: Literal["kaggle"] = "kaggle"

    def send(self, parcel: Parcel) -> Receipt:
        """Without credentials: the file is ready, and it is said how it gets there."""
        return Receipt(
            state="ready",
            message=f"no Kaggle credentials here: {credentials.HOW}; then run the same command "
            f"again. Or upload {parcel.file} at {SITE}/{self.slug or parcel.spec.name}/submit",
        )

    def connect(self, competition: str) -> KaggleCompetition:
        """The competition on Kaggle; see `connect`."""
        return connect(self.slug or competition)

    @property
    def title(self) -> str:
        """Its name for people."""
        return "Kaggle"

    @property
    def timeout(self) -> float:
        """Seconds that one call may take."""
        return timeout()

    def credentials_lack(self) -> str | None:
        """How a person gets credentials; None where there are some."""
        return None if credentials.find_source() else credentials.HOW


def parse_row(row: object) -> Listed | None:
    """A submission as foldwise knows it, from a row of JSON; None of a row without its number.

    Fields of their default value are left out. Whatever is no finite number is no score.
    """
    row = row if isinstance(row, dict) else {}
    ref = row.get("ref")
    if not isinstance(ref, int) or ref < 1:
        log.debug("Kaggle listed a submission without its number")
        return None
    date = re.sub(r"(\.\d*)?Z?$", "Z", str(row["date"])) if row.get("date") else ""
    status = re.split(r"[._]", str(row.get("status") or "pending"))[-1].lower()
    return Listed(
        ref=ref,
        date=date,
        description=str(row.get("description") or ""),
        status=status,
        public=_number(row.get("publicScore")),
        private=_number(row.get("privateScore")),
        error=credentials.redact(str(row.get("errorDescription") or "")),
    )


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if isfinite(number) else None
