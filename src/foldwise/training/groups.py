"""Layer groups: a model's parameters from the stem to the head, for rates and for freezing."""

from typing import Any

import numpy as np
from timm.models import group_parameters
from torch import nn

from foldwise.spec.stage import Stage
from foldwise.training.heads import body_of, head_of

Groups = list[list[nn.Parameter]]


def layer_groups(model: Any, how: str) -> Groups:
    """The parameters of a model, each in one group; the head alone is the last group.

    how: `stage` and `block` are timm's own coarse and fine groups (6 and 18 for a ResNet-34; a ViT
    has blocks alone); `fastai` joins the body's stages to an earlier and a later half, which for a
    ResNet are the groups of vision_learner: stem to layer2, layer3 and layer4, the head.
    """
    head = list(head_of(model).parameters())
    seen = {id(param) for param in head}
    body = body_of(model)
    if not hasattr(body, "group_matcher"):  # foldwise's own linear model is nothing but a head
        return [head]
    named = dict(body.named_parameters())
    found = group_parameters(body, body.group_matcher(coarse=how != "block"))
    groups: Groups = []
    for k in sorted(found):
        group = [named[name] for name in found[k] if id(named[name]) not in seen]
        if groups and len(group) < len(found[k]):  # what stands before the classifier, a norm say
            groups[-1] += group
        else:
            groups.append(group)
    if how == "fastai" and len(groups) > 2:
        half = (len(groups) + 1) // 2
        groups = [[p for group in part for p in group] for part in (groups[:half], groups[half:])]
    return [*groups, head]


def rates_of(stage: Stage, lr: float | tuple[float, float], n_groups: int) -> np.ndarray:
    """The highest learning rate of each group, (n_groups,).

    A pair [low, high] is spread in equal ratios from the first group to the last, as fastai's
    slice(low, high); with spread = "head" the head gets high and all others low, as its
    slice(high) with low = high/10.
    """
    if not isinstance(lr, tuple):
        return np.full(n_groups, float(lr))
    low, high = lr
    if stage.spread == "head":
        return np.array([low] * (n_groups - 1) + [high])
    if n_groups == 1:
        return np.array([high])
    return low * (high / low) ** (np.arange(n_groups) / (n_groups - 1))


def frozen_groups(stage: Stage, n_groups: int) -> int:
    """How many groups from the first on a stage leaves as they are."""
    if isinstance(stage.train, int):
        return max(n_groups - stage.train, 0)
    return n_groups - 1 if stage.train == "head" else 0
