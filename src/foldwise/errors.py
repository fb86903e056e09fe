"""What the user can do wrong. Each error is one line: expected, received, one example, what to do.

These end a command with exit code 1 and no traceback; anything else is a bug and keeps its own.
"""

import signal
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from re import fullmatch
from types import FrameType
from unicodedata import normalize

LONG, LISTED = 200, 100  # characters of a value, and choices, that a message shows
SPACES = " \t\r\n\xa0\u200b\ufeff"  # also those that nobody sees


class FoldwiseError(Exception):
    """A mistake that the user can mend; the message says how.

    It stays as it was written: fastai puts the callback's name in front of an error's arguments.
    It is one line, whatever the names in it hold.
    """

    def __init__(self, message: str) -> None:
        message = " ".join(message.splitlines())
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
    """A signal stopped a training after it was saved: Ctrl-C's, or a cluster's SIGTERM."""

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number


class Terminated(KeyboardInterrupt):
    """SIGTERM stopped a command, as Ctrl-C does."""

    number = signal.SIGTERM


def terminate(number: int, frame: FrameType | None) -> None:
    """A command's handler of SIGTERM."""
    raise Terminated


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
    """The first few values for an error message: "'a', 'b', 'c', …", of long text the beginning."""
    listed = list(values)
    cut = (
        v if not isinstance(v, str) or len(v) <= LONG else v[:LONG] + "…" for v in listed[:count]
    )
    shown = ", ".join(repr(v) if isinstance(v, str) else str(v) for v in cut)
    return shown + (", …" if len(listed) > count else "")


def strays(**found: Sequence[object]) -> str:
    """What does not match, by what is wrong with it: "1 missing ('a'), 2 unknown ('x', 'y')"."""
    return ", ".join(
        f"{len(values)} {what.replace('_', ' ')} ({examples(values)})"
        for what, values in found.items()
        if len(values)
    )


def nearest(word: str, choices: Sequence[str]) -> str:
    """ "; did you mean 'x'?" for the choice nearest to word, else the list of choices.

    Where a choice looks the same, the cause is said instead; see `alike`.
    """
    cause = alike([word], choices)
    if cause:
        return cause
    close = get_close_matches(word, choices, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    more = ", …" if len(choices) > LISTED else ""
    return f"; there are: {', '.join(sorted(choices)[:LISTED]) or 'none'}{more}"


def alike(words: Iterable[str], choices: Iterable[str]) -> str:
    """Why unknown words are not among the choices although they look the same; "" if none does.

    A space around one, another Unicode form, or a number that a spreadsheet made of an id (1.0 for
    1, 1.2E+17, 7 for 007).
    """
    known = {_bare(choice): choice for choice in choices}
    for word in words:
        if fullmatch(r"\d(\.\d+)?E\+\d+", word):
            return (
                f"; {word!r} is a number that a spreadsheet has rounded: get the file again, "
                "and open it with ids as text"
            )
        other = known.get(_bare(word))
        if other is None or other == word:
            continue
        if normalize("NFC", other) == normalize("NFC", word):
            return (
                f"; {other!a} and {word!a} are the same text in two Unicode forms: "
                "write both in one (NFC)"
            )
        if other.strip(SPACES) == word.strip(SPACES):
            return f"; {other!r} and {word!r} differ by a space: remove it"
        return (
            f"; {other!r} and {word!r} may be one: a spreadsheet or pandas makes numbers of "
            "such text; get the file again, and keep it as text"
        )
    return ""


def _bare(word: str) -> str:
    """What is left of a word without all that `alike` tells of."""
    word = normalize("NFC", word).strip(SPACES)
    number = fullmatch(r"0*(\d+)(\.0*)?", word)
    return number[1] if number else word
