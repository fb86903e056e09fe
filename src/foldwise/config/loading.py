"""TOML files read into frozen pydantic models, with one clear line for what is wrong."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from foldwise.config.bounds import DEEP, DEPTH, cut, short, trouble
from foldwise.errors import SpecError, nearest

LARGEST = 1_000_000  # bytes of a TOML file


class Strict(BaseModel):
    """A frozen model that refuses unknown keys, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


Model = TypeVar("Model", bound=Strict)


def read_toml(path: Path) -> dict[str, Any]:
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
        raise SpecError(f"{path} is not valid TOML: {cut(_said(error))}") from error
    wrong = trouble(table)
    if wrong:
        raise SpecError(f"{path}: {wrong}; correct it")
    return table


def _said(error: Exception) -> str:
    """What is wrong with TOML; where tomllib has no words for it, in ours."""
    if isinstance(error, tomllib.TOMLDecodeError):
        return str(error)
    deep = isinstance(error, RecursionError)
    return "nested too deep" if deep else "a whole number should have at most 18 digits"


def with_overrides(table: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
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
            raise SpecError(f"--set {cut(override)}: {cut(_said(error))}") from None
        keys = key.split(".")
        wrong = trouble({key: value}) if len(keys) <= DEPTH else DEEP
        if wrong:
            raise SpecError(f"--set {cut(override)}: {wrong}; correct it")
        _put(result, keys, value, cut(override))
    return result


def _put(table: Any, keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        if isinstance(table, dict):
            table = table.setdefault(key, {})
        elif isinstance(table, list) and key in map(str, range(len(table))):
            table = table[int(key)]
        else:
            raise SpecError(f"--set {override}: {key!r} leads nowhere; count list items from 0")
    if not isinstance(table, dict):
        raise SpecError(f"--set {override}: {keys[-1]!r} is not a key of a table")
    table[keys[-1]] = value


def parse(model: type[Model], table: Mapping[str, Any], source: str) -> Model:
    """The table as a checked model; `source` names the file in error messages.

    Raises: SpecError: an unknown key (with the nearest valid one), a missing key, a wrong value.
    """
    try:
        return model.model_validate(table)
    except ValidationError as error:
        details = list(_merged(error.errors(), table))
        lines = [cut(_describe(model, item), 1000) for item in details[:3]]
        more = f"; and {len(details) - 3} more" if len(details) > 3 else ""
        raise SpecError(f"{source}: {'; '.join(lines)}{more}") from None


def _merged(details: Sequence[Any], table: Mapping[str, Any]) -> Iterator[Any]:
    """The errors, with each wrong value told once, though pydantic tells it for each of its types.

    Of a value that may have several types, the errors of the type that it has are kept; where it
    has none of them, one error names them all.
    """
    places: dict[tuple[Any, ...], dict[str, list[Any]]] = {}
    for item in details:
        place, kind, inner = _split(item, table)
        item = {**item, "loc": (*place, *inner)}
        places.setdefault(place, {}).setdefault(kind, []).append(item)
    for place, kinds in places.items():
        fitting = [items for items in kinds.values() if _has_type(place, items)]
        if fitting or len(kinds) == 1:
            yield from (fitting or [*kinds.values()])[0]
            continue
        firsts = [items[0] for items in kinds.values()]
        wanted = (re.sub(", (unable|got) .*", "", item["msg"]) for item in firsts)
        names = [text.removeprefix("Input should be ") for text in wanted]
        yield {**firsts[0], "msg": f"Input should be {' or '.join(names)}"}


def _split(item: Any, table: Mapping[str, Any]) -> tuple[tuple[Any, ...], str, tuple[Any, ...]]:
    """The keys to a wrong value, the type that it was read as, and the keys to what is inside it.

    pydantic puts types among the keys where there are several; the table does not have them. The
    type is empty where there is one alone.
    """
    keys: list[Any] = []
    kinds: list[tuple[int, str]] = []
    value: Any = table
    for number, part in enumerate(item["loc"], start=1):
        missing = item["type"] == "missing" and number == len(item["loc"])
        if isinstance(part, int):
            keys.append(part)
            value = value[part] if isinstance(value, list | tuple) and part < len(value) else None
        elif isinstance(value, Mapping) and (part in value or missing or number == 1):
            keys.append(part)  # the first is never a type: such a key stood elsewhere in the table
            value = value.get(part)
        else:
            kinds.append((len(keys), part))
    start, kind = kinds[0] if kinds else (len(keys), "")
    return tuple(keys[:start]), kind, tuple(keys[start:])


def _has_type(place: tuple[Any, ...], items: Sequence[Any]) -> bool:
    """Whether the value at a place has the type of these errors; what is inside it may have not."""
    others = ("_type", "_parsing", "literal_error", "int_from_float")
    return not any(item["loc"] == place and item["type"].endswith(others) for item in items)


def _describe(model: type[BaseModel], item: Any) -> str:
    location = [str(part) for part in item["loc"]]
    key = ".".join(location)
    if item["type"] == "extra_forbidden":
        return f"unknown key {key!r}{nearest(location[-1], _keys_at(model, location[:-1]))}"
    if item["type"] == "missing":
        return f"the key {key!r} is missing"
    message = item["msg"].removeprefix("Value error, ")
    received = "" if item["type"] == "value_error" else f", got {short(item['input'], 200)}"
    return f"{key + ': ' if key else ''}{message[0].lower()}{message[1:]}{received}"


def _keys_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """The valid keys of the (nested) model at a location."""
    for part in location:
        field = model.model_fields.get(part)
        found = _model_in(field.annotation) if field else None
        if found is not None:
            model = found
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first pydantic model inside an annotation such as `tuple[Stage, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
