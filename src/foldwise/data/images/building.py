"""Image caches are built: one decoding per image for all sizes, raw or recompressed as they fit."""

import logging
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from foldwise.config.competition import CompetitionSpec
from foldwise.data.images.cache import (
    ROW,
    ImageCache,
    cache_folder,
    crc_of,
    end_of,
    intact,
    open_cache,
)
from foldwise.data.images.decoding import (
    Decoded,
    Progress,
    each_image,
    raise_unreadable,
)
from foldwise.data.images.packed import PER_CORE, QUALITY, about, encode_pixels
from foldwise.data.images.resizing import Resizing
from foldwise.data.images.sources import ImageSources
from foldwise.errors import StorageError
from foldwise.store.data_records import CachePlan, CacheRecord
from foldwise.store.files import allocate, disk_errors, hold_lock, sha256_file
from foldwise.store.layout import CacheFolder

log = logging.getLogger(__name__)

KEPT_FREE = 0.1  # of the free disk: other things are written too
WORTH_SAYING = 1e9  # bytes


def build_caches(
    sources: ImageSources,
    sizes: Sequence[tuple[int, int]],
    resizing: Resizing,
    progress: Progress | None = None,
) -> list[ImageCache]:
    """The caches of images at each size (height, width); built where they are not there.

    Content hashes, mode, levels, resizing, the size and the longest side of all sizes name a cache,
    so another source makes another one, and another order of rows does not. All that is missing is
    made from one decoding per image. A build that was killed goes on with the rows that are not
    there yet.

    Raises: ImageError: images are missing or unreadable; all are listed in a file.
            StorageError: the disk is too full.
    """
    spec, rows = sources.spec, sources.table.frame["id"]
    side = max(max(size) for size in sizes)
    bases = [cache_folder(sources, resizing, size, side) for size in sizes]
    shapes = {
        base: (len(rows), *size, spec.images.channels)
        for base, size in zip(bases, sizes, strict=True)
    }
    with ExitStack() as stack:
        for base in sorted(shapes, key=lambda base: base.path):  # one order in every process
            stack.enter_context(hold_lock(base.lock, f"the image cache {base.name}"))
        kinds = _kinds(spec, shapes)
        stack.enter_context(disk_errors(sources.caches.path))
        sites = [
            stack.enter_context(Site(base, kinds[base], shape, [*rows]))
            for base, shape in shapes.items()
            if not base.of_kind(kinds[base]).finished
        ]
        if sites:
            _fill(sites, sources, side, resizing, progress)
            for site in sites:
                site.finish(sources)
    return [open_cache(base.of_kind(kinds[base]).path) for base in bases]


class Site:
    """A cache under construction.

    A row's checksum is written after its bytes and says that they are there; after an interruption
    rows whose bytes have it are kept.
    """

    def __init__(
        self, base: CacheFolder, recompress: bool, shape: tuple[int, ...], ids: list[str]
    ) -> None:
        """base: the folder of the raw cache, whichever kind it becomes."""
        self.home = home = base.of_kind(recompress)
        self.packed, self.shape, self.ids = recompress, shape, ids
        self._prepare()
        self.rows = np.memmap(home.rows, ROW, "r+", shape=shape[:1])
        content = home.part.stat().st_size
        data = np.memmap(home.part, np.uint8, "r") if content else np.empty(0, np.uint8)
        self.there = intact(data, self.rows)  # bool (n,)
        self.rows[~self.there] = 0
        self.end = end_of(self.rows)  # recompressed images are appended
        self.lock = threading.Lock()
        if self.there.any():
            log.info("%s: %d of %d images are there already", home.name, self.there.sum(), shape[0])

    def __enter__(self) -> "Site":
        self.file = self.home.part.open("r+b", buffering=0)
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def put(self, row: int, image: Decoded, resizing: Resizing) -> None:
        """Write a row: the image brought to the size."""
        size = self.shape[1], self.shape[2]
        pixels = np.ascontiguousarray(resizing.fit(image.image, size))
        content = memoryview(encode_pixels(pixels) if self.packed else pixels.reshape(-1).data)
        with self.lock:
            start = self.end if self.packed else row * len(content)
            self.end = max(self.end, start + len(content))
            self.file.seek(start)
            written = 0
            while written < len(content):
                written += self.file.write(content[written:])
        self.rows[row] = (start, len(content), image.width, image.height, image.scale, 0)
        self.rows["crc"][row] = crc_of(content)

    def finish(self, sources: ImageSources) -> None:
        """Flush, name the files as finished ones, and write the record. sources: of the images."""
        self.file.truncate(end_of(self.rows))
        os.fsync(self.file.fileno())
        self.file.close()  # an open file cannot be renamed everywhere
        self.rows.flush()
        file = self.home.pixels(self.packed)
        os.replace(self.home.part, file)
        levels = {"levels": sources.levels, "named_levels": sources.named_levels}
        record = CacheRecord(
            mode=sources.mode,
            sources=sources.key,
            packed=self.packed,
            modified_ns=file.stat().st_mtime_ns,
            rows_sha256=sha256_file(self.home.rows),
            shape=self.shape,
            ids=tuple(self.ids),
        )
        known = {name: tuple(each.pair()) for name, each in levels.items() if each}
        record.model_copy(update=known).write(self.home.record)

    def _prepare(self) -> None:
        """Make the files, unless they are those of an interrupted build of the same rows."""
        plan = CachePlan(shape=self.shape, ids=tuple(self.ids))
        file, rows = self.home.part, self.home.rows
        if plan.stands_in(self.home.plan) and file.is_file() and rows.is_file():
            return
        self.home.path.mkdir(parents=True, exist_ok=True)
        sizes = {
            file: 0 if self.packed else int(np.prod(self.shape)),
            rows: ROW.itemsize * self.shape[0],
        }
        for path, size in sizes.items():
            path.unlink(missing_ok=True)
            allocate(path, size)
        plan.write(self.home.plan)


