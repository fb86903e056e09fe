"""Randomness as a function of its place: the one module that sets the global generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from fastai.callback.core import Callback

from foldwise.storage import sha256_json
from foldwise.training.augment import Augmentation
from foldwise.training.mixing import Mixing


def stream(*place: int | str) -> int:
    """A 31-bit seed that depends on every part of a place such as (seed, fold, "shuffle", 3)."""
    return int(sha256_json(list(place))[:8], 16) & 0x7FFFFFFF


@contextmanager
def seeded(*place: int | str) -> Iterator[None]:
    """Set Python's, NumPy's and torch's generators for a block, and restore them after it."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _set(stream(*place))
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


class EpochStreams(Callback):
    """Gives each epoch its own streams: shuffling, augmentation, mixing, dropout, drop path.

    The global generators are restored by the `seeded` block around the fold.
    """

    order = -100  # before everything that draws

    def __init__(self, seed: int, fold: int, stage: int) -> None:
        self.place = (seed, fold, stage)

    def before_epoch(self) -> None:
        """Set every stream of this epoch."""
        _set(stream(*self.place, "global", self.epoch))
        loader = self.learn.dls.train
        loader.rng = random.Random(stream(*self.place, "shuffle", self.epoch))
        for transform in loader.after_batch.fs:
            if isinstance(transform, Augmentation):
                transform.reseed(stream(*self.place, "augment", self.epoch))
        for callback in self.learn.cbs:
            if isinstance(callback, Mixing):
                callback.reseed(stream(*self.place, "mix", self.epoch))


def _set(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
