"""Every fault at every step of a submission, and a kill between every two: sent exactly once.

The tables in docs/platforms.md are what is found here; FOLDWISE_WRITE_DOCS=1 writes them anew.
"""

import itertools
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foldwise.errors import FoldwiseError, PlatformError, StorageError, UnclearError
from foldwise.store import ledger
from foldwise.store.files import sha256_file
from foldwise.submitting.platforms import Receipt, kaggle
from foldwise.submitting.platforms.kaggle_client import timeout
from foldwise.submitting.sending import Outgoing, send_once
from standin import AFTER, BEFORE, Competition, Standin, World

pytestmark = pytest.mark.slow
SLUG = "leaves"
STEPS = {  # a step as the document calls it -> the request that is hit
    "sign in": "IntrospectToken",  # with an access token alone
    "list": "ListSubmissions",
    "examine": "GetCompetition",
    "quota": "GetSubmissionLimits",
    "start": "StartSubmissionUpload",
    "PUT": "PUT",
    "create": "CreateSubmission",
    "poll": "GetSubmission",
}
LASTING = (
    "401",
    "403",
    "404",
    "400",
    "429",
    "500",
    "502",
    "503",
    "html 200",
    "html 502",
    "silence",
    "reset",
)
ONCE = ("429", "503", "reset")
DONE = ("500", "502", "503", "html 200", "html 502", "silence", "reset")
WRITES = ("start", "PUT", "create")  # elsewhere it makes no difference whether it took effect
NAMES = {
    "html 200": "HTML under 200",
    "html 502": "HTML under 502",
    "silence": "no answer",
    "reset": "connection reset",
}
FAULTS = {  # a row of the document -> the kind of fault, how often, and after the effect
    **{NAMES.get(kind, kind): (kind, None, False) for kind in LASTING},
    **{f"{NAMES.get(kind, kind)}, once": (kind, 1, False) for kind in ONCE},
    **{f"done, but {NAMES.get(kind, kind)}": (kind, 1, True) for kind in DONE},
}
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "platforms.md"
BEGIN, END = "<!-- fault matrix -->", "<!-- end -->"
WRITE = os.environ.get("FOLDWISE_WRITE_DOCS") == "1"  # read before tests take such things away
CHILD = """
import sys
from pathlib import Path
from foldwise.submitting.platforms import kaggle
from foldwise.submitting.sending import Outgoing, send_once

book, file, slug, sha256 = sys.argv[1:]
out = Outgoing(Path(book), Path(file), sha256, 0.5, False, 30)
send_once(out, lambda: kaggle.connect(slug))
"""


@dataclass
class Case:
    """A fault, and what came of each command: the first met it, the others came after it."""

    fault: str
    step: str
    states: list[str] = field(default_factory=list)  # a receipt's state, or an error's class
    messages: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # of this file's submissions there

    def __str__(self) -> str:
        said = " | ".join(self.messages)
        return f"{self.fault} at {self.step}: {self.states} {self.counts} {said}"


