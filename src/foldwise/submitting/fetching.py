"""What comes from a platform: a competition's data, scores that arrived late, the leaderboard."""

import logging
import zipfile
from pathlib import Path

from foldwise.data.archives import add_to_raw
from foldwise.errors import ArchiveError, PlatformError
from foldwise.spec.competition import CompetitionSpec
from foldwise.storage import replacing
from foldwise.submitting.platforms import Quota, credentials, kaggle
from foldwise.submitting.sending import refresh

log = logging.getLogger(__name__)

BOARD = "leaderboard.csv"  # in a competition's data folder


def can_ask(spec: CompetitionSpec) -> bool:
    """True where the platform can be asked from here: it is Kaggle, and there are credentials."""
    return spec.platform == "kaggle" and credentials.found() is not None


def fetch(spec: CompetitionSpec, raw: Path) -> None:
    """Download a competition's archive and unpack it into raw.

    A download that was cut off goes on; the archive is removed once its files are there, or when
    it turns out to be damaged.
    Raises: PlatformError: see `Kaggle.download`. DataError, StorageError: see `add_to_raw`.
    """
    slug = spec.slug or spec.name
    log.info("%s: downloading %s from Kaggle", spec.name, slug)
    archive = kaggle.connect(slug).download(raw.parent / "download")
    try:
        add_to_raw(archive, raw, spec)
    except ArchiveError:  # else the client would take it for the whole of it
        archive.unlink(missing_ok=True)
        raise
    archive.unlink(missing_ok=True)


def update(spec: CompetitionSpec, book: Path, data: Path) -> Quota:
    """Enter scores that have arrived, and fetch the leaderboard; returns what may still be sent.

    book: the ledger. data: the competition's data folder, where leaderboard.csv is put.
    Raises: PlatformError: the platform refused, or could not be asked.
    """
    remote = kaggle.connect(spec.slug or spec.name)
    count = refresh(book, remote)
    if count:
        log.info("%s: %d scores have arrived", spec.name, count)
    save_board(remote, data)
    return remote.quota()


def save_board(remote: kaggle.Kaggle, data: Path) -> Path | None:
    """The leaderboard's CSV in the data folder; None, and a warning, where there is none."""
    try:
        archive = remote.board(data / "download")
    except PlatformError as error:
        log.warning("%s", error)
        return None
    with zipfile.ZipFile(archive) as handle, replacing(data / BOARD) as temporary:
        temporary.write_bytes(handle.read(handle.namelist()[0]))
    archive.unlink()
    return data / BOARD
