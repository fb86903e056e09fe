"""Stage: some epochs of a recipe at one image size, learning rate and schedule."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from foldwise.kinds.bounds import Amount, AmountOrNone, BatchSize, Count
from foldwise.kinds.schedule import SCHEDULES, Schedule
from foldwise.kinds.settings import Strict

Size = int | tuple[int, int]


class Stage(Strict):
    """Some epochs of training; a key that is missing here is as in the recipe."""

    moved: ClassVar[Mapping[str, str]] = {
        "pct_start": 'write schedule = {name = "one_cycle", pct_start = 0.25}',
        "div": 'write schedule = {name = "one_cycle", div = 25}',
        "div_final": 'write schedule = {name = "one_cycle", div_final = 1e5}',
        "cycles": 'write schedule = {name = "sgdr", cycles = 3}',
        "cycle_length": 'write schedule = {name = "sgdr", cycles = 3, cycle_length = 1}',
        "cycle_mult": 'write schedule = {name = "sgdr", cycles = 3, cycle_mult = 2}',
        "warmup": 'write schedule = {name = "constant", warmup = 1}',
    }

    # The number of epochs; with the schedule `sgdr` its cycles decide it. Example: 5
    epochs: Count | None = None
    # The highest learning rate of the schedule: one for all layer groups; [low, high] from the
    # first group to the last; or `"find"`, what the learning-rate finder suggests before the stage
    # begins. Example: [1e-5, 1e-3]
    lr: Amount | tuple[Amount, Amount] | Literal["find"]
    # Which of the finder's suggestions counts. Example: "steep"
    find: Literal["valley", "steep", "minimum/10"] = "valley"
    # How [low, high] spreads over the layer groups: in equal ratios, or low for all but the head.
    # Example: "head"
    spread: Literal["even", "head"] = "even"
    # The layer groups: fastai's three, or timm's coarse (`stage`) or fine (`block`) ones. Example:
    # "stage"
    groups: Literal["fastai", "stage", "block"] = "fastai"
    # What is trained: everything, the head, or the last so many layer groups. Example: "head"
    train: Literal["all", "head"] | Count = "all"
    # BatchNorm in groups that are not trained: trained all the same, as fastai does, or left alone.
    # Example: "frozen"
    norm: Literal["train", "frozen"] = "train"
    # The side of the images that the model sees, in pixels, or [height, width]; by default the
    # recipe's. Example: 128
    image_size: Size | None = None
    # The side of the images in the cache, in pixels, or [height, width]; by default the recipe's in
    # the proportion of the two `image_size`, so that every stage has the same room to zoom.
    # Example: 160
    presize: Size | None = None
    batch_size: BatchSize | None = None  # Images in a batch; by default the recipe's. Example: 32
    # The weight decay; by default the recipe's. Example: 0.1
    weight_decay: AmountOrNone | None = None
    # How the learning rate changes: a schedule. Example: "flat_cos"
    schedule: Annotated[Schedule, SCHEDULES] = Field(
        default_factory=lambda: SCHEDULES.parse("one_cycle")
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Stage":
        self.schedule.length(self.epochs)
        if isinstance(self.lr, tuple) and self.lr[0] > self.lr[1]:
            raise ValueError(f"lr must be [low, high] with low <= high, got {list(self.lr)}")
        return self

    @property
    def length(self) -> int:
        """The number of epochs."""
        return self.schedule.length(self.epochs)

    def with_epochs(self, epochs: int) -> "Stage":
        """The stage with another number of epochs, one of its schedule's `lengths`."""
        schedule = self.schedule.stretch(self.length, epochs)
        return self.model_copy(update={"epochs": epochs, "schedule": schedule})

    def short(self) -> "Stage":
        """The stage with one epoch."""
        return self.model_copy(update={"epochs": 1, "schedule": self.schedule.short()})
