"""Bounds of settings: numbers, text and paths that no sensible file exceeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

Count = Annotated[int, Field(ge=1, le=10_000)]  # epochs, cycles, batches, ranks
CountOrNone = Annotated[int, Field(ge=0, le=10_000)]  # likewise; 0: none
Amount = Annotated[float, Field(gt=0, le=1e6)]
AmountOrNone = Annotated[float, Field(ge=0, le=1e6)]  # 0: none
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(ge=0, lt=1)]  # a share that leaves something
Inside = Annotated[float, Field(gt=0, lt=1)]
Divisor = Annotated[float, Field(ge=1, le=1e12)]
BatchSize = Annotated[int, Field(ge=2, le=1_000_000)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]

EPOCHS = 10_000  # of a stage
DEPTH, ITEMS, TEXT, WHOLE = 12, 100_000, 10_000, 2**63  # of a TOML file
Tables = Mapping[str, object] | list[object]  # what holds values in a TOML file
DEEP = f"tables and lists should be nested at most {DEPTH} deep, got more"
PART, PATH, NAME = 255, 1_000, 200  # bytes of a path's parts, of a path; of our own names


def trouble(tables: Mapping[str, object]) -> str | None:
    """What no TOML file of ours needs: depth, items, text, whole numbers beyond all bounds.

    None where there is none. Nothing is called again for what lies inside, so any depth will do.
    """
    level: list[Tables] = [tables]
    items = 0
    for _ in range(DEPTH):
        inner: list[Tables] = []
        for value in level:
            parts = [*value, *value.values()] if isinstance(value, Mapping) else [*value]
            if wrong := next(filter(None, map(_trouble_of, parts)), None):
                return wrong
            items += len(parts)
            inner += [part for part in parts if isinstance(part, Mapping | list)]
        if items > ITEMS:
            return f"there should be at most {ITEMS} values, got more"
        level = inner
    return DEEP if level else None


def _trouble_of(part: object) -> str | None:
    """What is wrong with a single value, which may hold others; None: nothing."""
    if isinstance(part, str) and len(part) > TEXT:
        return f"text should have at most {TEXT} characters, got {len(part)}"
    if isinstance(part, str) and "\0" in part:
        return f"text should hold no NUL character, got {short(part)}"
    if isinstance(part, int) and abs(part) >= WHOLE:
        return "whole numbers should have at most 18 digits, got a longer one"
    return None


def short(value: object, most: int = 80) -> str:
    """A value as it is written in Python, for a message: of long text the beginning."""
    if isinstance(value, str):
        return repr(value if len(value) <= most else value[:most] + "…")
    return shorten(repr(value), most)


def shorten(text: str, most: int = 200) -> str:
    """Text as one line for a message, cut after so many characters."""
    shown = text if text.isprintable() else repr(text[: most + 1])[1:-1]
    return shown if len(shown) <= most else shown[:most] + "…"


def inside(value: str | None, what: str) -> str | None:
    """The path itself, for validators.

    Raises: ValueError: it leaves its folder, or is longer than a file system takes.
    """
    if value is None:
        return None
    if Path(value).is_absolute() or ".." in Path(value).parts:
        raise ValueError(f"{short(value)} must be a path inside {what}")
    if too_long(value):
        raise ValueError(f"{short(value)} is longer than a path can be; shorten it")
    return value


def too_long(path: str) -> bool:
    """True where no file system takes the path."""
    whole = path.encode(errors="surrogateescape")
    return len(whole) > PATH or any(len(part) > PART for part in whole.split(b"/"))


def _check_name(value: str) -> str:
    if not value or "/" in value or len(value.encode()) > NAME:
        raise ValueError(
            f"a name should have 1 to {NAME} bytes and no /, as a folder has, got {short(value)}"
        )
    return value


def _anywhere(value: str) -> str:
    try:
        Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"{short(value)} begins with a user who has no home here") from None
    if too_long(value):
        raise ValueError(f"{short(value)} is longer than a path can be; shorten it")
    return value


Name = Annotated[str, AfterValidator(_check_name)]  # of a folder, or a part of its name
Anywhere = Annotated[str, AfterValidator(_anywhere)]  # a path on this machine
