"""Randomness as a function of its place: the one module that sets the global generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from foldwise.store.files import sha256_json
from foldwise.training.loading.augment import Augmenter
from foldwise.training.loading.mixing import Mixing


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
        for thing in _own(self.learn):
            use = "augment" if isinstance(thing, Augmenter) else "mix"
            thing.reseed(stream(*self.place, use, self.epoch))


def captured(learn: Learner) -> dict[str, Any]:
    """The state of every stream as plain values and tensors: the global ones, and a learner's own.

    Its own are those of augmentation and mixing.
    """
    words = np.random.get_state(legacy=False)
    return {
        "python": random.getstate(),
        "numpy": {**words, "state": {**words["state"], "key": words["state"]["key"].tolist()}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "own": [thing.generator.get_state() for thing in _own(learn)],
    }


def restore_globals(state: dict[str, Any]) -> None:
    """Put the global generators where they were."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    words = dict(state["numpy"])
    words["state"] = {**words["state"], "key": np.array(words["state"]["key"], dtype=np.uint32)}
    np.random.set_state(words)
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        # it may have been saved where there were more GPUs; the first one trains
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])


def restore_own(learn: Learner, state: dict[str, Any]) -> None:
    """Put a learner's own generators where they were."""
    for thing, own in zip(_own(learn), state["own"], strict=True):
        thing.generator.set_state(own)


def _own(learn: Learner) -> list[Augmenter | Mixing]:
    """What draws from a stream of its own: the training batches' transforms, then callbacks."""
    things = [*learn.dls.train.after_batch.fs, *learn.cbs]
    return [thing for thing in things if isinstance(thing, Augmenter | Mixing)]


def _set(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
