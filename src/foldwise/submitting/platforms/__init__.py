"""Where submissions go: one module a platform."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from foldwise.config.competition import CompetitionSpec
from foldwise.shapes.formats import SubmissionFormat

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
    """A platform that takes submissions over the network; every call has a timeout.

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
