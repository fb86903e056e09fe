"""Pseudo: which test predictions a recipe takes for labels, and how much they count."""

from pydantic import Field

from foldwise.kinds.bounds import Inside, Name
from foldwise.kinds.settings import Strict


class Pseudo(Strict):
    """Pseudo-labels: test rows, labelled by another run's same fold, join the training part."""

    # The teacher: the name of a run, or of a recipe, whose run of the same seed counts. Example:
    # "baseline"
    run: Name
    # The probability of its class from which on a test row is taken; with many labels the
    # certainty, p or 1 - p, of every one of them. Example: 0.99
    confidence: Inside = 0.95
    # The largest share of the training part that pseudo-labelled rows add; the surest come first.
    # Example: 0.3
    share: Inside = 0.5
    # How much such a row counts in the loss. Example: 0.25
    weight: float = Field(default=0.5, gt=0, le=1)
    # Whether training takes the probabilities instead of the most probable class. Example: true
    soft: bool = False


def check_pseudo(pseudo: Pseudo | None, recipe: str) -> None:
    """Refuse what cannot be. Raises: ValueError: a recipe teaches itself."""
    if pseudo is not None and pseudo.run == recipe:
        raise ValueError(
            f"pseudo.run must name another recipe, or a run that is trained already, got "
            f"{pseudo.run!r}, which is this recipe itself"
        )
