"""The chain: a blend and the steps after it, with all that was fitted, applied and written down."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated

from foldwise.arrays import Array, RowIndex
from foldwise.ensembling.methods import blend_rows
from foldwise.kinds.blending import BLENDINGS, Blending, Stack
from foldwise.kinds.settings import Strict
from foldwise.kinds.step import STEPS, Step
from foldwise.tasks import Task


class Chain(Strict):
    """A blend and the steps after it.

    fitted: what the method has fitted. temperatures: the members' own; None where they have none.
    """

    method: Annotated[Blending, BLENDINGS]
    fitted: dict[str, object]
    temperatures: tuple[float, ...] | None
    steps: tuple[Annotated[Step, STEPS], ...]

    def with_steps(self, steps: Iterable[Step] = ()) -> "Chain":
        """The same blend with other steps after it; by default with none."""
        return self.model_copy(update={"steps": tuple(steps)})


def apply_chain(chain: Chain, stack: Stack, rows: RowIndex) -> Array:
    """A chain's predictions of some rows, (rows, C).

    The rows should be predicted by one model per member, as those of a fold are.
    """
    stack = replace(stack, temperatures=chain.temperatures)
    probs = blend_rows(chain.method, chain.fitted, stack, rows)
    return apply_steps(chain.steps, probs, stack.task)


def apply_steps(steps: Sequence[Step], probs: Array, task: Task) -> Array:
    """What a chain's steps make of its blend (rows, C)."""
    for step in steps:
        probs = step.apply(probs, task)
    return probs


def as_record(chain: Chain) -> dict[str, object]:
    """A chain as plain values: its method by name, or as a table where it has settings."""
    name = BLENDINGS.name_of(chain.method)
    settings = chain.method.model_dump(mode="json", exclude_defaults=True)
    return {
        "method": {BLENDINGS.key: name, **settings} if settings else name,
        "fitted": chain.fitted,
        "temperatures": None if chain.temperatures is None else [*chain.temperatures],
        "steps": [STEPS.dump(step, mode="json", exclude_unset=True) for step in chain.steps],
    }
