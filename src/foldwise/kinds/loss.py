"""Losses: what training minimises, and what each of them takes a model's outputs for."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from foldwise.kinds.family import Family, Kind

# softmax: logits of classes of which one is right. sigmoids: of labels, any number of them right.
# one_sigmoid: the logit of the second of two classes. scaled_sigmoids: logits of classes, each for
# itself; their sigmoids are divided by their sum. numbers: standardised numbers of a regression.
Outputs = Literal["softmax", "sigmoids", "one_sigmoid", "scaled_sigmoids", "numbers"]


class Loss(Kind):
    """A loss of logits.

    of_two, of_classes, of_labels, of_numbers: what the outputs are to it where one of two classes
    is right, one of several, any number of labels, and in a regression; None: it is not for these.
    takes_numbers: its formula for softmax takes class numbers int64 (n,) as they are, and
    `label_smoothing`, as torch's cross-entropy does.
    """

    of_two: ClassVar[Outputs | None] = "softmax"
    of_classes: ClassVar[Outputs | None] = "softmax"
    of_labels: ClassVar[Outputs | None] = "sigmoids"
    of_numbers: ClassVar[Outputs | None] = None
    takes_numbers: ClassVar[bool] = False

    def formula(self, outputs: Outputs) -> Callable[..., Any]:
        """The loss as a function (logits, targets, reduction) of tensors.

        logits: fp32 (n, outputs). targets: float of the same shape, from 0 to 1. reduction: "mean",
        "sum" or "none"; with "none" it gives (n,) or (n, outputs). For sigmoids it takes
        `pos_weight`, float32 (outputs,), too: how much a label counts where it is right.
        """
        raise NotImplementedError


LOSSES = Family(
    base=Loss,
    key="name",
    package="foldwise.training.fitting",
    known={
        "cross_entropy": "losses:CrossEntropy",
        "bce": "losses:BinaryCrossEntropy",
        "focal": "losses:Focal",
        "mae": "losses:MeanDistance",
        "mse": "squares:MeanSquare",
    },
    called="loss",
)
