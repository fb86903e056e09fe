"""Image sizes that a timm model takes, and models brought to another size than their own.

Convolutions take any size. Other families are made for one: their positions, windows or biases are
as many as there are patches. Of some the size can be changed later (timm's `set_input_size`), of
others only when they are made (timm's `img_size`).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol

import timm
import torch
from timm.layers import to_2tuple
from timm.models import get_model_input_config
from torch import nn

from foldwise.config.budget import GRIDS
from foldwise.config.recipe import SizedRecipe
from foldwise.errors import SpecError, WeightsError
from foldwise.training.methods.base import method_of
from foldwise.training.models.heads import as_timm, body_of
from foldwise.training.models.positions import HeightWidth, resample


class WeightsConfig(Protocol):
    """What foldwise reads of timm's configuration of a model's weights."""

    input_size: tuple[int, int, int]  # channels, height, width
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def native_size(name: str) -> HeightWidth:
    """The image size that timm makes a model for, (height, width)."""
    height, width = config_of(name).input_size[1:]
    return height, width


@lru_cache(maxsize=512)
def made_for(name: str, size: HeightWidth) -> HeightWidth | None:
    """The size that a model is to be made for, to take images of `size`; None: it takes none.

    Its own, where it takes others too: convolutions, and windows that are padded.
    """
    native = native_size(name)
    if size == native:
        return size
    return next((made for made in (native, size) if _takes(name, made, size)), None)


def bring_to(model: nn.Module, name: str, size: HeightWidth) -> None:
    """Bring a model to images of a size, in place, where its size can be changed.

    Positions are interpolated: some parameters may be new ones.
    """
    if changes(model, name, size):
        as_timm(body_of(model)).set_input_size(img_size=made_for(name, size))


def changes(model: nn.Module, name: str, size: HeightWidth) -> bool:
    """Whether a model that is to take images of a size must be changed for that, and can be."""
    body = body_of(model)
    return hasattr(body, "set_input_size") and made_for(name, size) not in (None, _current(body))


def remade(
    model: nn.Module, name: str, size: HeightWidth, options: Mapping[str, object], keep: bool = True
) -> nn.Module:
    """A timm model brought to a size; or another one, made for it, with the same weights.

    options: those that it was made with. keep: its weights, which are more than random ones.
    Raises: WeightsError: some of its weights are for its own size alone.
    """
    before, made = _current(model), made_for(name, size) or size
    if made == before:
        return model
    if hasattr(model, "set_input_size"):
        bring_to(model, name, size)
        return model
    new: nn.Module = timm.create_model(name, img_size=made, **options)
    if keep:
        _carry(model, new, name, before, made)
    return new


def _carry(
    old: nn.Module, new: nn.Module, name: str, before: HeightWidth, after: HeightWidth
) -> None:
    """Put a model's weights into one of another size."""
    state, wanted = old.state_dict(), new.state_dict()
    for key, tensor in wanted.items():
        if state[key].shape != tensor.shape:
            found = resample(key, state[key], tensor.shape, before, after)
            if found is None:
                raise WeightsError(
                    f"{name} should get images of the size that its weights are for, "
                    f"{_text(before)} pixels, got image_size = {_text(after)}, for which {key} "
                    f'cannot be interpolated; set image_size = {_text(before)}, or weights = "none"'
                )
            state[key] = found
    new.load_state_dict(state)


def check_sizes(recipe: SizedRecipe, start: HeightWidth | None = None) -> None:
    """Refuse image sizes that the recipe's model does not take. Nothing is computed.

    start: the size that its weights are for; None: random ones.
    Raises: SpecError: it takes no such size, or not both of two. WeightsError: see `remade`.
    """
    name = recipe.model.timm_name
    made = {size: made_for(name, size) for size in map(recipe.stage_size, recipe.stage)}
    for size in made:
        if made[size] is None:
            *first, last = map(_text, near(name, size))
            raise SpecError(
                f"{name} should get images of {', '.join(first)}{' or ' * bool(first)}"
                f"{last} pixels, say, got image_size = {_text(size)} in recipe {recipe.name}; set "
                "image_size to one of these"
            )
    if all(size == native_size(name) for size in made.values()):
        return
    with _on_paper():
        model = timm.create_model(name, num_classes=2)
        if hasattr(model, "set_input_size"):
            return
        if len(set(made.values())) > 1:
            raise SpecError(
                f"{name} keeps the size that it is made for, got "
                f"{' and '.join(map(_text, made))} in recipe {recipe.name}; set one image_size in "
                "all stages"
            )
        if start is not None:
            model = remade(model, name, start, {"num_classes": 2}, keep=False)
            remade(model, name, next(iter(made)), {"num_classes": 2})


def takes(recipe: SizedRecipe) -> bool:
    """Whether the recipe's model takes all of its image sizes; see `check_images` of its method."""
    try:
        method_of(recipe).check_images(recipe)
    except (SpecError, WeightsError):
        return False
    return True


def near(name: str, size: HeightWidth) -> list[HeightWidth]:
    """Sizes that a model takes: the nearest below and above, and its own; in order."""
    found = [native_size(name)]
    for up in (False, True):
        sizes = {(_next(size[0], grid, up), _next(size[1], grid, up)) for grid in GRIDS}
        for sides in sorted(sizes, key=lambda s: abs(s[0] - size[0]) + abs(s[1] - size[1])):
            if sides != size and made_for(name, sides):
                found.append(sides)
                break
    return sorted(set(found))


def _next(side: int, grid: int, up: bool) -> int:
    """The multiple of a grid below a side, or from it on up."""
    return grid * max((side - 1) // grid + up, 1)


def _takes(name: str, made: HeightWidth, size: HeightWidth) -> bool:
    """Whether a model that is made for one size takes images of another, down to their edges."""
    try:
        with _on_paper(), torch.inference_mode():
            model = timm.create_model(name, num_classes=2)
            if made != native_size(name) and hasattr(model, "set_input_size"):
                model.set_input_size(img_size=made)
            elif made != native_size(name):
                model = timm.create_model(name, num_classes=2, img_size=made)
            patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
            if made == size and patch and any(size[i] % to_2tuple(patch)[i] for i in (0, 1)):
                return False
            model.eval()(torch.empty(1, config_of(name).input_size[0], *size))
    except Exception:  # the model's own code: each family refuses a size by another error
        return False
    return True


@contextmanager
def _on_paper() -> Iterator[None]:
    """Within it tensors have shapes and no values, and no random number is drawn."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        yield


def config_of(name: str) -> WeightsConfig:
    """timm's own configuration of a model's weights; its defaults where there are none."""
    config: WeightsConfig = timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()
    return config


def _current(body: nn.Module) -> HeightWidth:
    """The size that a timm model is made for now."""
    height, width = get_model_input_config(body)["input_size"][1:]
    return height, width


def _text(size: HeightWidth) -> str:
    """A size as a recipe has it."""
    return str(size[0]) if size[0] == size[1] else f"[{size[0]}, {size[1]}]"
