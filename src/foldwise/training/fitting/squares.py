"""The loss of a regression."""

from typing import TYPE_CHECKING, ClassVar, Literal

from foldwise.kinds.loss import Loss, Outputs

if TYPE_CHECKING:
    from foldwise.training.fitting.formulas import Formula


class MeanSquare(Loss):
    """The mean squared error of standardised numbers."""

    of_two: ClassVar[Outputs | None] = None
    of_classes: ClassVar[Outputs | None] = None
    of_labels: ClassVar[Outputs | None] = None
    of_numbers: ClassVar[Outputs | None] = "numbers"

    name: Literal["mse"] = "mse"

    def formula(self, outputs: Outputs) -> "Formula":
        """torch's."""
        from torch.nn import functional

        return functional.mse_loss
