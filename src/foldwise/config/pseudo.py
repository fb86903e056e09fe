"""Pseudo: which test predictions a recipe takes for labels, and how much they count."""

from pydantic import Field

from foldwise.kinds.bounds import Inside, Name
from foldwise.kinds.settings import Strict


class Pseudo(Strict):
    """Test rows that join each fold's training part, labelled by a run's model of the same fold."""

    run: Name  # the teacher: a run's name, or a recipe's, whose run of the same seed counts
    # a row is taken from this probability of its class on; with many labels from this certainty,
    # p or 1 - p, of every one of them
    confidence: Inside = 0.95
    share: Inside = 0.5  # of the training part, at most; the surest first
    weight: float = Field(default=0.5, gt=0, le=1)  # of such a row in the loss
    soft: bool = False  # train on the probabilities instead of the most probable class


def check_pseudo(pseudo: Pseudo | None, recipe: str) -> None:
    """Refuse what cannot be. Raises: ValueError: a recipe teaches itself."""
    if pseudo is not None and pseudo.run == recipe:
        raise ValueError(
            f"pseudo.run must name another recipe, or a run that is trained already, got "
            f"{pseudo.run!r}, which is this recipe itself"
        )
