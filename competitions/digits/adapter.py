"""Writes scikit-learn's digits out as a platform would ship them, and the board's truth beside."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from foldwise.config.competition import CompetitionSpec

SEED = 20240101


def prepare(spec: CompetitionSpec, raw: Path) -> None:
    """Write images, CSVs, the truth of the test rows, and three baselines for the board."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(digits.target))  # scikit-learn keeps the writers together
    numbers = rng.permutation(np.arange(10_000, 10_000 + len(order)))
    ids = np.array([f"D{number}" for number in numbers])
    n_test = len(order) // 5
    classes = [str(name) for name in digits.target_names]
    (raw / "images").mkdir(parents=True, exist_ok=True)
    for id, row in zip(ids, order, strict=True):
        pixels = (digits.images[row] * 255 / 16).round().astype(np.uint8)  # values are 0..16
        Image.fromarray(pixels).save(raw / "images" / f"{id}.png")
    one_hot = np.eye(10)[digits.target[order]]
    parts = {"test": slice(0, n_test), "train": slice(n_test, None)}
    for part, rows in parts.items():
        features = pd.DataFrame(
            {"id": ids[rows], "filepath": [f"images/{i}.png" for i in ids[rows]]}
        )
        features.sort_values("id").to_csv(raw / f"{part}_features.csv", index=False)
    labels = pd.DataFrame(one_hot[parts["train"]], columns=classes)
    labels.insert(0, "id", ids[parts["train"]])
    labels.sort_values("id").to_csv(raw / "train_labels.csv", index=False)
    test_ids = ids[parts["test"]]
    uniform = np.full((n_test, 10), 0.1)
    _write_format(raw / "submission_format.csv", test_ids, classes, uniform)

    platform = raw.parent / "platform"  # read by the local platform alone
    (platform / "entries").mkdir(parents=True, exist_ok=True)
    truth = pd.DataFrame({"id": test_ids, "label": digits.target[order][parts["test"]]})
    truth["part"] = np.where(rng.permutation(n_test) < n_test // 2, "public", "private")
    truth.sort_values("id").to_csv(platform / "truth.csv", index=False)
    x, y = digits.data[order] / 16, digits.target[order]
    for name, model in _baselines().items():
        model.fit(x[parts["train"]], y[parts["train"]])
        probs = model.predict_proba(x[parts["test"]])
        _write_format(platform / "entries" / f"{name}.csv", test_ids, classes, probs)


def _write_format(path: Path, ids: np.ndarray, classes: list[str], probs: np.ndarray) -> None:
    frame = pd.DataFrame(probs / probs.sum(axis=1, keepdims=True), columns=classes)
    frame.insert(0, "id", ids)
    frame.sort_values("id").to_csv(path, index=False, float_format="%.10g")


def _baselines() -> dict:
    """The board's first entries, by team name."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    return {
        "class prior": DummyClassifier(strategy="prior"),
        "logistic regression": LogisticRegression(max_iter=2000),
        "support vector machine": CalibratedClassifierCV(SVC(C=10, gamma=0.5), ensemble=False),
    }
