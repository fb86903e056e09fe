"""Where a model looked: activation maps of the validation images that a fold gets most wrong.

The method is Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391, section 3, read 2026-11-22): each
channel of a feature map counts by the mean slope, over the map, of one class's logit; channels are
summed, and what speaks against the class becomes 0.
"""

import copy
import io
import logging
import math
from typing import Protocol, cast

import numpy as np
import pandas as pd
import torch
from fastai.data.core import DataLoaders
from PIL import Image
from torch import nn

from foldwise.arrays import Array
from foldwise.data.labels.table import LabelTable
from foldwise.store.predictions import align
from foldwise.training.models.heads import body_of
from foldwise.training.speed.precision import first_line

log = logging.getLogger(__name__)

MAPPED_IMAGES = 24  # images of a fold
COARSEST_SIDE = 4  # pixels along a map's shorter side; a coarser one hardly says where
FEATURES = ""  # the place of what timm's forward_features gives; others have a module's name
PIXELS = "the images"  # the place of a model's input; no module has such a name

Layer = tuple[str, int]  # its name, and how many channels it has; 0: as many as the image


def worst_maps(
    model: nn.Module, dls: DataLoaders, table: LabelTable, oof: pd.DataFrame
) -> pd.DataFrame | None:
    """The maps `id, said, map` of the validation images with the largest losses, the worst first.

    said: the most probable class, whose evidence the map shows: in the plain view, in fp32. map: a
    PNG in grey as large as the feature map, the most evidence 255; black where there is none.
    None, with a line in the log, where the model has no map to look at. The model stays as it is.

    table: the training rows, of all folds. oof: the fold's predictions `id, *classes`.
    """
    worst = most_wrong(table, oof)
    own = copy.deepcopy(model).eval().requires_grad_(False)
    frame = table.frame.set_index("id", drop=False).loc[worst["id"]]
    loader = dls.test_dl(frame.reset_index(drop=True), bs=min(dls.valid.bs, MAPPED_IMAGES))
    codes = torch.tensor(worst["said"].tolist()).split(loader.bs)
    batches = [batch[0].as_subclass(torch.Tensor) for batch in loader]
    try:
        found = _find_maps(own, batches, codes)
    except Exception as error:  # the model's own code runs here; no picture stops a training
        log.info("no activation maps (%s)", first_line(error))
        return None
    if found is None:
        log.info(
            "no activation maps: no layer of the model gives %d x %d pixels",
            COARSEST_SIDE,
            COARSEST_SIDE,
        )
        return None
    said = [table.classes[code] for code in worst["said"]]
    return pd.DataFrame({"id": worst["id"], "said": said, "map": [as_png(each) for each in found]})


def most_wrong(table: LabelTable, oof: pd.DataFrame) -> pd.DataFrame:
    """The rows `id, said` with the least probability of the truth; said: a class's number.

    With many labels that of the cell that is most wrong counts.
    """
    part = table.where(table.frame["id"].isin(oof["id"]).to_numpy())
    probs = align(oof, part.frame["id"], "activation maps").iloc[:, 1:].to_numpy()
    rows = np.argsort(-part.task.losses(part.targets, probs), kind="stable")[:MAPPED_IMAGES]
    return pd.DataFrame(
        {
            "id": part.frame["id"].to_numpy()[rows],
            "said": probs[rows].argmax(axis=1).astype(np.int64),
        }
    )


def _find_maps(
    model: nn.Module, batches: list[torch.Tensor], codes: tuple[torch.Tensor, ...]
) -> Array | None:
    """The maps (n, h, w) of all batches, all from one place; None where there is no such place."""
    both = [(images, code.to(images.device)) for images, code in zip(batches, codes, strict=True)]
    images, said = both[0]
    for place in places(model):
        tried = features(model, images[:1], said[:1], place)
        if tried is not None and min(tried[0].shape[1:3]) >= COARSEST_SIDE and tried[1].any():
            found = (evidence(model, *batch, place) for batch in both)
            return np.concatenate([maps.cpu().numpy() for maps in found if maps is not None])
    return None


