"""`data`: a competition's files brought into its raw folder, and its image caches removed."""

from pathlib import Path
from typing import TypedDict

import pandas as pd

from foldwise.config.competition import load_competition
from foldwise.data.competition import load_data
from foldwise.data.images.cache import clear_caches
from foldwise.data.images.decoding import missing_images
from foldwise.data.leftovers import leftovers
from foldwise.store.files import replace_file
from foldwise.store.layout import data_of
from foldwise.submitting.fetching import fetch
from foldwise.submitting.platforms import destination
from foldwise.tables.archives import add_to_raw, still_packed
from foldwise.workspace import Workspace


class DataState(TypedDict):
    """What `get_data` found in a competition's raw folder."""

    raw: str
    train_rows: int
    test_rows: int
    images_missing: int
    missing: list[str]
    packed: list[str]
    changes: dict[str, int]
    unused: list[str]


def get_data(
    workspace: Workspace, name: str, source: Path | None = None, labels: Path | None = None
) -> DataState:
    """Bring a competition's files into its raw folder; returns what is there.

    source: an archive or a folder to take them from; else the `prepare` hook makes them, they are
    there already, or they are downloaded where the platform allows it and there are credentials.
    labels: a CSV to write, `path,label` of every training row.
    Raises: DataError: files are missing; the message has the steps. PlatformError: the platform
            refused the download, or could not be asked.
    """
    raw = workspace.raw(workspace.competition(name).name)
    spec = load_competition(workspace.competition(name))
    if source is not None:
        add_to_raw(source, raw, spec)
    elif destination(spec).can_ask:
        fetch(spec, raw)
    data = load_data(workspace, name)
    lacking = [] if "read_image" in data.hooks else missing_images(data.all_rows(), raw)
    if labels is not None:
        table = pd.DataFrame({"path": data.train.frame["path"], "label": data.train.labels()})
        with replace_file(labels) as temporary:
            table.to_csv(temporary, index=False)
    left = leftovers(data)
    return {
        "raw": str(raw),
        "train_rows": len(data.train),
        "test_rows": len(data.test),
        "images_missing": len(lacking),
        "missing": [path for _, path in lacking[:1]],
        "packed": still_packed(raw, spec),
        "changes": data.counts | left.counts(),
        "unused": left.warnings(),
    }


def clear_cache(workspace: Workspace, name: str) -> tuple[int, int]:
    """Remove a competition's image caches; returns their number and bytes. They can be rebuilt.

    Raises: StorageError: one is being built right now.
    """
    return clear_caches(data_of(workspace, workspace.competition(name).name).caches)
