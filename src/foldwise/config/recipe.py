"""Recipe: the choices of a training run, from recipes/<name>.toml."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from foldwise.config.adapter import kinds_of
from foldwise.config.augment import Augment
from foldwise.config.budget import BudgetPlan, seconds_of
from foldwise.config.competition import recipe_names
from foldwise.config.loading import parse, read_toml, with_overrides
from foldwise.config.pseudo import Pseudo, check_pseudo
from foldwise.config.stage import Size, Stage
from foldwise.errors import SpecError, nearest
from foldwise.kinds.bounds import (
    Amount,
    AmountOrNone,
    Anywhere,
    BatchSize,
    Count,
    CountOrNone,
    Name,
    Part,
    Share,
    Threads,
)
from foldwise.kinds.family import Context
from foldwise.kinds.loss import LOSSES, Loss
from foldwise.kinds.method import METHODS, Method
from foldwise.kinds.settings import Strict

View = Literal["none", "hflip", "vflip", "rot90", "rot180", "rot270", "transpose", "transverse"]

APART = ("seeds", "cpus", "gpus", "memory")  # settings that do not tell runs apart


class Recipe(Strict):
    """How to train a model; with a seed it is a run."""

    moved: ClassVar[Mapping[str, str]] = {
        "focal_gamma": 'write loss = {name = "focal", gamma = 2.0}',
    }

    name: Name
    # The name of a model of timm's, with its weights tag if wanted; or of another training method.
    # Example: "resnet50.tv_in1k"
    model: Annotated[Method, METHODS]
    # What training begins with: timm's weights (`auto`), random numbers (`none`), or a file.
    # Example: "none"
    weights: Anywhere = "auto"
    # The classifier: timm's own linear layer, or that of fastai's vision_learner. Example: "fastai"
    head: Literal["linear", "fastai"] = "linear"
    # The side of the images that the model sees, in pixels, or [height, width]; `auto` is the size
    # that its weights were trained at. Example: 224
    image_size: Size | Literal["auto"]
    # The side of the images in the cache, in pixels, or [height, width]: room to zoom and turn; by
    # default `image_size`. Example: 288
    presize: Size | None = None
    # How images become that size: squashed, cropped in the middle, or padded. Example: "crop"
    resize: Literal["squash", "crop", "pad"] = "squash"
    # How they are resampled; `auto` is what the weights were trained with. Example: "bicubic"
    interpolation: Literal["auto", "bilinear", "bicubic"] = "auto"
    # Images in a batch; `auto` is the largest batch that fits the GPU's memory, and 64 on a CPU.
    # Example: 32
    batch_size: BatchSize | Literal["auto"] = 64
    # The numbers that the model computes with; `auto` is bf16 where the hardware has it, else fp16
    # on GPUs and fp32 on CPUs. Example: "bf16"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    # Whether torch.compile is used; `auto` where the run wins back the time that it takes. Example:
    # false
    compile: bool | Literal["auto"] = "auto"
    # On CUDA: whether a repeated training gives the same bytes, at some cost in speed. Example:
    # true
    deterministic: bool = False
    weight_decay: AmountOrNone = 0.01  # The weight decay. Example: 0.05
    optimizer: Literal["adam", "sgd"] = (
        "adam"  # AdamW, or SGD with Nesterov momentum. Example: "sgd"
    )
    # The Nesterov momentum of `sgd`; 0 is plain gradient descent. Example: 0.9
    momentum: Part = 0.0
    # What training minimises: a loss. `auto` is cross-entropy, binary cross-entropy with many
    # labels, and the squared error of numbers. Example: "focal"
    loss: Literal["auto"] | Annotated[Loss, LOSSES] = "auto"
    # Weights of the classes in the loss: by name, others weigh 1; or `balanced`, n / (classes
    # times count). Example: "balanced"
    class_weights: Literal["balanced"] | dict[str, Amount] | None = None
    # How an epoch's images are drawn: each once, or every class equally often. Example: "balanced"
    sampling: Literal["shuffle", "balanced"] = "shuffle"
    # For ordered classes: how far targets reach to the neighbours, as softmax of -distance /
    # `ordinal`. Example: 0.5
    ordinal: Amount | None = None
    # The share of each target that is spread over all classes. Example: 0.1
    label_smoothing: Part = 0.0
    drop_rate: Part = 0.0  # The dropout before the classifier. Example: 0.2
    # The chance that an image skips the last residual block; earlier blocks have less. 0 is timm's
    # default for the model. Example: 0.1
    drop_path: Part = 0.0
    # The alpha of the Beta distribution of mixup's shares; 0 is no mixup. Example: 0.2
    mixup: float = Field(default=0.0, ge=0, le=10)
    # The same for CutMix; with both, each batch takes one of the two. Example: 1.0
    cutmix: float = Field(default=0.0, ge=0, le=10)
    # The decay of a moving average of the weights, which is validated and predicts; 0 is none.
    # Example: 0.999
    ema: Part = 0.0
    # The number of last epochs whose weights are averaged; 0 is none. Example: 3
    swa: CountOrNone = 0
    # The largest norm of all gradients together; 0 is no limit. Example: 1.0
    clip: AmountOrNone = 0.0
    accumulate: Count = 1  # The number of batches whose gradients make one step. Example: 4
    # The number of epochs of a stage without a better validation loss after which training stops; 0
    # is never. Example: 3
    early_stop: CountOrNone = 0
    # Random changes of training images. Example: {hflip = true, rotate = 10}
    augment: Augment = Augment()
    # Test rows that training takes as well, labelled by another run. Example: {run = "baseline"}
    pseudo: Pseudo | None = None
    # Test-time augmentation: the views whose predictions are averaged, out-of-fold and for test.
    # Example: ["none", "hflip"]
    tta: tuple[View, ...] = ("none",)
    # The share of the sides by which each view is moved up, down, left and right as well. Example:
    # 0.05
    tta_shift: float = Field(default=0.0, ge=0, le=0.25)
    # The seeds: each is a run of its own. Example: [0, 1, 2]
    seeds: Annotated[tuple[int, ...], Field(max_length=1000)] = (0,)
    # The time for all folds and seeds; the epochs are fitted to it. Example: "30m"
    budget: str | None = None
    # The CPU threads of a fold; on a cluster, the CPUs that it asks for. Example: 4
    cpus: Threads | None = None
    gpus: Share | None = None  # The GPUs of a fold; with 0.5 two folds share one. Example: 0.5
    memory: Amount | None = None  # The memory that a fold asks a cluster for, in GB. Example: 8
    # The stages of training, one after the other. Example: [{epochs = 5, lr = 1e-3}]
    stage: Annotated[tuple[Stage, ...], Field(max_length=100)] = ()

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, table: object, info: "ValidationInfo[Context | None]") -> object:
        if not isinstance(table, Mapping):
            return table
        try:
            return METHODS.parse(table.get("model"), info.context).complete(table)
        except ValueError:  # the field tells it
            return table

    @model_validator(mode="after")
    def _method(self) -> Self:
        fields = {k: f for k, f in type(self).model_fields.items() if not f.is_required()}
        usual = {k: f.get_default(call_default_factory=True) for k, f in fields.items()}
        self.model.check_keys({key: getattr(self, key) for key in usual}, usual)
        check_pseudo(self.pseudo, self.name)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.image_size != "auto":
            SizedRecipe.model_construct(**dict(self)).check_sizes()
        if "none" not in self.tta:
            raise ValueError('tta must hold "none", the plain view')
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f'momentum is of optimizer = "sgd", got "{self.optimizer}"; remove it')
        for key in ("tta", "seeds"):
            values = getattr(self, key)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{key} must be a list of different values, got {list(values)}")
        return self

    @model_validator(mode="after")
    def _check_averaging(self) -> Self:
        epochs = sum(stage.length for stage in self.stage)
        if self.swa > epochs:
            raise ValueError(f"swa must be at most all stages' epochs, {epochs}, got {self.swa}")
        if self.swa and self.ema:
            raise ValueError(
                f"ema and swa both average the weights, got ema = {self.ema} and swa = {self.swa}; "
                "set one of them to 0"
            )
        if self.swa and self.early_stop:
            raise ValueError(
                f"swa averages the last epochs, but early_stop leaves open which these are, got "
                f"swa = {self.swa} and early_stop = {self.early_stop}; set one of them to 0"
            )
        return self

    @field_validator("budget")
    @classmethod
    def _a_time(cls, value: str | None) -> str | None:
        if value is not None:
            seconds_of(value)
        return value

    def stage_decay(self, stage: Stage) -> float:
        """A stage's weight decay: its own, else the recipe's."""
        return self.weight_decay if stage.weight_decay is None else stage.weight_decay

    def loss_for(self, usual: str) -> Loss:
        """The loss; where it is `auto` the task's usual one, by its name."""
        return LOSSES.parse(usual) if self.loss == "auto" else self.loss

    def with_sizes(self, size: tuple[int, int], interpolation: str) -> "SizedRecipe":
        """The recipe with what its weights were trained with, where it says `auto`.

        Raises: SpecError: other sizes of the recipe do not go with that one.
        """
        seen = {"image_size": size, "interpolation": interpolation}
        auto = {key: value for key, value in seen.items() if getattr(self, key) == "auto"}
        where = f"recipe {self.name} at its weights' {[*size]} pixels"
        return parse(SizedRecipe, {**dict(self), **auto}, where)

    def short(self) -> Self:
        """The recipe for a trial: the first seed, one epoch a stage, compiled only on request.

        Without pseudo-labels: no teacher lies where trials do.
        """
        return self.model_copy(
            update={
                "seeds": self.seeds[:1],
                "stage": tuple(stage.short() for stage in self.stage),
                "swa": min(self.swa, len(self.stage)),
                "compile": self.compile is True,
                "pseudo": None,
                "budget": None,
            }
        )

    def identity(self) -> dict[str, object]:
        """What of the recipe a run is told by: its settings that differ from the defaults.

        Adding an option therefore leaves old runs where they are. Seeds are left out, as a run has
        one of them, and so is what a fold asks a cluster for.
        """
        return self.model_dump(mode="json", exclude=set(APART), exclude_defaults=True)

    def as_record(self) -> dict[str, object]:
        """All settings as plain values, defaults too: what a run's record holds."""
        return self.model_dump(mode="json")


