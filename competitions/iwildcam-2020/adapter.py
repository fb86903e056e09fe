"""iWildCam 2020's COCO-like JSON: images, locations and categories."""

from pathlib import Path

import pandas as pd

from foldwise.config.competition import CompetitionSpec
from foldwise.data.labels.coco import read_coco
from foldwise.errors import LabelError


def read_labels(spec: CompetitionSpec, raw: Path) -> pd.DataFrame:
    """Training rows `id, path, group, label`, and what else the file says of an image."""
    return _rows(raw / str(spec.files.train), "train")


def read_test(spec: CompetitionSpec, raw: Path) -> pd.DataFrame:
    """Test rows `id, path, group`, and what else the file says of an image."""
    return _rows(raw / str(spec.files.test), "test")


def _rows(path: Path, folder: str) -> pd.DataFrame:
    """Raises: LabelError: `read_coco` refuses the file, or an image has no location."""
    rows = read_coco(path)
    lacking = rows["id"] if "location" not in rows else rows.loc[rows["location"] == "", "id"]
    if len(lacking):
        raise LabelError(
            f"{path}: every image should have a location, {len(lacking)} of {len(rows)} have none, "
            f"e.g. {lacking.iloc[0]!r}; download the file again"
        )
    return rows.assign(path=folder + "/" + rows["file_name"], group=rows["location"])
