"""What a report says of a run: read from its directory, as plain values; nothing is computed anew
that the directory does not hold, and torch is not needed."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.data.competition import CompetitionData, load_data
from foldwise.data.folds import read_folds
from foldwise.data.images import load_image
from foldwise.data.predictions import read_predictions
from foldwise.errors import ImageError, PredictionError
from foldwise.reporting.numbers import confusion
from foldwise.scoring.calibrate import TINY, calibration_error, reliability
from foldwise.scoring.comparing import compare_runs
from foldwise.scoring.goal import goal_of
from foldwise.scoring.metrics import score
from foldwise.scoring.summary import run_summary
from foldwise.scoring.thresholds import sweep
from foldwise.storage import read_json
from foldwise.workspace import Workspace

WORST = 24  # images with the largest losses
PAIRS = 12  # most confused pairs of classes
MATRIX = 40  # classes up to which the whole confusion matrix is shown
GROUPS = 20  # groups, the worst first
THUMBNAIL = 160  # pixels, the longer side


def gather(workspace: Workspace, name: str, run: str) -> dict[str, Any]:
    """All that a run's report shows; lists of dicts are its tables.

    Keys: `competition, run, summary` (see `summarise`), `runs` (see `compare_runs`), `folds` (each
    with its `epochs`), `finder`, `plain` (the score without TTA, if there is any), `pairs`,
    `matrix`, `worst`, `reliability`, `calibration_error`, `sweep`, `changes`, `copies`, `record`.
    Raises: RunError: see `run_summary`.
    """
    data, folder = load_data(workspace, name), workspace.runs / name / run
    summary = run_summary(workspace, name, run)
    record = read_json(folder / "run.json")
    oof = _predictions(folder, data, "oof")
    pairs = confusion(data, oof)
    curve, error = _reliability(data, oof)
    return {
        "competition": {"name": name, "title": data.spec.title, "platform": data.spec.platform,
                        "page": data.spec.page},
        "run": run, "summary": summary, "record": record,
        "runs": compare_runs(workspace.runs / name, data),
        "folds": _folds(folder, summary["by_fold"]),
        "finder": _finder(folder),
        "plain": _plain(folder, data, record),
        "pairs": pairs[pairs["label"] != pairs["said"]].head(PAIRS).to_dict("records"),
        "matrix": _matrix(data, pairs, summary["by_class"]),
        "worst": _worst(data, oof, read_folds(folder / "folds.csv")),
        "groups": summary["by_group"][:GROUPS],
        "reliability": curve, "calibration_error": error,
        "sweep": _sweep(data, oof),
        "changes": data.counts,
        "copies": _copies(workspace.data / name / "copies.csv"),
    }  # fmt: skip


def _predictions(folder: Path, data: CompetitionData, kind: str) -> pd.DataFrame:
    """The predictions of the folds that are done, `id, *classes`."""
    files = [path.parent / f"{kind}.parquet" for path in sorted(folder.glob("fold*/done.json"))]
    frames = [read_predictions(file, data.classes) for file in files]
    return pd.concat(frames, ignore_index=True)


def _folds(folder: Path, scored: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """`fold, rows, value, seconds, images_per_second, early, epochs` of each fold that is done.

    epochs: a list of `epoch, train_loss, valid_loss` and what else the history has.
    """
    found = []
    for row in scored:
        place = folder / f"fold{row['fold']}"
        done = read_json(place / "done.json")
        path = place / "history.json"
        history = read_json(path) if path.is_file() else []
        found.append({
            **row, "seconds": done["seconds"], "images_per_second": done.get("images_per_second"),
            "early": done.get("stopped_early_after_epoch"),
            "epochs": [{"epoch": number, **epoch} for number, epoch in enumerate(history, 1)],
        })  # fmt: skip
    return found


def _finder(folder: Path) -> list[dict[str, Any]]:
    """`fold, stage` and the rates that the finder suggested, of each stage that asked for one."""
    return [
        {"fold": int(path.parent.name.removeprefix("fold")),
         "stage": path.stem.removeprefix("lr-"), **read_json(path)["suggestions"]}
        for path in sorted(folder.glob("fold*/lr-*.json"))
    ]  # fmt: skip


def _plain(folder: Path, data: CompetitionData, record: dict[str, Any]) -> float | None:
    """The score of the predictions without TTA; None where there was none."""
    if record["recipe"]["tta"] == ["none"]:
        return None
    said = data.format.decided(_predictions(folder, data, "oof_plain"))
    truth = data.train.frame[data.train.frame["id"].isin(said["id"])].reset_index(drop=True)
    try:
        hook = data.hooks.get("score")
        return score(data.spec.metric, truth, said, hook, interval=False).value
    except PredictionError:
        return None


def _matrix(
    data: CompetitionData, pairs: pd.DataFrame, by_class: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """The confusion matrix, rows of shares, the class with the lowest recall first.

    Keys: `classes`, `rows` (of each class), `shares`. None with many labels or too many classes.
    """
    if data.spec.multi or len(data.classes) > MATRIX:
        return None
    recalls = {row["class"]: row["recall"] for row in by_class if row["rows"]}
    order = sorted(recalls, key=lambda name: recalls[name] or 0.0)
    table = pairs.pivot(index="label", columns="said", values="share")
    table = table.reindex(index=order, columns=order).fillna(0.0)
    counts = {row["class"]: row["rows"] for row in by_class}
    return {"classes": order, "rows": [counts[name] for name in order],
            "shares": table.to_numpy().tolist()}  # fmt: skip


def _worst(data: CompetitionData, oof: pd.DataFrame, folds: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows with the largest log loss: `id, label, said, probability, truth, loss, fold, image`.

    truth: the probability of the label (with many labels, of the worst cell). image: a small JPEG
    as a data URL, None where a hook makes the images or it is gone.
    """
    table = data.train.where(data.train.frame["id"].isin(oof["id"]).to_numpy())
    rows = table.frame[["id", "path"]].merge(oof, on="id", validate="one_to_one")
    probs, hot = rows[list(data.classes)].to_numpy(), table.hot()
    right = (
        np.where(hot == 1, probs, 1 - probs).min(axis=1)
        if data.spec.multi
        else ((probs * hot).sum(axis=1))
    )
    names, labels = np.array(data.classes), table.labels().to_numpy()
    number = dict(zip(folds["id"], folds["fold"], strict=True))
    return [
        {"id": rows["id"][i], "label": labels[i], "said": str(names[probs[i].argmax()]),
         "probability": float(probs[i].max()), "truth": float(right[i]),
         "loss": float(-np.log(max(right[i], TINY))), "fold": int(number[rows["id"][i]]),
         "image": _thumbnail(data, str(rows["path"][i]))}
        for i in np.argsort(right, kind="stable")[:WORST]
    ]  # fmt: skip


