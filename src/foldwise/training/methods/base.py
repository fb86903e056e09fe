"""What training asks of a method, and what a method gives: a model, and what predicts with it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from foldwise.arrays import Array
from foldwise.config.recipe import Recipe, SettledRecipe, SizedRecipe
from foldwise.errors import SpecError
from foldwise.kinds.events import Observer
from foldwise.kinds.method import IMAGES, STAGES, Method

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from foldwise.training.fitting.fold import FoldInputs
    from foldwise.training.models.building import Preprocessing

# Per batch the predictions (b, C) in float64: the mean over the recipe's views, and the plain view.
Batches = Iterator[tuple[Array, Array]]
# A part of the data, `oof` or `test`, its ids in order, and its predictions.
PartPredictions = tuple[str, "pd.Series[str]", Batches]


class Predictor(Protocol):
    """A fold's trained model, as it predicts."""

    def parts(self, inputs: "FoldInputs") -> Iterator[PartPredictions]:
        """The predictions of the fold's validation part, then of the test set."""

    def photos(self, recipe: SettledRecipe, pixels: Path | int) -> Batches:
        """The predictions of photos, in order.

        pixels: a .npy file, uint8 (n, height, width, channels), as the cache of
        `recipe.final_presize` has them; for a method that sees no images, n.
        """


@dataclass(frozen=True)
class Fitted:
    """What fitting a fold leaves.

    model: what the weights file will hold. history: a row per epoch. told: what the fold's record
    says beside what it says of every method. show: writes what reports alone look at; it is called
    when the predictions are written.
    """

    model: "nn.Module"
    predictor: Predictor
    history: list[dict[str, float]] = field(default_factory=list)
    told: Mapping[str, object] = field(default_factory=dict)
    show: Callable[[], None] = lambda: None


class TrainingMethod(Method, ABC):
    """A method, as training knows it.

    One of a competition's own, in its adapter.py, is a class of this. It need not use fastai, nor
    gradients: what it fits is a module whose state dict is all that there is to it.

    measured: whether `auto` of batch_size and compile is worth measuring.
    """

    measured: ClassVar[bool] = False

    def pretraining_size(self, recipe: Recipe) -> tuple[tuple[int, int], str]:
        """What `auto` becomes: the image size (height, width), and the interpolation, that the
        weights were trained with."""
        return (224, 224), "bilinear"

    def check_images(self, recipe: SizedRecipe) -> None:
        """Check that the model takes images of the recipe's sizes. Nothing is computed.

        Raises: SpecError, WeightsError: it does not.
        """

    def need(self, recipe: SizedRecipe) -> None:
        """Check, before images are decoded, that all it needs is there and goes together.

        Raises: SpecError, WeightsError: it is not.
        """

    def statistics(
        self, recipe: Recipe, channels: int
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel of values in 0..1, for one, three or so many
        channels; by default the values stay as they are."""
        return (0.0,) * channels, (1.0,) * channels

    @abstractmethod
    def blank(self, about: "Preprocessing") -> "nn.Module":
        """A model with any weights, for those of a file that it is saved with."""

    @abstractmethod
    def fit(self, inputs: "FoldInputs", about: "Preprocessing", observe: Observer) -> Fitted:
        """Fit a model to the fold's training part; it begins with the event FoldStarted.

        about: what the inputs' preprocessing is; it goes into the weights file. Random numbers
        come from the global generators, which are seeded by run and fold.
        """

    @abstractmethod
    def predictor(self, model: "nn.Module", about: "Preprocessing") -> Predictor:
        """What predicts with a model that was loaded from its weights file."""


class Network(TrainingMethod):
    """A method whose model is a network that is trained in stages, by fastai."""

    keys: ClassVar[frozenset[str]] = IMAGES | STAGES

    @abstractmethod
    def build(self, recipe: SizedRecipe, n_logits: int, channels: int) -> "nn.Module":
        """The network with its first weights; see `models.building.build_model`."""

    def fit(self, inputs: "FoldInputs", about: "Preprocessing", observe: Observer) -> Fitted:
        """Through all stages."""
        from foldwise.training.fitting.networks import fit_network

        return fit_network(inputs, about, observe)

    def predictor(self, model: "nn.Module", about: "Preprocessing") -> Predictor:
        """All views of a batch in one pass."""
        from foldwise.training.applying import NetworkPredictor

        return NetworkPredictor(model, about)


def method_of(recipe: Recipe | Method) -> TrainingMethod:
    """The method of a recipe, or the method itself, as what trains.

    Raises: SpecError: it is a competition's own, and no `TrainingMethod`.
    """
    method = recipe if isinstance(recipe, Method) else recipe.model
    if not isinstance(method, TrainingMethod):
        raise SpecError(
            f'model = "{method}" should be a class of '
            "foldwise.training.methods.base.TrainingMethod, in adapter.py; name that as its base"
        )
    return method


def network_of(recipe: Recipe) -> Network:
    """The method of a recipe that trains a network.

    Raises: SpecError: it trains none.
    """
    method = recipe.model
    if not isinstance(method, Network):
        raise SpecError(
            f'recipe {recipe.name}: expected a model with a network, got "{method}"; name a model '
            "of timm's, as resnet34"
        )
    return method
