"""Predictions with test-time augmentation: all views of a batch in one pass over the data."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import nn

from foldwise.arrays import Array
from foldwise.training.fitting.activations import CLASSES, Meaning
from foldwise.training.speed.fusing import for_prediction
from foldwise.training.speed.memory import keep_freed_memory
from foldwise.training.speed.precision import autocast, in_float64

VIEWS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda x: x,
    "hflip": lambda x: x.flip(-1),
    "vflip": lambda x: x.flip(-2),
    "rot90": lambda x: x.rot90(1, (-2, -1)),
    "rot180": lambda x: x.rot90(2, (-2, -1)),
    "rot270": lambda x: x.rot90(3, (-2, -1)),
    "transpose": lambda x: x.transpose(-2, -1),
    "transverse": lambda x: x.rot90(2, (-2, -1)).transpose(-2, -1),
}
UNSHIFTED = (0, 0)
MOVES = (UNSHIFTED, (0, -1), (0, 1), (-1, 0), (1, 0))  # down and right, in steps


def predict(
    model: nn.Module,
    batches: Iterable[Sequence[torch.Tensor]],
    views: Sequence[str],
    precision: str,
    meaning: Meaning = CLASSES,
    shift: float = 0.0,
) -> Iterator[tuple[Array, Array]]:
    """Per batch the probabilities (b, C) in float64: the mean over the views, and the plain view's.

    batches: normalised images (b, c, h, w) first in each; the order of rows is kept.
    meaning: what the logits mean. Probabilities are taken in float64 of the fp32 logits, view by
    view. shift: each view is seen four times more, moved by this share of its sides. The model
    stays as it is: a copy predicts, see `for_prediction`.
    """
    moves = MOVES if shift else (UNSHIFTED,)
    keep_freed_memory()
    ready = None
    for batch in batches:
        images = batch[0].as_subclass(torch.Tensor).to(memory_format=torch.channels_last)
        ready = ready or for_prediction(model, images[:1], precision)
        with torch.inference_mode():
            probs = {}
            for view, move in product(dict.fromkeys(("none", *views)), moves):
                seen = shift_images(VIEWS[view](images), move, shift)
                with autocast(precision, images.device):
                    logits = ready(seen.contiguous(memory_format=torch.channels_last))
                logits = in_float64(logits.float())  # (b, outputs)
                probs[view, move] = meaning.activate(logits)  # (b, C)
            mean = torch.stack([probs[each] for each in product(views, moves)]).mean(dim=0)
        yield mean.cpu().numpy(), probs["none", UNSHIFTED].cpu().numpy()


def shift_images(images: torch.Tensor, move: tuple[int, int], share: float) -> torch.Tensor:
    """Images (b, c, h, w) moved down and right by so many steps of a share of their sides, in
    whole pixels; what comes in is the reflection of what is there."""
    if move == UNSHIFTED:
        return images
    height, width = images.shape[-2:]
    down, right = round(move[0] * share * height), round(move[1] * share * width)
    room = (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0))
    padded = F.pad(images, room, mode="reflect")
    top, left = max(-down, 0), max(-right, 0)
    return padded[..., top : top + height, left : left + width]
