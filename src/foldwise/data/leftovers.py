"""What lies in the raw folder and no row uses: images, whole folders of them, and other files."""

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath

from foldwise.data.competition import CompetitionData
from foldwise.data.labels.folders import IGNORED
from foldwise.errors import examples
from foldwise.tables.listing import example, images_below


@dataclass(frozen=True)
class Leftovers:
    """Paths below the raw folder that no row uses."""

    images: list[str] = field(default_factory=list)  # in folders whose other images are used
    folders: dict[str, list[str]] = field(default_factory=dict)  # folders none of whose images is
    others: list[str] = field(default_factory=list)  # beside used images, and no images

    def warnings(self) -> list[str]:
        """What is said of images, with their number and an example."""
        said = []
        if self.images:
            said.append(
                f"{len(self.images)} images belong to no id, e.g. "
                f"{examples(self.images)}; they are not used"
            )
        if self.folders:
            count = sum(map(len, self.folders.values()))
            first = example(next(iter(self.folders.values())))
            named = [f"{folder}/" for folder in self.folders]
            said.append(
                f"{count} images lie in folders that nothing uses, e.g. {first!r}; the "
                f"folders are {examples(named)}"
            )
        return said

    def counts(self) -> dict[str, int]:
        """The number of files that are no images, by what is said of them."""
        return (
            {f"{IGNORED}, e.g. {example(self.others)!r}": len(self.others)} if self.others else {}
        )


def leftovers(data: CompetitionData) -> Leftovers:
    """What no row uses of the raw folder, however links lead there; nothing where a hook reads it.

    Raises: DataError: a folder cannot be read.
    """
    if "read_image" in data.hooks:
        return Leftovers()

    @cache
    def real(folder: str) -> str:
        return os.path.realpath(data.raw / folder)

    split = [path.rpartition("/") for path in data.all_rows().frame["path"]]
    named = {(real(folder), name) for folder, _, name in split}
    holding = {folder for folder, _, _ in split}
    above = {real(str(p)) for folder in holding for p in PurePosixPath(folder).parents}
    used, found = {real(folder) for folder in holding}, Leftovers()
    below = images_below(data.raw, ".", data.spec.images.readers)
    unnamed = defaultdict(list)
    skipped = {*data.spec.images.skip}
    for path in below.images:
        folder, _, name = path.rpartition("/")
        if (real(folder), name) in named or path in skipped:
            continue
        if real(folder) in used | above:
            found.images.append(path)
        else:
            unnamed[_highest(path, lambda folder: real(folder) in above)].append(path)
    found.folders.update(unnamed)
    if not data.spec.labels.folders:  # else the format has counted them
        beside = {folder for folder in holding if folder}  # tables lie in the raw folder itself
        places = {real(folder) for folder in beside}
        found.others.extend(p for p in below.others if real(p.rpartition("/")[0]) in places)
    return found


def _highest(path: str, above: Callable[[str], bool]) -> str:
    """The highest folder of a path that is not above the rows' images."""
    folders = [str(folder) for folder in PurePosixPath(path).parents]
    return [folder for folder in folders if folder != "." and not above(folder)][-1]