def _thumbnail(data: CompetitionData, path: str) -> str | None:
    if "read_image" in data.hooks:
        return None
    try:
        image = load_image(data.raw / path, data.spec.images.mode).convert("RGB")
    except (ImageError, OSError):
        return None
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(packed.getvalue()).decode()}"


def _reliability(
    data: CompetitionData, oof: pd.DataFrame
) -> tuple[list[dict[str, float]], float | None]:
    """The reliability curve and its expected calibration error, where probabilities are scored."""
    if data.spec.metric.name != "log_loss":
        return [], None
    table = data.train.where(data.train.frame["id"].isin(oof["id"]).to_numpy())
    rows = table.frame[["id"]].merge(oof, on="id", validate="one_to_one")
    curve = reliability(table.hot(), rows[list(data.classes)].to_numpy(), data.spec.multi)
    return curve, calibration_error(curve)


def _sweep(data: CompetitionData, oof: pd.DataFrame) -> list[dict[str, float]]:
    """`threshold, metric, accuracy` where images have many labels and these are what is scored."""
    if not data.spec.multi or data.spec.metric.name in ("log_loss", "auc", "average_precision"):
        return []
    goal = goal_of(data, oof["id"])
    table = sweep(oof[list(data.classes)].to_numpy(), goal)
    return [
        {str(key): float(value) for key, value in row.items()} for row in table.to_dict("records")
    ]


def _copies(path: Path) -> int | None:
    """The number of rows that are copies of others; None where `check` has not looked."""
    return len(pd.read_csv(path)) if path.is_file() else None
