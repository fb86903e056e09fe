"""Formulas of losses beside torch's: of logits and targets of one shape, reduced as torch's are."""

from typing import Protocol

import torch
import torch.nn.functional as F


class Formula(Protocol):
    """A loss of logits and targets, see `Loss.formula`; some take more settings by name."""

    def __call__(
        self, logits: torch.Tensor, targets: torch.Tensor, /, *, reduction: str
    ) -> torch.Tensor: ...


def class_focal(
    logits: torch.Tensor, targets: torch.Tensor, reduction: str, gamma: float
) -> torch.Tensor:
    """The focal loss -(1 - p)^gamma log p of the right class (Lin et al. 2017, arXiv:1708.02002).

    For shares of classes (n, C) it is the sum over the classes, each by its share.
    """
    log_p = logits.log_softmax(dim=1)
    return reduce(-(targets * _focus(log_p, gamma) * log_p).sum(dim=1), reduction)


def label_focal(
    logits: torch.Tensor,
    targets: torch.Tensor,
    reduction: str,
    gamma: float,
    pos_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """The focal loss of each output for itself, p its sigmoid; `pos_weight` is its alpha."""
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    positive = targets if pos_weight is None else targets * pos_weight
    rows = -positive * _focus(yes, gamma) * yes - (1 - targets) * _focus(no, gamma) * no
    return reduce(rows, reduction)


def _focus(log_p: torch.Tensor, gamma: float) -> torch.Tensor:
    """(1 - p)^gamma; its derivative stays finite at p = 1, where the loss is 0."""
    return (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny) ** gamma


def class_distance(logits: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
    """Half the sum of |p - target| over the classes: 1 - p of the right class.

    (Ghosh et al. 2017, arXiv:1712.09482, without their factor of 2.)
    """
    return reduce((logits.softmax(dim=1) - targets).abs().sum(dim=1) / 2, reduction)


def label_distance(logits: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
    """|p - target| of each output, p its sigmoid: 1 - p where the target is 1, p where it is 0."""
    return reduce((logits.sigmoid() - targets).abs(), reduction)


def reduce(rows: torch.Tensor, reduction: str) -> torch.Tensor:
    """The mean or the sum, or the rows as they are, as torch's losses name it."""
    if reduction == "none":
        return rows
    return rows.sum() if reduction == "sum" else rows.mean()
