"""Backbones from timm, their weights and the preprocessing that belongs to the weights."""

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save
from torch import nn

from foldwise.arrays import Array
from foldwise.config.baselines import DEFAULTS, LINEAR, PRIOR
from foldwise.config.recipe import Recipe, SizedRecipe
from foldwise.errors import SpecError, WeightsError, nearest
from foldwise.kinds.loss import Outputs
from foldwise.store.files import replace_file
from foldwise.tasks import Task
from foldwise.tasks.outputs import n_outputs, outputs_of
from foldwise.training.fitting.activations import Meaning
from foldwise.training.models.baselines import Linear, Prior
from foldwise.training.models.heads import with_fastai_head
from foldwise.training.models.pretrained import hub_file
from foldwise.training.models.sizes import check_sizes, native_size, remade
from foldwise.training.models.weights import (
    filled_by_timm,
    load_head,
    load_into,
    load_state,
    metadata,
    need_existing,
)
from foldwise.training.speed.smallconv import with_small_convs

KEY = "foldwise"  # the metadata entry of a weights file that holds its preprocessing


@dataclass(frozen=True)
class Preprocessing:
    """What a model's weights expect of an image, and what its outputs mean."""

    model: str
    classes: tuple[str, ...]  # in class order, as the outputs
    mode: str  # L, RGB or RGBA
    image_size: tuple[int, int]  # pixels, (height, width)
    resize: str
    mean: tuple[float, ...]  # per channel, of values in 0..1
    std: tuple[float, ...]
    interpolation: str = "bilinear"
    outputs: Outputs = "softmax"  # what the logits mean, see `kinds/loss.py`
    head: str = "linear"  # timm's own; or fastai: that of its vision_learner
    # of numbers: mean and standard deviation of each column, by which outputs are standardised
    centers: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()

    @property
    def one_class(self) -> bool:
        """Whether an image has one class: its targets are class numbers, no columns."""
        return self.outputs not in ("sigmoids", "numbers")

    @property
    def meaning(self) -> Meaning:
        """What the outputs mean."""
        return Meaning(self.outputs, self.centers, self.scales)

    def with_scaling(self, scaling: tuple[Array, Array] | None) -> "Preprocessing":
        """The same with a training part's scaling, see `Task.scaling`."""
        if scaling is None:
            return self
        centers, scales = (tuple(map(float, each)) for each in scaling)
        return replace(self, centers=centers, scales=scales)

    @property
    def n_outputs(self) -> int:
        """How many logits the model gives."""
        return n_outputs(self.outputs, len(self.classes))


def preprocessing_of(recipe: SizedRecipe, task: Task, mode: str) -> Preprocessing:
    """The preprocessing of a recipe: mean and std from the weights' own config in timm.

    For one channel they are the mean over the channels; a fourth is centred at one half.
    A weights file that foldwise wrote brings its own.
    """
    mean, std = _statistics(recipe, len(mode))
    if len(mode) != len(mean):
        grey_mean, grey_std = sum(mean[:3]) / len(mean[:3]), sum(std[:3]) / len(std[:3])
        channels = {1: ((grey_mean,), (grey_std,)), 3: ((grey_mean,) * 3, (grey_std,) * 3)}
        if len(mode) == 4:
            colour = mean if len(mean) == 3 else (grey_mean,) * 3
            spread = std if len(std) == 3 else (grey_std,) * 3
            channels[4] = ((*colour, 0.5), (*spread, 0.5))
        mean, std = channels[len(mode)]
    return Preprocessing(
        recipe.model,
        task.columns,
        mode,
        recipe.final_size,
        recipe.resize,
        mean,
        std,
        interpolation=recipe.interpolation,
        outputs=outputs_of(recipe, task),
        head=recipe.head,
    )


def build_model(recipe: SizedRecipe, n_logits: int, channels: int) -> nn.Module:
    """The recipe's model with its weights; random ones come from the global generator.

    It takes images of the first stage's size; `bring_to` changes that for later ones.
    Convolutions are those of `smallconv`, which are nn.Conv2d but where that is slow.

    Raises: SpecError: timm has no such model, it has no drop path, or it takes no images of a size
            of the recipe's. WeightsError: the weights cannot be had, or are for another size.
    """
    if recipe.model == LINEAR:
        return _linear(recipe.final_size, channels, n_logits)
    file, random = weights_file(recipe), recipe.weights == "none"
    start = weights_size(recipe)
    check_sizes(recipe, start)
    options: dict[str, Any] = {"num_classes": n_logits, "in_chans": channels}
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
        model = remade(model, recipe.model, start or native_size(recipe.model), options, keep=False)
        load_into(model, file, channels)
    size = recipe.stage_size(recipe.stage[0]) if recipe.stage else recipe.final_size
    model = remade(model, recipe.model, size, options, keep=not random)
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
    return native_size(recipe.model) if own is None else own.image_size


def weights_file(recipe: Recipe) -> Path | None:
    """The file with the recipe's weights, downloaded where that is needed; None: random ones.

    Raises: SpecError: timm has no such model. WeightsError: the weights cannot be had.
    """
    _check_known(recipe.model)
    if recipe.weights == "none":
        return None
    if recipe.weights == "auto":
        return hub_file(recipe.model)
    return need_existing(Path(recipe.weights).expanduser())


