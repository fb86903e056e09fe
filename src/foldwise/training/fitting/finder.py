"""The learning-rate finder: fastai's, on a fold's real batches in the recipe's precision."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import gettempdir

from fastai.callback.core import Callback
from fastai.callback.schedule import minimum, steep, valley
from fastai.learner import Learner

from foldwise.errors import RunError
from foldwise.store.files import need_space, scratch
from foldwise.store.run_records import RateSearch

SUGGESTIONS = {
    "valley": valley,
    "steep": steep,
    "minimum/10": minimum,
}  # fastai's minimum divides by 10


def find_rate(
    learner: Learner, own: Sequence[Callback], aside: Sequence[Callback] = ()
) -> RateSearch:
    """What fastai's lr_find suggests for a learner's next stage; its weights stay as they are.

    own: the stage's own callbacks, but its schedule. aside: those that should not see this mock
    training.
    Suggestions are by the name of each of METHODS; the curve has the rate of each batch and the
    smoothed training loss after it. Rates grow from 1e-7 to 10 over at
    most 100 batches; it ends early where the loss is four times its least.

    Raises: RunError: too few batches had a finite loss.
    """
    path = learner.path, learner.model_dir
    with (
        scratch(Path(gettempdir()), "foldwise-lr") as folder,
        learner.removed_cbs(list(aside)),
        learner.added_cbs(list(own)),
    ):
        state = learner.model.state_dict()
        need_space(folder, sum(value.nbytes for value in state.values()), "searching a rate")
        learner.path, learner.model_dir = folder, "."  # the weights are kept here meanwhile
        try:
            found = learner.lr_find(show_plot=False, suggest_funcs=tuple(SUGGESTIONS.values()))
        except (IndexError, ValueError, RuntimeError) as error:
            raise RunError(
                f"the learning-rate finder found nothing ({error}): too few batches had a finite "
                "loss; set lr"
            ) from error
        finally:
            learner.path, learner.model_dir = path
    suggestions = {name: float(rate) for name, rate in zip(SUGGESTIONS, found, strict=True)}
    return RateSearch(
        suggestions=suggestions,
        rates=tuple(float(rate) for rate in learner.recorder.lrs),
        losses=tuple(float(loss) for loss in learner.recorder.losses),
    )


def rate_found(path: Path | None, method: str, find: Callable[[], RateSearch]) -> float:
    """The rate that a method suggests: read from the file if it is there, else found and written.

    So a run that goes on, or is repeated, trains at the same rate.
    """
    found = RateSearch.read_if_there(path) if path is not None else None
    if found is None:
        found = find()
        if path is not None:
            found.write(path)
    return found.suggestions[method]
