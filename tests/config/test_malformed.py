"""Whatever stands in a TOML file or behind --set: settings, or one line that says what is wrong."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from foldwise.config.competition import CompetitionSpec, load_competition
from foldwise.config.loading import parse, read_toml, with_overrides
from foldwise.config.recipe import Recipe, load_recipe
from foldwise.config.templates import columns_of, fill
from foldwise.errors import FoldwiseError, SpecError
from foldwise.workspace import Workspace
from tiny import RECIPE, SPEC

VALUES = [
    "[0]",
    "{}",
    "{a = 1}",
    "[[]]",
    '""',
    '"x"',
    "true",
    "-1",
    "0",
    "1e400",
    "inf",
    "-inf",
    "nan",
    "100000000",
    "9" * 5000,
    "1979-05-27",
    "07:32:00",
    "[" * 3000 + "]" * 3000,
    '"' + "x" * 20_000 + '"',
    '"' + "ä" * 300 + '"',
    '"\\u0000"',
    '"../x"',
    '"/"',
    '"{id:>1000000000}"',
    '"{id"',
    '"{}"',
    '"~nobody/x"',
    "[[1, 2], [3]]",
    '["none", "none"]',
    '"a\\nb"',
    "0x7fffffffffffffff",
    "[-1, 1e308]",
]
BYTES = [
    b"\xff",
    b"\x00",
    b"[[",
    b"]",
    b'"',
    b"=",
    b"\n[stage]\n",
    b"\r",
    b"\xef\xbb\xbf",
    b"9" * 400,
]


def mutated(text: str, rng: random.Random) -> bytes:
    """The text of a TOML file with a value exchanged, a line moved, or bytes in its middle."""
    lines = text.splitlines()
    at = rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind < 2 and "=" in lines[at]:
        lines[at] = f"{lines[at].partition('=')[0]}= {rng.choice(VALUES)}"
    elif kind == 2:
        lines[at] = lines[rng.randrange(len(lines))]
    else:
        whole = text.encode()
        cut = rng.randrange(len(whole))
        return whole[:cut] + rng.choice(BYTES) + whole[cut + rng.randrange(3) :]
    return "\n".join(lines).encode()


EVERY_KEY = (
    RECIPE.partition("[[stage]]")[0]
    + """