def save_weights(path: Path, model: nn.Module, preprocessing: Preprocessing) -> None:
    """Write the model's state as safetensors with its preprocessing as JSON, atomically.

    What layers share, as CoaT's do, is written for each of them: safetensors has no references.
    """
    state, seen = {}, set()
    for name, tensor in model.state_dict().items():
        own = tensor.detach().cpu().contiguous()
        state[name] = own.clone() if own.data_ptr() in seen else own
        seen.add(own.data_ptr())
    content = save(state, metadata={KEY: json.dumps(asdict(preprocessing))})
    with replace_file(path) as temporary:  # save_file would hide a full disk in an error of its own
        temporary.write_bytes(content)


def read_preprocessing(path: Path) -> Preprocessing | None:
    """The preprocessing in a weights file; None where another program wrote it.

    Raises: WeightsError: the file is damaged.
    """
    text = metadata(path).get(KEY)
    if text is None:
        return None
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(text).items()
    }
    many = fields.pop("multi", False)  # of files from before `outputs`
    return Preprocessing(**{"outputs": "sigmoids" if many else "softmax", **fields})


def load_trained(path: Path) -> tuple[nn.Module, Preprocessing]:
    """A model as it was trained, with its preprocessing, from a weights file of foldwise.

    Raises: WeightsError: the file is missing, or another program wrote it.
    """
    state = load_state(path)
    preprocessing = read_preprocessing(path)
    if preprocessing is None:
        raise WeightsError(f"{path} has no preprocessing of foldwise's; train it with `weights =`")
    model = with_small_convs(_blank(preprocessing))
    model.load_state_dict(state)
    return model, preprocessing


def _create(recipe: Recipe, **options: Any) -> Any:
    """timm's model, of which the recipe's options are asked.

    Raises: SpecError: the model is no classifier, or has no such option; some models ignore one
            instead of refusing it.
    """
    try:
        model = timm.create_model(recipe.model, **options)
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
            f"{recipe.model} encodes images and has no classifier; take a model that has one, "
            "such as resnet34 or vit_small_patch16_224"
        )
    return model


def _no_drop_path(recipe: Recipe) -> str:
    return (
        f"drop_path = {recipe.drop_path} needs a model with residual blocks that timm can skip, "
        f"such as resnet34 or convnext_tiny; {recipe.model} has none: set drop_path = 0"
    )


def _blank(about: Preprocessing) -> nn.Module:
    """A model of any weights, for those of a file."""
    if about.model == PRIOR:
        return Prior(torch.ones(len(about.classes), dtype=torch.float64), not about.one_class)
    if about.model == LINEAR:
        return _linear(about.image_size, len(about.mode), about.n_outputs)
    options = {"num_classes": about.n_outputs, "in_chans": len(about.mode)}
    model = timm.create_model(about.model, pretrained=False, **options)
    model = remade(model, about.model, about.image_size, options, keep=False)
    if about.head == "fastai":
        return with_fastai_head(model, about.n_outputs, len(about.mode), about.image_size)
    return model


def _linear(size: tuple[int, int], channels: int, n_logits: int) -> Linear:
    return Linear(size[0] * size[1] * channels, n_logits)


def as_weights(recipe: Recipe) -> SizedRecipe:
    """The recipe with image_size and interpolation as its weights were trained with, where `auto`.

    Random weights were trained with nothing: the size that timm makes the model for, and bilinear.
    Raises: SpecError: timm has no such model, or a size of the recipe's does not go with that one.
    """
    if isinstance(recipe, SizedRecipe):
        return recipe
    size, interpolation = (224, 224), "bilinear"
    unknown = recipe.model not in DEFAULTS and "auto" in (recipe.image_size, recipe.interpolation)
    own = _own(recipe) if unknown else None
    if own is not None:
        size, interpolation = own.image_size, own.interpolation
    elif unknown:
        config = _config(recipe)
        size = config.input_size[1:]
        interpolation = "bilinear" if recipe.weights == "none" else config.interpolation
    known = interpolation if interpolation in ("bilinear", "bicubic") else "bicubic"
    return recipe.with_sizes(size, known)


def _own(recipe: Recipe) -> Preprocessing | None:
    """The preprocessing in the recipe's weights file; None where foldwise did not write it."""
    path = Path(recipe.weights).expanduser()
    named = recipe.weights not in ("auto", "none") and path.suffix == ".safetensors"
    return read_preprocessing(path) if named and path.is_file() else None


def _config(recipe: Recipe) -> Any:
    """timm's own config of the model's weights."""
    _check_known(recipe.model)
    return timm.get_pretrained_cfg(recipe.model) or timm.models.PretrainedCfg()


def _statistics(recipe: Recipe, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if recipe.model in DEFAULTS:  # pixels stay in 0..1
        return (0.0,) * channels, (1.0,) * channels
    own = _own(recipe)
    if own is not None:
        return own.mean, own.std
    config = _config(recipe)
    return tuple(config.mean), tuple(config.std)


def _check_known(name: str) -> None:
    """Raises: SpecError: timm has no model, or no weights tag, of this name."""
    if name in DEFAULTS:
        return
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise SpecError(
            f"timm {timm.__version__} has no model {architecture!r}"
            f"{nearest(architecture, [*DEFAULTS, *timm.list_models()])}"
        )
    tags = [n.partition(".")[2] for n in timm.list_pretrained(architecture)]
    if tag and tag not in tags:
        raise SpecError(f"{architecture} has no weights tag {tag!r}{nearest(tag, tags)}")
