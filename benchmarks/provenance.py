"""What a row of results was measured with: commit, versions, machine."""

import csv
from collections.abc import Mapping
from pathlib import Path

from foldwise.submitting.manifest import code, machine, versions

ROOT = Path(__file__).resolve().parents[1]


def provenance() -> dict[str, object]:
    """`commit, diff_sha256, python, torch, fastai, timm, machine, system, cpus`."""
    parts = (
        (code(ROOT), ("commit", "diff_sha256")),
        (versions(), ("python", "torch", "fastai", "timm")),
        (machine(), ("machine", "system", "cpus")),
    )
    return {key: told[key] for told, keys in parts for key in keys}


def append(path: Path, row: Mapping[str, object]) -> None:
    """Add a row to a CSV of results; its columns are those that the file has."""
    fresh = not path.exists()
    with path.open("a", newline="") as handle:
        names = list(row)
        if not fresh:
            with path.open(newline="") as there:
                names = next(csv.reader(there))
        writer = csv.DictWriter(handle, names)  # raises for a column that the file lacks
        if fresh:
            writer.writeheader()
        writer.writerow(row)
