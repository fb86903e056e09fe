"""The stand-in for Kaggle, asked by the unmodified client: every method, every fault."""

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from standin import AFTER, BEFORE, KINDS, REPLIED, Competition, Standin, Team
from standin.grading import log_loss_grade

SLUG = "leaves"
DATA = {"train.csv": b"id,species\n007,oak\n", "images/7.jpg": bytes(range(256)) * 40}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
OTHERS = ("cut", "short", "list 200")  # faults of files, and of a reply that is read as JSON
FILE = "id,oak,ash\n007,1,0\n"


def grade(content: bytes) -> tuple[float, float]:
    """The number of lines as the public score, of characters as the private one."""
    if not content.startswith(b"id,"):
        raise ValueError("Submission has no column 'id'")
    return content.count(b"\n"), len(content)


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def server() -> Iterator[Standin]:
    teams = [Team("Oaks", 1.5), Team("Ash, ash", 3.25, submissions=4)]
    with Standin() as running:
        running.host(Competition(SLUG, grade, zipped(DATA), teams=teams))
        yield running


@pytest.fixture
def api(server: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The client, led to the stand-in by its table of endpoints, with a key of its own."""
    for name in os.environ:
        if name.startswith("KAGGLE_") or name.upper() in PROXIES:
            monkeypatch.delenv(name)
    for name in ("HOME", "KAGGLE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("KAGGLE_USERNAME", server.world.username)
    monkeypatch.setenv("KAGGLE_KEY", server.world.key)
    return client(server, monkeypatch)


def client(server: Standin, monkeypatch: pytest.MonkeyPatch) -> Any:
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, server.url)
    with contextlib.redirect_stdout(io.StringIO()):
        from kaggle.api.kaggle_api_extended import KaggleApi

        made = KaggleApi()
        made.authenticate()
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "answer.csv"
    path.write_text(FILE)
    return path


def sdk(api: Any, method: str, **fields: Any) -> Any:
    """A method of kagglesdk that KaggleApi does not have."""
    from kagglesdk.competitions.types import competition_api_service as types

    request = getattr(types, f"Api{method}Request")()
    for name, value in fields.items():
        setattr(request, name, value)
    with api.build_kaggle_client() as opened:
        service = opened.competitions.competition_api_client
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in method).lstrip("_")
        return getattr(service, name)(request)


def submit(api: Any, file: Path, description: str = "one") -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        return api.competition_submit(str(file), description, SLUG, quiet=True)


def test_a_submission_is_uploaded_counted_scored_and_on_the_board(
    server: Standin, api: Any, file: Path
) -> None:
    assert submit(api, file, "mine").ref == 1000
    (made,) = server.world.submissions
    assert (made.content.decode(), made.description, made.file_name) == (FILE, "mine", file.name)
    limits = api.competition_get_submission_limits(SLUG)
    assert (limits.num_today, limits.num_total, limits.num_allowed_now) == (1, 1, 4)
    first, second = (sdk(api, "GetSubmission", ref=1000) for _ in range(2))
    assert (first.status.name, first.public_score) == ("PENDING", "")
    assert (second.status.name, second.public_score, second.private_score) == (
        "COMPLETE",
        "2.00000",
        "",
    )
    server.world.competitions[SLUG].deadline = datetime(2020, 1, 1, tzinfo=UTC)
    assert sdk(api, "GetSubmission", ref=1000).private_score == f"{len(FILE)}.00000"
    rows = api.competition_leaderboard_view(SLUG)
    assert [(row.team_name, row.score) for row in rows] == [
        ("Oaks", "1.50000"),
        ("tester", "2.00000"),
        ("Ash, ash", "3.25000"),
    ]
    methods = [call.method for call in server.journal]
    assert methods[:3] == ["StartSubmissionUpload", "PUT", "CreateSubmission"]
    assert server.calls("PUT")[0].body["bytes"] == len(FILE)
    server.world.days += 1
    limits = api.competition_get_submission_limits(SLUG)
    assert (limits.num_today, limits.num_total, limits.num_allowed_now) == (0, 1, 5)


def test_a_file_that_cannot_be_graded_ends_with_the_reason(
    server: Standin, api: Any, file: Path
) -> None:
    file.write_text("no header\n")
    submit(api, file)
    server.world.competitions[SLUG].pending = 0
    row = sdk(api, "GetSubmission", ref=1000)
    assert (row.status.name, row.public_score) == ("ERROR", "")
    assert row.error_description == "Submission has no column 'id'"


def test_lists_come_in_pages_by_number_and_by_token_the_newest_first(
    server: Standin, api: Any
) -> None:
    for number in range(7):
        server.world.add(SLUG, f"number {number}", FILE.encode())
    pages = [api.competition_submissions(SLUG, page_number=n, page_size=3) for n in (1, 2, 3, 4)]
    assert [[row.ref for row in page] for page in pages] == [
        [1006, 1005, 1004],
        [1003, 1002, 1001],
        [1000],
        [],
    ]
    reply = sdk(api, "ListSubmissions", competition_name=SLUG, page_size=5)
    server.world.add(SLUG, "in between", FILE.encode())
    rest = sdk(api, "ListSubmissions", competition_name=SLUG, page_token=reply.next_page_token)
    assert [row.ref for row in rest.submissions] == [1001, 1000]
    assert not rest.next_page_token
    assert {row.status.name for row in rest.submissions} == {"COMPLETE"}
    names = [f.name for f in api.competition_list_files(SLUG).files]
    assert names == list(DATA)


def test_facts_of_a_competition_and_what_they_forbid(server: Standin, api: Any, file: Path) -> None:
    facts = server.world.competitions[SLUG]
    told = sdk(api, "GetCompetition", competition_name=SLUG)
    assert (told.user_has_entered, told.max_daily_submissions, told.team_count) == (True, 5, 2)
    assert (told.is_kernels_submissions_only, told.submissions_disabled) == (False, False)
    assert told.deadline == datetime(2099, 1, 1)
    assert [c.title for c in api.competitions_list(search="lea").competitions] == [SLUG]
    for name, value, status in [
        ("rules", False, 403),
        ("notebooks_only", True, 400),
        ("disabled", True, 400),
        ("daily", 0, 400),
        ("total", 0, 400),
    ]:
        usual = getattr(facts, name)
        setattr(facts, name, value)
        assert refused(lambda: submit(api, file)) == status, name
        setattr(facts, name, usual)
    assert refused(lambda: sdk(api, "GetCompetition", competition_name="leafs")) == 404
    assert refused(lambda: sdk(api, "GetSubmission", ref=5)) == 404
    assert server.world.submissions == []


def refused(ask: Callable[[], object]) -> int | None:
    """The HTTP status of the error that a call ends with."""
    from requests import HTTPError

    with pytest.raises(HTTPError) as caught:
        ask()
    return caught.value.response.status_code


def test_keys_and_tokens_are_looked_at(
    server: Standin, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.journal == []  # a key costs no request
    monkeypatch.setenv("KAGGLE_KEY", "f" * 32)
    limits = "competition_get_submission_limits"
    assert refused(lambda: getattr(client(server, monkeypatch), limits)(SLUG)) == 401
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_wrong")  # beside a key it is found inactive,
    monkeypatch.setenv("KAGGLE_KEY", server.world.key)  # and used all the same
    assert refused(lambda: getattr(client(server, monkeypatch), limits)(SLUG)) == 401
    monkeypatch.setenv("KAGGLE_API_TOKEN", server.world.token)
    assert getattr(client(server, monkeypatch), limits)(SLUG).num_allowed_now == 5
    assert len(server.calls("IntrospectToken")) == 2


def test_downloads_are_redirected_resumed_and_as_torn_as_planned(
    server: Standin, api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client's own pauses
    whole = server.world.competitions[SLUG].archive
    server.fail("download", "cut")  # goes on with Range
    api.competition_download_files(SLUG, str(tmp_path), quiet=True)
    assert (tmp_path / f"{SLUG}.zip").read_bytes() == whole
    assert [call.status for call in server.calls("download")] == [200, 206]
    server.fail("download", "short")
    api.competition_download_files(SLUG, str(tmp_path), force=True, quiet=True)
    assert (tmp_path / f"{SLUG}.zip").read_bytes() == whole[: len(whole) // 2]
    api.competition_download_file(SLUG, "images/7.jpg", str(tmp_path), quiet=True)
    assert (tmp_path / "7.jpg").read_bytes() == DATA["images/7.jpg"]
    url = f"{server.url}/files/{SLUG}/{SLUG}.zip"
    stale = requests.get(url, headers={"Range": "bytes=9-", "If-Range": '"old"'}, timeout=5)
    assert (stale.status_code, stale.content) == (200, whole)
    beyond = requests.get(url, headers={"Range": f"bytes={len(whole)}-"}, timeout=5)
    assert beyond.status_code == 416
    api.competition_leaderboard_download(SLUG, str(tmp_path / "board"))
    with zipfile.ZipFile(tmp_path / "board" / f"{SLUG}.zip") as archive:
        (name,) = archive.namelist()
        rows = list(csv.DictReader(io.StringIO(archive.read(name).decode("utf-8-sig"))))
    assert name.startswith(f"{SLUG}-publicleaderboard-")
    assert [
        (row["Rank"], row["TeamName"], row["Score"], row["SubmissionCount"]) for row in rows
    ] == [("1", "Oaks", "1.50000", "1"), ("2", "Ash, ash", "3.25000", "4")]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in OTHERS])
def test_a_fault_comes_before_or_after_the_effect_and_as_often_as_planned(
    server: Standin, api: Any, file: Path, kind: str
) -> None:
    from requests import ConnectionError, HTTPError, Timeout

    expected: type[Exception] = {
        "silence": Timeout,
        "reset": ConnectionError,
        "html 200": ValueError,
    }.get(kind, HTTPError)
    for after in (False, True):
        server.fail("CreateSubmission", kind, after=after, skip=1)
        assert submit(api, file).ref == 1000 + after
        with impatient() if kind == "silence" else contextlib.nullcontext():
            with pytest.raises(expected) as caught:
                submit(api, file)
        if kind[:3].isdigit():
            response: Any = getattr(caught.value, "response", None)
            assert response.status_code == int(kind)
            assert ("Retry-After" in response.headers) == (kind == "429")
        assert len(server.world.submissions) == (1 if not after else 3)
    creations = server.calls("CreateSubmission")
    assert [call.effect for call in creations] == [True, False, True, True]
    assert [call.fault for call in creations] == ["", kind, "", kind]


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """The client waits half a second for CreateSubmission, and not for ever."""
    import requests

    usual = requests.adapters.HTTPAdapter.send

    def send(self: Any, sent: Any, *words: Any, **options: Any) -> Any:
        seconds = 0.5 if sent.url.endswith("CreateSubmission") else 60
        return usual(self, sent, *words, **{**options, "timeout": seconds})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("requests.adapters.HTTPAdapter.send", send)
        yield


def test_an_upload_can_break_in_the_middle_and_hooks_see_every_moment(
    server: Standin, api: Any, file: Path
) -> None:
    file.write_bytes(b"id," + bytes(3_000_000))
    server.fail("PUT", "reset")  # the client's libraries send it once more
    seen: list[int] = []
    for method in ("PUT", "CreateSubmission"):
        for when in (BEFORE, AFTER):
            server.on(method, when, lambda: seen.append(len(server.world.submissions)))
    replied = threading.Event()
    server.on("CreateSubmission", REPLIED, replied.set)
    assert submit(api, file).ref == 1000
    assert replied.wait(5)
    torn, whole = server.calls("PUT")
    assert (torn.effect, torn.status, torn.body["bytes"]) == (False, None, 1_500_001)
    assert (whole.effect, whole.status) == (True, 201)
    assert server.world.submissions[0].content == file.read_bytes()
    assert seen == [0, 0, 0, 0, 1]  # the torn PUT has a beginning only
    server.fail("PUT", "500", times=None)
    reply = submit(api, file)
    assert (reply.ref, reply.message) == (0, "Could not submit to competition")
    assert len(server.calls("CreateSubmission")) == 1
    with pytest.raises(ValueError, match=r"a fault is one of 401, 403, .*, not 'fire'"):
        server.fail("PUT", "fire")


def test_an_accepted_submission_can_be_hidden_and_its_score_withheld(
    server: Standin, api: Any, file: Path
) -> None:
    facts = server.world.competitions[SLUG]
    facts.pending = None
    server.world.add(SLUG, "long ago", FILE.encode())
    for counts in (True, False):
        facts.hidden, facts.hidden_counts = 2, counts
        ref = submit(api, file).ref
        told = []
        for _ in range(3):
            count = api.competition_get_submission_limits(SLUG).num_total
            told.append((ref in [s.ref for s in api.competition_submissions(SLUG)], count))
        total = len(server.world.submissions)
        before = total if counts else total - 1
        assert told == [(False, before), (False, before), (True, total)]
    rows = api.competition_submissions(SLUG)
    assert [row.status.name for row in rows] == ["PENDING", "PENDING", "COMPLETE"]
    facts.pending = 0
    assert sdk(api, "GetSubmission", ref=rows[0].ref).status.name == "COMPLETE"


CHILD = """
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()):
    from kaggle.api.kaggle_api_extended import KaggleApi
    api = KaggleApi()
    api.authenticate()
    ref = api.competition_submit(sys.argv[1], "from a child", sys.argv[2], quiet=True).ref
    api.competition_download_files(sys.argv[2], sys.argv[3], quiet=True)
