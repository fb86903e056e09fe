"""Backbones from timm and their weights: the recipe's own, of a file, or of the hub."""

from functools import partial
from pathlib import Path

import timm
from torch import nn

from foldwise.config.recipe import Recipe, SizedRecipe
from foldwise.errors import SpecError, nearest
from foldwise.kinds.method import METHODS
from foldwise.training.models.building import Preprocessing, read_preprocessing
from foldwise.training.models.heads import with_fastai_head
from foldwise.training.models.pretrained import hub_file
from foldwise.training.models.sizes import (
    WeightsConfig,
    check_sizes,
    config_of,
    native_size,
    remade,
)
from foldwise.training.models.weights import filled_by_timm, load_head, load_into, need_existing
from foldwise.training.speed.smallconv import with_small_convs


def build_backbone(recipe: SizedRecipe, n_logits: int, channels: int) -> nn.Module:
    """timm's model with the recipe's weights, see `build_model`.

    Convolutions are those of `smallconv`, which are nn.Conv2d but where that is slow.
    """
    name = recipe.model.timm_name
    file, random = weights_file(recipe), recipe.weights == "none"
    start = weights_size(recipe)
    check_sizes(recipe, start)
    options: dict[str, object] = {"num_classes": n_logits, "in_chans": channels}
    if recipe.drop_rate:
        options["drop_rate"] = recipe.drop_rate
    if recipe.drop_path:
        options["drop_path_rate"] = recipe.drop_path
    if file is not None and recipe.weights == "auto":
        known = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(file)}}
        model, file = filled_by_timm(file, partial(_create, recipe, **options, **known)), None
    else:
        model = _create(recipe, **options)
    if file is not None:
        model = remade(model, name, start or native_size(name), options, keep=False)
        load_into(model, file, channels)
    size = recipe.stage_size(recipe.stage[0]) if recipe.stage else recipe.final_size
    model = remade(model, name, size, options, keep=not random)
    if recipe.head == "fastai":
        model = with_fastai_head(model, n_logits, channels, size, recipe.drop_rate)
        if file is not None:
            load_head(model, file)
    return with_small_convs(model)


def weights_size(recipe: Recipe) -> tuple[int, int] | None:
    """The image size that the recipe's weights are for, (height, width); None: random ones."""
    if recipe.weights == "none":
        return None
    own = _own(recipe)
    return native_size(recipe.model.timm_name) if own is None else own.image_size


def weights_file(recipe: Recipe) -> Path | None:
    """The file with the recipe's weights, downloaded where that is needed; None: random ones.

    Raises: SpecError: timm has no such model. WeightsError: the weights cannot be had.
    """
    _need_known(recipe.model.timm_name)
    if recipe.weights == "none":
        return None
    if recipe.weights == "auto":
        return hub_file(recipe.model.timm_name)
    return need_existing(Path(recipe.weights).expanduser())


def _create(recipe: Recipe, **options: object) -> nn.Module:
    """timm's model, of which the recipe's options are asked.

    Raises: SpecError: the model is no classifier, or has no such option; some models ignore one
            instead of refusing it.
    """
    try:
        model: nn.Module = timm.create_model(recipe.model.timm_name, **options)
    except TypeError as error:
        if recipe.drop_path and "drop_path_rate" in str(error):
            raise SpecError(_no_drop_path(recipe)) from None
        raise
    if recipe.drop_path and not any(
        (getattr(module, "drop_prob", None) or 0) > 0 for module in model.modules()
    ):
        raise SpecError(_no_drop_path(recipe))
    if not hasattr(model, "get_classifier"):
        raise SpecError(
            f"{recipe.model.timm_name} encodes images and has no classifier; take a model that has "
            "one, such as resnet34 or vit_small_patch16_224"
        )
    return model


def _no_drop_path(recipe: Recipe) -> str:
    return (
        f"drop_path = {recipe.drop_path} needs a model with residual blocks that timm can skip, "
        f"such as resnet34 or convnext_tiny; {recipe.model.timm_name} has none: set drop_path = 0"
    )


def blank_backbone(about: Preprocessing) -> nn.Module:
    """timm's model with any weights, for those of a file."""
    options = {"num_classes": about.n_outputs, "in_chans": len(about.mode)}
    model = timm.create_model(about.model, pretrained=False, **options)
    model = remade(model, about.model, about.image_size, options, keep=False)
    if about.head == "fastai":
        return with_fastai_head(model, about.n_outputs, len(about.mode), about.image_size)
    return model


def native_look(recipe: Recipe) -> tuple[tuple[int, int], str]:
    """The image size (height, width) and the interpolation that the weights were trained with.

    Random weights were trained with nothing: the size that timm makes the model for, and bilinear.
    Raises: SpecError: timm has no such model.
    """
    own = _own(recipe)
    if own is not None:
        size, interpolation = own.image_size, own.interpolation
    else:
        config = _config(recipe)
        size = config.input_size[1:]
        interpolation = "bilinear" if recipe.weights == "none" else config.interpolation
    return size, interpolation if interpolation in ("bilinear", "bicubic") else "bicubic"


def _own(recipe: Recipe) -> Preprocessing | None:
    """The preprocessing in the recipe's weights file; None where foldwise did not write it."""
    path = Path(recipe.weights).expanduser()
    named = recipe.weights not in ("auto", "none") and path.suffix == ".safetensors"
    return read_preprocessing(path) if named and path.is_file() else None


def _config(recipe: Recipe) -> WeightsConfig:
    """timm's own config of the model's weights."""
    _need_known(recipe.model.timm_name)
    return config_of(recipe.model.timm_name)


def statistics(recipe: Recipe) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, as the weights' own config in timm has them.

    A weights file that foldwise wrote brings its own.
    """
    own = _own(recipe)
    if own is not None:
        return own.mean, own.std
    config = _config(recipe)
    return tuple(config.mean), tuple(config.std)


def _need_known(name: str) -> None:
    """Raises: SpecError: timm has no model, or no weights tag, of this name."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise SpecError(
            f"timm {timm.__version__} has no model {architecture!r}"
            f"{nearest(architecture, [*METHODS.known, *timm.list_models()])}"
        )
    tags = [n.partition(".")[2] for n in timm.list_pretrained(architecture)]
    if tag and tag not in tags:
        raise SpecError(f"{architecture} has no weights tag {tag!r}{nearest(tag, tags)}")
