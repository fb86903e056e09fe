"""TOML files read into frozen pydantic models, with one clear line for what is wrong."""

import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from foldwise.errors import SpecError
from foldwise.kinds.bounds import DEEP, DEPTH, short, shorten, trouble
from foldwise.kinds.family import Context
from foldwise.kinds.settings import Strict, mistakes

LARGEST = 1_000_000  # bytes of a TOML file


Model = TypeVar("Model", bound=Strict)


def read_toml(path: Path) -> dict[str, object]:
    """The tables of a TOML file; a byte order mark before them is left out.

    Raises: SpecError: the file is missing, is no TOML, or holds more than any such file needs.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise SpecError(
                f"{path} should have at most {LARGEST} bytes, got "
                f"{path.stat().st_size}; is it the right file?"
            )
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SpecError(f"expected a file {path}, found none") from None
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{path} should be UTF-8 text, as all TOML is, but byte {error.start} "
            f"(0x{error.object[error.start]:02x}) is not; save it as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:  # int() has a limit of digits
        raise SpecError(f"{path} is not valid TOML: {shorten(_toml_trouble(error))}") from error
    wrong = trouble(table)
    if wrong:
        raise SpecError(f"{path}: {wrong}; correct it")
    return table


def _toml_trouble(error: Exception) -> str:
    """What is wrong with TOML; where tomllib has no words for it, in ours."""
    if isinstance(error, tomllib.TOMLDecodeError):
        return str(error)
    deep = isinstance(error, RecursionError)
    return "nested too deep" if deep else "a whole number should have at most 18 digits"


def with_overrides(table: Mapping[str, object], overrides: Sequence[str]) -> dict[str, object]:
    """A copy of table with `key=value` overrides put in; `stage.0.epochs=1` reaches into lists.

    The value is read as TOML, and as plain text where it is none (`model=resnet18`).
    Raises: SpecError: an override has no `=`, its key leads nowhere, or its value is beyond bounds.
    """
    result = deepcopy(dict(table))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise SpecError(
                f"expected --set key=value, got {short(override)}, e.g. --set batch_size=32"
            )
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        except (ValueError, RecursionError) as error:
            raise SpecError(f"--set {shorten(override)}: {shorten(_toml_trouble(error))}") from None
        keys = key.split(".")
        wrong = trouble({key: value}) if len(keys) <= DEPTH else DEEP
        if wrong:
            raise SpecError(f"--set {shorten(override)}: {wrong}; correct it")
        _set_key(result, keys, value, shorten(override))
    return result


def _set_key(table: object, keys: list[str], value: object, override: str) -> None:
    for key in keys[:-1]:
        if isinstance(table, dict):
            inner = table.get(key, {})  # a word stands for its table, see `kinds.family`
            table[key] = {"name": inner} if isinstance(inner, str) else inner
            table = table[key]
        elif isinstance(table, list) and key in map(str, range(len(table))):
            table = table[int(key)]
        else:
            raise SpecError(f"--set {override}: {key!r} leads nowhere; count list items from 0")
    if not isinstance(table, dict):
        raise SpecError(f"--set {override}: {keys[-1]!r} is not a key of a table")
    table[keys[-1]] = value


def parse(
    model: type[Model], table: Mapping[str, object], source: str, context: Context | None = None
) -> Model:
    """The table as a checked model; `source` names the file in error messages.

    context: where kinds that are not foldwise's own are looked for, see `kinds.family`.

    Raises: SpecError: an unknown key (with the nearest valid one), a missing key, a wrong value.
    """
    try:
        return model.model_validate(table, context=context)
    except ValidationError as error:
        raise SpecError(f"{source}: {mistakes(model, error, table)}") from None
