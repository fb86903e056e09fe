"""Predictions with test-time augmentation: all views of a batch in one pass over the data."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from foldwise.spec.outputs import Outputs
from foldwise.training.activations import ACTIVATIONS
from foldwise.training.fusing import for_prediction
from foldwise.training.memory import keep_freed_memory
from foldwise.training.precision import autocast

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


def predict(
    model: nn.Module,
    batches: Iterable[Sequence[torch.Tensor]],
    views: Sequence[str],
    precision: str,
    on: torch.device,
    outputs: Outputs = "softmax",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Per batch the probabilities (b, C) in float64: the mean over the views, and the plain view's.

    batches: normalised images (b, c, h, w) first in each; the order of rows is kept.
    outputs: what the logits mean. Probabilities are taken in float64 of the fp32 logits, view by
    view. The model stays as it is: a copy predicts, see `for_prediction`.
    """
    keep_freed_memory()
    ready = None
    for batch in batches:
        images = batch[0].as_subclass(torch.Tensor).to(memory_format=torch.channels_last)
        ready = ready or for_prediction(model, images[:1], precision)
        with torch.inference_mode():
            probs = {}
            for view in dict.fromkeys(("none", *views)):
                with autocast(precision, on):
                    logits = ready(
                        VIEWS[view](images).contiguous(memory_format=torch.channels_last)
                    )
                logits = logits.float().double()  # (b, outputs)
                probs[view] = ACTIVATIONS[outputs](logits)  # (b, C)
            mean = torch.stack([probs[view] for view in views]).mean(dim=0)
        yield mean.cpu().numpy(), probs["none"].cpu().numpy()
