"""[augment]: a key for each augmentation, bare or a table, in one fixed order."""

import subprocess
import sys
from typing import Any

import pytest

from foldwise.config.augment import Augment
from foldwise.config.loading import parse
from foldwise.errors import SpecError
from foldwise.kinds.augmentation import AUGMENTATIONS
from foldwise.kinds.family import Context
from foldwise.training.loading.augmentations.base import (
    Colouring,
    ColourMap,
    GeometricAugmentation,
    Painting,
)
from foldwise.training.loading.augmentations.geometry import Crop, HorizontalFlip, Rotate

SETTINGS: dict[str, Any] = {
    "padding": "zeros",
    "hflip": True,
    "vflip": 0.25,
    "rotate": 10.0,
    "zoom": {"factor": (1.0, 1.2), "p": 0.75},
    "crop": (0.5, 1.0),
}


class Invert(Colouring):
    """An augmentation of a competition's own."""

    name: str = "invert"

    def colours(self, u: Any) -> ColourMap:
        """Black for white."""
        return ColourMap(-1 + 0 * u[0], 1 + 0 * u[0])


def test_what_is_read_is_written_the_same_way() -> None:
    augment = parse(Augment, SETTINGS, "recipe")
    assert augment.model_dump() == SETTINGS
    assert Augment.model_validate(augment.model_dump(mode="json")) == augment


def test_a_bare_value_is_the_main_setting() -> None:
    assert Augment(rotate=10, hflip=True).kinds == (HorizontalFlip(), Rotate(degrees=10))
    assert Augment(hflip={"p": 0.5}, rotate={"degrees": 10}) == Augment(rotate=10, hflip=True)
    assert Augment(crop=[0.5, 1]).kinds == (Crop(share=(0.5, 1.0)),)


@pytest.mark.parametrize("name", ["hflip", "rotate", "zoom", "brightness", "erase", "crop"])
def test_false_leaves_one_out(name: str) -> None:
    assert Augment.model_validate({name: False}) == Augment()


@pytest.mark.parametrize(("name", "value"), [("rotate", 0), ("zoom", [1, 1]), ("erase", 0)])
def test_a_setting_that_changes_nothing_leaves_one_out(name: str, value: Any) -> None:
    assert Augment.model_validate({name: value}) == Augment()


def test_the_order_is_that_of_the_table_and_an_adapters_kinds_come_last() -> None:
    values = {"zoom": [1, 2], "crop": [0.5, 1], "dihedral": True}
    written = {name: values.get(name, 0.1) for name in reversed(AUGMENTATIONS.known)}
    context = Context(own=lambda: [Invert])
    augment = parse(Augment, {"invert": True, **written}, "recipe", context)
    assert [kind.name for kind in augment.kinds] == [*AUGMENTATIONS.known, "invert"]
    sorts = [
        next(
            sort for sort in (GeometricAugmentation, Colouring, Painting) if isinstance(kind, sort)
        )
        for kind in augment.kinds[:-1]
    ]
    assert sorts == [GeometricAugmentation] * 8 + [Colouring] * 3 + [Painting]
    with pytest.raises(SpecError, match="no augmentation is called 'invert'"):
        parse(Augment, {"invert": True}, "recipe")


def test_every_kind_says_its_main_setting_and_how_many_numbers_it_draws() -> None:
    kinds = AUGMENTATIONS.every().values()
    assert len(kinds) == 12
    for kind in kinds:
        assert kind.main in kind.model_fields or not kind.main
        assert kind.draws >= 1


def test_the_schema_has_a_property_for_each_kind() -> None:
    schema = Augment.model_json_schema()
    assert schema["properties"].keys() == {"padding", *AUGMENTATIONS.known}
    switch, main, table = schema["properties"]["rotate"]["anyOf"]
    assert (switch["type"], main["maximum"], table["required"]) == ("boolean", 180, ["degrees"])


def test_reading_augmentations_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom foldwise.kinds.augmentation import AUGMENTATIONS\n"
        "print(len(AUGMENTATIONS.every()), 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["12", "False", "False"]
