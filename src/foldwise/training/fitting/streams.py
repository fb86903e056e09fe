"""Randomness as a function of its place: the one module that sets the global generators."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypedDict

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from foldwise.training.loading.augment import Augmenter
from foldwise.training.loading.draws import Streams, stream
from foldwise.training.loading.mixing import Mixing


@contextmanager
def seed_block(*place: int | str) -> Iterator[None]:
    """Set Python's, NumPy's and torch's generators for a block, and restore them after it."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    _seed_all(stream(*place))
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


class NumpyWords(TypedDict):
    """The state of a Mersenne twister."""

    key: list[int]
    pos: int


class NumpyState(TypedDict):
    """Where NumPy's global generator is, in plain values."""

    bit_generator: str
    state: NumpyWords
    has_gauss: int
    gauss: float


class StreamStates(TypedDict):
    """Where every stream is, the global ones and a learner's own, by name."""

    python: tuple[int, Sequence[int], float | None]
    numpy: NumpyState
    torch: torch.Tensor
    cuda: list[torch.Tensor]
    own: dict[str, torch.Tensor]


class EpochStreams(Callback):
    """Gives each epoch its own streams: shuffling, augmentations, mixing, dropout, drop path.

    The global generators are restored by the `seed_block` block around the fold.
    """

    order = -100  # before everything that draws

    def __init__(self, seed: int, fold: int, stage: int) -> None:
        self.place = (seed, fold, stage)

    def before_epoch(self) -> None:
        """Set every stream of this epoch."""
        _seed_all(stream(*self.place, "global", self.epoch))
        loader = self.learn.dls.train
        loader.rng = random.Random(stream(*self.place, "shuffle", self.epoch))
        for streams in _own(self.learn):
            streams.begin(lambda name: stream(*self.place, name, self.epoch))


def capture(learn: Learner) -> StreamStates:
    """The state of every stream as plain values and tensors: the global ones, and a learner's own.

    Its own are those of augmentations and mixing, by name.
    """
    numpy = np.random.get_state(legacy=False)
    return {
        "python": random.getstate(),
        "numpy": {
            "bit_generator": numpy["bit_generator"],
            "state": {"key": numpy["state"]["key"].tolist(), "pos": numpy["state"]["pos"]},
            "has_gauss": numpy["has_gauss"],
            "gauss": numpy["gauss"],
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "own": {name: at for each in _own(learn) for name, at in each.states().items()},
    }


def restore_globals(state: StreamStates) -> None:
    """Put the global generators where they were."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    numpy = state["numpy"]
    key = np.array(numpy["state"]["key"], dtype=np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        # it may have been saved where there were more GPUs; the first one trains
        torch.cuda.set_rng_state_all(state["cuda"][: torch.cuda.device_count()])


def restore_own(learn: Learner, state: StreamStates) -> None:
    """Put a learner's own generators where they were."""
    for streams in _own(learn):
        streams.go_to(state["own"])


def _own(learn: Learner) -> list[Streams]:
    """The streams of the training batches' transforms, and of callbacks."""
    things = [*learn.dls.train.after_batch.fs, *learn.cbs]
    return [thing.streams for thing in things if isinstance(thing, Augmenter | Mixing)]


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
