"""A tiny competition with awkward values, for tests: unsorted classes, odd sizes, shuffled ids."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise.executors import FoldJob
from foldwise.kinds.metric import METRICS, Metric
from foldwise.kinds.shape import SHAPES, SubmissionFormat
from foldwise.store.files import sha256_file
from foldwise.tasks import MultiClass
from foldwise.workspace import Workspace

CLASSES = ("zebra", "10", "ant")  # neither sorted as text nor as numbers

SPEC = """
title = "Tiny"
platform = "local"
page = "https://example.org/tiny"

[files]
train = "train_features.csv"
labels = "train_labels.csv"
test = "test_features.csv"
format = "submission_format.csv"

[labels]
format = "class_columns"
group = "site"

[images]
path = "{filepath}"
folders = ["images"]
mode = "L"

[folds.default]
kind = "stratified"
n = 3
seed = 1

[folds.sites]
kind = "stratified_group"
n = 3
seed = 1

[submit]
recipes = ["tiny"]
"""

RECIPE = """
model = "test_resnet"
weights = "none"
deterministic = true # on CUDA too
image_size = 32
batch_size = 8
tta = ["none", "hflip"]

[augment]
hflip = true
rotate = 5

[[stage]]
epochs = 1
lr = 3e-3
"""


def metric_of(name: str = "log_loss", **settings: Any) -> Metric:
    """A metric by its name in TOML."""
    return METRICS.parse({"name": name, **settings})


# what `auto` became where nothing is measured, as run.json has it
SETTLED = {"precision": "fp32", "batch_size": 8, "compile": False, "loss": "cross_entropy"}


def ids(part: str, n: int) -> list[str]:
    """Ids with leading zeros and 19 digits, in no sorted order."""
    start = {"train": 1, "test": 5001}[part]
    numbers = np.random.default_rng(start).permutation(np.arange(start, start + n))
    return [f"{number:05d}" if number % 2 else f"{10**18 + number}" for number in numbers]


def write_tiny(
    root: Path,
    n_train: int = 30,
    n_test: int = 12,
    n_sites: int = 6,
    classes: Sequence[str] = CLASSES,
) -> Workspace:
    """A workspace at root with the competition `tiny`, its raw files and the local truth."""
    folder = root / "competitions" / "tiny"
    (folder / "recipes").mkdir(parents=True)
    (folder / "competition.toml").write_text(SPEC)
    (folder / "recipes" / "tiny.toml").write_text(RECIPE)
    workspace = Workspace(root, root / "data", root / "runs")
    raw = workspace.raw("tiny")
    (raw / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", n_train), ("test", n_test)):
        names = ids(part, n)
        labels = np.arange(n) % len(classes)
        sites = [f"{part} {i % n_sites}" for i in range(n)]
        for id, label in zip(names, labels, strict=True):
            draw(raw / "images" / f"{id}.png", int(label), rng)
        features = pd.DataFrame(
            {"id": names, "filepath": [f"images/{id}.png" for id in names], "site": sites}
        )
        features.to_csv(raw / f"{part}_features.csv", index=False)
        one_hot = pd.DataFrame(np.eye(len(classes))[labels], columns=list(classes))
        one_hot.insert(0, "id", names)
        if part == "train":
            one_hot.sample(frac=1, random_state=1).to_csv(raw / "train_labels.csv", index=False)
        else:
            write_format(raw / "submission_format.csv", names, classes)
            platform = raw.parent / "platform"
            (platform / "entries").mkdir(parents=True)
            truth = pd.DataFrame({"id": names, "label": np.array(classes)[labels]})
            truth["part"] = ["public", "private"] * (n // 2)
            truth.to_csv(platform / "truth.csv", index=False)
            write_format(platform / "entries" / "uniform.csv", names, classes)
    return workspace


def write_format(path: Path, names: Sequence[str], classes: Sequence[str] = CLASSES) -> None:
    """A submission file of uniform rows."""
    uniform = np.full((len(names), len(classes)), 1 / len(classes))
    frame = pd.DataFrame(uniform, columns=list(classes))
    frame.insert(0, "id", list(names))
    frame.to_csv(path, index=False)


def wide(id_column: str, classes: Sequence[str], names: Sequence[str]) -> SubmissionFormat:
    """A format with one probability column per class."""
    settings = SHAPES.parse({})
    columns = [id_column, *classes]
    frame = settings.blank_rows(names, classes, columns, id_column)
    task = MultiClass(tuple(classes))
    return SubmissionFormat(frame, id_column, tuple(classes), tuple(names), task, settings)


def draw(path: Path, label: int, rng: np.random.Generator) -> None:
    """A grey image of an odd size whose bright stripe says the class."""
    height, width = int(rng.integers(17, 40)), int(rng.integers(17, 40))
    pixels = rng.integers(0, 80, (height, width)).astype(np.uint8)
    pixels[label * height // 3 : (label + 1) * height // 3] += 150
    Image.fromarray(pixels).save(path)


def small_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Make every disk say that it has so many bytes free."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))


def edit(path: Path, old: str, new: str) -> None:
    """Replace text in a file; the old text must be there."""
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new))


def copy(workspace: Workspace, target: Path) -> Workspace:
    """The workspace in another folder."""
    shutil.copytree(workspace.root, target, dirs_exist_ok=True)
    return Workspace(target, target / "data", target / "runs")


def only_run(workspace: Workspace) -> Path:
    """The directory of the one run there is."""
    found = list((workspace.runs / "tiny").glob("tiny-s0-*"))
    assert len(found) == 1
    return found[0]


def fold_job(workspace: Workspace, fold: int) -> FoldJob:
    """The job of a fold of that run."""
    return FoldJob(
        workspace.root, workspace.data, workspace.runs, "tiny", only_run(workspace), fold
    )


def tree(folder: Path) -> dict[str, str]:
    """The hash of every file below a folder that is no lock."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.endswith("lock")]
    return {p.relative_to(folder).as_posix(): sha256_file(p) for p in files}
