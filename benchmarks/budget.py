"""Log loss at equal time, beside stock fastai: ResNet-18 at 64 px from scratch, several seeds.

    python benchmarks/budget.py --images cifar10-small.zip [--minutes 7] [--seeds 3]

--images: a folder, or a zip of one, with train/<class>/ and test/<class>/. Each side has the same
minutes for everything: reading images, training, predicting the test images.

foldwise: the recipe below with `budget`, planned as `foldwise train --budget` plans it.
fastai: Resize(64), aug_transforms(), vision_learner(pretrained=False), unfrozen, fit_one_cycle
over as many epochs as fit (an epoch is timed beforehand, outside its minutes), fp32, since its
mixed precision is for CUDA alone; of three rates the best by its test log loss with the first
seed, which each of them has all minutes for, then that rate for the other seeds.

Prints a line per run, adds a row to results/speed.csv, and ends with the ratio of the mean log
losses, ours by theirs; exit code 1 where it is above the bar.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from fastai.vision.all import (
    ImageDataLoaders,
    Resize,
    aug_transforms,
    resnet18,
    set_seed,
    vision_learner,
)
from sklearn.metrics import log_loss

from apart import Apart
from foldwise.config.budget import seconds_of
from foldwise.config.recipe import SizedRecipe
from foldwise.data.folds import Folds
from foldwise.store.predictions import read_predictions
from foldwise.tables.listing import images_below
from foldwise.training.fitting.fold import FoldInputs, train_fold
from foldwise.training.fitting.timing import plan_of
from foldwise.training.fitting.tuning import settle
from inputs import caches_of, table_of
from quality import IMAGES, unpacked
from speed import record

NAME = "log_loss_equal_time_vs_fastai"
RATES = (3e-4, 1e-3, 3e-3)  # fastai's default is 1e-3
RECIPE = {
    "name": "budget",
    "model": "resnet18",
    "weights": "none",
    "image_size": 64,
    "batch_size": 256,
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 0.01,
    "ema": 0.97,
    "label_smoothing": 0.02,
    "tta": ["none", "hflip"],
    "tta_shift": 0.05,
    "augment": {
        "hflip": True,
        "rotate": 10,
        "zoom": [0.9, 1.15],
        "shift": 0.08,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.2,
    },
    "stage": [
        {"epochs": 14, "image_size": 32, "lr": 0.3, "schedule": {"name": "constant", "warmup": 1}},
        {"epochs": 11, "lr": 0.3, "schedule": {"pct_start": 0.1, "div": 4}},
    ],
}


def main() -> None:
    """Measure, print and record."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=Path, default=IMAGES, help="a folder or zip, see above")
    words.add_argument("--minutes", type=float, default=7)
    words.add_argument("--seeds", type=int, default=3, help="how many")
    words.add_argument("--ours-only", action="store_true")
    options = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="foldwise-bench-") as folder:
        images = unpacked(options.images.resolve(), Path(folder))
        seconds, rate, pairs = 60 * options.minutes, None, []
        for seed in range(options.seeds):
            own = run("foldwise", ours, images, seconds, seed)
            if options.ours_only:
                continue
            if rate is None:
                tried = {
                    r: run(f"fastai at {r:g}", theirs, images, seconds, seed, r) for r in RATES
                }
                rate = min(tried, key=lambda r: tried[r])
                pairs.append((own, tried[rate]))
            else:
                pairs.append((own, run(f"fastai at {rate:g}", theirs, images, seconds, seed, rate)))
    if not pairs:
        return
    own, other = (statistics.mean(side) for side in zip(*pairs, strict=True))
    row = record(NAME, [(other, own)])
    print(
        f"log loss {own:.4f} against {other:.4f} in {options.minutes:g} minutes each: the ratio "
        f"is {own / other:.3f}"
    )
    if row["verdict"] == "short":
        sys.exit(1)


def run(name: str, side, images: Path, seconds: float, seed: int, *rest: float) -> float:
    """A side's log loss, from a process of its own; its line is printed."""
    apart = Apart(prepared, side, images, seconds, seed, *rest)
    loss, took, epochs = apart()
    apart.close()
    print(f"seed {seed}: {name} {loss:.4f} ({epochs} epochs, {took / 60:.2f} min)", flush=True)
    return loss


def prepared(side, *arguments: object):
    """A function without arguments, as Apart wants it."""
    return lambda: side(*arguments)


def ours(images: Path, seconds: float, seed: int) -> tuple[float, float, int]:
    """foldwise's log loss on the test images, the seconds it took, and its epochs."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="foldwise-budget-") as temporary:
        folder = Path(temporary)
        files = [images / name for name in images_below(images, ".")[0]]
        names = [file.relative_to(images).as_posix() for file in files]
        table = table_of(files, [file.parent.name for file in files])
        table.frame["path"] = names
        test = np.array([name.startswith("test/") for name in names])
        folds = Folds("budget", table.frame[["id"]].assign(fold=np.where(test, 0, 1)), "budget")
        recipe = SizedRecipe.model_validate({**RECIPE, "budget": f"{seconds:g}s"})
        rows = int((~test).sum())
        values = settle(recipe, rows, len(table.classes), 3, 1)
        caches = caches_of(folder, table, images, recipe.cache_sizes)
        first = table.where(np.arange(len(table)) == 0)  # nothing else is predicted

        def inputs() -> FoldInputs:
            return FoldInputs(
                "budget",
                folder / "fold0",
                recipe.settle({**values, "loss": "cross_entropy"}),
                seed,
                0,
                folds,
                tuple(caches),
                table,
                first,
                "RGB",
            )

        ends = begun + seconds_of(str(recipe.budget))
        plan = plan_of(inputs(), rows, [0], lambda: ends - time.monotonic())
        values["plan"] = plan.model_dump(mode="json")
        train_fold(inputs(), lambda event: None)
        probs = read_predictions(folder / "fold0" / "oof.parquet", table.classes)
    took = time.monotonic() - begun
    truth = probs[["id"]].merge(table.frame, validate="one_to_one")["label"].cat.codes
    loss = log_loss(truth, probs[list(table.classes)].to_numpy(), labels=range(len(table.classes)))
    return loss, took, sum(stage["epochs"] for stage in values["plan"]["stage"])


def theirs(images: Path, seconds: float, seed: int, rate: float) -> tuple[float, float, int]:
    """fastai's log loss on the test images, the seconds it took, and its epochs."""
    set_seed(seed)

    def learner():
        dls = ImageDataLoaders.from_folder(
            images,
            train="train",
            valid="test",
            item_tfms=Resize(64),
            batch_tfms=aug_transforms(),
            num_workers=2,
        )
        learn = vision_learner(dls, resnet18, pretrained=False)
        learn.unfreeze()
        return learn

    learn = learner()
    with learn.no_bar(), learn.no_logging():
        begun = time.monotonic()
        learn.fit_one_cycle(1, rate)
        epoch = time.monotonic() - begun
    epochs = max(1, int(seconds / epoch))
    set_seed(seed)
    begun = time.monotonic()
    learn = learner()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, rate)
        probs, truth = learn.get_preds()
    took = time.monotonic() - begun
    loss = log_loss(pd.Series(truth.numpy()), probs.numpy(), labels=range(len(learn.dls.vocab)))
    return loss, took, epochs


if __name__ == "__main__":
    main()
