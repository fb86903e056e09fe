"""Fine-tuning: a network of timm's, with its weights or random ones, trained in stages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from foldwise.config.recipe import Recipe, SizedRecipe
from foldwise.kinds.method import IMAGES, NETWORK, STAGES
from foldwise.training.methods.base import Network

if TYPE_CHECKING:
    from torch import nn

    from foldwise.training.models.building import Preprocessing


class FineTune(Network):
    """Fine-tunes a network of timm's; its name alone will do: `model = "resnet50.tv_in1k"`."""

    keys: ClassVar[frozenset[str]] = IMAGES | STAGES | NETWORK
    defaults: ClassVar[Mapping[str, object]] = {}
    measured: ClassVar[bool] = True

    name: Literal["fine_tune"] = "fine_tune"
    # timm's name of the network, with its weights tag if wanted. Example: "resnet50.tv_in1k"
    backbone: Annotated[str, Field(min_length=1, max_length=300)]

    @property
    def word(self) -> str | None:
        """The backbone."""
        return self.backbone

    @property
    def timm_name(self) -> str:
        """The backbone."""
        return self.backbone

    def pretraining_size(self, recipe: Recipe) -> tuple[tuple[int, int], str]:
        """As the weights file or timm's config has them."""
        from foldwise.training.models.backbones import native_look

        return native_look(recipe)

    def check_images(self, recipe: SizedRecipe) -> None:
        """By the network itself, without values."""
        from foldwise.training.models.backbones import weights_size
        from foldwise.training.models.sizes import check_sizes

        check_sizes(recipe, weights_size(recipe))

    def need(self, recipe: SizedRecipe) -> None:
        """Its weights, sizes that it takes, a drop path and a head where they are asked for."""
        from foldwise.training.fitting.streams import seed_block
        from foldwise.training.models.backbones import weights_file

        weights_file(recipe)
        self.check_images(recipe)
        if recipe.drop_path or recipe.head == "fastai":
            with seed_block(0, "drop path"):  # only the model itself tells
                self.build(recipe.model_copy(update={"weights": "none"}), 2, 3)

    def statistics(
        self, recipe: Recipe, channels: int
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Those of its weights, of as many channels as these have."""
        from foldwise.training.models.backbones import statistics

        return statistics(recipe)

    def blank(self, about: "Preprocessing") -> "nn.Module":
        """timm's network."""
        from foldwise.training.models.backbones import blank_backbone

        return blank_backbone(about)

    def build(self, recipe: SizedRecipe, n_logits: int, channels: int) -> "nn.Module":
        """timm's network."""
        from foldwise.training.models.backbones import build_backbone

        return build_backbone(recipe, n_logits, channels)
