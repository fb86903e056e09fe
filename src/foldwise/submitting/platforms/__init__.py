"""Where submissions go: what a platform does, and a module for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import pandas as pd

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import SpecError
from foldwise.kinds.bounds import Inside
from foldwise.kinds.platform import Platform
from foldwise.kinds.shape import SubmissionFormat

Grade = Callable[[pd.DataFrame, pd.DataFrame], float]  # truth, predictions -> the metric


@dataclass(frozen=True)
class Parcel:
    """A validated submission file on its way to a platform."""

    spec: CompetitionSpec
    file: Path
    shape: SubmissionFormat
    grade: Grade  # the competition's metric, for platforms that score on this machine
    data: Path  # the competition's data folder


@dataclass(frozen=True)
class Receipt:
    """What a platform said.

    state: `scored`; `sent` where the score is still to come; `failed` where the platform could not
    score the file; `ready` where a person uploads it.
    """

    state: str
    message: str
    public: float | None = None
    private: float | None = None
    rank: int | None = None
    teams: int | None = None
    ref: int | None = None  # the platform's own number of the submission


@dataclass(frozen=True)
class Listed:
    """A submission as the platform lists it.

    status: `pending`, `complete`, `error`, or a word of the platform's that nobody here knows.
    """

    ref: int
    date: str  # UTC, ISO 8601
    description: str
    status: str
    public: float | None
    private: float | None
    error: str


@dataclass(frozen=True)
class Quota:
    """Submissions that a team has used and may still send."""

    today: int  # used today (UTC)
    total: int  # used ever
    left: int  # allowed now
    for_good: bool = False  # `left` is what is left of all, and does not grow at midnight


class Remote(Protocol):
    """A competition on a platform that answers over the network; every call has a timeout.

    All but `upload` may be repeated. Raises: PlatformError, in every method: what the platform
    said. UnreachedError: it could not be asked.
    """

    def examine(self, file: Path | None = None) -> None:
        """Ask for everything that would make an upload fail, and raise for the first of it.

        file: the one that is to be sent; None: nothing is trained yet.
        """

    def quota(self) -> Quota:
        """What is used and left."""

    def submissions(self) -> list[Listed]:
        """Every submission of the team, the newest first, of all pages."""

    def upload(self, file: Path, description: str, uploaded: Callable[[], None]) -> int:
        """Submit a file once; returns the submission's number.

        uploaded: called when the bytes are there, before the submission counts.
        Raises: UnclearError: it may have been submitted. PlatformError: it certainly was not.
        """

    def one(self, ref: int) -> Listed:
        """One submission, asked for by its number."""

    def download(self, folder: Path) -> Path:
        """The competition's data as one verified archive in folder; an unfinished one goes on."""

    def board(self, folder: Path) -> Path:
        """The leaderboard, an archive of one CSV, in folder."""


class Destination(Platform):
    """A platform that takes submissions: in the ways below, or by a person's hand.

    One of a competition's own, in its adapter.py, is a class of this with a name and `send`.
    """

    online: ClassVar[bool] = False  # it answers over the network, with credentials: see `connect`

    def send(self, parcel: Parcel) -> Receipt:
        """What became of a file; not called where `can_ask`, for then `connect` sends.

        It is called again for the same bytes until its receipt says `scored`.
        Raises: PlatformError: the platform cannot take it. SubmissionError: it breaks a rule.
        """
        raise SpecError(
            f'platform = "{self.name}" takes no files by itself; give its class in adapter.py a '
            "method send(self, parcel) that returns a Receipt"
        )

    def connect(self, competition: str) -> Remote:
        """The competition over the network. competition: its name here, if it has no slug.

        Raises: PlatformError: there are no credentials, or nobody answers.
        """
        raise NotImplementedError

    def credentials_lack(self) -> str | None:
        """How a person gets the credentials that asking needs; None where nothing is lacking."""
        return None

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.name

    @property
    def timeout(self) -> float:
        """Seconds that one call over the network may take."""
        return 60.0

    @property
    def can_ask(self) -> bool:
        """True where it can be asked from here: it answers, and there are credentials."""
        return self.online and self.credentials_lack() is None

    def parts(
        self, data: Path, shape: SubmissionFormat, units: Callable[[Sequence[str] | None], int]
    ) -> dict[str, int]:
        """How many units the parts of its board have, by name; nothing where it is not known.

        data: the competition's data folder. units: counts those of some test rows; None: of all.
        """
        return {}


class Shared(Destination):
    """A platform whose page says which share of the test rows is public."""

    # The share of the test rows that the public leaderboard scores, if the page says it. Example:
    # 0.3
    public_share: Inside | None = None

    def parts(
        self, data: Path, shape: SubmissionFormat, units: Callable[[Sequence[str] | None], int]
    ) -> dict[str, int]:
        """The parts by `public_share`, each of one unit at least."""
        if self.public_share is None:
            return {}
        every = units(None)
        public = min(max(round(self.public_share * every), 1), every - 1)
        return {"public": public, "private": every - public} if public else {}


def destination(spec: CompetitionSpec) -> Destination:
    """The platform of a competition, as what takes its submissions.

    Raises: SpecError: it is a competition's own, and no `Destination`.
    """
    if not isinstance(spec.platform, Destination):
        raise SpecError(
            f'{spec.name}: platform = "{spec.platform.name}" should be a class of '
            "foldwise.submitting.platforms.Destination, in adapter.py; name that as its base"
        )
    return spec.platform
