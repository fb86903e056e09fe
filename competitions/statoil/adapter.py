"""Statoil's two radar bands (floats in JSON) as PNG files, and the labels as a CSV."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from foldwise.config.competition import CompetitionSpec
from foldwise.errors import DataError
from foldwise.store.files import write_text

LOW, HIGH = -45.0, 35.0  # dB that become 0 and 255, 0.31 dB a step, alike for all; else clipped


def prepare(spec: CompetitionSpec, raw: Path) -> None:
    """Write derived/<id>.png for both files, then derived/train.csv: without it all runs again."""
    (raw / "derived").mkdir(exist_ok=True)
    for path in (raw / "test.json", raw / "train.json"):
        draw = partial(_draw, raw / "derived", path)  # at once: the floats would fill the memory
        try:
            rows = json.loads(path.read_text(encoding="utf-8"), object_hook=draw)
        except ValueError as error:
            raise DataError(f"{path} is not readable JSON ({error}); unpack it again") from error
    frame = pd.DataFrame(rows, columns=["id", "is_iceberg", "inc_angle"])  # inc_angle may be "na"
    write_text(raw / "derived" / "train.csv", frame.to_csv(index=False))


def _draw(folder: Path, path: Path, row: dict) -> dict:
    """The row without its bands: HH, HV and their mean are written as an RGB image."""
    bands = [np.array(row.pop(band, ()), dtype=np.float64) for band in ("band_1", "band_2")]
    good = all(band.shape == (75 * 75,) and np.isfinite(band).all() for band in bands)
    if not good or not str(row.get("id", "")).isalnum():  # the id becomes a file's name
        said = f"an id and two bands of 5625 finite numbers, got {[b.size for b in bands]} in {row}"
        raise DataError(f"{path}: a row should have {said}; unpack it again")
    pixels = np.interp([*bands, sum(bands) / 2], (LOW, HIGH), (0, 255)).round().astype(np.uint8)
    Image.fromarray(pixels.T.reshape(75, 75, 3)).save(folder / f"{row['id']}.png")
    return row
