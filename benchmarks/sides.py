"""The sides of the speed benchmark: foldwise's own path, its peers' usual one, and the bare step.

Each side is a function without arguments that works through some batches and returns images/s;
what it needs is made, and warmed up, before. Peers run in processes of their own, see apart.py.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.vision.all import (
    Callback,
    CancelFitException,
    ImageDataLoaders,
    Learner,
    Resize,
    aug_transforms,
    resnet34,
    vision_learner,
)
from torch import nn

from foldwise.config.recipe import SizedRecipe
from foldwise.data.folds import Folds
from foldwise.data.images.cache import ImageCache
from foldwise.kinds.events import BatchDone
from foldwise.tasks import MultiClass
from foldwise.training.fitting.optim import Adam
from foldwise.training.fitting.stages import Place, Trainable, train_stages
from foldwise.training.fitting.tuning import settle
from foldwise.training.loading.batches import FoldSplitter, datablock, dataloaders
from foldwise.training.models.building import Preprocessing, build_model, preprocessing_of
from foldwise.training.predict import predict
from foldwise.training.speed.fusing import for_prediction
from foldwise.training.speed.precision import autocast, device

Side = Callable[[], float]
VIEWS = ("none", "hflip", "vflip", "rot90", "rot180")  # five, as learn.tta(n=4) has


class Own:
    """foldwise's pipeline over some rows of a cache, the first 64 of them for validation.

    frame: `id` and `label` (Categorical). batches: how many a call trains on.
    """

    def __init__(
        self, cache: ImageCache, frame: pd.DataFrame, recipe: SizedRecipe, batches: int
    ) -> None:
        self.cache = cache
        self.on = device()
        self.recipe = recipe.settle(
            {**settle(recipe, 1, 2, cache.channels, 1), "loss": "cross_entropy"}
        )
        self.frame = frame.head(64 + batches * self.recipe.batch_size)
        self.batches = (len(self.frame) - 64) // self.recipe.batch_size
        fold = (np.arange(len(self.frame)) >= 64).astype(np.int64)  # 0: validation
        self.folds = Folds("bench", self.frame[["id"]].assign(fold=fold), "bench")
        classes = list(self.frame["label"].cat.categories)
        self.preprocessing: Preprocessing = preprocessing_of(
            recipe, MultiClass(tuple(classes)), "RGB"
        )
        torch.manual_seed(0)
        model = build_model(recipe, len(classes), cache.channels)
        self.model = model.to(self.on).to(memory_format=torch.channels_last)

    @property
    def trainable(self) -> Trainable:
        """The model with its rows, as the trainer takes them."""
        return Trainable(model=self.model, block_of=self.block, recipe=self.recipe)

    def block(self, stage: int = -1):
        """The DataBlock of the rows."""
        return datablock(
            self.cache,
            self.frame,
            FoldSplitter(self.folds, 0),
            self.recipe,
            self.preprocessing,
            stage,
        )

    def train(self) -> float:
        """An epoch through the trainer, between its first batch and its last."""
        ends: list[float] = []

        def observe(event: object) -> None:
            if isinstance(event, BatchDone) and event.done in (1, self.batches):
                ends.append(clock())

        train_stages(self.trainable, Place("bench", 0, 0, 2), observe)
        return self.recipe.batch_size * (self.batches - 1) / (ends[1] - ends[0])

    def data(self) -> float:
        """Training batches gathered and augmented, without a model."""
        loader = dataloaders(self.block(), self.recipe.batch_size, self.on).train
        return rate(loader)

    def predicted(self, views: tuple[str, ...], times: int = 1) -> float:
        """Predictions of all rows with these views, in one pass over so many times the rows."""
        rows = pd.concat([self.frame] * times, ignore_index=True)
        loader = dataloaders(self.block(), self.recipe.batch_size, self.on).test_dl(rows)
        begun = time.perf_counter()
        for _ in predict(self.model, loader, views, self.recipe.precision):
            pass
        return len(rows) / (time.perf_counter() - begun)


class StopAfter(Callback):
    """Ends a fit after some batches and keeps their times."""

    def __init__(self, batches: int) -> None:
        self.batches, self.ends = batches, []  # type: int, list[float]

    def after_batch(self) -> None:
        """Note the time of a training batch."""
        if self.training:
            self.ends.append(time.perf_counter())
            if len(self.ends) > self.batches:
                raise CancelFitException


def fastai_side(kind: str, files: list[Path], batch_size: int, batches: int) -> Side:
    """fastai as its documentation has it: Resize(460), aug_transforms, vision_learner, fp32.

    kind: `train`, some batches of fit_one_cycle between the first and the last; `data`, some
    batches with their augmentation; `tta`, learn.tta(n=4) over 64 images: five passes.
    """
    frame = pd.DataFrame({"name": [str(f) for f in files]})
    frame["label"] = [str(number % 8) for number in range(len(files))]
    frame["valid"] = np.arange(len(frame)) < 64
    dls = ImageDataLoaders.from_df(
        frame,
        path="/",
        fn_col="name",
        label_col="label",
        valid_col="valid",
        bs=batch_size,
        val_bs=batch_size,
        item_tfms=Resize(460),
        batch_tfms=aug_transforms(size=224, min_scale=0.75),
        num_workers=2,
    )
    learn: Learner = vision_learner(dls, resnet34, pretrained=False)

    def train() -> float:
        stop = StopAfter(batches)
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(1, cbs=stop)
        return dls.bs * (len(stop.ends) - 1) / (stop.ends[-1] - stop.ends[0])

    def tta() -> float:
        begun = time.perf_counter()
        with learn.no_bar():
            learn.tta(n=4)
        return len(dls.valid_ds) / (time.perf_counter() - begun)

    return {"train": train, "tta": tta, "data": lambda: rate(dls.train, batches)}[kind]


def timm_train(folder: Path, batch_size: int) -> Side:
    """timm's loader (2 workers, its usual augmentation) and the step of its train.py: autocast in
    bf16, channels_last, SGD with momentum, cross-entropy; a whole epoch, since its workers would
    go on making batches after a part of one."""
    from timm import create_model
    from timm.data import create_dataset, create_loader
    from timm.optim import create_optimizer_v2

    torch.manual_seed(0)
    dataset = create_dataset("", root=str(folder), split="train", is_training=True)
    loader = create_loader(
        dataset,
        (3, 224, 224),
        batch_size,
        is_training=True,
        use_prefetcher=False,
        num_workers=2,
        hflip=0.5,
        color_jitter=0.4,
        interpolation="random",
        persistent_workers=True,
    )
    on = device()
    model = create_model("resnet34", num_classes=8).to(on).to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(model, "sgd", lr=0.05, weight_decay=2e-5, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()

    def side() -> float:
        model.train()
        ends = []
        for images, targets in loader:
            images = images.to(on, memory_format=torch.channels_last)
            with torch.autocast(on.type, torch.bfloat16):
                loss = loss_of(model(images), targets.to(on))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()  # as train.py does for its meter
            ends.append(time.perf_counter())
        return batch_size * (len(ends) - 1) / (ends[-1] - ends[0])

    return side


def bare_train(own: Own, batches: int) -> Side:
    """The training step alone on a tensor in memory, with foldwise's optimizer, precision and
    memory format, compiled if foldwise's is."""
    images, targets = fixed(own)
    model = build_model(own.recipe, len(own.preprocessing.classes), 3).to(own.on)
    model = model.to(memory_format=torch.channels_last).train()
    forward = torch.compile(model, dynamic=False) if own.recipe.compile else model
    optimizer = Adam(list(model.parameters()), lr=1e-3, wd=own.recipe.weight_decay)
    loss_of = nn.CrossEntropyLoss()

    def side() -> float:
        ends = []
        for number in range(batches + 1):
            with autocast(own.recipe.precision, own.on):
                logits = forward(images)
            loss_of(logits.float(), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
            if number in (0, batches):
                ends.append(clock())
        return len(images) * batches / (ends[1] - ends[0])

    return side


def bare_forward(own: Own, batches: int) -> Side:
    """The forward pass alone on a tensor in memory, in foldwise's precision, of the very model that
    foldwise predicts with: its layers fused, its weights cast once."""
    images, _ = fixed(own)
    model = for_prediction(own.model, images[:2], own.recipe.precision)

    def side() -> float:
        with torch.inference_mode(), autocast(own.recipe.precision, own.on):
            begun = time.perf_counter()
            for _ in range(batches):
                model(images).float().cpu()
        return len(images) * batches / (time.perf_counter() - begun)

    return side


def busy(own: Own) -> tuple[float, float]:
    """Seconds in which the device computes, and all seconds, from an epoch's first operation to
    its last; the rest is waiting."""
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    on_gpu = own.on.type == "cuda"
    own.train()  # warms up
    clock()
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as made:
        own.train()
        clock()
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in made.events()
        if event.device_type == wanted
    ]
    return covered(spans) / 1e6, (max(e for _, e in spans) - min(b for b, _ in spans)) / 1e6


