"""From logits to probabilities, for each meaning that outputs can have (see `kinds/loss.py`)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from foldwise.kinds.loss import Outputs

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {  # (n, outputs) -> (n, C)
    "softmax": lambda x: x.softmax(dim=-1),
    "sigmoids": lambda x: x.sigmoid(),
    "one_sigmoid": lambda x: torch.cat((-x, x), dim=-1).sigmoid(),
    # sigmoid / sum of sigmoids, without 0 / 0 where all of them vanish
    "scaled_sigmoids": lambda x: F.logsigmoid(x).softmax(dim=-1),
    "numbers": lambda x: x,
}


@dataclass(frozen=True)
class Meaning:
    """What a model's outputs mean.

    centers, scales: of numbers, by which they are standardised, one for each column.
    """

    outputs: Outputs
    centers: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()

    def activate(self, logits: torch.Tensor) -> torch.Tensor:
        """Predictions (n, C) of logits (n, outputs)."""
        block = ACTIVATIONS[self.outputs](logits)
        if not self.centers:
            return block
        return block * block.new_tensor(self.scales) + block.new_tensor(self.centers)

    def standardise(self, numbers: torch.Tensor) -> torch.Tensor:
        """Numbers (n, C) as outputs should be."""
        if not self.centers:
            return numbers
        return (numbers - numbers.new_tensor(self.centers)) / numbers.new_tensor(self.scales)


CLASSES = Meaning("softmax")
