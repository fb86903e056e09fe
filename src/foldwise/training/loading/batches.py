"""The fastai DataBlock of a fold, and a DataLoader that gathers batches from the cache."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from queue import Empty, Full, Queue
from typing import Protocol, TypeVar

import fastai.vision.data  # noqa: F401  (adds show_batch's grid of images)
import numpy as np
import pandas as pd
import torch
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, TransformBlock
from fastai.data.core import DataLoaders, Datasets, TfmdDL
from fastai.data.transforms import (
    ColReader,
    EncodedMultiCategorize,
    IntToFloatTensor,
    MultiCategory,
    Transform,
)
from fastai.torch_core import TensorCategory, TensorMultiCategory
from fastai.vision.core import TensorImage
from fastcore.foundation import L

from foldwise.arrays import Array
from foldwise.config.recipe import SettledRecipe
from foldwise.data.folds import Folds
from foldwise.data.images.cache import ImageCache
from foldwise.data.labels.table import SHARES, WEIGHT
from foldwise.kinds.columns import columns_of
from foldwise.training.loading.augment import Augmenter, NormalizeInPlace, Resampling
from foldwise.training.loading.balance import balanced_draws
from foldwise.training.models.building import Preprocessing
from foldwise.training.speed.precision import CPU, device, send

DEPTH = 3  # batches gathered ahead


Batch = TypeVar("Batch")


class Vocabulary(Protocol):
    """fastai's vocabulary: the classes in class order."""

    o2i: Mapping[str, int]  # a class's number by its name

    def __iter__(self) -> Iterator[str]: ...


class CachedImages(Transform):
    """id -> TensorImage uint8 (channels, height, width) from the cache."""

    def __init__(self, cache: ImageCache) -> None:
        super().__init__()
        self.cache = cache

    def encodes(self, id: str) -> TensorImage:
        """One image; batches do not come this way, see GatherLoader."""
        row = self.cache.rows(pd.Series([id]))
        return TensorImage(self.gather(row)[0])

    def gather(self, rows: Array, on: torch.device | None = None) -> torch.Tensor:
        """The images of some rows: uint8 (n, channels, height, width), channels last in memory."""
        return send(torch.from_numpy(self.cache.pixels[rows]), on or CPU).permute(0, 3, 1, 2)


class Shares(EncodedMultiCategorize):
    """The shares of the classes, an array (C,) -> TensorMultiCategory; shown by name."""

    def decodes(self, shares: TensorMultiCategory) -> MultiCategory:
        """The classes that have a share, with it."""
        named = zip(self.vocab, shares.tolist(), strict=True)
        return MultiCategory([f"{name} {share:.2f}" for name, share in named if share])


class FoldSplitter:
    """Rows of other folds for training, rows of one fold for validation, by id.

    Rows in no fold (fold -1) are in neither.
    """

    def __init__(self, folds: Folds, fold: int) -> None:
        self.folds, self.fold = folds, fold

    def __call__(self, items: pd.DataFrame) -> tuple[L, L]:
        """Positions of the training rows and of the validation rows."""
        of = self.folds.of(items["id"])
        train = np.flatnonzero((of != self.fold) & (of >= 0))
        return L(train.tolist()), L(np.flatnonzero(of == self.fold).tolist())


