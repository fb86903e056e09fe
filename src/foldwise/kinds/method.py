"""Methods: how a fold's model comes from its training part. A recipe's `model` decides it.

A word that is no method's name is a model of timm's, which is fine-tuned.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Unpack

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from foldwise.kinds.bounds import short
from foldwise.kinds.family import Context, DumpOptions, Family, Kind

# The keys of a recipe that every method has: what a run is, and what a machine does for it.
EVERY = frozenset(
    {
        *("name", "model", "image_size", "seeds", "budget", "cpus", "gpus", "memory"),
        *("batch_size", "precision", "compile", "deterministic"),
    }
)
IMAGES = frozenset({"presize", "resize", "interpolation", "tta", "tta_shift"})  # it sees some
NETWORK = frozenset({"weights", "head", "drop_rate", "drop_path"})  # of timm's networks
# of what is trained in stages, by gradients
STAGES = frozenset(
    {
        *("stage", "optimizer", "momentum", "weight_decay", "clip", "accumulate"),
        *("loss", "class_weights", "sampling", "ordinal", "label_smoothing", "pseudo"),
        *("augment", "mixup", "cutmix", "ema", "swa", "early_stop"),
    }
)


class Method(Kind):
    """How a fold's model comes from its training part; see `training.methods.base`.

    keys: those of a recipe that it takes beside EVERY; what else a recipe says is refused.
    defaults, stage_defaults: what keys are where a recipe, or one of its stages, is silent, if that
    is not the recipe's usual. sees_images: whether it takes image caches. one_output: whether two
    classes have one output, whatever the loss.
    """

    keys: ClassVar[frozenset[str]] = IMAGES
    defaults: ClassVar[Mapping[str, object]] = {"weights": "none"}
    stage_defaults: ClassVar[Mapping[str, object]] = {}
    sees_images: ClassVar[bool] = True
    one_output: ClassVar[bool] = False

    name: str

    def __str__(self) -> str:
        """The word that a recipe has for it."""
        return self.word or self.name

    @property
    def word(self) -> str | None:
        """The word that stands for it with all its settings; None where that takes a table."""
        own = self.model_dump(exclude={"name"}, exclude_defaults=True)
        return None if own or self.name not in METHODS.known else self.name

    @property
    def timm_name(self) -> str:
        """timm's name, with a weights tag or not, of the network that it begins with; or empty."""
        return ""

    def complete(self, table: Mapping[str, object]) -> dict[str, object]:
        """A recipe's table with the method's own defaults where it is silent."""
        made = {**self.defaults, **table}
        stages = made.get("stage")
        if self.stage_defaults and isinstance(stages, list | tuple):
            made["stage"] = [
                {**self.stage_defaults, **stage} if isinstance(stage, Mapping) else stage
                for stage in stages
            ]
        return made

    def check_keys(self, settings: Mapping[str, object], usual: Mapping[str, object]) -> None:
        """Refuse what would do nothing.

        settings: a recipe's by their keys. usual: their defaults, which are as good as silence.
        Raises: ValueError: the method takes no such key, or it needs stages and there are none.
        """
        taken = EVERY | self.keys
        others = (IMAGES | NETWORK | STAGES) - taken
        silent = {**usual, **self.defaults}
        wrong = [k for k, v in settings.items() if k in others and v != silent.get(k)]
        if wrong:
            raise ValueError(
                f'model = "{self}" takes no {" and no ".join(wrong)}, but '
                f"{', '.join(sorted(taken - {'name'}))}; remove what it does not take, or name a "
                "model of timm's, as resnet34"
            )
        if "stage" in self.keys and not settings["stage"]:
            raise ValueError(
                "stage must be a list of at least one stage, got none; write [[stage]]"
            )

    def check_stages(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Check the image sizes (height, width) of all stages. Raises: ValueError: they do not do
        together."""


class Methods(Family[Method]):
    """The family: a word that it does not know is a model that is fine-tuned.

    A competition's own, in its adapter.py, is named in a table: `model = {name = "mean"}`.
    """

    def parse(self, value: object, context: Context | None = None) -> Method:
        """A method from a word, a table, or a method. Raises: ValueError: as `Family.parse`."""
        if not isinstance(value, str | Mapping | Method) or value == "":
            raise ValueError(f'should name a model, e.g. "resnet34", got {short(value)}')
        if isinstance(value, str) and value not in self.known:
            value = {"name": "fine_tune", "backbone": value}
        return super().parse(value, context)

    def dump(self, kind: Method, **options: Unpack[DumpOptions]) -> object:
        """A method as plain values: a word where that says it all. options: of `model_dump`."""
        return kind.word or super().dump(kind, **options)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, *self.tables(handler)]}


METHODS = Methods(
    base=Method,
    key="name",
    package="foldwise.training.methods",
    known={
        "prior": "prior:ClassPrior",
        "linear": "linear:LinearLayer",
        "fine_tune": "fine_tune:FineTune",
    },
    called="method",
)
