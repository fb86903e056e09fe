"""Recipe: the choices of a training run, from recipes/<name>.toml."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from foldwise.errors import SpecError, nearest
from foldwise.spec.competition import recipe_names
from foldwise.spec.loading import Strict, parse, read_toml, with_overrides

View = Literal["none", "hflip", "vflip", "rot90", "rot180", "rot270", "transpose", "transverse"]


class Augment(Strict):
    """Random changes to training images, drawn anew for every image and epoch."""

    hflip: bool = False
    vflip: bool = False
    rotate: float = Field(default=0.0, ge=0, le=180)  # degrees, drawn from ±rotate
    zoom: tuple[float, float] = (1.0, 1.0)  # scale factor drawn from this range; > 1 shows less
    shift: float = Field(default=0.0, ge=0, le=0.5)  # fraction of the side, drawn from ±shift
    brightness: float = Field(default=0.0, ge=0, le=1)  # added, drawn from ±brightness
    contrast: float = Field(default=0.0, ge=0, lt=1)  # factor drawn from [1-contrast, 1+contrast]
    padding: Literal["reflection", "zeros", "border"] = "reflection"

    @field_validator("zoom")
    @classmethod
    def _range(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0.1 <= value[0] <= value[1] <= 10:
            raise ValueError(f"zoom must be [low, high] with 0.1 <= low <= high <= 10, got {value}")
        return value


class Stage(Strict):
    """Some epochs of training at one image size and learning rate."""

    epochs: int = Field(ge=1)
    lr: float = Field(gt=0)  # the highest rate of the schedule
    image_size: int | tuple[int, int] | None = None  # pixels; [height, width]; None: the recipe's
    train: Literal["all", "head"] = "all"
    schedule: Literal["one_cycle"] = "one_cycle"
    pct_start: float = Field(default=0.25, gt=0, lt=1)  # share of the steps in which the rate rises


class Recipe(Strict):
    """How to train one model; with a seed it is a run."""

    name: str
    model: str  # any timm name, with its weights tag if wanted: resnet50.tv_in1k
    weights: str = "auto"  # auto (timm's), none (random), or a file
    image_size: int | tuple[int, int]  # pixels that the model sees; [height, width]
    presize: int | tuple[int, int] | None = None  # pixels kept in the cache; None: the largest size
    resize: Literal["squash", "crop", "pad"] = "squash"
    batch_size: int = Field(default=64, ge=2)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    deterministic: bool = False  # on CUDA: the same bytes again, at some cost in speed
    weight_decay: float = Field(default=0.01, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    drop_rate: float = Field(default=0.0, ge=0, lt=1)  # dropout before the classifier
    augment: Augment = Augment()
    tta: tuple[View, ...] = ("none",)  # views averaged for OOF and test alike
    seeds: tuple[int, ...] = (0,)
    stage: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        for size in (self.image_size, self.presize, *(s.image_size for s in self.stage)):
            for side in _sides(size) if size is not None else ():
                if not 8 <= side <= 4096:
                    raise ValueError(f"image_size and presize must be 8 to 4096 pixels, got {side}")
        if "none" not in self.tta:
            raise ValueError('tta must hold "none", the plain view')
        for key in ("tta", "seeds"):
            values = getattr(self, key)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{key} must be a list of different values, got {list(values)}")
        height, width = self.cache_size
        for stage in self.stage:
            if self.stage_size(stage)[0] > height or self.stage_size(stage)[1] > width:
                raise ValueError(f"presize {[height, width]} must be at least every image_size")
        if height != width and set(self.tta) & {"rot90", "rot270", "transpose", "transverse"}:
            raise ValueError("tta views that turn an image by 90 degrees need a square image_size")
        return self

    @property
    def cache_size(self) -> tuple[int, int]:
        """The size at which images are cached, in pixels (height, width).

        It is presize, else the largest size of all stages. A presize above image_size leaves room
        for zooming, and lets training and validation images pass the same resampling: images that
        only training resamples are softer than those of validation (docs/architecture.md).
        """
        if self.presize is not None:
            return _sides(self.presize)
        sizes = [_sides(s.image_size or self.image_size) for s in self.stage]
        return max(sizes, key=lambda s: s[0] * s[1])

    def stage_size(self, stage: Stage) -> tuple[int, int]:
        """A stage's image size in pixels, (height, width)."""
        return _sides(stage.image_size or self.image_size)

    def identity(self) -> dict[str, Any]:
        """The recipe as plain values without its list of seeds: a run has one of them."""
        return self.model_dump(mode="json", exclude={"seeds"})


def load_recipe(folder: Path, name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A competition's recipe by name, with `key=value` overrides put in.

    Raises: SpecError: no such recipe (with the nearest name), or a key or value is wrong.
    """
    if name not in recipe_names(folder):
        found = nearest(name, recipe_names(folder))
        raise SpecError(f"{folder.name} has no recipe {name!r} in {folder / 'recipes'}{found}")
    path = folder / "recipes" / f"{name}.toml"
    return parse(Recipe, {"name": name, **with_overrides(read_toml(path), overrides)}, str(path))


def _sides(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
