"""Stage: some epochs of a recipe at one image size, learning rate and schedule."""

from typing import Literal

from pydantic import model_validator

from foldwise.kinds.bounds import (
    EPOCHS,
    Amount,
    AmountOrNone,
    BatchSize,
    Count,
    Divisor,
    Inside,
)
from foldwise.kinds.settings import Strict

Size = int | tuple[int, int]

START = {"one_cycle": 0.25, "flat_cos": 0.75}  # fastai's pct_start


class Stage(Strict):
    """Some epochs of training; what is not said here is as in the recipe."""

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
    schedule: Literal["one_cycle", "flat_cos", "constant", "sgdr"] = "one_cycle"
    # one_cycle: share of the steps in which the rate rises (0.25); flat_cos: until it falls (0.75)
    pct_start: Inside | None = None
    div: Divisor = 25.0  # one_cycle begins at lr/div
    div_final: Divisor = 1e5  # one_cycle and flat_cos end at lr/div_final
    cycles: Count | None = None  # of sgdr
    cycle_length: Count = 1  # epochs of the first one
    cycle_mult: Count = 1  # each is so many times as long as the one before
    warmup: AmountOrNone = 0.0  # epochs in which the rate first rises in a line

    @model_validator(mode="after")
    def _consistent(self) -> "Stage":
        if self.schedule == "sgdr":
            if self.cycles is None:
                raise ValueError('schedule = "sgdr" needs cycles, e.g. cycles = 3')
            if self._cycles_end() > EPOCHS:
                raise ValueError(
                    f"a stage should have at most {EPOCHS} epochs, sgdr's cycles take "
                    "more; give it fewer cycles, or a smaller cycle_mult"
                )
            if self.epochs not in (None, sum(self.cycle_epochs)):
                raise ValueError(
                    f"sgdr's cycles take {sum(self.cycle_epochs)} epochs, got epochs = "
                    f"{self.epochs}; leave it out"
                )
        elif self.epochs is None:
            raise ValueError("a stage needs epochs, e.g. epochs = 5")
        elif self.cycles is not None:
            raise ValueError(f'cycles are for schedule = "sgdr", got "{self.schedule}"')
        if isinstance(self.lr, tuple) and self.lr[0] > self.lr[1]:
            raise ValueError(f"lr must be [low, high] with low <= high, got {list(self.lr)}")
        if self.warmup and self.schedule in ("one_cycle", "sgdr"):
            raise ValueError(
                f"warmup is for constant and flat_cos, got {self.schedule}; one_cycle rises by "
                "itself (pct_start, div)"
            )
        if self.warmup >= self.length:
            raise ValueError(f"warmup must be shorter than the stage, got {self.warmup} epochs")
        return self

    def _cycles_end(self) -> int:
        """The epochs of all cycles, or a number above EPOCHS: no sum has more digits than that."""
        end, cycle = 0, self.cycle_length
        for _ in range(self.cycles or 0):
            end, cycle = end + cycle, cycle * self.cycle_mult
            if end > EPOCHS:
                break
        return end

    @property
    def length(self) -> int:
        """The number of epochs."""
        return sum(self.cycle_epochs) if self.epochs is None else self.epochs

    @property
    def cycle_epochs(self) -> tuple[int, ...]:
        """The epochs of each of sgdr's cycles: 1, 2, 4 for 3 cycles of length 1, multiplier 2."""
        return tuple(
            self.cycle_length * self.cycle_mult**number for number in range(self.cycles or 0)
        )

    @property
    def start(self) -> float:
        """pct_start, by default fastai's for the schedule."""
        return START.get(self.schedule, 0.0) if self.pct_start is None else self.pct_start

    def short(self) -> "Stage":
        """The stage with one epoch."""
        if self.schedule == "sgdr":
            return self.model_copy(update={"epochs": None, "cycles": 1, "cycle_length": 1})
        return self.model_copy(update={"epochs": 1, "warmup": min(self.warmup, 0.5)})