class GatherLoader(TfmdDL):
    """A fastai DataLoader whose batches are one gather from the cache, made a few ahead.

    A thread gathers (NumPy copies outside the GIL's reach of the training step) and sends what it
    has to the GPU, if any; there are no worker processes. Anything but frames of cached ids goes
    fastai's usual way, item by item.
    """

    skip = 0  # batches that the next pass leaves out at its start: they are done
    skipped = 0  # those that the pass at hand has left out

    def __init__(self, dataset: Datasets, num_workers: int | None = None, **kwargs: object) -> None:
        super().__init__(dataset, num_workers=0, **kwargs)

    def one_batch(self) -> tuple[torch.Tensor, ...]:
        """The first batch to look at: images and targets; fastai can show no rows' weights."""
        batch: tuple[torch.Tensor, ...] = super().one_batch()
        return batch[:2]

    def create_batches(self, samples: Iterable[int]) -> Iterator[tuple[torch.Tensor, ...]]:
        """Batches of the sampled positions: images uint8, and targets as `targets_of` gives them.

        Those of a training part have the rows' weights third, float32, where its rows have some;
        fastai hands these to the loss. Validation counts every row the same.
        """
        items = getattr(self.dataset, "items", None)
        transforms = [f for f in self.dataset.tls[0].tfms.fs if isinstance(f, CachedImages)]
        if not isinstance(items, pd.DataFrame) or not transforms or self.prebatched:
            batches: Iterator[tuple[torch.Tensor, ...]] = super().create_batches(samples)
            return batches
        rows = transforms[0].cache.rows(items["id"])
        others: list[tuple[torch.Tensor, type]] = []  # what goes with images, and its type
        if len(self.dataset.tls) > 1:
            others.append(targets_of(items, self.dataset.vocab))
            if self.dataset.split_idx == 0 and WEIGHT in items.columns:
                weights = items[WEIGHT].to_numpy(dtype=np.float32, copy=True)
                others.append((torch.from_numpy(weights), torch.Tensor))

        def gather(chunk: list[int]) -> tuple[torch.Tensor, ...]:
            images = TensorImage(transforms[0].gather(rows[chunk], self.device))
            on = self.device or CPU
            return images, *(send(values[chunk], on).as_subclass(kind) for values, kind in others)

        self.skipped, self.skip = self.skip, 0
        return ahead(map(gather, islice(self.chunkify(iter(samples)), self.skipped, None)), DEPTH)


class BalancedLoader(GatherLoader):
    """A GatherLoader whose shuffled epochs draw every class equally often, with replacement.

    An epoch has as many rows as there are. Loaders that do not shuffle have every row once.
    """

    def shuffle_fn(self, idxs: list[int]) -> list[int]:
        """The positions of an epoch; its generator is set per epoch, as for shuffling."""
        targets, _ = labels_of(self.dataset.items, self.dataset.vocab)
        return balanced_draws(targets.numpy(), self.rng)[: len(idxs)]


def targets_of(items: pd.DataFrame, vocab: Vocabulary) -> tuple[torch.Tensor, type]:
    """What rows of a label frame are trained on, and its fastai type: shares, or else labels."""
    if SHARES in items.columns:
        shares = np.stack([*items[SHARES]]).astype(np.float32)
        return torch.from_numpy(shares), TensorMultiCategory
    return labels_of(items, vocab)


def labels_of(items: pd.DataFrame, vocab: Vocabulary) -> tuple[torch.Tensor, type]:
    """The labels of a label frame and their fastai type: int64 (n,), or float32 (n, C)."""
    if "label" not in items.columns:
        hot = items[list(vocab)].to_numpy(dtype=np.float32, copy=True)  # torch wants it writable
        return torch.from_numpy(hot), TensorMultiCategory
    codes = items["label"].astype(str).map(dict(vocab.o2i))
    return torch.from_numpy(codes.to_numpy(dtype=np.int64, copy=True)), TensorCategory


@dataclass(frozen=True)
class _End:
    """Stands behind the last batch. error: what the thread that makes them was stopped by."""

    error: Exception | None = None


