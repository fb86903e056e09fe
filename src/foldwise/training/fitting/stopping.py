"""Early stop: the end of a training whose validation loss no longer falls; only on request."""

import logging
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate

from fastai.callback.core import Callback, CancelFitException

log = logging.getLogger(__name__)


class EarlyStop(Callback):
    """Ends a training, later stages included, and says so; the weights are those of its last epoch.

    Images that decide when to stop are no longer out of fold in the full sense, and the score of
    their predictions is somewhat too good: hence the warning, and `stopped` for the fold's record.

    patience: epochs of a stage without a better validation loss. Each stage begins anew: losses at
    another image size, or before the body trains, are no measure. epochs: of each stage. what: the
    run and fold, for the warning.
    """

    order = 66  # after the Recorder, and after the epoch is reported

    def __init__(self, patience: int, epochs: Sequence[int], what: str) -> None:
        self.patience, self.what = patience, what
        *self.starts, self.total = accumulate(epochs, initial=0)
        self.done, self.waited, self.best = 0, 0, math.inf
        self.stopped: int | None = None  # the epoch after which training ended, from 1

    def before_epoch(self) -> None:
        """End the fit, where training is over."""
        if self.stopped is not None:
            raise CancelFitException

    def after_epoch(self) -> None:
        """Compare the epoch's validation loss with the best one of its stage."""
        if self.done in self.starts:
            self.waited, self.best = 0, math.inf
        self.done += 1
        loss = float(self.learn.recorder.log[2])
        better = loss < self.best  # never where it is NaN
        self.waited, self.best = (0, loss) if better else (self.waited + 1, self.best)
        if self.waited >= self.patience and self.done < self.total:
            self.stopped = self.done
            log.warning(
                "%s: stopped early after epoch %d of %d, %d without a better validation loss; "
                "the images it validates on decided that, so their score is somewhat too good: "
                "for one without that, set early_stop = 0 and the epochs yourself",
                self.what,
                self.done,
                self.total,
                self.waited,
            )

    def state_dict(self) -> dict[str, object]:
        """What to save between two epochs, as plain numbers."""
        return {key: getattr(self, key) for key in ("done", "waited", "best", "stopped")}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a saved state."""
        for key, value in state.items():
            setattr(self, key, value)
