"""Families: a choice is looked up by name, read from a word or a table, and refused in words."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, TypeAdapter

from foldwise.config.loading import parse
from foldwise.errors import SpecError
from foldwise.kinds.family import Context, Family, Kind
from foldwise.kinds.settings import Strict


class Drink(Kind):
    """What is served."""

    sugar: int = Field(default=0, ge=0, le=9)


class Tea(Drink):
    """Leaves in water."""

    name: Literal["tea"] = "tea"
    minutes: float = 3.0


class Coffee(Drink):
    """Beans in water."""

    name: Literal["coffee"] = "coffee"
    milk: bool = False


class Mate(Drink):
    """One that a competition brings along."""

    name: Literal["mate"] = "mate"
    gourd: str = "small"


DRINKS = Family(Drink, "name", __name__.rpartition(".")[0], {}, "drink")


class Shelf(Family[Drink]):
    """The family, whose classes lie in this very file."""

    def load(self, name: str, own: Any = None) -> type[Drink]:
        """As the family does, without an import."""
        here: Mapping[str, type[Drink]] = {"tea": Tea, "coffee": Coffee}
        return here[name] if name in here else super().load(name, own)


SHELF = Shelf(Drink, "name", "", {"tea": ":", "coffee": ":"}, "drink", "tea")


class Order(Strict):
    """A table with a kind in it."""

    moved: ClassVar[Mapping[str, str]] = {"milk": 'write drink = {name = "coffee", milk = true}'}

    drink: Annotated[Drink, SHELF] = Tea()
    cups: int = 1


OWN = Context(own=lambda: [Mate])


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("coffee", Coffee()),
        ({"name": "coffee", "milk": True}, Coffee(milk=True)),
        ({"minutes": 4}, Tea(minutes=4)),  # the default has no need of its name
        (Tea(sugar=2), Tea(sugar=2)),
    ],
)
def test_a_word_a_table_and_a_kind_are_read(written: Any, read: Drink) -> None:
    assert parse(Order, {"drink": written}, "order").drink == read


def test_a_kind_of_the_competition_is_found_through_the_context_alone() -> None:
    own = {"drink": {"name": "mate", "gourd": "large"}}
    assert parse(Order, own, "order", OWN).drink == Mate(gourd="large")
    with pytest.raises(SpecError, match="no drink is called 'mate'"):
        parse(Order, own, "order")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"drink": "cofee"}, "no drink is called 'cofee'; did you mean 'coffee'"),
        ({"drink": {"name": "mat"}}, "did you mean 'mate'"),
        ({"drink": 3}, 'should be a word or a table with name, e.g. name = "tea", got 3'),
        ({"drink": {"name": 3}}, "name should name a drink: tea, coffee; got 3"),
        ({"drink": {"sugr": 3}}, "unknown key 'drink.sugr'; did you mean 'sugar'"),
        ({"drink": {"sugar": 10}}, "drink.sugar: input should be less than or equal to 9, got 10"),
        ({"drink": {"milk": True}}, 'milk belongs to name = "coffee", not to "tea"'),
        ({"milk": True}, "unknown key 'milk'; write drink = {name"),
        ({"cup": 1}, "unknown key 'cup'; did you mean 'cups'"),
    ],
)
def test_what_is_wrong_is_one_line_with_what_to_write(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(Order, table, "order", OWN)
    assert str(caught.value).startswith("order: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_default_a_name_is_asked_for() -> None:
    with pytest.raises(ValueError, match="there is none"):
        DRINKS.parse({})


def test_the_name_is_written_even_where_defaults_are_left_out() -> None:
    assert Order().model_dump(exclude_defaults=True) == {}
    order = Order(drink=Coffee(), cups=1)
    assert order.model_dump(exclude_defaults=True) == {"drink": {"name": "coffee"}}
    assert order.model_dump(mode="json")["drink"] == {"name": "coffee", "milk": False, "sugar": 0}


def test_keys_that_earlier_versions_wrote_for_all_kinds_are_left_out_of_a_table() -> None:
    assert SHELF.keep_own({"name": "coffee", "milk": True, "minutes": 3.0, "sugr": 1}) == {
        "name": "coffee",
        "milk": True,
        "sugr": 1,  # of none of them: still an error
    }
    assert SHELF.keep_own({"milk": False, "sugar": 1}) == {"sugar": 1}
    assert SHELF.keep_own({"name": "mate", "milk": False}) == {"name": "mate", "milk": False}


def test_the_schema_lists_words_and_tables() -> None:
    schema = TypeAdapter(Order).json_schema()
    words, *tables = schema["properties"]["drink"]["anyOf"]
    assert words == {"enum": ["tea", "coffee"]}
    assert [each["properties"]["name"]["const"] for each in tables] == ["tea", "coffee"]
