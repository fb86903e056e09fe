"""Stage: some epochs of a recipe at one image size, learning rate and schedule."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from foldwise.kinds.bounds import Amount, AmountOrNone, BatchSize, Count
from foldwise.kinds.schedule import SCHEDULES, Schedule
from foldwise.kinds.settings import Strict

Size = int | tuple[int, int]


class Stage(Strict):
    """Some epochs of training; what is not said here is as in the recipe."""

    moved: ClassVar[Mapping[str, str]] = {
        "pct_start": 'write schedule = {name = "one_cycle", pct_start = 0.25}',
        "div": 'write schedule = {name = "one_cycle", div = 25}',
        "div_final": 'write schedule = {name = "one_cycle", div_final = 1e5}',
        "cycles": 'write schedule = {name = "sgdr", cycles = 3}',
        "cycle_length": 'write schedule = {name = "sgdr", cycles = 3, cycle_length = 1}',
        "cycle_mult": 'write schedule = {name = "sgdr", cycles = 3, cycle_mult = 2}',
        "warmup": 'write schedule = {name = "constant", warmup = 1}',
    }

    epochs: Count | None = None  # with sgdr its cycles say how many
    # the highest rate of the schedule: one for all layer groups; [low, high] from the first group
    # to the last; or what the learning-rate finder suggests before the stage begins
    lr: Amount | tuple[Amount, Amount] | Literal["find"]
    find: Literal["valley", "steep", "minimum/10"] = "valley"  # which of its suggestions
    spread: Literal["even", "head"] = "even"  # [low, high]: in equal ratios; head: low but there
    groups: Literal["fastai", "stage", "block"] = "fastai"  # of layers: 3, timm's coarse or fine
    train: Literal["all", "head"] | Count = "all"  # or the last n groups
    norm: Literal["train", "frozen"] = "train"  # BatchNorm in frozen groups; train: as fastai
    image_size: Size | None = None  # pixels; [height, width]
    # pixels kept in the cache for this stage; None: the recipe's presize in the proportion of this
    # stage's image_size to the recipe's, so that every stage has the same room to zoom
    presize: Size | None = None
    batch_size: BatchSize | None = None
    weight_decay: AmountOrNone | None = None
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