class Attempt(logging.Handler):
    """A competition on a stand-in, and a file to submit, in a folder of its own."""

    def __init__(self, folder: Path, fault: str, step: str) -> None:
        super().__init__(logging.WARNING)
        folder.mkdir(parents=True)
        self.book, self.file = folder / "ledger.jsonl", folder / "blend.csv"
        self.file.write_text("id,oak,ash\n007,1,0\n")
        self.sha256 = sha256_file(self.file)
        ledger.append(self.book, "written", self.file.name, sha256=self.sha256, local=0.5)
        self.case, self.lines, self.server = Case(fault, step), list[str](), Standin()
        self.facts = self.server.host(Competition(SLUG, lambda content: (0.25, 0.5), pending=0))
        for number in range(120):  # more than a page
            earlier = self.server.world.add(SLUG, f"earlier {number}", b"other bytes")
            earlier.date = datetime(2026, 1, 1, tzinfo=UTC)

    def emit(self, record: logging.LogRecord) -> None:
        """A warning, which is part of what the user is told."""
        self.lines.append(record.getMessage())

    def submit(self, **options: bool) -> None:
        """Run the command once and note its outcome and what is at the platform then."""
        out = Outgoing(self.book, self.file, self.sha256, 0.5, False, timeout())
        self.lines.clear()
        end: Receipt | FoldwiseError
        try:
            end = send_once(out, lambda: kaggle.connect(SLUG), **options)
        except FoldwiseError as error:
            end = error
        said = end.message if isinstance(end, Receipt) else str(end)
        kind = next(k for k in (Receipt, UnclearError, PlatformError) if isinstance(end, k))
        self.case.states.append(end.state if isinstance(end, Receipt) else kind.__name__)
        self.case.messages.append(self.plain("; ".join([*self.lines, said])))
        self.case.counts.append(self.count())

    def ten_minutes_later(self) -> None:
        """Make what the ledger has eleven minutes older."""

        def older(line: re.Match[str]) -> str:
            moment = datetime.fromisoformat(line[1]) - timedelta(minutes=11)
            return f'"time": "{moment:%Y-%m-%dT%H:%M:%SZ}"'

        text = self.book.read_text()
        self.book.write_text(re.sub(r'"time": "([^"]+)"', older, text))

    def count(self) -> int:
        """How often the file is at the platform."""
        content = self.file.read_bytes()
        return sum(each.content == content for each in self.server.world.submissions)

    def plain(self, text: str) -> str:
        """A message without what differs from run to run."""
        text = text.replace(str(self.file.parent), f"submissions/{SLUG}")
        for pattern, word in (
            (r"fw-[0-9a-f]{10}", "fw-…"),
            (r"\d{4}-\d\d-\d\dT[\d:]+Z", "…"),
            (r"number \d+", "…"),
            (r"127\.0\.0\.1:\d+|port=\d+", "…"),
            (r"0x[0-9a-f]{6,}", "…"),
            (r"/upload/[0-9a-f]+", "/upload/…"),
            (r"submission \d+", "submission …"),
            (r"after \d\d:\d\d:\d\d UTC", "after …"),
        ):
            text = re.sub(pattern, word, text)
        return text


Try = Callable[[str, str], AbstractContextManager[Attempt]]


@pytest.fixture(scope="module")
def trying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Try]:
    """A function that opens an Attempt; this process has the stand-in's credentials alone.

    Whatever sleeps is woken at once, so that waiting for a server's good will takes no time.
    """
    from kagglesdk import kaggle_env  # not the client, which authenticates

    folder, sleep = tmp_path_factory.mktemp("matrix"), time.sleep

    @contextmanager
    def trying(fault: str, step: str) -> Iterator[Attempt]:
        made = Attempt(folder / f"{len(list(folder.iterdir()))}" / SLUG, fault, step)
        log = logging.getLogger("foldwise")
        with made.server, pytest.MonkeyPatch.context() as patch:
            patch.setitem(endpoints, kaggle_env.KaggleEnv.PROD, made.server.url)
            patch.setenv("FOLDWISE_TIMEOUT", "1.5" if "no answer" in fault else "30")
            patch.setenv("FOLDWISE_POLL", "3")
            if step == "sign in":
                patch.setenv("KAGGLE_API_TOKEN", World().token)
                patch.delenv("KAGGLE_USERNAME")
            log.addHandler(made)
            try:
                yield made
            finally:
                log.removeHandler(made)

    endpoints = kaggle_env._env_to_endpoint
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("KAGGLE_", "FOLDWISE_")) or name.upper().endswith("_PROXY"):
                patch.delenv(name)
        for name in ("HOME", "KAGGLE_CONFIG_DIR"):
            patch.setenv(name, str(folder))
        patch.setenv("KAGGLE_USERNAME", World().username)
        patch.setenv("KAGGLE_KEY", World().key)
        patch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
        yield trying


@pytest.fixture(scope="module")
def matrix(trying: Try) -> list[Case]:
    """Every fault at every step: the command with it, without it, and after ten minutes."""
    cases = []
    for (fault, (kind, times, after)), step in itertools.product(FAULTS.items(), STEPS):
        if after and step not in WRITES:
            continue
        with trying(fault, step) as attempt:
            attempt.server.fail(STEPS[step], kind, times=times, after=after)
            attempt.submit()
            attempt.server.heal()
            attempt.submit()
            attempt.ten_minutes_later()
            attempt.submit()
            cases.append(attempt.case)
    return cases


