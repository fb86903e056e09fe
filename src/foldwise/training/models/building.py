"""A recipe's model, built, saved and loaded; and the preprocessing that belongs to its weights."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

from foldwise.arrays import Array
from foldwise.config.recipe import Recipe, SizedRecipe
from foldwise.errors import WeightsError
from foldwise.kinds.loss import Outputs
from foldwise.kinds.method import METHODS
from foldwise.store.files import replace_file
from foldwise.tasks import Task
from foldwise.tasks.outputs import n_outputs, outputs_of
from foldwise.training.fitting.activations import Meaning
from foldwise.training.methods.base import TrainingMethod, method_of, network_of
from foldwise.training.models.weights import load_state, metadata
from foldwise.training.speed.precision import device
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
        return Meaning(outputs=self.outputs, centers=self.centers, scales=self.scales)

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
    """The preprocessing of a recipe: mean and std as its method has them of its weights.

    For one channel they are the mean over the channels; a fourth is centred at one half.
    """
    mean, std = method_of(recipe).statistics(recipe, len(mode))
    if len(mode) != len(mean):
        grey_mean, grey_std = sum(mean[:3]) / len(mean[:3]), sum(std[:3]) / len(std[:3])
        channels = {1: ((grey_mean,), (grey_std,)), 3: ((grey_mean,) * 3, (grey_std,) * 3)}
        if len(mode) == 4:
            colour = mean if len(mean) == 3 else (grey_mean,) * 3
            spread = std if len(std) == 3 else (grey_std,) * 3
            channels[4] = ((*colour, 0.5), (*spread, 0.5))
        mean, std = channels[len(mode)]
    return Preprocessing(
        model=str(recipe.model),
        classes=task.columns,
        mode=mode,
        image_size=recipe.final_size,
        resize=recipe.resize,
        mean=mean,
        std=std,
        interpolation=recipe.interpolation,
        outputs=outputs_of(recipe, task),
        head=recipe.head,
    )


def build_model(recipe: SizedRecipe, n_logits: int, channels: int) -> nn.Module:
    """The recipe's network with its weights; random ones come from the global generator.

    It takes images of the first stage's size; `bring_to` changes that for later ones.

    Raises: SpecError: timm has no such model, it has no drop path, or it takes no images of a size
            of the recipe's. WeightsError: the weights cannot be had, or are for another size.
    """
    return network_of(recipe).build(recipe, n_logits, channels)


def build_on_device(recipe: SizedRecipe, n_logits: int, channels: int) -> nn.Module:
    """The recipe's network as `build_model` has it, where and as its batches are."""
    return bring_to_device(build_model(recipe, n_logits, channels))


def bring_to_device(model: nn.Module) -> nn.Module:
    """The model on the device that trains and predicts, its memory laid out as its images' is."""
    return model.to(device()).to(memory_format=torch.channels_last)


def as_weights(recipe: Recipe) -> SizedRecipe:
    """The recipe with image_size and interpolation as its weights were trained with, where `auto`.

    Raises: SpecError: timm has no such model, or a size of the recipe's does not go with that one.
    """
    if isinstance(recipe, SizedRecipe):
        return recipe
    size, interpolation = (224, 224), "bilinear"
    if "auto" in (recipe.image_size, recipe.interpolation):
        size, interpolation = method_of(recipe).pretraining_size(recipe)
    return recipe.with_sizes(size, interpolation)


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
    fields = json.loads(text, object_hook=_with_tuples)
    many = fields.pop("multi", False)  # of files from before `outputs`
    fields.setdefault("outputs", "sigmoids" if many else "softmax")
    return Preprocessing(**fields)


def _with_tuples(table: dict[str, object]) -> dict[str, object]:
    """The table with tuples instead of lists, as records have them."""
    return {key: tuple(each) if isinstance(each, list) else each for key, each in table.items()}


def load_trained(
    path: Path, method: TrainingMethod | None = None
) -> tuple[nn.Module, Preprocessing]:
    """A model as it was trained, with its preprocessing, from a weights file of foldwise.

    method: the one that trained it; by default as the file has it.

    Raises: WeightsError: the file is missing, or another program wrote it.
    """
    state = load_state(path)
    preprocessing = read_preprocessing(path)
    if preprocessing is None:
        raise WeightsError(f"{path} has no preprocessing of foldwise's; train it with `weights =`")
    method = method or method_of(METHODS.parse(preprocessing.model))
    model = with_small_convs(method.blank(preprocessing))
    model.load_state_dict(state)
    return model, preprocessing
