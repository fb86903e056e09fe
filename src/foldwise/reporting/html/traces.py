"""What training wrote beside predictions: times, memory, epochs, rates, samples, maps.

Runs of earlier versions lack some of the files; what they would tell is empty then.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from foldwise.reporting.html.pictures import data_url
from foldwise.store.files import read_json
from foldwise.tables.text import read_stored

POINTS = 160  # of a curve: what is drawn, and what the table below it holds
SAMPLES = 24  # augmented images
GB = 1e9  # bytes


def folds_of(folder: Path, scored: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`fold, rows, value, seconds, images_per_second, memory_GB, GPU_memory_GB, early, epochs`.

    Of each fold that is done. scored: `by_fold` of its summary. Memory: the peak. early: the epoch
    after which it was stopped. epochs: a list of `epoch, train_loss, valid_loss` and what else the
    history has.
    """
    found = []
    for row in scored:
        place = folder / f"fold{row['fold']}"
        done, path = read_json(place / "done.json"), place / "history.json"
        history = read_json(path) if path.is_file() else []
        times = {epoch["epoch"]: epoch for epoch in done.get("epochs", ())}
        memory = {
            f"{what}memory_GB": size and size / GB
            for what, size in (
                ("", done.get("memory_bytes")),
                ("GPU_", done.get("device_memory_bytes")),
            )
        }
        found.append(
            {
                **row,
                "seconds": done["seconds"],
                "images_per_second": done.get("images_per_second"),
                **memory,
                "early": done.get("stopped_early_after_epoch"),
                "epochs": [
                    {"epoch": number, **epoch, **times.get(number, {})}
                    for number, epoch in enumerate(history, 1)
                ],
            }
        )
    return found


def rates_of(folder: Path) -> dict[str, Any] | None:
    """The learning rates of the first fold that has them: `fold`, and `rows`, at most POINTS.

    rows: `batch, stage, low, high`: the lowest and the highest rate of all layer groups.
    """
    for path in sorted(folder.glob("fold*/rates.parquet")):
        frame = read_stored(path)
        step = -(-len(frame) // POINTS)
        ends = frame["stage"] != frame["stage"].shift(-1)
        kept = frame[(pd.RangeIndex(len(frame)) % step == 0) | ends]
        return {"fold": _number(path), "rows": kept.to_dict("records")}
    return None


def finder_of(folder: Path) -> list[dict[str, Any]]:
    """What the rate finder saw: `fold, stage, suggestions, rows`; rows: `rate, loss`.

    Of each stage that asked for it. suggestions: a rate by the method's name.
    """
    found = []
    for path in sorted(folder.glob("fold*/lr-*.json")):
        told = read_json(path)
        curve = zip(told["rates"], told["losses"], strict=False)
        found.append(
            {
                "fold": _number(path),
                "stage": path.stem.removeprefix("lr-"),
                "suggestions": told["suggestions"],
                "rows": [{"rate": rate, "loss": loss} for rate, loss in curve],
            }
        )
    return found


def augmented_of(folder: Path) -> list[dict[str, Any]]:
    """Training images as the model saw them, `id, label, image`; of the first fold that has them.

    image: a data URL.
    """
    for path in sorted(folder.glob("fold*/augmented.parquet")):
        rows = read_stored(path).head(SAMPLES).to_dict("records")
        return [
            {"id": row["id"], "label": row["label"], "image": data_url(row["image"])}
            for row in rows
        ]
    return []


def maps_of(folder: Path) -> dict[str, tuple[str, bytes]]:
    """By id, the class that an activation map speaks for, and the map: a grey PNG."""
    paths = sorted(folder.glob("fold*/maps.parquet"))
    rows = (row for path in paths for row in read_stored(path).to_dict("records"))
    return {row["id"]: (row["said"], row["map"]) for row in rows}


def _number(path: Path) -> int:
    """The fold whose folder a file lies in."""
    return int(path.parent.name.removeprefix("fold"))
