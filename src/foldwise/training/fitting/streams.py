"""Randomness as a function of its place: the one module that sets the global generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from foldwise.training.loading.augment import Augmenter
from foldwise.training.loading.draws import Streams, stream
from foldwise.training.loading.mixing import Mixing


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
    """Gives each epoch its own streams: shuffling, augmentations, mixing, dropout, drop path.

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
        for streams in _own(self.learn):
            streams.begin(lambda name: stream(*self.place, name, self.epoch))


def captured(learn: Learner) -> dict[str, Any]:
    """The state of every stream as plain values and tensors: the global ones, and a learner's own.

    Its own are those of augmentations and mixing, by name.
    """
    words = np.random.get_state(legacy=False)
    return {
        "python": random.getstate(),
        "numpy": {**words, "state": {**words["state"], "key": words["state"]["key"].tolist()}},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "own": {name: at for each in _own(learn) for name, at in each.states().items()},
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
    for streams in _own(learn):
        streams.go_to(state["own"])


def _own(learn: Learner) -> list[Streams]:
    """The streams of the training batches' transforms, and of callbacks."""
    things = [*learn.dls.train.after_batch.fs, *learn.cbs]
    return [thing.streams for thing in things if isinstance(thing, Augmenter | Mixing)]


def _set(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
