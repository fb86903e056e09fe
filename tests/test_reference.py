"""docs/reference/ is that of the settings and commands of now, and has all of them."""

from importlib import import_module
from pkgutil import iter_modules

import pytest

import reference
from foldwise import kinds
from foldwise.config.stage import Stage
from foldwise.kinds.family import Family
from foldwise.kinds.step import STEPS

FAMILIES_IN = ["config.labels", *(f"kinds.{each.name}" for each in iter_modules(kinds.__path__))]


def test_the_pages_are_those_that_would_be_written_now() -> None:
    written = {page.name: page.read_text(encoding="utf-8") for page in reference.FOLDER.iterdir()}
    stale = [name for name, text in reference.pages().items() if written.get(name) != text]
    assert stale == [], "run `make reference`"
    assert written.keys() == reference.pages().keys(), "run `make reference`"


def test_every_kind_that_a_toml_file_can_name_has_a_section() -> None:
    modules = [import_module(f"foldwise.{name}") for name in FAMILIES_IN]
    families = [each for m in modules for each in vars(m).values() if isinstance(each, Family)]
    known = [choice.family for choice in reference.CHOICES]
    assert [family for family in families if family not in known] == [STEPS]  # they are fitted
    texts = reference.pages()
    pairs = [(choice.page, name) for choice in reference.CHOICES for name in choice.family.known]
    assert len(pairs) > 60
    assert [(p, name) for p, name in pairs if f"\n## `{name}`\n" not in texts[f"{p}.md"]] == []


def test_a_key_has_its_type_range_default_meaning_and_an_example() -> None:
    _, _, row = reference.keys_table(Stage, ["epochs"], "stage.")
    assert row == (
        '| <a id="stage.epochs"></a>`epochs` | whole number from 1 to 10,000 | '
        "The number of epochs; with the schedule `sgdr` its cycles decide it.<br>`epochs = 5` |"
    )


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1e12}, "number above 0, to 1e12"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "number from 0, below 1"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"anyOf": [{"const": "auto"}, {"type": "boolean"}]}, '`"auto"` or `true`, `false`'),
        ({"additionalProperties": {"type": "number"}}, "table by name: number"),
    ],
)
def test_values_are_put_into_words(table: reference.Table, words: str) -> None:
    assert reference.words_of(table) == words