def _fill(
    sites: Sequence[Site],
    sources: ImageSources,
    side: int,
    resizing: Resizing,
    progress: Progress | None,
) -> None:
    """Fill all sites, image by image. side: the longest one of all sizes.

    Raises: ImageError: see `build_caches`.
    """
    complete = np.all([site.there for site in sites], axis=0)
    load, table = sources.decoder(side), sources.table

    def fill(row: int) -> None:
        image = load(row)
        for site in sites:
            if not site.there[row]:
                site.put(row, image, resizing)

    wanted = np.flatnonzero(~complete).tolist()
    failures = each_image(fill, wanted, table, progress, before=int(complete.sum()))
    if failures:
        for site in sites:
            shutil.rmtree(site.home.path)  # mended images make other caches
        raise_unreadable(failures, sources.raw, len(table))


def _kinds(
    spec: CompetitionSpec, wanted: Mapping[CacheFolder, tuple[int, ...]]
) -> dict[CacheFolder, bool]:
    """Whether each cache is recompressed: as it is finished or begun; a new one, if need be.

    wanted: the shape of each by its raw folder. Raises: StorageError: see `_raw_fits`.
    """
    kinds = {
        base: recompressed
        for marker in (
            "plan",
            "record",
        )  # the last one counts: finished before begun, raw before not
        for base in wanted
        for recompressed in (True, False)
        if getattr(base.of_kind(recompressed), marker).is_file()
    }
    new = [base for base in wanted if base not in kinds]
    if new:
        recompress = not _raw_fits(spec, new[0].path.parent, [wanted[base] for base in new])
        kinds |= dict.fromkeys(new, recompress)
    return kinds


def _raw_fits(spec: CompetitionSpec, folder: Path, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether caches of these shapes are kept raw; else they are recompressed, and it is said.

    Raises: StorageError: the disk has room for neither.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    needed, smaller = sum(int(np.prod(s)) for s in shapes), sum(about(s) for s in shapes)
    if needed <= (1 - KEPT_FREE) * free:
        if needed >= WORTH_SAYING:
            log.info("%s: the image cache takes %.1f GB", spec.name, needed / 1e9)
        return True
    if smaller > (1 - KEPT_FREE) * free:
        raise StorageError(
            f"the image cache of {spec.name} needs {needed / 1e9:.2f} GB of disk space at "
            f"{existing}, or about {smaller / 1e9:.2f} GB recompressed, and a tenth of the disk's "
            f"free space beside it; {free / 1e9:.2f} GB are free; make room, or set FOLDWISE_DATA "
            "to another disk"
        )
    how = "losslessly" if spec.images.mode == "RGBA" else f"as JPEG of quality {QUALITY}"
    log.warning(
        "%s: raw, the image cache takes %.2f GB, and %.2f GB are free: it is recompressed %s, "
        "which takes about %.2f GB. Every epoch decodes it again (about %d images of 256 px a "
        "second and core), and runs from it are other runs than those from raw pixels. For raw "
        "pixels make room and say `foldwise data %s --clear-cache` first",
        spec.name,
        needed / 1e9,
        free / 1e9,
        how,
        smaller / 1e9,
        PER_CORE,
        spec.name,
    )
    return False
