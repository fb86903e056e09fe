"""foldwise's own losses."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from foldwise.kinds.bounds import AmountOrNone
from foldwise.kinds.loss import Loss, Outputs

if TYPE_CHECKING:
    from foldwise.training.fitting.formulas import Formula


class CrossEntropy(Loss):
    """Cross-entropy: the negative log probability of the true class."""

    of_labels: ClassVar[Outputs | None] = None
    takes_numbers: ClassVar[bool] = True

    name: Literal["cross_entropy"] = "cross_entropy"

    def formula(self, outputs: Outputs) -> "Formula":
        """torch's."""
        from torch.nn import functional

        if outputs == "softmax":
            return functional.cross_entropy
        return functional.binary_cross_entropy_with_logits


class BinaryCrossEntropy(Loss):
    """Binary cross-entropy of each class by itself; two classes share one output."""

    of_two: ClassVar[Outputs | None] = "one_sigmoid"
    of_classes: ClassVar[Outputs | None] = "scaled_sigmoids"

    name: Literal["bce"] = "bce"

    def formula(self, outputs: Outputs) -> "Formula":
        """torch's."""
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits


class Focal(Loss):
    """Focal loss: cross-entropy in which rows count less the surer the model is of them."""

    name: Literal["focal"] = "focal"
    # How strongly rows of which the model is sure are discounted; 0 is cross-entropy. Example: 1.5
    gamma: AmountOrNone = 2.0

    def formula(self, outputs: Outputs) -> "Formula":
        """See `class_focal` and `label_focal`."""
        from foldwise.training.fitting.formulas import class_focal, label_focal

        return partial(class_focal if outputs == "softmax" else label_focal, gamma=self.gamma)


class MeanDistance(Loss):
    """The mean absolute distance of the true class's probability from 1, robust to wrong labels."""

    of_two: ClassVar[Outputs | None] = "one_sigmoid"
    of_labels: ClassVar[Outputs | None] = None

    name: Literal["mae"] = "mae"

    def formula(self, outputs: Outputs) -> "Formula":
        """See `class_distance` and `label_distance`."""
        from foldwise.training.fitting.formulas import class_distance, label_distance

        return class_distance if outputs == "softmax" else label_distance
