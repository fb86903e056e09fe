"""The shares of the classes, to compare others with."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from foldwise.kinds.events import FoldStarted, Observer
from foldwise.training.methods.base import Fitted, Predictor, TrainingMethod

if TYPE_CHECKING:
    from torch import nn

    from foldwise.training.fitting.fold import FoldInputs
    from foldwise.training.models.building import Preprocessing


class ClassPrior(TrainingMethod):
    """A baseline: predicts the class shares of the training part, without looking at images."""

    keys: ClassVar[frozenset[str]] = frozenset()
    defaults: ClassVar[Mapping[str, object]] = {"weights": "none", "image_size": 8}
    sees_images: ClassVar[bool] = False

    name: Literal["prior"] = "prior"

    def blank(self, about: "Preprocessing") -> "nn.Module":
        """Shares of one."""
        import torch

        from foldwise.training.models.baselines import Prior

        return Prior(torch.ones(len(about.classes), dtype=torch.float64), not about.one_class)

    def fit(self, inputs: "FoldInputs", about: "Preprocessing", observe: Observer) -> Fitted:
        """Count the rows of the other folds."""
        from foldwise.training.models.baselines import prior_of

        observe(
            FoldStarted(run=inputs.run, fold=inputs.fold, folds=inputs.folds.n, epochs=0, batches=0)
        )
        prior = prior_of(inputs.train, inputs.folds, inputs.fold)
        return Fitted(model=prior, predictor=prior)

    def predictor(self, model: "nn.Module", about: "Preprocessing") -> Predictor:
        """The shares themselves."""
        from foldwise.training.models.baselines import Prior

        assert isinstance(model, Prior)
        return model