@pytest.fixture(scope="module")
def killed(trying: Try, tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """A SIGKILL at every request, before it takes effect and after; then the command again."""
    cases = []
    for step, when in itertools.product(STEPS, (BEFORE, AFTER)):
        with trying(when, step) as attempt:
            kill(attempt, step, when, tmp_path_factory.mktemp("home"))
            attempt.case.states.append("killed")
            attempt.case.messages.append("")
            attempt.case.counts.append(attempt.count())
            attempt.server.heal()
            attempt.submit()
            attempt.ten_minutes_later()
            attempt.submit()
            cases.append(attempt.case)
    return cases


def kill(attempt: Attempt, step: str, when: str, home: Path) -> None:
    """Run the command in a process that is killed when this request arrives, or has its effect.

    The dead do not read replies, so nothing is said; before the effect the request is lost too.
    """
    bearer = step == "sign in"
    environment = {**attempt.server.environment(home, bearer), "FOLDWISE_TIMEOUT": "30"}
    words = [str(attempt.book), str(attempt.file), SLUG, attempt.sha256]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *words], env=environment)

    def strike() -> None:
        child.kill()
        child.wait()

    attempt.server.on(STEPS[step], when, strike)
    attempt.server.fail(STEPS[step], "reset", after=when == AFTER)
    assert child.wait(timeout=120) == -signal.SIGKILL


def wrong(case: Case) -> bool:
    """Whether a submission was lost or doubled, or the user was told what is not so."""
    (first, second, last), states = case.counts, case.states
    honest = {"PlatformError": first == 0, "scored": first == 1, "sent": first == 1}
    between = (states[1], second) in [("scored", 1), ("UnclearError", 0)]
    ends = between and (states[2], last) == ("scored", 1)
    return not (ends and honest.get(states[0], first <= 1))


def test_after_any_fault_at_any_step_the_same_command_ends_with_one_submission(
    matrix: list[Case],
) -> None:
    assert len(matrix) == 15 * 8 + 7 * 3
    assert not [str(case) for case in matrix if wrong(case)]
    unclear = {case.step for case in matrix if case.states[1] == "UnclearError"}
    assert unclear == {"create"}  # everywhere else the next command goes on at once


def test_after_a_kill_at_any_step_the_same_command_ends_with_one_submission(
    killed: list[Case],
) -> None:
    assert len(killed) == 16
    assert not [str(case) for case in killed if wrong(case)]
    before = [case.counts[0] for case in killed]  # two for each step
    assert before == [0] * 13 + [1, 1, 1]


SAID = {
    "401": "Kaggle does not accept what is in KAGGLE_USERNAME and KAGGLE_KEY",
    "403": f"accept the rules at https://www.kaggle.com/competitions/{SLUG}/rules",
    "404": f"is '{SLUG}' the name in the address of its page",
    "400": "Your team has used its daily submission allowance",
    "429": "it asks for fewer requests; wait a few minutes",
    "500": "its server fails; try later",
    "502": "its server fails; try later",
    "503": "its server fails; try later",
    "HTML under 502": "its server fails; try later",
    "no answer": "is the network up",
    "connection reset": "is the network up",
}


def test_each_fault_says_what_it_is_and_what_to_do(matrix: list[Case]) -> None:
    assert len(matrix) > 100
    for case in matrix:
        if case.states[0] == "scored":
            assert case.messages[0].endswith("scored")
        elif case.step == "poll":
            assert re.search("has no score yet.*`foldwise status` fetches it", case.messages[0])
        else:
            told = "run the same command again|--resend|make a token"
            assert re.search(told, case.messages[0]), str(case)
        if case.step in ("list", "examine", "quota", "start") and case.fault in SAID:
            assert SAID[case.fault] in case.messages[0], str(case)
            assert "nothing was sent" in case.messages[0]


LATE = {  # a reply to `create` is lost, and the list is late: lists without it, counted at once
    "it appears in the next list but one": (1, True),
    "it appears later, and is counted at once": (3, True),
    "it appears later, and is counted later": (3, False),
}


