"""Where an archive's files belong in the raw folder: where the spec looks for them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from foldwise.config.competition import CompetitionSpec

DEEPEST = 8  # folders around all files of an archive that are looked into


@dataclass(frozen=True)
class Wanted:
    """What a spec names below the raw folder: files, and folders of images."""

    files: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()


def wanted_of(spec: CompetitionSpec) -> Wanted:
    """What the spec names: `[files]`, `[images] folders`, label roots, folders of templates."""
    templates = (*(spec.images.path or ()), *(spec.images.test_path or ()))
    fixed = (template.partition("{")[0].rpartition("/")[0] for template in templates)
    folders = (*spec.images.folders, *spec.labels.folders, *fixed)
    clean = {str(PurePosixPath(folder)) for folder in folders}
    return Wanted(files=frozenset(spec.files.names()), folders=frozenset(clean - {"."}))


def destination(names: Sequence[str], at: str, stem: str, wanted: Wanted) -> tuple[str, str]:
    """The folder inside an archive to take files from, and the one below raw to put them into.

    names: the archive's files. at: the folder below raw that the archive lies in. stem: its name
    without ending. Beside the archive or at the top of raw, with or without folders that stand
    around all files, and then in a folder of the archive's name: the first of these where the spec
    names the most files; beside it, if it names none.
    """
    known, folders = set(names), Counter(name.rpartition("/")[0] for name in names)
    best, most = ("", at), 0
    for inner in ("", stem):
        for strip in _around(names):
            for base in dict.fromkeys((_join(at, inner), inner)):
                fitting = _count_named(wanted, known, folders, strip, base)
                if fitting > most:
                    best, most = (strip, base), fitting
    return best


def _count_named(
    wanted: Wanted, names: set[str], folders: Mapping[str, int], strip: str, base: str
) -> int:
    """How many files the spec names once they are moved. folders: how many files each one holds."""
    count = 0
    for folder, files in folders.items():
        path = PurePosixPath(_join(base, folder[len(strip) :].lstrip("/")))
        if wanted.folders & {str(path), *map(str, path.parents)}:
            count += files
    start = f"{base}/" if base else ""
    found = [file[len(start) :] for file in wanted.files if file.startswith(start)]
    return count + sum(_join(strip, file) in names for file in found)


def _join(*parts: str) -> str:
    return "/".join(part for part in parts if part)


def _around(names: Sequence[str]) -> list[str]:
    """The folders that all files lie in, the outermost first; "" stands for the archive itself."""
    if not names:
        return [""]
    first, last = min(names).split("/")[:-1], max(names).split("/")[:-1]
    common = 0
    while common < min(len(first), len(last), DEEPEST) and first[common] == last[common]:
        common += 1
    return ["/".join(first[:depth]) for depth in range(common + 1)]
