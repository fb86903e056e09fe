"""What comes from a platform: a competition's data, scores that arrived late, the leaderboard."""

import logging
import shutil
import tempfile
from pathlib import Path

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import ArchiveError, PlatformError, UnreachedError
from foldwise.store.files import hold_lock, replace_file
from foldwise.store.layout import DataFolder
from foldwise.submitting.platforms import Quota, Remote, destination
from foldwise.submitting.sending import examine, refresh
from foldwise.tables.archives import add_to_raw
from foldwise.tables.listing import files_here
from foldwise.tables.unpacking import unpack

log = logging.getLogger(__name__)


def ask_first(spec: CompetitionSpec) -> None:
    """Ask the platform whether it will take a file, before hours are spent on making one.

    That nobody answers, or that there are no credentials, is a warning: a file can be made all the
    same, and the platform is asked again before it is sent.
    Raises: PlatformError: it will not take one.
    """
    platform = destination(spec)
    if not platform.online:
        return
    how = platform.credentials_lack()
    if how is not None:
        log.warning(
            "no %s credentials here: the file will be written and scored, and not sent; to send "
            "it, %s",
            platform.title,
            how,
        )
        return
    try:
        examine(platform.connect(spec.name))
    except UnreachedError as error:
        log.warning(
            "training goes on, and %s is asked again before anything is sent: %s",
            platform.title,
            error,
        )


def fetch(spec: CompetitionSpec, raw: Path) -> None:
    """Download what is missing of a competition's files, and unpack it into raw.

    A download that was cut off goes on; the archive is removed once its files are there, or when
    it turns out to be damaged. Of two processes one waits for the other's files.
    Raises: PlatformError: see `Session.download`. DataError, StorageError: see `add_to_raw`.
    """
    if _complete(spec, raw):
        return
    platform = destination(spec)
    name = platform.slug or spec.name
    home = DataFolder(raw.parent)
    with hold_lock(home.download_lock, f"the download of {name}"):
        if _complete(spec, raw):  # by now
            return
        log.info("%s: downloading %s from %s", spec.name, name, platform.title)
        archive = platform.connect(spec.name).download(home.download)
        try:
            add_to_raw(archive, raw, spec)
        except ArchiveError:  # else the client would take it for the whole of it
            archive.unlink(missing_ok=True)
            raise
        archive.unlink(missing_ok=True)


def _complete(spec: CompetitionSpec, raw: Path) -> bool:
    return files_here(spec, raw) and all((raw / folder).exists() for folder in spec.images.folders)


def update(spec: CompetitionSpec, book: Path, data: Path) -> Quota:
    """Enter scores that have arrived, and fetch the leaderboard; returns what may still be sent.

    book: the ledger. data: the competition's data folder, where the leaderboard is put.
    Raises: PlatformError: the platform refused, or could not be asked.
    """
    remote = destination(spec).connect(spec.name)
    count = refresh(book, remote)
    if count:
        log.info("%s: %d scores have arrived", spec.name, count)
    save_board(remote, data)
    return remote.quota()


def save_board(remote: Remote, data: Path) -> Path | None:
    """The leaderboard's CSV in the data folder; None, and a warning, where it cannot be had; None
    where nobody is on it yet."""
    home = DataFolder(data)
    with hold_lock(home.board_lock, "the download of the leaderboard"):
        try:
            archive = remote.board(
                home.board_download
            )  # it has the name of the archive of all data
        except PlatformError as error:
            log.warning("%s", error)
            return None
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            try:
                unpack(archive, Path(folder))
                (table,) = Path(folder).rglob("*.csv")
            except (ArchiveError, ValueError) as error:
                log.warning("the leaderboard cannot be read: %s", error)
                return None
            finally:
                archive.unlink()
            if len(table.read_bytes().splitlines()) < 2:
                return None
            with replace_file(home.leaderboard) as temporary:
                shutil.copyfile(table, temporary)
    return home.leaderboard
