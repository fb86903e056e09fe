"""Layer groups: a model's parameters from the stem to the head, for rates and for freezing."""

from collections import Counter

import numpy as np
from timm.models import group_parameters
from torch import nn

from foldwise.arrays import Array
from foldwise.config.stage import Stage
from foldwise.errors import RunError
from foldwise.training.models.heads import body_of, classifier_parameters

LayerGroups = list[list[nn.Parameter]]


def layer_groups(model: nn.Module, how: str) -> LayerGroups:
    """The parameters of a model, each in one group; the head alone is the last group.

    how: `stage` and `block` are timm's own coarse and fine groups (6 and 18 for a ResNet-34; a ViT
    has blocks alone); `fastai` joins the body's stages to an earlier and a later half, which for a
    ResNet are the groups of vision_learner: stem to layer2, layer3 and layer4, the head. A body for
    which timm names no groups is divided by its parts, see `_parts`.
    """
    head = classifier_parameters(model)
    seen = {id(param) for param in head}
    body = body_of(model)
    named = dict(body.named_parameters())
    groups: LayerGroups = []
    for names in _names(body, how != "block", seen):
        group = [named[name] for name in names if id(named[name]) not in seen]
        if groups and len(group) < len(names):  # what stands before the classifier, a norm say
            groups[-1] += group
        elif group:
            groups.append(group)
    if how == "fastai" and len(groups) > 2:
        half = (len(groups) + 1) // 2
        groups = [[p for group in part for p in group] for part in (groups[:half], groups[half:])]
    return [*groups, head]


def check_groups(model: nn.Module, groups: LayerGroups) -> None:
    """Raises: RunError: a parameter of the model is in no group, or in two: it would not train."""
    count = Counter(id(param) for group in groups for param in group)
    wrong = [name for name, param in model.named_parameters() if count[id(param)] != 1]
    if wrong:
        raise RunError(
            f"each parameter of a model should be in one layer group, and {len(wrong)} of "
            f"{type(body_of(model)).__name__} are in none or in two, e.g. {wrong[0]}; "
            "this is a bug of foldwise: please report it, and use another model until it is mended"
        )


def _names(body: nn.Module, coarse: bool, head: set[int]) -> list[list[str]]:
    """The names of a body's parameters by group, from its stem on; timm's groups if it has any."""
    matcher = getattr(body, "group_matcher", None)
    if matcher is None:
        return _parts(body, coarse, head)
    try:
        found = group_parameters(body, matcher(coarse=coarse))
    except AssertionError:  # timm's way to say that a family has fine groups alone
        found = group_parameters(body, matcher(coarse=False))
    return [found[k] for k in sorted(found)]


def _parts(body: nn.Module, coarse: bool, head: set[int]) -> list[list[str]]:
    """The names of a body's parameters by the modules that it is made of, in order.

    A list of modules (its stages, say) is divided into its members; fine, these once more by the
    list of their blocks. What is a layer, or a list of layers, stays whole. Parameters of no module
    come first.
    """
    lists = {name for name, module in body.named_modules() if _divisible(module, head)}
    groups: dict[str, list[str]] = {"": []}
    for name, _ in body.named_parameters():
        path = name.split(".")
        inner = [i for i in range(1, len(path) - 1) if ".".join(path[:i]) in lists]
        depth = [0, *inner][: 2 if coarse else 3][-1] + 1
        groups.setdefault(".".join(path[:depth]) if len(path) > 1 else "", []).append(name)
    return [names for names in groups.values() if names]


def _divisible(module: nn.Module, head: set[int]) -> bool:
    """Whether a module is a list of modules that have modules themselves, and no classifier."""
    return (
        isinstance(module, nn.Sequential | nn.ModuleList)
        and len(module) > 1
        and all(any(True for _ in part.children()) for part in module if [*part.parameters()])
        and head.isdisjoint(id(param) for param in module.parameters())
    )


def rates_of(stage: Stage, lr: float | tuple[float, float], n_groups: int) -> Array:
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
