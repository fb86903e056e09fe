"""What happens to gradients between the backward pass and the step: accumulated, then clipped."""

from fastai.callback.core import Callback, CancelBatchException
from fastai.callback.training import GradientClip

from foldwise.config.recipe import SettledRecipe


class Accumulate(Callback):
    """One step for the gradients of several batches: their mean, as of one batch of all images.

    The last step of an epoch takes the batches that are left. fastai's GradientAccumulation counts
    images instead, and carries what is left into the next epoch, or drops it.

    batches: how many make a step.
    """

    order = 9  # before Autocast, whose scaler unscales the gradients once per step
    run_valid = False

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def before_backward(self) -> None:
        """Divide the loss by the number of batches of its step."""
        self.learn.loss_grad = self.learn.loss_grad / self._group()[1]

    def before_step(self) -> None:
        """Go on to the next batch, gradients kept, unless this is the last one of its step."""
        first, size = self._group()
        if self.learn.iter + 1 < first + size:
            raise CancelBatchException

    def _group(self) -> tuple[int, int]:
        """The first batch of the current step, counted within the epoch, and how many it has."""
        first = self.learn.iter - self.learn.iter % self.batches
        return first, min(self.batches, self.learn.n_iter - first)


def gradients(recipe: SettledRecipe) -> list[Callback]:
    """The callbacks for a recipe's `accumulate` and `clip`, if it has them.

    fastai's GradientClip comes after Autocast, so it sees unscaled gradients, and only those that
    make a step.
    """
    accumulate = [Accumulate(recipe.accumulate)] if recipe.accumulate > 1 else []
    return accumulate + ([GradientClip(recipe.clip)] if recipe.clip else [])