class SizedRecipe(Recipe):
    """A recipe of which the sizes and the interpolation of its images are known: it has caches."""

    image_size: Size
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def check_sizes(self) -> None:
        """Raises: ValueError: sizes contradict each other, or what is to be done with images."""
        _check_sides([self.image_size, self.presize])
        _check_sides(size for stage in self.stage for size in (stage.image_size, stage.presize))
        _check_sides(self.cache_sizes)
        sizes = [self.stage_size(stage) for stage in self.stage]
        self.model.check_stages(sizes)
        for size, presize in zip(sizes or [self.final_size], self._presizes, strict=False):
            if presize[0] < size[0] or presize[1] < size[1]:
                raise ValueError(
                    f"a stage's presize must be at least its image_size, got {[*presize]} for "
                    f"{[*size]}; give the stage a larger one, or the recipe, of which it has the "
                    "share that its image_size has of the recipe's"
                    if sizes
                    else f"presize must be at least image_size, got {[*presize]} for {[*size]}; "
                    f"write presize = {[*size]} or more, or leave it out"
                )
        height, width = self.final_size
        if height != width and set(self.tta) & {"rot90", "rot270", "transpose", "transverse"}:
            raise ValueError("tta views that turn an image by 90 degrees need a square image_size")
        for kind, each in product(self.augment.kinds, sizes):
            kind.check_size(each)

    @property
    def cache_sizes(self) -> tuple[tuple[int, int], ...]:
        """The different sizes at which images are cached, (height, width), in order of stages."""
        return tuple(dict.fromkeys(self._presizes))

    @property
    def final_presize(self) -> tuple[int, int] | None:
        """The cached size, (height, width), of the images that it predicts; None: it sees none."""
        return self._presizes[-1] if self._presizes else None

    @property
    def _presizes(self) -> tuple[tuple[int, int], ...]:
        """The cached size of each stage; of the whole recipe where images are seen at once."""
        if self.stage or not self.model.sees_images:
            return tuple(self.stage_presize(stage) for stage in self.stage)
        return (_sides(self.presize or self.image_size),)

    @property
    def final_size(self) -> tuple[int, int]:
        """The image size of the last stage, (height, width): the one that predicts."""
        return self.stage_size(self.stage[-1]) if self.stage else _sides(self.image_size)

    def stage_size(self, stage: Stage) -> tuple[int, int]:
        """A stage's image size in pixels, (height, width)."""
        return _sides(stage.image_size or self.image_size)

    def stage_presize(self, stage: Stage) -> tuple[int, int]:
        """The size in pixels, (height, width), at which a stage's images are cached.

        A presize above image_size leaves room for zooming, and lets training and validation images
        pass the same resampling: images that only training resamples are softer than those of
        validation (docs/architecture.md).
        """
        size, whole = self.stage_size(stage), _sides(self.image_size)
        if stage.presize is not None:
            return _sides(stage.presize)
        if self.presize is None:
            return size
        kept = _sides(self.presize)
        height, width = (-(-kept[i] * size[i] // whole[i]) for i in (0, 1))  # rounded up
        return height, width

    def settle(self, values: Mapping[str, object]) -> "SettledRecipe":
        """The recipe with what else is `auto` put in; values: `resolved` of run.json."""
        settings = dict(self)
        settings |= {key: values[key] for key in ("precision", "batch_size", "compile")}
        if self.loss == "auto":
            settings["loss"] = LOSSES.parse(values["loss"])
        recipe = SettledRecipe.model_construct(**settings)
        return (
            recipe.with_plan(BudgetPlan.model_validate(values["plan"]))
            if "plan" in values
            else recipe
        )


class SettledRecipe(SizedRecipe):
    """A recipe that leaves nothing open: what trains and predicts takes it.

    `lr = "find"` of a stage is looked for where the stage begins.
    """

    batch_size: BatchSize = 64
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    compile: bool = False
    loss: Annotated[Loss, LOSSES] = Field(default_factory=lambda: LOSSES.parse("cross_entropy"))

    def stage_batch(self, stage: Stage) -> int:
        """A stage's batch size: its own, else the recipe's."""
        return stage.batch_size or self.batch_size

    def with_plan(self, plan: BudgetPlan) -> Self:
        """The recipe with the stages that fit its budget."""
        stages = tuple(
            Stage.model_validate(
                {**table, "schedule": own.schedule.model_validate(table["schedule"])}
            )
            for own, table in zip(self.stage, plan.stage, strict=True)
        )
        return self.model_copy(update={"stage": stages, "swa": plan.swa})


def load_recipe(folder: Path, name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A competition's recipe by name, with `key=value` overrides put in.

    Raises: SpecError: no such recipe (with the nearest name), or a key or value is wrong.
    """
    if name not in recipe_names(folder):
        found = nearest(name, recipe_names(folder))
        raise SpecError(f"{folder.name} has no recipe {name!r} in {folder / 'recipes'}{found}")
    path = folder / "recipes" / f"{name}.toml"
    table = {"name": name, **with_overrides(read_toml(path), overrides)}
    return parse(Recipe, table, str(path), kinds_of(folder))


def recorded_recipe(folder: Path, settings: Mapping[str, object], source: str) -> SizedRecipe:
    """A recipe as run.json and manifests have it. folder: its competition's, for its adapter's
    kinds. source: what has it, for messages.

    Raises: SpecError: another version of foldwise wrote it, or the adapter lacks a kind.
    """
    return parse(SizedRecipe, settings, source, kinds_of(folder))


def _sides(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _check_sides(sizes: Iterable[Size | None]) -> None:
    for size in sizes:
        for side in _sides(size) if size is not None else ():
            if not 8 <= side <= 4096:
                raise ValueError(f"image_size and presize must be 8 to 4096 pixels, got {side}")
