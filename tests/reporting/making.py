"""Runs as training leaves them, for reports: made-up predictions, and every file beside them."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from foldwise.config.recipe import load_recipe
from foldwise.data.competition import CompetitionData, load_data
from foldwise.data.folds import frame_hash
from foldwise.store.files import write_json
from foldwise.store.frames import write_csv
from foldwise.store.predictions import predictions_frame, write_predictions
from foldwise.workspace import Workspace
from tiny import edit, write_tiny

FOLDS = 3
CLASSES = [f"class {number}" for number in range(120)]


def folds_of(data: CompetitionData, shift: int = 0) -> pd.DataFrame:
    """Three folds, each with as many rows of every class as the others."""
    codes = pd.Series(data.train.targets.values)
    fold = (codes.groupby(codes).cumcount() + shift) % FOLDS
    frame = pd.DataFrame({"id": data.train.frame["id"], "fold": fold})
    return frame.sort_values("id", ignore_index=True)


def write_run(
    workspace: Workspace,
    data: CompetitionData,
    name: str,
    sure: float = 3.0,
    overrides: tuple[str, ...] = (),
    shift: int = 0,
    done: tuple[int, ...] = tuple(range(FOLDS)),
) -> Path:
    """A run of the recipe `tiny` whose logits of the label lie by `sure` above noise."""
    folder, folds = workspace.runs / "tiny" / name, folds_of(data, shift)
    recipe = load_recipe(workspace.competition("tiny"), "tiny", overrides).with_sizes(
        (0, 0), "bilinear"
    )
    write_csv(folder / "folds.csv", folds)
    write_json(
        folder / "run.json",
        {
            "competition": "tiny",
            "recipe": recipe.model_dump(mode="json"),
            "seed": 0,
            "identity": name,
            "scheme": "default",
            "folds_sha256": frame_hash(folds, ""),
            "classes": [*data.classes],
            "caches": [],
            "resolved": {"precision": "fp32", "device": "cpu", "batch_size": 8, "compile": False},
        },
    )
    rng, truth = np.random.default_rng(len(name)), data.train.frame.set_index("id")["label"]
    for k in done:
        place, ids = folder / f"fold{k}", folds.loc[folds["fold"] == k, "id"]
        hot = np.eye(len(data.classes))[truth.loc[ids].cat.codes]
        test = data.test.frame["id"]
        for part, own, logits, spread in (
            ("oof", ids, sure * hot, 1.0),
            ("oof_plain", ids, sure * hot, 1.3),
            ("test", test, 0.0, 1.0),
        ):
            odds = np.exp(logits + spread * rng.normal(size=(len(own), len(data.classes))))
            probs = odds / odds.sum(axis=1, keepdims=True)
            write_predictions(
                place / f"{part}.parquet", predictions_frame(own, probs, data.classes)
            )
        history = [
            {"train_loss": 2 / e, "valid_loss": 2.2 / e, "accuracy": 0.5} for e in range(1, 31)
        ]
        write_json(place / "history.json", history)
        write_json(
            place / "done.json",
            {
                "fold": k,
                "seconds": 10.0 + k,
                "images_per_second": 100.0 + k,
                "sha256": {"oof.parquet": "0" * 64},
                "memory_bytes": 1_500_000_000,
                "epochs": [
                    {"epoch": e, "seconds": 0.25, "images_per_second": 90.0 + e}
                    for e in range(1, 31)
                ],
            },
        )
    return folder


def write_shown(folder: Path, data: CompetitionData, side: int = 224) -> None:
    """What reports alone look at: rates, a finder's curve, augmented images, activation maps."""
    rng = np.random.default_rng(1)
    for k in range(FOLDS):
        place = folder / f"fold{k}"
        high = 1e-3 * np.sin(np.linspace(0.05, np.pi - 0.05, 500))
        rates = {
            "batch": range(1, 501),
            "stage": [0] * 200 + [1] * 300,
            "low": high / 9,
            "high": high,
        }
        pd.DataFrame(rates).to_parquet(place / "rates.parquet", index=False)
        curve = np.geomspace(1e-7, 10, 100)
        write_json(
            place / "lr-0.json",
            {
                "suggestions": {"valley": 1e-3, "steep": 2e-3, "minimum/10": 3e-3},
                "rates": [*curve],
                "losses": [*(2 - np.log10(curve) / 10)],
            },
        )
        ids = pd.read_parquet(place / "oof.parquet")["id"]
        labels = dict(zip(data.train.frame["id"], data.train.labels(), strict=True))
        images = [packed(noise(rng, side, side), "JPEG") for _ in ids[:24]]
        pd.DataFrame(
            {"id": ids[:24], "label": [labels[id] for id in ids[:24]], "image": images}
        ).to_parquet(place / "augmented.parquet")
        maps = [packed(Image.fromarray(rng.integers(0, 256, (7, 7), np.uint8)), "PNG") for _ in ids]
        pd.DataFrame({"id": ids, "said": data.classes[0], "map": maps}).to_parquet(
            place / "maps.parquet"
        )


def noise(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A photo that compresses badly."""
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))


def packed(image: Image.Image, kind: str) -> bytes:
    """An image's bytes."""
    made = io.BytesIO()
    image.save(made, kind)
    return made.getvalue()


def write_large(root: Path) -> tuple[Workspace, str]:
    """A competition of 120 classes and 8,000 test images with a run, of the largest size of page.

    Images are noise; of the test images only the names are there.
    """
    workspace = write_tiny(root, n_train=480, n_sites=240, classes=CLASSES)
    raw = workspace.raw("tiny")
    noise(np.random.default_rng(0), 640, 480).save(raw / "images" / "noise.png")
    train = pd.read_csv(raw / "train_features.csv", dtype=str)
    train.assign(filepath="images/noise.png").to_csv(raw / "train_features.csv", index=False)
    ids = [f"test {number}" for number in range(8000)]
    test = pd.DataFrame({"id": ids, "filepath": "images/noise.png", "site": "test"})
    test.to_csv(raw / "test_features.csv", index=False)
    frame = pd.DataFrame(np.full((8000, 120), 1 / 120), columns=CLASSES)
    frame.insert(0, "id", ids)
    frame.to_csv(raw / "submission_format.csv", index=False)
    edit(workspace.competition("tiny") / "competition.toml", 'mode = "L"', 'mode = "RGB"')
    data = load_data(workspace, "tiny")
    folder = write_run(workspace, data, "tiny-s0-large")
    write_shown(folder, data)
    write_run(workspace, data, "tiny-s1-other", sure=2.0, overrides=("label_smoothing=0.1",))
    return workspace, folder.name
