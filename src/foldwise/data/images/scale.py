"""One scale for all deep images of a competition: from its data or its spec, recorded on disk."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from foldwise.config.competition import CompetitionSpec
from foldwise.data.images.levels import Extremes, Levels, extremes
from foldwise.data.images.opening import MEMORY
from foldwise.data.images.sources import sources_key
from foldwise.data.labels.table import LabelTable
from foldwise.errors import ImageError
from foldwise.kinds.reader import ImageReader
from foldwise.store.data_records import LevelsRecord
from foldwise.store.files import hold_lock
from foldwise.store.layout import DataFolder, lock_of


def settled_levels(
    spec: CompetitionSpec, table: LabelTable, raw: Path, hashes: "pd.Series[str]"
) -> Levels | None:
    """The levels of a competition's deep images; None where it has neither these nor a range.

    Never of one image alone: those of `[images] range`, else by what all images of the table hold.
    hashes: the content hash of each id's source, indexed by id: for others all is looked at again.
    Raises: ImageError: integers and floating-point pixels need a range.
    """
    store, key = DataFolder(raw.parent).caches.levels, sources_key(hashes)
    with hold_lock(lock_of(store), "looking at images of more than 8 bits"):
        found = LevelsRecord.read_if_there(store)
        if found is None or found.sources != key:
            found = _sum_extremes(
                key, _scan(raw, sorted({*table.frame["path"]}), spec.images.readers)
            )
            found.write(store)
    return _levels(spec, found)


def recorded_levels(spec: CompetitionSpec, raw: Path) -> Levels | None:
    """The levels as they were settled last, for pictures in reports: no image is looked at."""
    found = LevelsRecord.read_if_there(DataFolder(raw.parent).caches.levels)
    return _levels(spec, found) if found else None


def describe_levels(spec: CompetitionSpec, raw: Path) -> str | None:
    """What the deep images hold and how they become 8 bits; None where there are none."""
    found = LevelsRecord.read_if_there(DataFolder(raw.parent).caches.levels)
    levels = _levels(spec, found) if found and found.images else None
    if found is None or levels is None:
        return None
    kind = "floating point" if found.floats else f"{found.bits} bits"
    by = "[images] range" if spec.images.range else "from the data; [images] range sets it"
    held, taken = (
        f"{found.low:.12g}..{found.high:.12g}",
        f"{levels.low:.12g}..{levels.high:.12g}",
    )
    clipped = found.low < levels.low or found.high > levels.high
    return (
        f"{found.images} images hold {held} in {kind}: {taken} becomes 0..255 ({by})"
        + ", values beyond are clipped" * clipped
    )


def _scan(raw: Path, paths: Sequence[str], readers: Sequence[ImageReader]) -> list[Extremes]:
    """The extremes of every deep image."""

    def look(path: str) -> Extremes | None:
        with MEMORY.until_done():
            return extremes(raw / path, readers)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [each for each in pool.map(look, paths) if each is not None]


def _sum_extremes(sources: str, deep: Sequence[Extremes]) -> LevelsRecord:
    """What all deep images hold together, in whatever order they come. sources: their hash."""
    floats = sum(each.mode == "F" for each in deep)
    before = {_before(each) for each in deep}
    return LevelsRecord(
        sources=sources,
        images=len(deep),
        floats=floats,
        bits=32 if any(each.mode == "I" for each in deep) else 16,
        low=min((each.low for each in deep), default=0.0),
        high=max((each.high for each in deep), default=0.0),
        before=tuple(sorted(before)),
    )


def _before(image: Extremes) -> tuple[float, ...]:
    """The levels that an image had before there were any: the upper 8 of 16 bits, or 8 bits of a
    32-bit image without a value above 255. Floating-point pixels were not read.
    """
    if image.mode == "F":
        return ()
    return (0.0, 255.0) if image.mode == "I" and image.high <= 255 else (0.0, 65535.0)


def _levels(spec: CompetitionSpec, found: LevelsRecord) -> Levels | None:
    low, high = spec.images.range or _from_data(spec, found)
    if not found.images and not spec.images.range:
        return None
    named = any((low, high) != before for before in found.before)
    return Levels(low=low, high=high, named=named)


def _from_data(spec: CompetitionSpec, found: LevelsRecord) -> tuple[float, float]:
    """The levels by what all deep images hold. Raises: ImageError: see `settled_levels`."""
    low, high = found.low, found.high
    if 0 < found.floats < found.images:
        raise ImageError(
            f"{spec.name}: images should hold integers or floating-point pixels, "
            f"{found.floats} of {found.images} deep images hold the latter; write "
            "[images] range = [low, high] for all of them"
        )
    if found.floats and low >= 0 and high <= 1:
        return 0, 1
    if found.floats or low < 0:
        return low, high if high > low else low + 1
    bits = int(high).bit_length()
    return 0, 2 ** max(8, bits + bits % 2) - 1
