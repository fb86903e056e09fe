"""The numbers behind figures: confused classes, calibration, and rows to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import pandas as pd

from foldwise.data.competition import CompetitionData
from foldwise.ensembling import calibrate, thresholds
from foldwise.ensembling.goal import goal_of
from foldwise.kinds.columns import columns_of
from foldwise.reporting.html.pictures import SeenRecipe, overlay, thumbnail
from foldwise.reporting.summary import ClassScore, GroupScore, Summary, summarise
from foldwise.store.predictions import read_predictions

WORST_IMAGES = 24  # images with the largest losses
CONFUSED_PAIRS = 12  # most confused pairs of classes
PAIR_IMAGES = 3  # images of each of them
PAIR_SIDE = 160  # pixels, their longer side
MATRIX = 40  # classes up to which the whole confusion matrix is shown
GROUPS = 15  # groups at either end
THIS_RUN = "this run"  # a reliability curve's name
Maps = dict[str, tuple[str, bytes]]  # see `traces.maps_of`


class OutOfFoldNumbers(TypedDict):
    """What out-of-fold predictions tell, see `of_predictions`."""

    summary: Summary
    accuracy: float | None
    pairs: list[dict[str, object]]
    matrix: dict[str, object] | None
    worst: list[dict[str, object]]
    groups: list[GroupScore]
    reliability: dict[str, list[dict[str, float]]]
    calibration_error: dict[str, float]
    sweep: list[dict[str, float]]


def of_predictions(
    data: CompetitionData,
    folds: pd.DataFrame,
    oof: pd.DataFrame,
    maps: Maps | None = None,
    recipe: SeenRecipe | None = None,
) -> OutOfFoldNumbers:
    """What out-of-fold predictions `id, *classes` tell.

    Keys: `summary` (see `summarise`); `accuracy`: None with many labels; `pairs`: see `_pairs`;
    `matrix`; `worst`; `groups`: at most GROUPS from either end of `by_group`; `reliability`: curves
    by their name, and `calibration_error` likewise; `sweep`: `threshold, metric, accuracy`.
    maps, recipe: of activation maps, and what the model saw of an image.
    """
    summary = summarise(data, oof, folds)
    pairs, groups = confusion(data, oof), summary["by_group"]
    curve = _reliability(data, oof)
    return {
        "summary": summary,
        "accuracy": None
        if not data.task.sums_to_one
        else float(pairs.loc[pairs["label"] == pairs["predicted"], "rows"].sum() / len(oof)),
        "pairs": _pairs(data, oof, pairs),
        "matrix": _matrix(data, pairs, summary["by_class"]),
        "worst": _worst(data, oof, folds, maps or {}, recipe),
        "groups": groups if len(groups) <= 2 * GROUPS else [*groups[:GROUPS], *groups[-GROUPS:]],
        "reliability": {THIS_RUN: curve} if curve else {},
        "calibration_error": {THIS_RUN: calibrate.calibration_error(curve)} if curve else {},
        "sweep": _sweep(data, oof),
    }


def add_shares(by_class: Sequence[ClassScore], data: CompetitionData, test: Sequence[Path]) -> None:
    """Add to rows of `by_class` `train_share`, and `test_share`: the mean probability in test.

    Where they differ much, test has other classes than train, or the model is lost there. test:
    the folds' predictions of it.
    """
    if not data.task.probabilities:
        return
    said = np.mean(
        [read_predictions(path, data.classes).iloc[:, 1:].mean() for path in test],
        axis=0,
    )
    shares = dict(
        zip(data.classes, zip(data.train.marks().mean(axis=0), said, strict=True), strict=True)
    )
    for row in by_class:
        row["train_share"], row["test_share"] = map(float, shares[row["class"]])


def confusion(data: CompetitionData, oof: pd.DataFrame) -> pd.DataFrame:
    """How often each class was predicted for each label: `label, predicted, rows, share`, most
    rows first.

    predicted: the most probable class of the OOF predictions `id, *classes`. share: of the rows
    with the label.
    Pairs that do not occur are left out; with many labels per image there are none.
    """
    columns = ["label", "predicted", "rows", "share"]
    if not data.task.sums_to_one:
        return pd.DataFrame(columns=columns)
    predicted = np.array(data.classes)[oof[columns_of(data.classes)].to_numpy().argmax(axis=1)]
    rows = (
        oof[["id"]]
        .assign(predicted=predicted)
        .merge(data.train.frame[["id", "label"]], on="id", validate="one_to_one")
    )
    assert len(rows) == len(oof)
    table = (
        rows.astype({"label": str}).groupby(["label", "predicted"]).size().reset_index(name="rows")
    )
    table["share"] = table["rows"] / table.groupby("label")["rows"].transform("sum")
    order = table.sort_values(["rows", "label", "predicted"], ascending=[False, True, True])
    return order.reset_index(drop=True)[columns]


def samples(data: CompetitionData, oof: pd.DataFrame, count: int, seed: int = 0) -> pd.DataFrame:
    """Rows drawn at random: `id, path, label, predicted, probability`, the same ones for a seed.

    label: with many labels per image all of them, joined by a space. predicted: the most probable
    class.
    """
    rows = oof.merge(data.train.frame[["id", "path"]], on="id", validate="one_to_one")
    rows = rows.sample(min(count, len(rows)), random_state=seed)
    probs = rows[columns_of(data.classes)].to_numpy()
    labels = pd.Series(data.train.labels().to_numpy(), index=data.train.frame["id"])
    return pd.DataFrame(
        {
            "id": rows["id"].to_numpy(),
            "path": rows["path"].to_numpy(),
            "label": labels[rows["id"]].to_numpy(),
            "predicted": np.array(data.classes)[probs.argmax(axis=1)],
            "probability": probs.max(axis=1),
        }
    )


def _pairs(
    data: CompetitionData, oof: pd.DataFrame, counts: pd.DataFrame
) -> list[dict[str, object]]:
    """The most confused classes: rows of `confusion` with `images` and a `link` to the first.

    images: `id, probability, image` of the rows that are predicted with the most confidence; image:
    a small JPEG as a data URL. link: None where no image can be had.
    """
    wrong = counts[counts["label"] != counts["predicted"]].head(CONFUSED_PAIRS)
    probs = oof[columns_of(data.classes)].to_numpy()
    labels = pd.Series(data.train.labels().to_numpy(), index=data.train.frame["id"])
    rows = pd.DataFrame(
        {
            "id": oof["id"].to_numpy(),
            "label": labels[oof["id"]].to_numpy(),
            "predicted": np.array(data.classes)[probs.argmax(axis=1)],
            "probability": probs.max(axis=1),
        }
    ).sort_values("probability", ascending=False, kind="stable")
    found: list[dict[str, object]] = []
    for number, pair in enumerate(wrong.to_dict("records")):
        own = rows[(rows["label"] == pair["label"]) & (rows["predicted"] == pair["predicted"])]
        images = [
            {"id": row["id"], "probability": row["probability"], "image": image}
            for row in own.head(PAIR_IMAGES).to_dict("records")
            if (image := thumbnail(data, row["id"], PAIR_SIDE)[0])
        ]
        link = f"#pair-{number}" if images else None
        found.append({**cast(dict[str, object], pair), "images": images, "link": link})
    return found


def _matrix(
    data: CompetitionData, pairs: pd.DataFrame, by_class: Sequence[ClassScore]
) -> dict[str, object] | None:
    """The confusion matrix, rows of shares, the class with the lowest recall first.

    Keys: `classes`, `rows` (of each class), `shares`. None with many labels or too many classes.
    """
    if not data.task.sums_to_one or len(data.classes) > MATRIX:
        return None
    recalls = {row["class"]: row["recall"] for row in by_class if row["rows"]}
    order = sorted(recalls, key=lambda name: recalls[name] or 0.0)
    table = pairs.pivot(index="label", columns="predicted", values="share")
    table = table.reindex(index=order, columns=order).fillna(0.0)
    counts = {row["class"]: row["rows"] for row in by_class}
    return {
        "classes": order,
        "rows": [counts[name] for name in order],
        "shares": table.to_numpy().tolist(),
    }


def _worst(
    data: CompetitionData,
    oof: pd.DataFrame,
    folds: pd.DataFrame,
    maps: Maps,
    recipe: SeenRecipe | None,
) -> list[dict[str, object]]:
    """The rows with the largest log loss: `id, label, predicted, probability, cell, truth, loss,
    fold, image, map, map_of`.

    truth: the probability of the label; with many labels, of what is right of the worst one, cell.
    image: a small JPEG as a data URL, None where it cannot be had. map: likewise, which parts of
    the image the class map_of rests on.
    """
    table = data.train.where(data.train.frame["id"].isin(oof["id"]).to_numpy())
    rows = table.frame[["id"]].merge(oof, on="id", validate="one_to_one")
    probs, task = rows[columns_of(data.classes)].to_numpy(), data.task
    losses, sure = task.losses(table.targets, probs), task.probabilities
    given = task.likelihood(table.targets, probs) if sure else losses
    names, labels = np.array(data.classes), table.labels().to_numpy()
    predicted = names[probs.argmax(axis=1)] if sure else task.text(task.likely(probs)).to_numpy()
    number = dict(zip(folds["id"], folds["fold"], strict=True))
    found: list[dict[str, object]] = []
    for i in np.argsort(-losses, kind="stable")[:WORST_IMAGES]:
        id = str(rows["id"][i])
        image, size = thumbnail(data, id)
        said, packed = maps.get(id, (None, None))
        laid = overlay(packed, size, recipe) if packed and recipe and image else None
        found.append(
            {
                "id": id,
                "label": labels[i],
                "predicted": str(predicted[i]),
                "probability": float(probs[i].max()) if sure else None,
                "cell": str(names[given[i].argmin()]) if given.ndim > 1 else None,
                "truth": float(np.min(given[i])) if sure else None,
                "loss": float(losses[i]),
                "fold": int(number[id]),
                "image": image,
                "map": laid,
                "map_of": said,
            }
        )
    return found


def _reliability(data: CompetitionData, oof: pd.DataFrame) -> list[dict[str, float]]:
    """The reliability curve, where probabilities are scored."""
    if not data.spec.metric.logarithmic:
        return []
    table = data.train.where(data.train.frame["id"].isin(oof["id"]).to_numpy())
    rows = table.frame[["id"]].merge(oof, on="id", validate="one_to_one")
    probs = rows[columns_of(data.classes)].to_numpy()
    return calibrate.reliability(data.task, table.targets, probs)


def _sweep(data: CompetitionData, oof: pd.DataFrame) -> list[dict[str, float]]:
    """`threshold, metric, accuracy` where images have many labels and these are what is scored."""
    decides = data.spec.submission.cutoff is not None or data.spec.metric.reads == "labels"
    if data.task.sums_to_one or not decides:
        return []
    goal = goal_of(data, oof["id"])
    table = thresholds.sweep(oof[columns_of(data.classes)].to_numpy(), goal)
    return [
        {str(key): float(value) for key, value in row.items()} for row in table.to_dict("records")
    ]
