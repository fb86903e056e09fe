"""Data, scores and the leaderboard from Kaggle, as the stand-in serves them."""

import errno
import io
import logging
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foldwise.cli import printing
from foldwise.commands import status
from foldwise.commands.data import get_data
from foldwise.errors import ArchiveError, DataError, PlatformError, StorageError
from foldwise.store import ledger
from foldwise.submitting.fetching import save_board
from foldwise.submitting.platforms import kaggle
from foldwise.submitting.platforms.kaggle import KaggleCompetition
from foldwise.workspace import Workspace
from standin import BEFORE, Competition, Standin, Team
from tiny import edit, small_disk

SLUG = "tiny-slug"


def zipped(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()


@pytest.fixture
def server(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """A server that has tiny's files, which are no longer in its raw folder."""
    toml = workspace.competition("tiny") / "competition.toml"
    edit(toml, 'platform = "local"', f'platform = "kaggle"\nslug = "{SLUG}"')
    raw = workspace.raw("tiny")
    with Standin() as running:
        from kagglesdk import kaggle_env

        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, running.url)
        monkeypatch.setenv("KAGGLE_CONFIG_DIR", os.environ["HOME"])
        monkeypatch.setenv("KAGGLE_USERNAME", running.world.username)
        monkeypatch.setenv("KAGGLE_KEY", running.world.key)
        monkeypatch.setenv("FOLDWISE_TIMEOUT", "1")
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client's between its tries
        running.host(Competition(SLUG, lambda content: (1.0, 1.0), zipped(raw)))
        shutil.rmtree(raw)
        yield running


def test_data_are_downloaded_verified_and_unpacked_once(
    server: Standin, workspace: Workspace
) -> None:
    facts = get_data(workspace, "tiny")
    assert (facts["train_rows"], facts["test_rows"], facts["images_missing"]) == (30, 12, 0)
    assert not [*(workspace.data / "tiny" / "download").iterdir()]
    calls = len(server.journal)
    get_data(workspace, "tiny")
    assert len(server.journal) == calls  # all is there


def test_missing_image_folders_are_downloaded_too(server: Standin, workspace: Workspace) -> None:
    get_data(workspace, "tiny")
    shutil.rmtree(workspace.raw("tiny") / "images")
    assert get_data(workspace, "tiny")["images_missing"] == 0


def test_a_download_that_is_cut_off_goes_on(server: Standin, workspace: Workspace) -> None:
    server.fail("download", "cut", times=2)
    assert get_data(workspace, "tiny")["images_missing"] == 0
    assert len(server.calls("download")) == 3


def test_a_download_that_does_not_fit_is_refused_before_it_begins(
    server: Standin, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_disk(monkeypatch, 4000)
    expected = r"downloading tiny-slug.zip needs 0.00 GB .* at .*download, 0.00 GB are free; make"
    with pytest.raises(StorageError, match=expected):
        get_data(workspace, "tiny")
    assert os.listdir(workspace.data / "tiny" / "download") == []


def test_a_disk_that_fills_is_not_the_network(tmp_path: Path) -> None:
    class Client:
        def competition_download_files(self, *words: str, **settings: bool) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        competition_leaderboard_download = competition_download_files

    remote = KaggleCompetition(SLUG, Client())
    for fetch in (remote.download, remote.board):
        with pytest.raises(StorageError, match="no disk space left while writing"):
            fetch(tmp_path)


def test_half_an_archive_is_noticed_and_fetched_anew(server: Standin, workspace: Workspace) -> None:
    server.fail("download", "short")
    with pytest.raises(ArchiveError, match="is damaged or incomplete"):
        get_data(workspace, "tiny")
    assert not workspace.raw("tiny").exists()
    assert get_data(workspace, "tiny")["images_missing"] == 0


@pytest.mark.parametrize(
    ("method", "kind", "message"),
    [
        ("DownloadDataFiles", "401", "Kaggle does not accept what is in KAGGLE_USERNAME and"),
        ("DownloadDataFiles", "403", "accept the rules at .*/competitions/tiny-slug/rules with"),
        ("DownloadDataFiles", "404", "is 'tiny-slug' the name in the address of its page"),
        (
            "DownloadDataFiles",
            "silence",
            "no answer within 1 seconds; what was downloaded",
        ),
        ("download", "reset", "what was downloaded is kept, and goes on"),
    ],
)
def test_why_there_are_no_data_is_said(
    server: Standin, workspace: Workspace, method: str, kind: str, message: str
) -> None:
    server.fail(method, kind, times=None)
    with pytest.raises(PlatformError, match=message):
        get_data(workspace, "tiny")
    server.heal()
    assert get_data(workspace, "tiny")["images_missing"] == 0


def test_of_two_downloads_at_once_one_waits(
    server: Standin, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    both = [threading.Thread(target=get_data, args=(workspace, "tiny")) for _ in "ab"]

    def second() -> None:
        both[1].start()
        wait_for(lambda: "tiny-slug is at work in another process" in caplog.text)

    server.on("download", BEFORE, second)
    both[0].start()
    for thread in both:
        thread.join(30)
    assert len(server.calls("download")) == 1
    assert len([*workspace.raw("tiny").rglob("*.png")]) == 42


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert condition()


def test_the_board_leaves_a_download_of_the_data_alone(
    server: Standin, workspace: Workspace
) -> None:
    begun = workspace.data / "tiny" / "download" / f"{SLUG}.zip"
    begun.parent.mkdir()
    begun.write_bytes(b"begun")
    assert status.read_standing(workspace, "tiny", ask=True)["quota"]
    assert begun.read_bytes() == b"begun"


@pytest.mark.parametrize("content", [b"PK no zip", b"PK\5\6" + bytes(18)], ids=["bad", "empty"])
def test_a_leaderboard_that_cannot_be_read_is_left_out_and_said(
    server: Standin,
    tmp_path: Path,
    content: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def board(self: kaggle.KaggleCompetition, folder: Path) -> Path:
        folder.mkdir()
        (folder / "board.zip").write_bytes(content)
        return folder / "board.zip"

    monkeypatch.setattr(kaggle.KaggleCompetition, "board", board)
    assert save_board(kaggle.connect(SLUG), tmp_path) is None
    assert "the leaderboard cannot be read: " in caplog.text
    assert list((tmp_path / "board").iterdir()) == []


def test_without_credentials_nobody_is_asked(
    server: Standin, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(DataError, match=r"train_features\.csv"):
        get_data(workspace, "tiny")
    assert not server.journal


def test_status_fetches_late_scores_quota_and_board(
    server: Standin, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    book = workspace.submissions("tiny", practice=False) / "ledger.jsonl"
    book.parent.mkdir(parents=True)
    ledger.append(book, "written", "a.csv", sha256="5", local=0.5)
    ref = server.world.add(SLUG, "a [fw-1]", b"id").ref
    server.world.competitions[SLUG].teams += [Team("Oaks", 0.5), Team("Elms", 3.5)]
    ledger.append(book, "intent", "a.csv", tag="fw-1", sha256="5", counted=0, listed=0)
    ledger.append(book, "sent", "a.csv", tag="fw-1", ref=ref)
    assert status.read_standing(workspace, "tiny")["submissions"][0]["public"] is None
    assert not server.journal
    told = status.read_standing(workspace, "tiny", ask=True)
    (row,) = told["submissions"]
    assert (row["state"], row["public"], row["rank"], row["teams"]) == ("scored", 1.0, 2, 3)
    assert told["quota"] == {"today": 1, "total": 1, "left": 4, "for_good": False}
    assert "1 submissions today, 1 in all; 4 left today" in printing.standing_lines(told)
    server.world.competitions[SLUG].total = 3
    told = status.read_standing(workspace, "tiny", ask=True)
    assert "1 submissions today, 1 in all; 2 left ever" in printing.standing_lines(told)
    server.fail("ListSubmissions", "500", times=None)
    told = status.read_standing(workspace, "tiny", ask=True)
    assert (told["quota"], told["submissions"][0]["rank"]) == (None, 2)
    assert "Kaggle: Internal error; nothing was sent: its server fails" in caplog.text