def covered(spans: list[tuple[float, float]]) -> float:
    """The length of all spans (begin, end) together; where some overlap it counts once."""
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(end - max(begin, reached), 0.0)
        reached = max(reached, end)
    return total


def memory(own: Own) -> tuple[float, float]:
    """The GPU's memory in GB, and the most that an epoch took of it."""
    torch.cuda.reset_peak_memory_stats()
    own.train()
    total = torch.cuda.get_device_properties(0).total_memory
    return total / 1e9, torch.cuda.max_memory_allocated() / 1e9


def fixed(own: Own) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of the recipe's size in memory, channels last, with targets."""
    generator = torch.Generator().manual_seed(0)
    height, width = own.preprocessing.image_size
    n = own.recipe.batch_size
    images = torch.randn(n, 3, height, width, generator=generator)
    targets = torch.randint(0, len(own.preprocessing.classes), (n,), generator=generator)
    return images.to(own.on).to(memory_format=torch.channels_last), targets.to(own.on)


def clock() -> float:
    """Seconds, once the GPU, if any, has finished what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def rate(loader: Iterator, batches: int | None = None) -> float:
    """Images per second of a loader between its first batch and its last."""
    ends, images = [], 0
    for number, batch in enumerate(loader):
        ends.append(time.perf_counter())
        if number:
            images += len(batch[0])
        if batches is not None and number == batches:
            break
    return images / (ends[-1] - ends[0])