def ahead(batches: Iterator[Batch], depth: int) -> Iterator[Batch]:
    """The same batches, up to `depth` of them made ahead by a thread that ends with the loop."""
    queue: Queue[Batch | _End] = Queue(depth)
    stop = threading.Event()

    def put(entry: Batch | _End) -> None:
        while not stop.is_set():
            try:
                return queue.put(entry, timeout=0.1)
            except Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                put(batch)
                if stop.is_set():
                    return
            put(_End())
        except Exception as error:  # handed to the consumer, which raises it
            put(_End(error))

    thread = threading.Thread(target=work, name="foldwise-batches", daemon=True)
    thread.start()
    try:
        while True:
            try:
                entry = queue.get(timeout=1)
            except Empty:
                continue
            if not isinstance(entry, _End):
                yield entry
            elif entry.error is not None:
                raise entry.error
            else:
                return
    finally:
        stop.set()
        thread.join()


class FrameBlock(DataBlock):
    """A DataBlock that knows its source: `block.dataloaders()` and `block.summary()` will do."""

    frame: pd.DataFrame

    def datasets(self, source: pd.DataFrame | None = None, verbose: bool = False) -> Datasets:
        """fastai's Datasets of a label frame, by default of the competition's own."""
        return super().datasets(self.frame if source is None else source, verbose)

    def dataloaders(
        self, source: pd.DataFrame | None = None, *args: object, **kwargs: object
    ) -> DataLoaders:
        """fastai's DataLoaders of a label frame, by default of the competition's own."""
        return super().dataloaders(source, *args, **kwargs)

    def summary(self, source: pd.DataFrame | None = None, *args: object, **kwargs: object) -> None:
        """fastai's walk of one batch through the pipeline, printed."""
        super().summary(source, *args, **kwargs)


def datablock(
    cache: ImageCache,
    frame: pd.DataFrame,
    splitter: FoldSplitter,
    recipe: SettledRecipe,
    preprocessing: Preprocessing,
    stage: int = -1,
) -> FrameBlock:
    """The DataBlock of one fold at one of the recipe's stages.

    frame: `id` and the targets of the training rows, all folds, as in a LabelTable. The vocab is
    the classes in class order.
    """
    classes = list(preprocessing.classes)
    own = "label" if preprocessing.one_class else columns_of(classes)
    target = SHARES if SHARES in frame.columns else own
    if target == SHARES or preprocessing.outputs == "numbers":
        labels = TransformBlock(type_tfms=Shares(classes))
    elif not preprocessing.one_class:
        labels = MultiCategoryBlock(encoded=True, vocab=classes)
    else:
        labels = CategoryBlock(vocab=classes, sort=False)
    size = recipe.stage_size(recipe.stage[stage])
    statistics = NormalizeInPlace.from_stats(
        preprocessing.mean, preprocessing.std, cuda=device().type == "cuda"
    )
    block = FrameBlock(
        blocks=(
            TransformBlock(type_tfms=CachedImages(cache), batch_tfms=IntToFloatTensor),
            labels,
        ),
        dl_type=BalancedLoader if recipe.sampling == "balanced" else GatherLoader,
        get_x=ColReader("id"),
        get_y=ColReader(target),
        splitter=splitter,
        batch_tfms=[
            Augmenter(recipe.augment, size, preprocessing.mean),
            Resampling(size),
            statistics,
        ],
    )
    block.frame = frame
    return block


def dataloaders(block: FrameBlock, batch_size: int, on: torch.device) -> DataLoaders:
    """The block's DataLoaders; the batch is no larger than the training part."""
    train, _ = block.splitter(block.frame)
    return block.dataloaders(bs=min(batch_size, len(train)), val_bs=2 * batch_size, device=on)


def stage_loaders(block: FrameBlock, recipe: SettledRecipe, number: int = -1) -> DataLoaders:
    """The DataLoaders of one of the recipe's stages, with its batch size, on the device."""
    return dataloaders(block, recipe.stage_batch(recipe.stage[number]), device())


def training_targets(dls: DataLoaders) -> torch.Tensor:
    """The labels of the training part, each row once: int64 (n,), or float32 (n, C).

    Labels even where there are shares: class weights and draws count rows by their class.
    """
    return labels_of(dls.train_ds.items, dls.train_ds.vocab)[0]
