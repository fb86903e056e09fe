"""Weights of two models, compared as wholes."""

from collections.abc import Mapping

import torch
from torch import nn


def assert_same_weights(
    ours: nn.Module | Mapping[str, torch.Tensor],
    theirs: nn.Module | Mapping[str, torch.Tensor],
    rtol: float = 0.0,
    atol: float = 0.0,
) -> None:
    """Fail unless two models, or their states, hold the same tensors by the same names."""
    states = [
        dict(state.state_dict() if isinstance(state, nn.Module) else state)
        for state in (ours, theirs)
    ]
    assert states[0], "a model without weights is like any other"
    torch.testing.assert_close(*states, rtol=rtol, atol=atol)
