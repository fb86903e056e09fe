"""A model's head and body, and fastai's head on timm's bodies."""

from typing import Any

import torch
from fastai.layers import apply_init
from fastai.vision.learner import create_head
from torch import nn

from foldwise.errors import SpecError


class Headed(nn.Module):
    """A timm body without pooling and classifier, and a head of its own."""

    def __init__(self, body: Any, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits (n, C) of images (n, c, h, w)."""
        return self.head(self.body(x))


def with_fastai_head(
    body: Any, n_logits: int, channels: int, size: tuple[int, int], drop_rate: float = 0.0
) -> Headed:
    """The body with the head of fastai's vision_learner, randomly initialised as there.

    That is concatenated average and maximum pooling, then BatchNorm, dropout, 512 hidden units,
    BatchNorm, dropout and a linear layer. body: a timm model; its own classifier is removed.
    size: of an image, in pixels. drop_rate: dropout before the last layer, half of it before the
    hidden one; 0: fastai's 0.5.
    Raises: SpecError: the body gives no feature map, as a ViT's does not.
    """
    body.reset_classifier(0, "")
    training = body.training
    with torch.inference_mode():
        features = body.eval()(torch.zeros(1, channels, *size))
    body.train(training)
    if features.ndim != 4 or features.shape[1] < max(features.shape[2:]):
        raise SpecError(
            f'head = "fastai" pools a feature map (n, channels, h, w), and '
            f'{type(body).__name__} gives {tuple(features.shape)}; use head = "linear"'
        )
    head = create_head(features.shape[1], n_logits, ps=drop_rate or 0.5)
    apply_init(head, nn.init.kaiming_normal_)
    return Headed(body, head)


def head_of(model: Any) -> nn.Module:
    """The part that turns features into logits: a Headed's head, or timm's classifier."""
    return model.head if isinstance(model, Headed) else model.get_classifier()


def body_of(model: Any) -> Any:
    """The timm model that knows its own layer groups."""
    return model.body if isinstance(model, Headed) else model