@pytest.fixture(scope="module")
def late(trying: Try) -> list[Case]:
    """A lost reply, and a platform that lists what it has accepted only after some asking."""
    cases = []
    for name, (hidden, counted) in LATE.items():
        with trying(name, "create") as attempt:
            attempt.facts.hidden, attempt.facts.hidden_counts = hidden, counted
            attempt.server.fail("CreateSubmission", "reset", after=True)
            for _ in range(3):
                attempt.submit()
            cases.append(attempt.case)
    return cases


def test_a_submission_that_is_listed_late_is_found_and_not_sent_again(late: list[Case]) -> None:
    assert [case.counts for case in late] == [[1, 1, 1]] * 3
    assert [case.states[0] for case in late] == ["scored", "UnclearError", "UnclearError"]
    assert [case.states[1:] for case in late] == [["scored", "scored"]] * 3


def test_what_stays_unclear_is_sent_again_on_request_alone(trying: Try) -> None:
    with trying("hidden", "create") as attempt:
        attempt.facts.hidden = 1000
        attempt.server.fail("CreateSubmission", "reset", after=True)
        attempt.submit()
        attempt.submit()
        assert attempt.case.states == ["UnclearError"] * 2
        assert attempt.case.counts == [1, 1]
        assert len(attempt.case.messages) == 2
        for message in attempt.case.messages:
            assert "it is unclear whether blend.csv was submitted" in message
            assert "1 submissions were counted since, 0 are listed, none with its tag" in message
            assert "--resend` sends it once more" in message
        attempt.submit(resend=True)
        attempt.submit()
        assert attempt.case.states[2:] == ["scored", "scored"]
        assert attempt.case.counts[2:] == [2, 2]


def test_the_same_bytes_go_again_on_request_alone_and_a_late_score_is_fetched(trying: Try) -> None:
    with trying("slow", "poll") as attempt:
        attempt.facts.pending = None
        attempt.submit()
        attempt.submit()
        assert attempt.case.states == ["sent", "sent"]
        assert "has no score yet; `foldwise status` fetches it" in attempt.case.messages[1]
        attempt.facts.pending = 0
        attempt.submit()
        attempt.submit(again=True)
        attempt.submit()
        assert attempt.case.states[2:] == ["scored"] * 3
        assert attempt.case.counts == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("hidden", [5, 7])
def test_what_is_listed_and_counted_very_late_is_not_sent_again(trying: Try, hidden: int) -> None:
    with trying("very late", "create") as attempt:
        attempt.facts.hidden, attempt.facts.hidden_counts = hidden, False
        attempt.server.fail("CreateSubmission", "reset", after=True)
        for _ in range(8):
            attempt.submit()
        assert attempt.case.counts == [1] * 8
        assert attempt.case.states[0] == "UnclearError"
        assert re.search(
            "neither listed nor counted so far; if that is so after … too, the "
            "same command sends it",
            attempt.case.messages[0],
        )
        assert attempt.case.states[-1] == "scored"


def test_a_failed_poll_does_not_say_that_nothing_was_sent(matrix: list[Case]) -> None:
    polls = [case for case in matrix if case.step == "poll"]
    assert not [str(case) for case in polls if "nothing was sent" in case.messages[0]]
    assert [case for case in polls if "the submission is there" in case.messages[0]]


def test_a_tag_is_found_on_a_later_page(trying: Try, tmp_path: Path) -> None:
    with trying("killed", "create") as attempt:
        kill(attempt, "create", AFTER, tmp_path)
        attempt.server.heal()
        for number in range(150):  # of a busy team
            attempt.server.world.add(SLUG, f"later {number}", b"other bytes")
        attempt.facts.daily = 0  # what is found needs no quota
        attempt.submit()
        assert (attempt.case.states, attempt.case.counts) == (["scored"], [1])


