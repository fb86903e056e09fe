"""From logits to probabilities, for each meaning that outputs can have (`config/outputs.py`)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {  # (n, outputs) -> (n, C)
    "softmax": lambda x: x.softmax(dim=-1),
    "sigmoids": lambda x: x.sigmoid(),
    "one_sigmoid": lambda x: torch.cat((-x, x), dim=-1).sigmoid(),
    # sigmoid / sum of sigmoids, without 0 / 0 where all of them vanish
    "scaled_sigmoids": lambda x: F.logsigmoid(x).softmax(dim=-1),
}
