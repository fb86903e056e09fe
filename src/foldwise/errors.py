"""What the user can do wrong. Each error is one line: expected, received, one example, what to do.

These end a command with exit code 1 and no traceback; anything else is a bug and keeps its own.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class FoldwiseError(Exception):
    """A mistake that the user can mend; the message says how.

    It stays as it was written: fastai puts the callback's name in front of an error's arguments.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class SpecError(FoldwiseError):
    """competition.toml, a recipe or an adapter says something that cannot be."""


class DataError(FoldwiseError):
    """A raw file is missing, or is not what the competition promises."""


class LabelError(DataError):
    """Ids and labels do not fit together."""


class ImageError(DataError):
    """An image is missing, unreadable or of an unexpected kind."""


class ArchiveError(DataError):
    """An archive is damaged or would write outside its folder."""


class StorageError(FoldwiseError):
    """The disk is full or fails, a file may not be used, or another process holds the lock."""


class FoldError(FoldwiseError):
    """The folds cannot be made, or are not those that something was made with."""


class WeightsError(FoldwiseError):
    """Pretrained weights cannot be had, or do not fit the model."""


class RunError(FoldwiseError):
    """A run directory is not what the command needs."""


class Interrupted(FoldwiseError):
    """Ctrl-C stopped a training after it was saved."""


class PredictionError(FoldwiseError):
    """A predictions frame misses rows or holds numbers that are no probabilities."""


class SubmissionError(FoldwiseError):
    """A submission file breaks the platform's rules."""


class PlatformError(FoldwiseError):
    """The platform refused, or could not be asked."""


class UnreachedError(PlatformError):
    """The platform could not be asked: nobody answered, its server failed, or it is too busy."""


class UnclearError(PlatformError):
    """Nobody knows whether the platform has taken a submission."""


def examples(values: Iterable[object], count: int = 3) -> str:
    """The first few values for an error message: "'a', 'b', 'c', …"."""
    listed = list(values)
    shown = ", ".join(repr(v) if isinstance(v, str) else str(v) for v in listed[:count])
    return shown + (", …" if len(listed) > count else "")


def nearest(word: str, choices: Sequence[str]) -> str:
    """ "; did you mean 'x'?" for the choice nearest to word, else the list of choices."""
    close = get_close_matches(word, choices, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(sorted(choices)) or 'none'}"