crop = [0.5, 1]
[pseudo]
run = "other"
confidence = 0.9
[[stage]]
schedule = {name = "sgdr", cycles = 2, cycle_length = 1, cycle_mult = 2}
lr = [1e-4, 1e-3]
image_size = [32, 32]
train = 2
"""
)


def fits(load: Callable[[], object]) -> None:
    """Fail where loading neither gives settings nor ends in an error of one line."""
    message = ""
    try:
        load()
    except FoldwiseError as error:
        message = str(error)
    assert (message or "x").isprintable()
    assert len(message) < 4000


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_file_is_settings_or_one_line(workspace: Workspace, seed: int) -> None:
    folder = workspace.competition("tiny")
    rng = random.Random(seed)
    tries: list[tuple[str, Path, Callable[[], object]]] = [
        (SPEC, folder / "competition.toml", lambda: load_competition(folder)),
        (EVERY_KEY, folder / "recipes" / "tiny.toml", lambda: load_recipe(folder, "tiny")),
    ]
    for text, path, load in tries:
        for _ in range(150):
            path.write_bytes(mutated(text, rng))
            fits(load)
        path.write_text(text)
        load()


@pytest.mark.parametrize(
    "key", ["model", "stage.0.epochs", "augment.rotate", "seeds", "tta", "x.y"]
)
def test_a_value_behind_set_is_a_setting_or_one_line(key: str) -> None:
    table = {"name": "r", "model": "m", "image_size": 32, "stage": [{"epochs": 1, "lr": 1e-3}]}
    for value in VALUES:
        fits(lambda text=f"{key}={value}": parse(Recipe, with_overrides(table, [text]), "r.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"model = [0]", r'model: should name a model, e.g. "resnet34", got \[0\]'),
        (b"swa = " + b"9" * 5000, "is not valid TOML: a whole number should have at most 18"),
        (b"swa = 9999999999999999999", "whole numbers should have at most 18 digits, got a longer"),
        (b"x = " + b"[" * 5000, "is not valid TOML: "),
        (b"x = " + b"[" * 40 + b"]" * 40, "should be nested at most 12 deep, got more; correct it"),
        (b"x = [" + b"1," * 200_000 + b"]", "at most 100000 values, got more; correct it"),
        (b'x = "' + b"y" * 20_000 + b'"', "at most 10000 characters, got 20000; correct it"),
        (b'x = "\\u0000"', "text should hold no NUL character, got"),
        (b"# " + b"y" * 2_000_000, "should have at most 1000000 bytes, got 2000002; is it the"),
        (b'model = "caf\xe9"', r"should be UTF-8 text, as all TOML is, but byte 12 \(0xe9\) is"),
        (b'image_size = 32\nmodel = "m"\nweights = "~nobody-here/x"', "a user who has no home"),
        (b'image_size = 32\nmodel = "m"\nweights = "' + b"w" * 300 + b'"', "longer than a path"),
        (b'name = "../x"', "a name should have 1 to 200 bytes and no /, as a folder has, got '../"),
    ],
)
def test_what_a_malformed_file_holds_is_said(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "recipes" / "r.toml"
    path.parent.mkdir()
    path.write_bytes(text)
    with pytest.raises(SpecError, match=message) as caught:
        load_recipe(tmp_path, "r")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 100_000_000}, "stage.0.epochs: input should be less than or equal to 10000"),
        (
            {"schedule": {"name": "sgdr", "cycles": 10_000, "cycle_mult": 9}},
            "at most 10000 epochs, sgdr's cy",
        ),
        (
            {"schedule": {"name": "sgdr", "cycles": 10**8}},
            "stage.0.schedule.cycles: input should be less than",
        ),
        ({"lr": float("inf")}, "stage.0.lr.* should be a finite number"),
        ({"weight_decay": float("nan")}, "stage.0.weight_decay: input should be a finite number"),
        (
            {"batch_size": 10**9},
            "stage.0.batch_size: input should be less than or equal to 1000000",
        ),
    ],
)
def test_numbers_of_a_stage_have_bounds(setting: dict[str, object], message: str) -> None:
    stage = {"epochs": 1, "lr": 1e-3, **setting}
    if "schedule" in setting:
        del stage["epochs"]
    table = {"name": "r", "model": "m", "image_size": 32, "stage": [stage]}
    with pytest.raises(SpecError, match=message):
        parse(Recipe, table, "r.toml")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"cpus": 10**9}, "cpus: input should be less than or equal to 1024"),
        ({"memory": float("inf")}, "memory: input should be a finite number"),
        ({"ordinal": float("nan")}, "ordinal: input should be a finite number"),
        ({"class_weights": {"a": float("inf")}}, "class_weights.* should be a finite number"),
        ({"accumulate": 10**7}, "accumulate: input should be less than or equal to 10000"),
        ({"seeds": list(range(2000))}, "seeds: tuple should have at most 1000 items"),
        ({"budget": "9" * 400 + "h"}, "longer than nothing and at most a year"),
        ({"model": ""}, "model: should name a model, e.g. \"resnet34\", got ''"),
    ],
)
def test_numbers_of_a_recipe_have_bounds(setting: dict[str, object], message: str) -> None:
    table = {"name": "r", "model": "m", "image_size": 32, "stage": [{"epochs": 1, "lr": 1e-3}]}
    with pytest.raises(SpecError, match=message):
        parse(Recipe, {**table, **setting}, "r.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('train = "train_features.csv"', f'train = "{"x" * 300}"', "is longer than a path can be"),
        ('["images"]', f'["{"x/" * 600}"]', "is longer than a path can be; shorten it"),
        (
            'format = "class_columns"',
            'format = "folder"\nroots = ["a"]\npattern = "((((a{99999999999})"',
            "is no regular expression",
        ),
        ("[folds.sites]", f"[folds.{'x' * 101}]", "_ and - only, at most 100"),
    ],
)
def test_names_longer_than_a_path_are_refused(
    workspace: Workspace, old: str, new: str, message: str
) -> None:
    path = workspace.competition("tiny") / "competition.toml"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SpecError, match=message):
        load_competition(path.parent)


def test_a_byte_order_mark_is_read_as_if_it_were_not_there(workspace: Workspace) -> None:
    folder = workspace.competition("tiny")
    plain = load_competition(folder)
    path = folder / "competition.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_competition(folder) == plain
    assert isinstance(plain, CompetitionSpec)
    assert read_toml(path)["title"] == "Tiny"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("swa=" + "9" * 5000, "--set swa=99.*: a whole number should have"),
        ("model=" + "[" * 5000, "--set model="),
        ("a" + ".b" * 40 + "=1", "nested at most 12 deep, got more; correct it"),
        ("stage.²=1", "'²' is not a key of a table"),
        ("stage.²².epochs=1", "'²²' leads nowhere; count list items from 0"),
    ],
)
def test_an_override_beyond_bounds_is_said(override: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        with_overrides({"stage": [{"epochs": 1}]}, [override])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{id:>1000000000}", "a column is padded as '{id:0>5}', to at most 100"),
        ("{id!r}.jpg", "a column is padded as '{id:0>5}', to"),
        ("{}.jpg", "'{}.jpg' is no template: it must hold a column, as '{id}.jpg'"),
        ("{id:{width}}", "is no template"),
        ("{id:,}", "is no template: Cannot specify"),
        ("{id", "is no template: expected '}'"),
        ("x.jpg", "'x.jpg' is no template: it must hold a column, as '{id}.jpg'"),
    ],
)
def test_a_template_that_cannot_be_is_said(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        columns_of(template)


def test_a_template_takes_columns_by_their_whole_name_and_pads_them() -> None:
    cells = {"id": ["7", "12345"], "a.b": ["x", "y"], "0": ["p", "q"]}
    assert columns_of("{a.b}/{0}/{id:0>5}.jpg") == ["a.b", "0", "id"]
    assert fill("{a.b}/{0}/{id:0>3}{{}}.jpg", cells, 2) == ["x/p/007{}.jpg", "y/q/12345{}.jpg"]
    assert columns_of("{id.__class__}") == ["id.__class__"]  # a column that no CSV has
