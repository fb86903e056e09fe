"""What the stand-in knows: competitions, teams, submissions; a test may change all of it."""

import io
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

Grade = Callable[[bytes], tuple[float, float]]  # a file -> its public and its private score
FIRST_REF = 1000
SEEN = 10**9  # asks: as if it had been there for long


class RefusedError(Exception):
    """The platform says no, with an HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Team:
    """Another team on the public leaderboard."""

    name: str
    score: float
    date: str = "2026-01-02 03:04:05"
    submissions: int = 1


@dataclass
class Submission:
    """A submission of the user's team. Scores are "" where grading failed."""

    ref: int
    slug: str
    date: datetime
    file_name: str
    description: str
    content: bytes
    public: str = ""
    private: str = ""
    error: str = ""
    asks: int = 0  # times that somebody asked for this submission, alone or in a list
    lists: int = 0  # lists asked for since it was accepted
    odd: dict[str, object] = field(default_factory=dict)  # fields that are told otherwise


@dataclass
class Competition:
    """Facts of a competition, and how slow or secretive its platform is.

    pending: a submission is PENDING for so many asks; None: for ever. hidden: an accepted one is
    in none of the next so many lists; `hidden_counts`: the limits count it all the same.
    """

    slug: str
    grade: Grade
    archive: bytes = b""  # a zip of the data files
    modified: datetime = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    teams: list[Team] = field(default_factory=list)
    higher: bool = False  # a higher score is better
    deadline: datetime = datetime(2099, 1, 1, tzinfo=UTC)  # private scores are shown after it
    daily: int = 5
    total: int | None = None  # submissions ever; None: no such limit
    rules: bool = True  # the user has accepted the rules
    notebooks_only: bool = False
    disabled: bool = False
    pending: int | None = 1
    hidden: int = 0
    hidden_counts: bool = True

    def files(self) -> dict[str, bytes]:
        """The data files by name."""
        with zipfile.ZipFile(io.BytesIO(self.archive)) as opened:
            return {i.filename: opened.read(i) for i in opened.infolist() if not i.is_dir()}


@dataclass
class Upload:
    """A place for a file, announced by StartSubmissionUpload."""

    slug: str
    file_name: str
    size: int
    content: bytes | None = None


@dataclass
class World:
    """Everything behind the server. The server holds `lock` while a request takes effect."""

    competitions: dict[str, Competition] = field(default_factory=dict)
    submissions: list[Submission] = field(default_factory=list)  # oldest first
    uploads: dict[str, Upload] = field(default_factory=dict)
    username: str = "tester"
    key: str = "0123456789abcdef0123456789abcdef"
    token: str = "KGAT_fedcba98765432100123456789abcdef"
    days: int = 0  # by how many days the platform's clock is ahead; one more is a new day's quota
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def now(self) -> datetime:
        """The platform's time, UTC."""
        return datetime.now(UTC) + timedelta(days=self.days)

    def find(self, slug: object) -> Competition:
        """A competition. Raises: RefusedError: 404."""
        if slug not in self.competitions:
            raise RefusedError(404, f"Competition '{slug}' not found")
        return self.competitions[str(slug)]

    def of(self, slug: str) -> list[Submission]:
        """The competition's submissions, the newest first."""
        return [each for each in reversed(self.submissions) if each.slug == slug]

    def add(self, slug: str, description: str, content: bytes, name: str = "old.csv") -> Submission:
        """Enter a submission that the platform has scored and listed long ago."""
        made = self.accept(slug, description, content, name)
        made.asks = made.lists = SEEN
        return made

    def accept(self, slug: str, description: str, content: bytes, name: str) -> Submission:
        """Enter a submission and grade it; a file that cannot be graded gets an error."""
        ref = FIRST_REF + len(self.submissions)
        made = Submission(ref, slug, self.now(), name, description, content)
        try:
            made.public, made.private = (f"{x:.5f}" for x in self.find(slug).grade(content))
        except Exception as error:  # whatever a test's grade raises is the file's fault
            made.error = str(error)
        self.submissions.append(made)
        return made

    def status(self, made: Submission) -> str:
        """PENDING, COMPLETE or ERROR."""
        pending = self.competitions[made.slug].pending
        if made.asks < SEEN and (pending is None or made.asks <= pending):
            return "PENDING"
        return "ERROR" if made.error else "COMPLETE"

    def listed(self, made: Submission) -> bool:
        """Whether lists show the submission already."""
        return made.lists >= self.competitions[made.slug].hidden

    def limits(self, competition: Competition) -> dict[str, int | bool]:
        """What GetSubmissionLimits says; a submission that ended with an error does not count."""
        if not competition.rules:
            return {}  # no team yet: all zero, and zeros are left out
        counted = [
            each
            for each in self.of(competition.slug)
            if (competition.hidden_counts or self.listed(each)) and self.status(each) != "ERROR"
        ]
        today = sum(each.date.date() == self.now().date() for each in counted)
        left = max(competition.daily - today, 0)
        room = left if competition.total is None else max(competition.total - len(counted), 0)
        return {
            "numToday": today,
            "numTotal": len(counted),
            "numAllowedNow": min(left, room),
            "limitedByTotal": room < left,
        }

    def board(self, competition: Competition) -> list[Team]:
        """The public leaderboard, the best first, the user's team among the others."""
        mine = [
            each
            for each in self.of(competition.slug)
            if each.public and self.status(each) == "COMPLETE"
        ]
        rows = list(competition.teams)
        if mine:
            scores = [float(each.public) for each in mine]
            best = max(scores) if competition.higher else min(scores)
            date = mine[0].date.strftime("%Y-%m-%d %H:%M:%S")
            rows.append(Team(self.username, best, date, len(mine)))
        return sorted(rows, key=lambda team: team.score, reverse=competition.higher)
