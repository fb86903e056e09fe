"""JSON schemas of the TOML files: they say what the settings models take, key by key."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from pydantic import BaseModel, ValidationError

from foldwise.config.augment import AUGMENTATIONS, Augment
from foldwise.config.competition import CompetitionSpec, Files, Holdout, Images, Outside, Submit
from foldwise.config.labels import LABELS
from foldwise.config.pseudo import Pseudo
from foldwise.config.recipe import Recipe
from foldwise.config.schema import json_schema, schema_line, schema_text
from foldwise.config.stage import Stage
from foldwise.data.labels.sqlite import Limits, Rules
from foldwise.errors import SpecError
from foldwise.kinds.blending import BLENDINGS
from foldwise.kinds.describing import descriptions_of
from foldwise.kinds.family import Family
from foldwise.kinds.folds import FOLDS
from foldwise.kinds.loss import LOSSES
from foldwise.kinds.method import METHODS
from foldwise.kinds.metric import METRICS
from foldwise.kinds.platform import PLATFORMS
from foldwise.kinds.reader import READERS
from foldwise.kinds.schedule import SCHEDULES
from foldwise.kinds.shape import SHAPES

TABLES: tuple[type[BaseModel], ...] = (CompetitionSpec, Files, Images, Holdout, Outside, Submit)
TABLES += (Recipe, Stage, Augment, Pseudo, Rules, Limits)
FAMILIES: tuple[Family, ...] = (PLATFORMS, LABELS, SHAPES, METRICS, BLENDINGS, FOLDS)
FAMILIES += (METHODS, LOSSES, SCHEDULES, AUGMENTATIONS, READERS)


def keys() -> Iterator[tuple[type[BaseModel], str]]:
    """Every key of both files: its model, and its name there."""
    kinds = [(kind, family.key) for family in FAMILIES for kind in family.every().values()]
    for model, own in [*((table, "") for table in TABLES), *kinds]:
        yield from ((model, key) for key in model.model_fields if key != own)


NAMES = ((Recipe, "name"), (CompetitionSpec, "name"))  # those of the file and of its folder
KEYS = [each for each in keys() if each not in NAMES]


def test_every_key_has_a_description_and_an_example() -> None:
    assert len(KEYS) > 200
    plain = [(model.__name__, key) for model, key in KEYS if key not in descriptions_of(model)]
    assert plain == []
    tables = ("files", "labels", "images")  # whose own keys have examples
    bare = [(m.__name__, k) for m, k in KEYS if descriptions_of(m)[k].example is None]
    assert bare == [("CompetitionSpec", key) for key in tables]


@pytest.mark.parametrize(("model", "key"), KEYS, ids=lambda part: getattr(part, "__name__", part))
def test_every_example_is_a_value_that_the_key_takes(model: type[BaseModel], key: str) -> None:
    example = descriptions_of(model)[key].example
    wrong: list[object] = []
    try:
        model.model_validate({} if example is None else {key: example})
    except ValidationError as error:
        wrong = [each for each in error.errors() if each["loc"][:1] == (key,)]
    assert [each for each in wrong if example is not None] == []


def test_the_files_of_all_competitions_pass_their_schemas(repository: Path) -> None:
    folder = repository / "competitions"
    files = {
        "competition": [*folder.glob("*/competition.toml")],
        "recipe": [*folder.glob("*/recipes/*.toml")],
    }
    assert min(map(len, files.values())) > 20
    found = [
        (path, error.message)
        for file, paths in files.items()
        for path in paths
        for error in Draft7Validator(json_schema(file)).iter_errors(tomllib.loads(path.read_text()))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("recipe", 'model = "resnet34"\nimage_size = 64\nepochs = 5'),  # a stage's
        ("recipe", "image_size = 64\n[[stage]]\nepochs = 5\nlr = 1e-3"),  # without a model
        ("recipe", 'model = "resnet34"\nimage_size = 64\nmixup = 11'),
        ("recipe", 'model = "resnet34"\nimage_size = 64\naugment = {rotate = 190}'),
        ("competition", "submit = {recipes = []}"),
        ("competition", 'metric = "f2"'),
        ("competition", "metric = {k = 3}"),  # whose name is missing
    ],
)
def test_a_schema_refuses_what_the_model_refuses(file: str, text: str) -> None:
    table = tomllib.loads(text)
    if file == "competition":
        rest = {"title": "t", "platform": "kaggle", "labels": {"format": "hook"}}
        rest |= {"folds": {"default": {"kind": "stratified"}}, "submit": {"recipes": ["r"]}}
        assert Draft7Validator(json_schema(file)).is_valid(rest)
        table = rest | table
    assert not Draft7Validator(json_schema(file)).is_valid(table)


def test_a_schema_has_neither_null_nor_the_name_that_a_folder_gives() -> None:
    for file in ("competition", "recipe"):
        assert "null" not in schema_text(file)
        assert "name" not in json.loads(schema_text(file))["properties"]


def test_drafts_name_their_schemas_by_a_path_in_the_workspace() -> None:
    assert schema_line("competition") == "#:schema ../.schema/competition.json\n"
    assert schema_line("recipe") == "#:schema ../../.schema/recipe.json\n"


def test_another_file_has_no_schema() -> None:
    with pytest.raises(SpecError, match=r"expected competition or recipe, got 'recipes'; did you"):
        schema_text("recipes")
