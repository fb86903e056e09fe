"""The comments of settings are their descriptions, and may end with an example."""

import pytest

from foldwise.config.stage import Stage
from foldwise.kinds.describing import Description, descriptions_of, summary_of
from foldwise.kinds.settings import Strict


class Base(Strict):
    """Settings that others
    extend.

    With a second paragraph.
    """

    # The side of an image,
    # in pixels. Example: 224
    size: int = 64
    kept: bool = False  # Whether it stays.


class Extended(Base):
    """More of them."""

    plain: int = 1
    kept: bool = True  # Whether it goes. Example: false
    names: tuple[str, ...] = ()  # Their names. Example: ["a", "b"]


def test_a_keys_description_is_the_comment_above_or_after_it_with_its_example() -> None:
    assert descriptions_of(Base) == {
        "size": Description("The side of an image, in pixels.", 224),
        "kept": Description("Whether it stays."),
    }


def test_a_class_may_describe_a_key_anew_and_keeps_the_other_descriptions() -> None:
    assert descriptions_of(Extended) == {
        "size": Description("The side of an image, in pixels.", 224),
        "kept": Description("Whether it goes.", False),
        "names": Description("Their names.", ["a", "b"]),
    }


def test_json_schemas_have_the_descriptions_and_examples() -> None:
    table = Extended.model_json_schema()["properties"]
    assert table["size"]["description"] == "The side of an image, in pixels."
    assert table["kept"]["examples"] == [False]
    assert "description" not in table["plain"]


def test_a_summary_is_the_first_paragraph_as_one_line() -> None:
    assert summary_of(Base) == "Settings that others extend."


def test_classes_without_source_have_no_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    made = type("Made", (Strict,), {"__annotations__": {"size": int}, "__module__": "nowhere"})
    assert descriptions_of(made) == {}
    assert descriptions_of(Stage)["epochs"].example == 5
