"""Real sets of images as arrays: features of frozen ImageNet weights, thumbnails, labels, groups.

Each set is read once and kept in a folder as one .npz file.
"""

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import wildlife_photos

BACKBONE = "tf_efficientnet_lite0"
FEATURES = 256  # principal components that are kept
THUMBNAIL = 12  # pixels to a side
BATCH = 64
VERSION = 1  # raise it when what a set holds changes
PHOTOS = 4000  # of the generated set


@dataclass(frozen=True)
class ImageSet:
    """A set of images.

    features: (n, D) float32, scaled to a variance of 1 on average. thumbnails: (n, d) float32 of
    0 to 1. hot: 1 where an image has a class, uint8 (n, C). groups: (n,) str, None: rows are
    independent. multi: an image may have many labels.
    """

    name: str
    features: np.ndarray
    thumbnails: np.ndarray
    hot: np.ndarray
    groups: np.ndarray | None
    multi: bool


Found = tuple[Iterator[Image.Image], np.ndarray, np.ndarray | None]  # images, hot, groups


def _hot(labels: Sequence[str]) -> np.ndarray:
    codes = np.unique(np.array(labels), return_inverse=True)[1]
    return np.eye(codes.max() + 1, dtype=np.uint8)[codes]


def _opened(archive: Path, names: Sequence[str]) -> Iterator[Image.Image]:
    with zipfile.ZipFile(archive) as file:
        for name in names:
            with file.open(name) as handle:
                yield Image.open(handle).convert("RGB")


def _names(archive: Path, pattern: str) -> list[str]:
    with zipfile.ZipFile(archive) as file:
        return sorted(name for name in file.namelist() if re.fullmatch(pattern, name))


def _table(archive: Path, name: str) -> pd.DataFrame:
    with zipfile.ZipFile(archive) as file, file.open(name) as handle:
        return pd.read_csv(handle, dtype=str)


def _cifar(folder: Path) -> Found:
    archive = folder / "cifar10-small.zip"
    names = _names(archive, r"(train|test)/\w+/\w+\.jpg")
    return _opened(archive, names), _hot([name.split("/")[1] for name in names]), None


def _leaf(folder: Path) -> Found:
    archive = folder / "leaf-classification.zip"
    table = _table(archive, "train.csv")
    return (
        _opened(archive, [f"images/{id}.jpg" for id in table["id"]]),
        _hot(table["species"]),
        None,
    )


def _chest(folder: Path) -> Found:
    archive = folder / "chest-xray.zip"
    names = _names(archive, r"(train|val|test)/\w+/.+\.jpeg")
    patients = [re.search(r"person\d+|(NORMAL2-)?IM-\d+", name.split("/")[2]) for name in names]
    groups = np.array([found.group() for found in patients if found])
    return _opened(archive, names), _hot([name.split("/")[1] for name in names]), groups


def _plants(folder: Path) -> Found:
    archive = folder / "plant-pathology-2021-small.zip"
    train, test = _table(archive, "train.csv"), _table(archive, "solution.csv")
    names = [f"train_images/{image}" for image in train["image"]]
    names += [f"test_images/{image}" for image in test["image"]]
    labels = [*train["labels"], *test["labels"]]
    classes = sorted({tag for cell in labels for tag in cell.split()})
    hot = np.array([[tag in cell.split() for tag in classes] for cell in labels], dtype=np.uint8)
    return _opened(archive, names), hot, None


def _wildlife(folder: Path) -> Found:
    """Generated photos: `folder` is where they are kept."""
    tables = wildlife_photos.make_tables(0, train_rows=PHOTOS, test_rows=8)
    wildlife_photos.write_photos(tables, folder / "photos", 0, size=(160, 90))
    rows = tables.train
    images = (
        Image.open(folder / "photos" / "raw" / path).convert("RGB") for path in rows["filepath"]
    )
    return images, _hot(rows["label"]), rows["site"].to_numpy(dtype=str)


READ: dict[str, tuple[Callable[[Path], Found], int, bool]] = {  # reader, pixels to a side, multi
    "cifar10-small": (_cifar, 128, False),
    "leaf": (_leaf, 224, False),
    "chest-xray": (_chest, 160, False),
    "plant-pathology": (_plants, 224, True),
    "wildlife": (_wildlife, 128, False),
}


def read_set(name: str, data: Path | None, kept: Path) -> ImageSet:
    """A set by its name, from the archives in `data`, or as it was kept in a folder.

    Raises: FileNotFoundError: the set's archive, or the weights, are not in `data`.
    """
    path = kept / f"{name}-{VERSION}.npz"
    if not path.exists():
        kept.mkdir(parents=True, exist_ok=True)
        parts = _digits() if name == "digits" else _features(name, data, kept)
        np.savez(path, **parts)
    with np.load(path) as found:
        parts = dict(found)
    groups = parts["groups"] if parts["groups"].size else None
    multi = name != "digits" and READ[name][2]
    return ImageSet(name, parts["features"], parts["thumbnails"], parts["hot"], groups, multi)


def _digits() -> dict[str, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = (digits.data / 16).astype(np.float32)
    return {
        "features": _components(pixels),
        "thumbnails": pixels,
        "hot": np.eye(10, dtype=np.uint8)[digits.target],
        "groups": np.array([], dtype=str),
    }


def _features(name: str, data: Path | None, kept: Path) -> dict[str, np.ndarray]:
    """A set's arrays, made of its images."""
    import timm
    import torch
    from safetensors.torch import load_file

    read, side, _ = READ[name]
    if data is None:
        raise FileNotFoundError(f"{name}: expected the archives and weights in --data FOLDER")
    model = timm.create_model(BACKBONE, pretrained=False)
    weights = load_file(data / f"{BACKBONE}.fp16.safetensors")
    model.load_state_dict({key: value.float() for key, value in weights.items()})
    model.reset_classifier(0)
    model.eval()
    cfg = model.pretrained_cfg
    mean, std = (torch.tensor(cfg[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    images, hot, groups = read(kept if name == "wildlife" else data)
    found, thumbnails, batch = [], [], []

    def flush() -> None:
        pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            found.append(model((pixels - mean) / std).numpy())
        batch.clear()

    for image in images:
        batch.append(np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)))
        small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        thumbnails.append(np.asarray(small, dtype=np.float32).ravel() / 255)
        if len(batch) == BATCH:
            flush()
    if batch:
        flush()
    return {
        "features": _components(np.concatenate(found)),
        "thumbnails": np.stack(thumbnails),
        "hot": hot,
        "groups": np.array([], dtype=str) if groups is None else groups,
    }


def _components(features: np.ndarray) -> np.ndarray:
    """The first principal components, which no label has a part in."""
    centred = np.sqrt(np.maximum(features, 0)) - np.sqrt(np.maximum(features, 0)).mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    kept = centred @ axes[:FEATURES].T
    return (kept / kept.std()).astype(np.float32)
