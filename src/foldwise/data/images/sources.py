"""Content hashes of image files, remembered so that unchanged files are not read again."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from foldwise.config.adapter import ReadImage
from foldwise.data.labels.table import LabelTable
from foldwise.store.files import hold_lock, replace_file, sha256_file, sha256_text
from foldwise.store.frames import read_stored
from foldwise.store.layout import DataFolder, lock_of

SOURCE_COLUMNS = ["path", "bytes", "modified_ns", "sha256"]


def source_hashes(
    table: LabelTable, raw: Path, read_image: ReadImage | None = None
) -> "pd.Series[str]":
    """The content hash of each id's source, indexed by id in table order.

    The file's bytes count; a file whose size and time of change are known is not read again.
    With a read_image hook, the CSV row and the adapter's code stand for the file.
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
    return pd.Series([entry[3] for entry in entries], index=ids)


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
