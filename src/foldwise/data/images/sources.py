"""Where images come from; and their content hashes, remembered so that unchanged files are not
read again."""

import inspect
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldwise.config.adapter import ReadImage
from foldwise.config.competition import CompetitionSpec
from foldwise.data.images.decoding import Decoded, images_of
from foldwise.data.images.levels import Levels
from foldwise.data.labels.table import LabelTable
from foldwise.kinds.reader import READERS, ImageReader
from foldwise.store.files import hold_lock, replace_file, sha256_file, sha256_json, sha256_text
from foldwise.store.frames import read_stored
from foldwise.store.layout import CachesFolder, DataFolder, lock_of

SOURCE_COLUMNS = ["path", "bytes", "modified_ns", "sha256"]


@dataclass(frozen=True)
class ImageSources:
    """The images of a competition's rows: where each comes from, and how it is read.

    table: the rows. raw: the folder of their files. hashes: the content hash of each id's source,
    indexed by id, see `source_hashes`. read_image: the hook that gives the pixels, where there is
    one. levels: of deep images, where there are some.
    """

    spec: CompetitionSpec
    table: LabelTable
    raw: Path
    hashes: "pd.Series[str]"
    read_image: ReadImage | None = None
    levels: Levels | None = None

    @property
    def mode(self) -> str:
        """Pillow's mode of the decoded images."""
        return self.spec.images.mode

    @property
    def caches(self) -> CachesFolder:
        """The folder of their caches."""
        return DataFolder(self.raw.parent).caches

    @property
    def named_levels(self) -> Levels | None:
        """The levels, where they are in names of caches and digests."""
        return self.levels if self.levels and self.levels.named else None

    @property
    def key(self) -> str:
        """A hash over the ids and contents of all sources, whatever their order."""
        return sources_key(self.hashes)

    def decoder(self, side: int | None = None) -> Callable[[int], Decoded]:
        """A function from a row number to its decoded image, see `images_of`."""
        return images_of(self.spec, self.table, self.raw, self.read_image, side, self.levels)


def sources_key(hashes: "pd.Series[str]") -> str:
    """A hash over the ids and contents of all sources, whatever their order."""
    return sha256_json(sorted(zip(hashes.index, hashes, strict=True)))


def source_hashes(
    table: LabelTable,
    raw: Path,
    read_image: ReadImage | None = None,
    readers: Sequence[ImageReader] = (),
) -> "pd.Series[str]":
    """The content hash of each id's source, indexed by id in table order.

    The file's bytes count; a file whose size and time of change are known is not read again.
    With a read_image hook, the CSV row and the adapter's code stand for the file; settings and code
    of a competition's readers count beside the bytes.
    """
    ids = pd.Index(table.frame["id"], dtype=str)
    if read_image is not None:
        code = sha256_file(Path(read_image.__code__.co_filename))
        rows = code + table.source.agg("\x1f".join, axis=1)
        digests = [sha256_text(row) for row in rows]
        return pd.Series(digests, index=ids)
    store = DataFolder(raw.parent).caches.sources
    with hold_lock(lock_of(store), "hashing images"):
        known = _known_hashes(store)
        paths = list(table.frame["path"])
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            entries = list(pool.map(lambda path: _entry(raw, path, known), paths))
        if any(known.get(entry[0]) != entry[1:] for entry in entries):
            merged = {**known, **{entry[0]: entry[1:] for entry in entries}}
            frame = pd.DataFrame(
                [(path, *rest) for path, rest in merged.items()], columns=SOURCE_COLUMNS
            )
            with replace_file(store) as temporary:
                frame.to_parquet(temporary, index=False)
    digests = [entry[3] for entry in entries]
    if readers:
        reading = _readers_hash(readers)
        digests = [sha256_text(reading + digest) for digest in digests]
    return pd.Series(digests, index=ids)


def _readers_hash(readers: Sequence[ImageReader]) -> str:
    """A hash over what readers are: their settings, and the code of those that are an adapter's."""
    own = [each for each in readers if READERS.name_of(each) not in READERS.known]
    codes = [sha256_file(Path(inspect.getfile(type(each)))) for each in own]
    return sha256_json([*(READERS.dump(each, mode="json") for each in readers), *codes])


def _known_hashes(store: Path) -> dict[str, tuple[int, int, str]]:
    if not store.is_file():
        return {}
    frame = read_stored(store)
    values = zip(frame["bytes"], frame["modified_ns"], frame["sha256"], strict=True)
    return {p: (int(b), int(m), h) for p, (b, m, h) in zip(frame["path"], values, strict=True)}


def _entry(
    raw: Path, path: str, known: dict[str, tuple[int, int, str]]
) -> tuple[str, int, int, str]:
    file = raw / path
    stat = file.stat()
    old = known.get(path)
    if old and old[:2] == (stat.st_size, stat.st_mtime_ns):
        return path, *old
    return path, stat.st_size, stat.st_mtime_ns, sha256_file(file)
