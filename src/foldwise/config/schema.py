"""The JSON schemas of competition.toml and of recipes: with them editors complete and check."""

import json
from collections.abc import Mapping

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from foldwise.config.competition import BESIDE, CompetitionSpec
from foldwise.config.recipe import Recipe
from foldwise.errors import SpecError, nearest

FILES: Mapping[str, type[BaseModel]] = {"competition": CompetitionSpec, "recipe": Recipe}
FOLDER = ".schema"  # in competitions/: where drafts name them


class _OfToml(GenerateJsonSchema):
    """JSON schemas without titles of keys, and without null, which TOML does not have."""

    schema_dialect = "http://json-schema.org/draft-07/schema#"  # that taplo reads

    def field_title_should_be_set(self, schema: object) -> bool:
        """A key's title would be its name once more."""
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """The schema of what is not null."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """A default of null is none; of a table its keys have theirs."""
        made = super().default_schema(schema)
        if made.get("default") is None or isinstance(made["default"], dict):
            made.pop("default", None)
        return made


def model_schema(model: type[BaseModel]) -> JsonSchemaValue:
    """The JSON schema of a table that a settings model reads."""
    return model.model_json_schema(schema_generator=_OfToml)


def json_schema(file: str) -> JsonSchemaValue:
    """The JSON schema of a TOML file: `competition` or `recipe`.

    Kinds are foldwise's own; a name that an adapter.py defines is none of them.
    Raises: SpecError: there is no such file.
    """
    if file not in FILES:
        raise SpecError(
            f"expected {' or '.join(FILES)}, got {file!r}{nearest(file, list(FILES))}; "
            "e.g. foldwise schema competition"
        )
    made = model_schema(FILES[file])
    made["properties"].pop("name")  # the folder's or the file's
    made["required"].remove("name")
    if file == "competition":
        platforms = made["properties"]["platform"]["anyOf"][1:]
        keys = {key: table for each in platforms for key, table in each["properties"].items()}
        made["properties"] |= {key: keys[key] for key in BESIDE}
    return {"$schema": _OfToml.schema_dialect, **made}


def schema_text(file: str) -> str:
    """The JSON schema of a TOML file as indented JSON. Raises: SpecError: see `json_schema`."""
    return json.dumps(json_schema(file), indent=2, ensure_ascii=False) + "\n"


def schema_line(file: str) -> str:
    """The first line of a draft, by which editors (taplo, Even Better TOML) find its schema: a path
    from the draft to competitions/.schema, so that it works without a network."""
    up = {"competition": "..", "recipe": "../.."}[file]
    return f"#:schema {up}/{FOLDER}/{file}.json\n"
