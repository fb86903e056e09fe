"""The tiny competition that is tortured: unsorted classes, odd sizes, ids in no order."""

import csv
import random
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("zebra", "10", "ant")  # sorted neither as text nor as numbers
TRAIN, TEST, SITES = 24, 8, 6  # rows, rows, groups

SPEC = """\
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

[metric]
name = "log_loss"

[submission]
shape = "wide"

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
blend = "mean"
"""

RECIPE = """\
model = "test_resnet"
weights = "none"
deterministic = true
image_size = 32
batch_size = 8
weight_decay = 0.01
label_smoothing = 0.1
tta = ["none", "hflip"]
seeds = [0]

[augment]
hflip = true
rotate = 5
zoom = [1.0, 1.1]

[[stage]]
train = "head"
epochs = 1
lr = 3e-3

[[stage]]
epochs = 1
lr = [1e-4, 1e-3]
schedule = "one_cycle"
"""


def ids(part: str) -> list[str]:
    """Ids with leading zeros and of 19 digits, in no sorted order."""
    start, rows = {"train": (1, TRAIN), "test": (5001, TEST)}[part]
    numbers = [*range(start, start + rows)]
    random.Random(start).shuffle(numbers)
    return [f"{number:05d}" if number % 2 else f"{10**18 + number}" for number in numbers]


def write_competition(root: Path) -> None:
    """A workspace at root with the competition `tiny`, its raw files and the local truth."""
    folder = root / "competitions" / "tiny"
    (folder / "recipes").mkdir(parents=True)
    (folder / "competition.toml").write_text(SPEC)
    (folder / "recipes" / "tiny.toml").write_text(RECIPE)
    raw = root / "data" / "tiny" / "raw"
    (raw / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        names = ids(part)
        labels = [number % len(CLASSES) for number in range(len(names))]
        features = [
            [id, f"images/{id}.png", f"{part} {number % SITES}"] for number, id in enumerate(names)
        ]
        write_csv(raw / f"{part}_features.csv", [["id", "filepath", "site"], *features])
        for id, label in zip(names, labels, strict=True):
            picture(label, rng).save(raw / "images" / f"{id}.png")
        if part == "train":
            hot = [
                [id, *(int(label == c) for c in range(len(CLASSES)))]
                for id, label in zip(names, labels, strict=True)
            ]
            write_csv(raw / "train_labels.csv", [["id", *CLASSES], *hot[::-1]])
        else:
            write_board(raw, names, labels)


def write_board(raw: Path, names: Sequence[str], labels: Sequence[int]) -> None:
    """The format file, the truth of the test rows, and a first entry to the board."""
    shares = [["id", *CLASSES], *([id, *(1 / len(CLASSES) for _ in CLASSES)] for id in names)]
    write_csv(raw / "submission_format.csv", shares)
    platform = raw.parent / "platform"
    write_csv(platform / "entries" / "uniform.csv", shares)
    truth = [
        [id, CLASSES[label], ("public", "private")[number % 2]]
        for number, (id, label) in enumerate(zip(names, labels, strict=True))
    ]
    write_csv(platform / "truth.csv", [["id", "label", "part"], *truth])


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    """A CSV of rows, the header first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as handle:
        csv.writer(handle, lineterminator="\n").writerows(rows)


def picture(label: int, rng: np.random.Generator) -> Image.Image:
    """A grey image of an odd size whose bright stripe says the class."""
    height, width = int(rng.integers(17, 40)), int(rng.integers(17, 40))
    pixels = rng.integers(0, 80, (height, width)).astype(np.uint8)
    pixels[label * height // 3 : (label + 1) * height // 3] += 150
    return Image.fromarray(pixels)


def write_download(root: Path) -> None:
    """A folder `download` of labelled images, a folder per class, as `new --host` takes it."""
    rng = np.random.default_rng(1)
    for label, name in enumerate(CLASSES):
        folder = root / "download" / name
        folder.mkdir(parents=True)
        for number in range(12):
            picture(label, rng).save(folder / f"{name}-{number}.png")


def pack(raw: Path, archive: Path) -> None:
    """A zip of a raw folder, with its images in a zip of their own inside, as Kaggle ships them."""
    inner = archive.with_name("images.zip")
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as handle:
        for path in sorted((raw / "images").iterdir()):
            handle.write(path, f"images/{path.name}")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as handle:
        for path in sorted(raw.glob("*.csv")):
            handle.write(path, path.name)
        handle.write(inner, inner.name)
    inner.unlink()


def copy(source: Path, target: Path) -> None:
    """A workspace in another folder, file times kept."""
    shutil.copytree(source, target, symlinks=True)
