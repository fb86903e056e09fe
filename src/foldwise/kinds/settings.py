"""Frozen settings, and pydantic's errors about them as one clear line."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, get_args

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import ErrorDetails, core_schema

from foldwise.errors import nearest
from foldwise.kinds.bounds import short, shorten
from foldwise.kinds.describing import descriptions_of

NESTED = "nested"  # the type of an error that holds those of a table inside the table
SHOWN_MISTAKES = 3  # mistakes that a message tells

KeyPath = tuple[int | str, ...]  # the keys that lead to a value


class Strict(BaseModel):
    """A frozen model that refuses unknown keys, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)

    # what to write instead of keys that earlier versions had
    moved: ClassVar[Mapping[str, str]] = {}
    # keys of tables below that may stand in this one
    beside: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = handler(schema)
        cls.describe_keys(handler.resolve_ref_schema(made))
        return made

    @classmethod
    def describe_keys(cls, table: JsonSchemaValue) -> None:
        """Put the descriptions and examples of the keys into the model's JSON schema."""
        for key, meaning in descriptions_of(cls).items():
            table["properties"][key] |= {"description": meaning.text}
            if meaning.example is not None:
                table["properties"][key] |= {"examples": [meaning.example]}


def mistakes(model: type[BaseModel], error: ValidationError, table: Mapping[str, object]) -> str:
    """What is wrong with a table, as one line: the first three mistakes, and how many more.

    An unknown key comes with what to write instead.
    """
    lines = list(_lines(model, error, table, ()))
    more = f"; and {len(lines) - SHOWN_MISTAKES} more" if len(lines) > SHOWN_MISTAKES else ""
    return "; ".join(lines[:SHOWN_MISTAKES]) + more


def _lines(
    model: type[BaseModel], error: ValidationError, table: Mapping[str, object], above: KeyPath
) -> Iterator[str]:
    """A line per mistake. above: the keys that lead to the table."""
    for item in _merge_errors(error.errors(), table):
        place = (*above, *item["loc"])
        if item["type"] == NESTED:
            inner = item["ctx"]
            yield from _lines(inner["model"], inner["error"], inner["table"], place)
        else:
            yield shorten(_describe(model, item, place), 1000)


def _merge_errors(
    details: Sequence[ErrorDetails], table: Mapping[str, object]
) -> Iterator[ErrorDetails]:
    """The errors, with each wrong value told once, though pydantic tells it for each of its types.

    Of a value that may have several types, the errors of the type that it has are kept; where it
    has none of them, one error names them all.
    """
    places: dict[KeyPath, dict[str, list[ErrorDetails]]] = {}
    for item in details:
        place, kind, inner = _split_location(item, table)
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


def _split_location(
    item: ErrorDetails, table: Mapping[str, object]
) -> tuple[KeyPath, str, KeyPath]:
    """The keys to a wrong value, the type that it was read as, and the keys to what is inside it.

    pydantic puts types among the keys where there are several; the table does not have them. The
    type is empty where there is one alone.
    """
    keys: list[int | str] = []
    kinds: list[tuple[int, str]] = []
    value: object = table
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


def _has_type(place: KeyPath, items: Sequence[ErrorDetails]) -> bool:
    """Whether the value at a place has the type of these errors; what is inside it may have not."""
    others = ("_type", "_parsing", "literal_error", "int_from_float")
    return not any(item["loc"] == place and item["type"].endswith(others) for item in items)


def _describe(model: type[BaseModel], item: ErrorDetails, place: KeyPath) -> str:
    """A mistake in words. place: the keys that lead to it from the top of the file."""
    key = ".".join(str(part) for part in place)
    if item["type"] == "extra_forbidden":
        *above, last = (str(part) for part in item["loc"])
        owner = _model_at(model, above)
        instead = getattr(owner, "moved", {}).get(last)
        keys = [field.alias or name for name, field in owner.model_fields.items()]
        keys += getattr(owner, "beside", ())
        return f"unknown key {key!r}{f'; {instead}' if instead else nearest(last, keys)}"
    if item["type"] == "missing":
        *above, last = (str(part) for part in item["loc"])
        field = _model_at(model, above).model_fields.get(last)
        example = f", e.g. {last} = {_toml(field.examples[0])}" if field and field.examples else ""
        return f"the key {key!r} is missing{example}"
    message = item["msg"].removeprefix("Value error, ")
    received = "" if item["type"] == "value_error" else f", got {short(item['input'], 200)}"
    return f"{key + ': ' if key else ''}{message[0].lower()}{message[1:]}{received}"


def _toml(value: object) -> str:
    """A plain value as TOML has it; text with backslashes in single quotes, where they stay."""
    if isinstance(value, str) and "\\" in value:
        return f"'{value}'"
    return json.dumps(value)


def _model_at(model: type[BaseModel], keys: Sequence[str]) -> type[BaseModel]:
    """The (nested) model that a table at these keys is read as."""
    for key in keys:
        field = model.model_fields.get(key)
        found = _model_in(field.annotation) if field else None
        if found is not None:
            model = found
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The first pydantic model inside an annotation such as `tuple[Stage, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