def places(model: nn.Module) -> list[Layer]:
    """Where to take the feature map, the best place first: the last one, then earlier layers.

    The last one says nothing where it has few pixels, as of small images, or where the classifier
    looks at a ViT's class token alone, to which the other tokens have told all they know by then.
    A model may say that its features are the images themselves: `features_are_pixels`.
    """
    if getattr(model, "features_are_pixels", False):
        return [(PIXELS, 0)]
    body = body_of(model)
    known = getattr(body, "feature_info", [])
    layers = reversed(getattr(known, "info", known))
    return [
        (FEATURES, getattr(body, "num_features", 0)),
        *((info["module"], info["num_chs"]) for info in layers),
    ]


def evidence(
    model: nn.Module, images: torch.Tensor, said: torch.Tensor, place: Layer
) -> torch.Tensor | None:
    """What in each image speaks for a class, (n, h, w), 0 or more; None: no map at this place.

    Of a model whose features are the pixels each counts by its own slope: input times weight.
    Arguments as of `features`.
    """
    found = features(model, images, said, place)
    if found is None:
        return None
    values, slopes = found
    weights = slopes if place[0] == PIXELS else slopes.mean(dim=(1, 2), keepdim=True)
    return (weights * values).sum(dim=3).relu()


def features(
    model: nn.Module, images: torch.Tensor, said: torch.Tensor, place: Layer
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The features at a place, and the slopes over them of a class's logit, (n, h, w, channels).

    None where they are no map. model: one that is being evaluated. images: normalised (n, c,
    height, width). said: the class's number for each image.
    """
    with torch.enable_grad():
        values, logits = _in_two(model, images, place[0])
        if values is None:
            return None
        if logits.shape[1] == 1:  # the logit of the second of two classes
            scores = logits[:, 0] * (2 * said - 1)
        else:
            scores = logits.gather(1, said[:, None])
        (slopes,) = torch.autograd.grad(scores.sum(), values)
    before = getattr(body_of(model), "num_prefix_tokens", 0)
    grids = [in_grid(part, place[1], before, images.shape[2:]) for part in (values, slopes)]
    if grids[0] is None or grids[1] is None:
        return None
    return grids[0].detach(), grids[1]


class _Forward(Protocol):
    def __call__(self, *args: object, **kwargs: object) -> object: ...


class _WithFeatures(Protocol):
    """A timm model, which gives its feature map by a method of its own."""

    forward_features: _Forward


def _in_two(
    model: nn.Module, images: torch.Tensor, name: str
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """The features at a place, from which on gradients are kept, and the logits they lead to."""
    kept: list[torch.Tensor] = []
    body = body_of(model)

    def tap(out: object) -> object:
        if not isinstance(out, torch.Tensor):
            return out
        kept.append(out.detach().requires_grad_())
        return kept[-1].clone()  # what follows may write in place

    if name == PIXELS:
        logits = model(tap(images))
    elif name == FEATURES:
        features_of = cast(_WithFeatures, body)
        inner = features_of.forward_features
        features_of.forward_features = lambda *args, **kwargs: tap(inner(*args, **kwargs))
        try:
            logits = model(images)
        finally:
            del features_of.forward_features
    else:
        handle = body.get_submodule(name).register_forward_hook(lambda _, __, out: tap(out))
        try:
            logits = model(images)
        finally:
            handle.remove()
    return (kept[-1] if kept else None), logits


def in_grid(
    values: torch.Tensor, channels: int, before: int, shape: torch.Size
) -> torch.Tensor | None:
    """Features (n, channels, h, w), (n, h, w, channels) or, of a ViT, (n, tokens, channels), as
    (n, h, w, channels); None where they are no map.

    channels: 0 for any, in front. before: tokens of no place, the class token and its like; they
    come first, or only later layers have them. shape: of the images, height and width.
    """
    if values.ndim == 4 and values.shape[1] == (channels or values.shape[1]):
        return values.permute(0, 2, 3, 1)
    if values.ndim == 4 and values.shape[3] == channels:
        return values
    if values.ndim == 3 and values.shape[2] == channels:
        for first in (before, 0):
            tokens = values.shape[1] - first
            rows = max(round(math.sqrt(tokens * shape[0] / shape[1])), 1)
            columns = round(rows * shape[1] / shape[0])
            if rows * columns == tokens:
                return values[:, first:].reshape(len(values), rows, columns, channels)
    return None


def as_png(evidence: Array) -> bytes:
    """A map (h, w) as an 8-bit grey PNG, its largest value 255."""
    most = evidence.max()
    levels = np.rint(evidence * (255 / most)) if most > 0 else np.zeros_like(evidence)
    packed = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(packed, "PNG")
    return packed.getvalue()
