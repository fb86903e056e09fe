"""Methods say which keys of a recipe are theirs."""

from foldwise.config.recipe import Recipe
from foldwise.kinds.method import EVERY, IMAGES, METHODS, NETWORK, STAGES


def test_every_key_of_a_recipe_belongs_to_one_group() -> None:
    groups = (EVERY, IMAGES, NETWORK, STAGES)
    assert sorted(key for group in groups for key in group) == sorted(Recipe.model_fields)
    taken = {name: kind.keys for name, kind in METHODS.every().items()}
    assert {"prior", "linear", "fine_tune"} <= taken.keys()
    assert {
        name: keys - IMAGES - NETWORK - STAGES for name, keys in taken.items()
    } == dict.fromkeys(taken, frozenset())
    assert METHODS.load("fine_tune").keys == IMAGES | NETWORK | STAGES


def test_a_word_stands_for_a_method_that_needs_no_table() -> None:
    words = ("prior", "linear", "resnet50.tv_in1k")
    methods = [METHODS.parse(word) for word in words]
    assert tuple(map(METHODS.dump, methods)) == tuple(map(str, methods)) == words
    assert METHODS.parse({"name": "fine_tune", "backbone": words[2]}) == methods[2]
