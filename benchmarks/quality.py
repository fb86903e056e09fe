"""Log loss at equal epochs, beside stock fastai: several seeds of ResNet-18 at 64 px from scratch.

    python benchmarks/quality.py --images cifar10-small.zip [--epochs 5] [--seeds 0 1 2]

--images: a folder, or a zip of one, with train/<class>/ and test/<class>/. Both sides take the
same epochs, batch size, rate, one-cycle schedule and augmentation (fastai's aug_transforms), and
predict the test images as they are. Prints `name ratio bar ok|short` and adds a row to
results/speed.csv: the ratio is (their mean + the seeds' spread) / our mean.
"""

import argparse
import os
import statistics
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.vision.all import ImageDataLoaders, aug_transforms, resnet18, set_seed, vision_learner
from sklearn.metrics import log_loss

from foldwise.config.recipe import SizedRecipe
from foldwise.data.folds import Folds
from foldwise.tables.listing import images_below
from foldwise.training.fitting.stages import Place, Trainable, train_stages
from foldwise.training.fitting.streams import seed_block
from foldwise.training.fitting.tuning import settle
from foldwise.training.loading.batches import FoldSplitter, datablock
from foldwise.training.models.building import build_model, preprocessing_of
from foldwise.training.predict import predict
from foldwise.training.speed.precision import device
from inputs import cache_of, table_of
from speed import record

IMAGES = Path(os.environ.get("FOLDWISE_REALDATA", "../shared/data")) / "cifar10-small.zip"
SIZE, BATCH, LR = 64, 64, 1e-3  # the rate is fastai's default
NAME = "log_loss_equal_epochs_vs_fastai"
AUGMENT = {
    "hflip": True,
    "rotate": {"degrees": 10, "p": 0.75},
    "zoom": {"factor": [1.0, 1.1], "p": 0.75},
    "warp": {"magnitude": 0.2, "p": 0.75},
    "brightness": {"amount": 0.2, "p": 0.75},
    "contrast": {"amount": 0.2, "p": 0.75},
}


def main() -> None:
    """Measure, print and record."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, default=IMAGES, help="a folder or zip, see above")
    words.add_argument("--epochs", type=int, default=5)
    words.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="foldwise-bench-") as folder:
        images = unpacked(options.images.resolve(), Path(folder))
        pairs = []
        for seed in options.seeds:
            pairs.append(
                (
                    ours(images, Path(folder), options.epochs, seed),
                    theirs(images, options.epochs, seed),
                )
            )
            print(
                f"seed {seed}: foldwise {pairs[-1][0]:.4f}, fastai {pairs[-1][1]:.4f}", flush=True
            )
    spread = max(statistics.stdev(side) for side in zip(*pairs, strict=True))
    print(f"spread over the seeds (standard deviation, the larger one): {spread:.4f}")
    own, other = (statistics.mean(side) for side in zip(*pairs, strict=True))
    row = record(NAME, [(other + spread, own)])
    if row["verdict"] == "short":
        sys.exit(1)


def unpacked(images: Path, folder: Path) -> Path:
    """The folder with train/ and test/, from a zip where it is one."""
    if not images.exists():
        sys.exit(f"{images} is not there: name a folder or zip of images with --images")
    if images.is_file():
        with zipfile.ZipFile(images) as archive:
            archive.extractall(folder / "images")
        images = folder / "images"
    for part in ("train", "test"):
        if not (images / part).is_dir():
            sys.exit(f"{images} should hold train/<class>/ and test/<class>/; {part}/ is missing")
    return images


def ours(images: Path, folder: Path, epochs: int, seed: int) -> float:
    """foldwise's log loss on the test images, its cache and trainer as in any run."""
    files = [images / name for name in images_below(images, ".")[0]]
    names = [file.relative_to(images).as_posix() for file in files]
    table = table_of(files, [file.parent.name for file in files])
    table.frame["path"] = names
    recipe = SizedRecipe.model_validate(
        {
            "name": "bench",
            "model": "resnet18",
            "weights": "none",
            "image_size": SIZE,
            "presize": 72,
            "batch_size": BATCH,
            "stage": [{"epochs": epochs, "lr": LR}],
            "augment": AUGMENT,
        }
    )
    test = np.array([name.startswith("test/") for name in names])
    folds = Folds("bench", table.frame[["id"]].assign(fold=np.where(test, 0, 1)), "bench")
    values = settle(recipe, int((~test).sum()), len(table.classes), 3, 1)
    recipe = recipe.settle({**values, "loss": "cross_entropy"})
    cache = cache_of(folder, table, images, recipe.cache_sizes[0])
    preprocessing = preprocessing_of(recipe, table.task, "RGB")
    with seed_block(seed, 0, "init"):
        model = build_model(recipe, len(table.classes), 3).to(device())
        model = model.to(memory_format=torch.channels_last)
        split = FoldSplitter(folds, 0)
        dls, *_ = train_stages(
            Trainable(
                model=model,
                block_of=lambda stage: datablock(
                    cache, table.frame, split, recipe, preprocessing, stage
                ),
                recipe=recipe,
            ),
            Place("bench", seed, 0, 2),
            lambda event: None,
        )
        batches = predict(model, dls.valid, ("none",), recipe.precision)
        probs = np.concatenate([plain for _, plain in batches])
    truth = table.frame.loc[test, "label"].cat.codes
    return log_loss(truth, probs, labels=range(len(table.classes)))


def theirs(images: Path, epochs: int, seed: int) -> float:
    """fastai's log loss on the test images: from_folder, aug_transforms, vision_learner."""
    set_seed(seed)
    dls = ImageDataLoaders.from_folder(
        images,
        train="train",
        valid="test",
        bs=BATCH,
        num_workers=2,
        batch_tfms=aug_transforms(size=SIZE),
    )
    learn = vision_learner(dls, resnet18, pretrained=False)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, LR)
        probs, truth = learn.get_preds()
    return log_loss(pd.Series(truth.numpy()), probs.numpy(), labels=range(len(dls.vocab)))


if __name__ == "__main__":
    main()
