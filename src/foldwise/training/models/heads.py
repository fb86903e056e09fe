"""A model's head and body, and fastai's head on timm's bodies."""

import logging
from collections.abc import Sequence
from typing import Protocol, TypedDict, cast

import torch
from fastai.layers import apply_init
from fastai.vision.learner import create_head
from torch import nn

from foldwise.errors import SpecError

log = logging.getLogger(__name__)


Names = str | Sequence[str] | None  # of layers, as timm's configurations have them


class TimmConfig(TypedDict):
    """What foldwise reads of a timm model's configuration."""

    architecture: str
    first_conv: Names
    classifier: Names


class TimmModel(Protocol):
    """What timm's models have beside what every module has."""

    pretrained_cfg: TimmConfig

    def get_classifier(self) -> nn.Module | tuple[nn.Module, ...]:
        """The layer, or the layers, that turn features into logits."""

    def reset_classifier(self, num_classes: int, global_pool: str) -> None:
        """Put another classifier and pooling in their place; 0 classes: none."""

    def set_input_size(self, img_size: tuple[int, int] | None) -> None:
        """Bring the model to images of a size; only some models have this."""


class Headed(nn.Module):
    """A timm body without pooling and classifier, and a head of its own.

    channels_last: the body gives features (n, h, w, channels), as Swin's does.
    """

    def __init__(self, body: nn.Module, head: nn.Module, channels_last: bool = False) -> None:
        super().__init__()
        self.body, self.head, self.channels_last = body, head, channels_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits (n, C) of images (n, c, h, w)."""
        features = self.body(x)
        logits: torch.Tensor = self.head(
            features.permute(0, 3, 1, 2) if self.channels_last else features
        )
        return logits


def with_fastai_head(
    body: nn.Module, n_logits: int, channels: int, size: tuple[int, int], drop_rate: float = 0.0
) -> Headed:
    """The body with the head of fastai's vision_learner, randomly initialised as there.

    That is concatenated average and maximum pooling, then BatchNorm, dropout, 512 hidden units,
    BatchNorm, dropout and a linear layer. body: a timm model; its own classifier is removed.
    size: of an image, in pixels. drop_rate: dropout before the last layer, half of it before the
    hidden one; 0: fastai's 0.5.
    Raises: SpecError: the body gives no feature map, as a ViT's does not.
    """
    shape, training = None, body.training
    try:
        as_timm(body).reset_classifier(0, "")
        with torch.inference_mode():
            shape = getattr(body.eval()(torch.zeros(1, channels, *size)), "shape", None)
    except Exception as error:  # the family's own code: some have no way to leave the head out
        log.debug("%s without its head: %s", type(body).__name__, error)
    body.train(training)
    last = shape is not None and len(shape) == 4 and shape[3] > max(shape[1:3])
    if shape is None or len(shape) != 4 or not (last or shape[1] >= max(shape[2:])):
        given = "no features" if shape is None else tuple(shape)
        raise SpecError(
            f'head = "fastai" pools a feature map (n, channels, h, w), and '
            f'{type(body).__name__} gives {given}; use head = "linear"'
        )
    head = create_head(shape[3] if last else shape[1], n_logits, ps=drop_rate or 0.5)
    apply_init(head, nn.init.kaiming_normal_)
    return Headed(body, head, channels_last=last)


def classifiers_of(model: nn.Module) -> list[nn.Module]:
    """The parts that turn features into logits: a Headed's head, or timm's classifiers.

    Most families have one; some a second one for distillation, or one per branch.
    """
    if isinstance(model, Headed):
        return [model.head]
    own = as_timm(model).get_classifier()
    return list(own) if isinstance(own, tuple) else [own]


def classifier_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of all classifiers, each once."""
    return list(dict.fromkeys(p for part in classifiers_of(model) for p in part.parameters()))


def body_of(model: nn.Module) -> nn.Module:
    """The timm model that knows its own layer groups."""
    return model.body if isinstance(model, Headed) else model


def as_timm(model: nn.Module) -> TimmModel:
    """The model itself, with the type that has what timm's models have."""
    return cast(TimmModel, model)
