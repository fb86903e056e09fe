"""One linear layer on the pixels, to compare others with."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from foldwise.config.recipe import SizedRecipe
from foldwise.training.methods.base import Network

if TYPE_CHECKING:
    from torch import nn

    from foldwise.training.models.building import Preprocessing


class LinearLayer(Network):
    """A baseline: one linear layer on the pixels, trained by plain gradient descent."""

    defaults: ClassVar[Mapping[str, object]] = {
        "weights": "none",
        "optimizer": "sgd",
        "weight_decay": 0.0,
    }
    stage_defaults: ClassVar[Mapping[str, object]] = {"schedule": "constant"}
    one_output: ClassVar[bool] = True

    name: Literal["linear"] = "linear"

    def check_stages(self, sizes: Sequence[tuple[int, int]]) -> None:
        """It has one weight per pixel. Raises: ValueError: the sizes are several."""
        if len(set(sizes)) > 1:
            raise ValueError(
                'model = "linear" needs one image_size in all stages, got '
                f"{[list(size) for size in dict.fromkeys(sizes)]}; it has one weight per pixel"
            )

    def blank(self, about: "Preprocessing") -> "nn.Module":
        """The layer."""
        from foldwise.training.models.baselines import linear_of

        return linear_of(about.image_size, len(about.mode), about.n_outputs)

    def build(self, recipe: SizedRecipe, n_logits: int, channels: int) -> "nn.Module":
        """The layer, its weights drawn."""
        from foldwise.training.models.baselines import linear_of

        return linear_of(recipe.final_size, channels, n_logits)