limits = api.competition_get_submission_limits(sys.argv[2])
print(json.dumps([ref, limits.num_today]))
"""


@pytest.mark.parametrize("bearer", [False, True])
def test_the_environment_alone_leads_the_client_here(
    server: Standin, file: Path, tmp_path: Path, bearer: bool
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(file), SLUG, str(tmp_path / "data")],
        env=server.environment(tmp_path / "home", bearer),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [1000, 1]
    assert server.world.submissions[0].description == "from a child"
    data = (tmp_path / "data" / f"{SLUG}.zip").read_bytes()
    assert data == server.world.competitions[SLUG].archive


def test_other_hosts_are_not_reached_through_the_stand_in(server: Standin) -> None:
    import requests

    proxies = {"http": server.url}
    for url in ("http://www.kaggle.com/api/v1/x", "http://localhost/api/v1/x"):
        assert requests.post(url, proxies=proxies, timeout=5).status_code == 404
    assert [call.effect for call in server.journal] == [False, False]


def test_log_loss_is_graded_by_the_published_rule(tmp_path: Path) -> None:
    by_label = log_loss_grade(b"id,label\n007,oak\n8,ash\n9,oak\n")
    by_class = log_loss_grade(b"id,oak,ash\n9,1,0\n8,0,1\n007,1,0\n")
    sent = b"id,ash,oak\n8,1,1\n9,1,1\n007,2,2\n"
    for grade_file in (by_label, by_class):
        assert grade_file(sent) == pytest.approx((0.693147, 0.693147), abs=1e-6)
        with pytest.raises(ValueError, match="must have 3 rows with the solution's ids"):
            grade_file(sent.replace(b"007", b"7"))
        with pytest.raises(ValueError, match="no number in row '9'"):
            grade_file(sent.replace(b"9,1,1", b"9,1,nan"))
    with pytest.raises(ValueError, match="do not match"):
        by_class(sent.replace(b"oak", b"elm"))