def test_a_second_command_at_the_same_time_sends_nothing(trying: Try) -> None:
    with trying("together", "create") as attempt:
        out = Outgoing(attempt.book, attempt.file, attempt.sha256, 0.5, False, timeout())
        said: list[str] = []

        def second() -> None:
            try:
                send_once(out, lambda: kaggle.connect(SLUG))
            except StorageError as error:
                said.append(str(error))

        attempt.server.on("CreateSubmission", BEFORE, second)
        attempt.submit()
        assert (attempt.case.states, attempt.case.counts) == (["scored"], [1])
        assert re.search("a submission to this competition is .* in another process", said[0])


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"rules": False}, f"accept its rules at https://www.kaggle.com/competitions/{SLUG}/rules"),
        ({"daily": 0}, "today's submissions are used up .* run the same command after 00:00 UTC"),
        ({"notebooks_only": True}, "takes notebooks, not files .*kaggle competitions submit"),
        ({"disabled": True}, "takes no submissions now; .* is kept"),
    ],
    ids=str,
)
def test_what_the_platform_forbids_is_said_before_anything_is_sent(
    trying: Try, facts: dict[str, bool], words: str
) -> None:
    with trying("facts", "examine") as attempt:
        usual = {name: getattr(attempt.facts, name) for name in facts}
        for name, value in facts.items():
            setattr(attempt.facts, name, value)
        attempt.submit()
        assert re.search(words, attempt.case.messages[0])
        assert not attempt.server.calls("StartSubmissionUpload")
        for name, value in usual.items():
            setattr(attempt.facts, name, value)
        attempt.submit()
        assert attempt.case.states == ["PlatformError", "scored"]
        assert attempt.case.counts == [0, 1]


def outcome(case: Case, command: int = 0) -> str:
    """What a command came to, in a word of the document."""
    state, message = case.states[command], case.messages[command]
    if state == "scored":
        return "found" if "asking whether it counts" in message else "sent"
    return {"sent": "later", "UnclearError": "unclear"}.get(state, "stops")


def general(message: str) -> str:
    """A message without the part that only repeats a library's words."""
    for pattern, word in (
        (r"has no score yet \(.*\);", "has no score yet (…);"),
        (r"did not confirm the submission \(.*?\)(?=;)", "did not confirm the submission (…)"),
        (r"\(HTTP \d+\)", "(HTTP …)"),
        (r" for url: \S+?(?=[;)])", ""),
        (r"within [\d.]+ seconds", "within 60 seconds"),
    ):
        message = re.sub(pattern, word, message)
    return message


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    return ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]


def document(matrix: list[Case], killed: list[Case], late: list[Case]) -> str:
    """The tables of docs/platforms.md and the messages that they name by number."""
    numbers: dict[str, int] = {}

    def cell(case: Case | None, command: int = 0) -> str:
        if case is None:
            return "-"
        word = outcome(case, command)
        if command and word == "sent":
            return "sends it" if case.counts[command] > case.counts[command - 1] else "finds it"
        if word == "sent":
            return word
        message = general(case.messages[command])
        return f"{word} {numbers.setdefault(message, len(numbers) + 1)}"

    found = {(case.fault, case.step): case for case in matrix}
    lines = table(
        ["", *STEPS],
        [[fault, *(cell(found.get((fault, step))) for step in STEPS)] for fault in FAULTS],
    )
    lines += [
        "",
        "Killed (`SIGKILL`) when a request arrives, or when it has taken effect; then "
        "the same command:",
        "",
    ]
    words = {"UnclearError": "unclear, then sends it"}  # unclear for ten minutes
    ends = {
        (case.step, case.fault): words.get(case.states[1], ("sends it", "finds it")[case.counts[0]])
        for case in killed
    }
    lines += table(
        ["killed", *STEPS],
        [[f"{when} the effect", *(ends[step, when] for step in STEPS)] for when in (BEFORE, AFTER)],
    )
    lines += [
        "",
        "The reply to `create` is lost, and the platform lists late what it accepted:",
        "",
    ]
    lines += table(
        ["", "first command", "the same again"],
        [[case.fault, cell(case), cell(case, 1)] for case in late],
    )
    lines += ["", "The messages:", "", *(f"{n}. {m}" for m, n in numbers.items())]
    return "\n".join(lines)


def test_the_document_has_these_tables(
    matrix: list[Case], killed: list[Case], late: list[Case]
) -> None:
    whole = DOCUMENT.read_text(encoding="utf-8")
    before, rest = whole.split(BEGIN)
    stale, after = rest.split(END)
    fresh = f"\n{document(matrix, killed, late)}\n"
    if WRITE:
        DOCUMENT.write_text(f"{before}{BEGIN}{fresh}{END}{after}", encoding="utf-8")
    else:
        hint = f"FOLDWISE_WRITE_DOCS=1 pytest {Path(__file__).name} writes {DOCUMENT.name} anew"
        assert stale == fresh, hint
