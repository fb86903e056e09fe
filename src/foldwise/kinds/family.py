"""Kinds: choices with settings of their own; families: the tables in which kinds are looked up.

A kind is a frozen settings model with methods, whose heavy imports stand inside them. A family
knows its kinds as text, `"f1": "counted:F1"`, so that naming one imports that one alone. In TOML a
kind is a table, or a bare word where it needs no settings: `loss = "focal"` is
`loss = {name = "focal"}`.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypedDict, TypeVar, Unpack

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from foldwise.errors import nearest
from foldwise.kinds.bounds import short
from foldwise.kinds.settings import NESTED, Strict


class Kind(Strict):
    """A choice with settings of its own. Its family's key is a field with its name as default."""


K = TypeVar("K", bound=Kind)


class Context(TypedDict):
    """The context of a validation. own: gives the kinds that a competition's adapter defines; it is
    called only for a name that foldwise does not know."""

    own: Callable[[], Iterable[type[Kind]]]


class DumpOptions(TypedDict, total=False):
    """How a kind becomes plain values, as pydantic's `model_dump` has it."""

    mode: str
    exclude_unset: bool
    exclude_defaults: bool


@dataclass(frozen=True, eq=False)
class Family(Generic[K]):
    """The kinds of one choice.

    base: their class. key: the field that holds a kind's name. package: where foldwise's own are.
    known: module and class below the package by name, in the order of the documentation. default:
    the name where a table has none. called: what one of them is called in messages.

    As metadata of an annotation, `Annotated[Metric, METRICS]`, it reads a setting as one of them.
    """

    base: type[K]
    key: str
    package: str
    known: Mapping[str, str]
    called: str
    default: str | None = None

    def load(self, name: str, own: Callable[[], Iterable[type[Kind]]] | None = None) -> type[K]:
        """The kind of a name. own: gives those of an adapter, see `Context`.

        Raises: ValueError: there is none; the nearest name is part of the message.
        """
        if name in self.known:
            module, _, cls = self.known[name].partition(":")
            kind: type[K] = getattr(importlib.import_module(f"{self.package}.{module}"), cls)
            return kind
        given = (own or tuple)()
        others = {self.name_of(kind): kind for kind in given if issubclass(kind, self.base)}
        if name in others:
            return others[name]
        raise ValueError(
            f"no {self.called} is called {name!r}{nearest(name, [*self.known, *others])}"
        )

    def name_of(self, kind: K | type[Kind]) -> str:
        """A kind's name, as its family's key has it."""
        cls = kind if isinstance(kind, type) else type(kind)
        return str(cls.model_fields[self.key].default)

    def every(self) -> dict[str, type[K]]:
        """All of foldwise's own kinds by name."""
        return {name: self.load(name) for name in self.known}

    def parse(self, value: object, context: Context | None = None) -> K:
        """A kind from a word, a table, or a kind. Raises: ValueError: it is none of them, or its
        settings are wrong."""
        if isinstance(value, self.base):
            return value
        table = {self.key: value} if isinstance(value, str) else value
        if not isinstance(table, Mapping):
            raise ValueError(
                f"should be a word or a table with {self.key}, e.g. "
                f'{self.key} = "{next(iter(self.known))}", got {short(value)}'
            )
        name = table.get(self.key, self.default)
        if not isinstance(name, str):
            missing = "there is none" if name is None else f"got {short(name)}"
            raise ValueError(
                f"{self.key} should name a {self.called}: {', '.join(self.known)}; {missing}"
            )
        cls = self.load(name, context["own"] if context else None)
        try:
            return cls.model_validate({**table, self.key: name}, context=context)
        except ValidationError as error:
            self._refuse_keys_of_others(cls, error)
            inner = {"model": cls, "error": error, "table": table}
            raise PydanticCustomError(NESTED, "see its own errors", inner) from None

    def dump(self, kind: K, **options: Unpack[DumpOptions]) -> object:
        """A kind as plain values, its name always among them. options: those of `model_dump`."""
        return {self.key: getattr(kind, self.key), **kind.model_dump(**options)}

    def keep_own(self, table: Mapping[str, object]) -> dict[str, object]:
        """A table without the keys of other kinds: versions before there were kinds wrote the keys
        of all of them into one table."""
        name = table.get(self.key, self.default)
        if not isinstance(name, str) or name not in self.known:
            return dict(table)
        own = self.load(name).model_fields
        others = {key for kind in self.every().values() for key in kind.model_fields} - {*own}
        return {key: value for key, value in table.items() if key not in others}

    def _refuse_keys_of_others(self, cls: type[K], error: ValidationError) -> None:
        """Raises: ValueError: a key that the kind does not have belongs to others of the family."""
        name = self.name_of(cls)
        for item in error.errors():
            if item["type"] != "extra_forbidden" or len(item["loc"]) > 1 or cls.moved:
                continue
            key = str(item["loc"][0])
            owners = [each for each, kind in self.every().items() if key in kind.model_fields]
            if owners:
                known = " or ".join(f'"{each}"' for each in owners)
                raise ValueError(f'{key} belongs to {self.key} = {known}, not to "{name}"')

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        def read(value: object, info: "core_schema.ValidationInfo[Context | None]") -> K:
            return self.parse(value, info.context)

        def write(kind: K, info: "core_schema.SerializationInfo[Context | None]") -> object:
            return self.dump(
                kind,
                mode=info.mode,
                exclude_unset=info.exclude_unset,
                exclude_defaults=info.exclude_defaults,
            )

        return core_schema.with_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(write, info_arg=True),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"enum": [*self.known]}, *self.tables(handler)]}

    def tables(self, handler: GetJsonSchemaHandler) -> list[JsonSchemaValue]:
        """The JSON schema of each kind's table, which names the kind unless it is the default."""
        found = []
        for name, kind in self.every().items():
            table = handler.resolve_ref_schema(handler(kind.__pydantic_core_schema__))
            kind.describe_keys(table)
            if name != self.default:
                table["required"] = sorted({self.key, *table.get("required", ())})
            found.append(table)
        return found
