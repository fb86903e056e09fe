"""Copies: images whose decoded pixels are the same, whatever their files' names and formats."""

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.data.images.cache import finished_cache, read_rows
from foldwise.data.images.decoding import (
    Progress,
    each_image,
    known_digests,
    pixel_digest,
    raise_unreadable,
    remember_digests,
)
from foldwise.data.images.sources import ImageSources
from foldwise.data.labels.table import LabelTable


def pixel_digests(sources: ImageSources, progress: Progress | None = None) -> "pd.Series[str]":
    """The digest of each id's decoded pixels in the competition's mode, indexed by id.

    Missing where a finished cache of these images tells that no other one is its copy: such images
    are not decoded for it. Digests that an earlier call found are known.
    Raises: ImageError: images are missing or unreadable; all are listed in a file.
    """
    raw, levels, ids = sources.raw, sources.named_levels, sources.table.frame["id"]
    known = known_digests(raw, sources.mode, levels)
    contents = sources.hashes.reindex(ids).to_list()
    wanted = [row for row, content in enumerate(contents) if content not in known]
    cache = finished_cache(sources) if wanted else None
    if cache is not None:
        maybe = suspects(read_rows(*cache))
        copied = {id for id, is_one in zip(cache[1].ids, maybe, strict=True) if is_one}
        wanted = [row for row in wanted if ids.iloc[row] in copied]
    load = sources.decoder()
    found: dict[str, str] = {}

    def digest(row: int) -> None:
        found[contents[row]] = pixel_digest(load(row).image)

    failures = each_image(digest, wanted, sources.table, progress)
    remember_digests(raw, sources.mode, found, levels)
    if failures:
        raise_unreadable(failures, raw, len(ids))
    known |= found
    return pd.Series(
        [known.get(content) for content in contents],
        index=sources.hashes.index[:0].append(pd.Index(ids, dtype=str)),
        dtype=str,
    )


def suspects(rows: Array) -> Array:
    """Which rows of a cache may have the same pixels as another one, bool (n,).

    rows: the cache's ROW records. The same pixels at the same scale give the same bytes in the
    cache. A JPEG decoded at a reduced scale and, say, the PNG of its pixels do not: where both
    kinds of one size stand, all of that size may be copies.
    """
    names = ["crc", "width", "height", "scale"]
    frame = pd.DataFrame({name: rows[name] for name in names})
    same = frame.duplicated(["crc", "width", "height"], keep=False)
    mixed = frame.groupby(["width", "height"])["scale"].transform("nunique") > 1
    return (same | mixed).to_numpy()


def copies(table: LabelTable, digests: "pd.Series[str]") -> dict[str, list[str]]:
    """The ids of each image that stands in several rows, sorted, by the digest of its pixels."""
    own = digests.reindex(table.frame["id"])
    several = own[own.duplicated(keep=False) & own.notna()]
    return {str(digest): sorted(ids) for digest, ids in several.groupby(several).groups.items()}


def join_units(n: int, *keys: Array | None) -> Array:
    """The unit of each row, int64 (n,): rows that share a value of any key, also through others.

    A copy in two sites joins both sites. keys: each (n,) or None.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    given = [np.unique(key, return_inverse=True)[1] for key in keys if key is not None]
    if not given:
        return np.arange(n)
    rows, nodes, offset = [], [], n
    for values in given:
        rows.append(np.arange(n))
        nodes.append(values + offset)
        offset += int(values.max()) + 1
    ends = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_matrix((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(offset, offset))
    return np.asarray(connected_components(graph, directed=False)[1][:n], np.int64)
