"""Augment: what a recipe's [augment] says, a key for each augmentation."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, ValidationInfo, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from foldwise.kinds.augmentation import AUGMENTATIONS, Augmentation
from foldwise.kinds.family import Context
from foldwise.kinds.settings import Strict

CHANCE = "give each augmentation its own chance, e.g. "


class Augment(Strict):
    """Random changes of training images, drawn anew for every image and epoch.

    Each key but `padding` names an augmentation (see `kinds.augmentation`). Its value is a table
    of settings, the main one of these alone, `true` for the defaults, or `false` for none.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Augmentation, AUGMENTATIONS]] = Field(init=False)

    moved: ClassVar[Mapping[str, str]] = {
        "p_affine": f"{CHANCE}rotate = {{degrees = 10, p = 0.75}}",
        "p_lighting": f"{CHANCE}brightness = {{amount = 0.1, p = 0.75}}",
        "crop_ratio": "it is crop's own, e.g. crop = {share = [0.3, 1.0], ratio = [0.75, 1.33]}",
    }

    # What lies beyond the edges of a moved image: the image mirrored, black, or its border
    # repeated. Example: "zeros"
    padding: Literal["reflection", "zeros", "border"] = "reflection"

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, table: object, info: "ValidationInfo[Context | None]") -> object:
        if not isinstance(table, Mapping):
            return table
        for key in table.keys() & cls.moved.keys():
            raise ValueError(f"unknown key {key!r}; {cls.moved[key]}")
        return {
            key: value if key == "padding" else AUGMENTATIONS.tag(key, value, info.context)
            for key, value in table.items()
            if value is not False
        }

    @model_validator(mode="after")
    def _without_idle_kinds(self) -> "Augment":
        for key, kind in [*self.__pydantic_extra__.items()]:
            if kind.name != key:
                raise ValueError(f'{key} is not "{kind.name}"; write {kind.name} = ... for it')
            if kind.idle:
                del self.__pydantic_extra__[key]
        return self

    @property
    def kinds(self) -> tuple[Augmentation, ...]:
        """The augmentations in the order in which they are applied."""
        return AUGMENTATIONS.in_order(self.__pydantic_extra__.values())

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        made = super().__get_pydantic_json_schema__(schema, handler)
        made |= {"additionalProperties": True}  # a competition's own
        kinds, tables = AUGMENTATIONS.every(), AUGMENTATIONS.tables(handler)
        for (name, kind), table in zip(kinds.items(), tables, strict=True):
            table["properties"].pop(AUGMENTATIONS.key)  # the key itself says it
            table["required"].remove(AUGMENTATIONS.key)
            main = [table["properties"][kind.main]] if kind.main else []
            made["properties"][name] = {"anyOf": [{"type": "boolean"}, *main, table]}
        return made
