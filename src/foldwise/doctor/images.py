"""What check finds in images: missing, unreadable and unnamed ones, and copies."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldwise.data.competition import CompetitionData, digests, need_images
from foldwise.data.images.decoding import Progress, missing_images
from foldwise.data.images.duplicates import copies
from foldwise.data.images.opening import open_image
from foldwise.data.images.scale import describe_levels
from foldwise.data.leftovers import leftovers
from foldwise.doctor.findings import Findings
from foldwise.errors import ImageError
from foldwise.kinds.reader import ImageReader
from foldwise.store.files import replace_file


@dataclass(frozen=True)
class Copy:
    """One image in several rows: their ids in train and in test, and the labels of the former."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: tuple[str, ...]


def check_files(data: CompetitionData, findings: Findings) -> list[str]:
    """Look for missing images, and for what no row uses; returns the paths that exist."""
    try:
        need_images(data)
    except ImageError as error:
        findings.errors.append(str(error))
    table = data.all_rows()
    left = leftovers(data)
    findings.warnings += left.warnings()
    findings.facts["changes"] |= left.counts()
    lacking = {path for _, path in missing_images(table, data.raw)}
    return sorted({*table.frame["path"]} - lacking)


def check_headers(data: CompetitionData, present: list[str], findings: Findings) -> None:
    """Open every image, without decoding it; note sizes and modes.

    Unreadable ones are an error here only where others are missing, for then none is decoded.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        headers = list(
            pool.map(lambda path: _header(data.raw / path, data.spec.images.readers), present)
        )
    pairs = zip(present, headers, strict=True)
    bad = [(path, head) for path, head in pairs if isinstance(head, str)]
    frame = data.all_rows().frame
    if bad and len(present) < frame["path"].nunique():
        id = frame.loc[frame["path"] == bad[0][0], "id"].iloc[0]
        findings.errors.append(
            f"{data.spec.name}: {len(bad)} images are unreadable, e.g. id {id!r}: {bad[0][1]}; "
            "get them again, or list ids of training rows under [images] skip"
        )
    _image_facts([head for head in headers if not isinstance(head, str)], findings)


def decoded_digests(
    data: CompetitionData, findings: Findings, progress: Progress | None
) -> "pd.Series[str] | None":
    """The pixels' digest of every image, decoding what is new; None where that fails.

    Decoding the whole image finds what its header hides; that is an error then.
    """
    try:
        found = digests(data, progress)
        told = describe_levels(data.spec, data.raw)
        if told and "read_image" not in data.hooks:
            findings.facts["levels"] = told
        return found
    except ImageError as error:
        if str(error) not in findings.errors:  # missing images were said before
            findings.errors.append(str(error))
        return None


def check_copies(data: CompetitionData, same: "pd.Series[str]", findings: Findings) -> list[Copy]:
    """Warn of copies with different labels and of copies between train and test; list them all."""
    labels = dict(zip(data.train.frame["id"], data.train.labels(), strict=True))
    found = [
        Copy(
            train=tuple(id for id in ids if id in labels),
            test=tuple(id for id in ids if id not in labels),
            labels=tuple(labels[id] for id in ids if id in labels),
        )
        for ids in copies(data.all_rows(), same).values()
    ]
    findings.facts["copies"] = {
        "images": len(found),
        "rows": sum(len(c.train) + len(c.test) for c in found),
    }
    listing = data.home.copies
    if not found:
        listing.unlink(missing_ok=True)  # of images that have changed since
        return []
    _list_copies(found, listing)
    differ = [copy for copy in found if len(set(copy.labels)) > 1]
    if differ:
        first = differ[0]
        other = next(n for n, label in enumerate(first.labels) if label != first.labels[0])
        findings.warnings.append(
            f"{len(differ)} images stand in train several times with different labels, e.g. "
            f"{first.train[0]!r} is {first.labels[0]!r} and {first.train[other]!r} is "
            f"{first.labels[other]!r}; all are listed in {listing}. Correct them with [labels] "
            "overrides, or leave them out with [images] skip"
        )
    across = [copy for copy in found if copy.train and copy.test]
    if across:
        first = across[0]
        findings.warnings.append(
            f"{len(across)} images stand in train and in test, e.g. {first.train[0]!r} and "
            f"{first.test[0]!r}; all are listed in {listing}. The leaderboard flatters on them"
        )
    return found


def _list_copies(found: Iterable[Copy], path: Path) -> None:
    rows = []
    for number, copy in enumerate(found):
        rows += [
            (number, id, "train", label) for id, label in zip(copy.train, copy.labels, strict=True)
        ]
        rows += [(number, id, "test", "") for id in copy.test]
    with replace_file(path) as temporary:
        frame = pd.DataFrame(rows, columns=["image", "id", "part", "label"])
        frame.to_csv(temporary, index=False)


def _header(path: Path, readers: Sequence[ImageReader]) -> tuple[int, int, str] | str:
    """(width, height, mode) from an image's header, or what is wrong with it."""
    try:
        with open_image(path, readers) as image:
            return (*image.size, image.mode)
    except ImageError as error:
        return str(error)


def _image_facts(headers: list[tuple[int, int, str]], findings: Findings) -> None:
    if not headers:
        return
    sizes = pd.DataFrame(headers, columns=["width", "height", "mode"])
    findings.facts["images"] = {
        "files": len(sizes),
        "sizes": len(sizes[["width", "height"]].drop_duplicates()),
        "width": [int(sizes["width"].min()), int(sizes["width"].max())],
        "height": [int(sizes["height"].min()), int(sizes["height"].max())],
        "modes": dict(Counter(sizes["mode"]).most_common()),
    }
