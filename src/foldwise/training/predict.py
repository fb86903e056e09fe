"""Predictions with test-time augmentation: all views of a batch in one pass over the data."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from foldwise.spec.outputs import Outputs
from foldwise.training.activations import ACTIVATIONS
from foldwise.training.memory import keep_freed_memory
from foldwise.training.precision import DTYPES, autocast

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


@contextmanager
def cast_once(model: nn.Module, precision: str) -> Iterator[None]:
    """The weights of convolutions and linear layers in a lower precision within the block.

    Autocast would cast them anew in every forward pass; the numbers are the same.
    """
    layers = (nn.modules.conv._ConvNd, nn.Linear)
    kept = []
    if precision != "fp32":
        for layer in model.modules():
            if isinstance(layer, layers):
                for param in layer.parameters(recurse=False):
                    kept.append((param, param.data))
                    param.data = param.data.to(DTYPES[precision])
    try:
        yield
    finally:
        for param, data in kept:
            param.data = data


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
    view.
    """
    keep_freed_memory()
    model.eval()
    with cast_once(model, precision):
        for batch in batches:
            images = batch[0].as_subclass(torch.Tensor).to(memory_format=torch.channels_last)
            with torch.inference_mode():
                probs = {}
                for view in dict.fromkeys(("none", *views)):
                    with autocast(precision, on):
                        logits = model(
                            VIEWS[view](images).contiguous(memory_format=torch.channels_last)
                        )
                    logits = logits.float().double()  # (b, outputs)
                    probs[view] = ACTIVATIONS[outputs](logits)  # (b, C)
                mean = torch.stack([probs[view] for view in views]).mean(dim=0)
            yield mean.cpu().numpy(), probs["none"].cpu().numpy()
