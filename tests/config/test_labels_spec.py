"""What competition.toml may say of labels, files, images, submissions and test sets."""

import tomllib
from typing import Any

import pytest

from foldwise.config.competition import CompetitionSpec
from foldwise.config.labels import LABELS
from foldwise.config.loading import parse
from foldwise.data.labels.sqlite import Rules
from foldwise.errors import SpecError

PLAIN = """
name = "own"
title = "Own"
platform = "{platform}"

[files]
{files}
[labels]
{labels}
{more}
[folds.default]
kind = "stratified"

[submit]
recipes = ["any"]
"""
CLASS = 'format = "class_column"\ncolumn = "kind"'
TRAIN = 'train = "train.csv"'
SAMPLE = f'{TRAIN}\nformat = "sample.csv"'
WHOLE = {  # every format with the least that it needs
    "class_column": CLASS,
    "class_columns": 'format = "class_columns"',
    "delimited": 'format = "delimited"\ncolumn = "tags"',
    "number": 'format = "number"\ncolumn = "kind"',
    "filename": 'format = "filename"\nroots = ["train"]\npattern = "(?P<label>.+)_"',
    "folder": 'format = "folder"\nroots = ["train"]',
    "sqlite": 'format = "sqlite"\nquery = "SELECT 1"\ncolumn = "kind"',
    "hook": 'format = "hook"',
}
TABLES = ("class_column", "class_columns", "delimited", "number", "sqlite")
KEYS = {  # the formats that know a key
    "column": ("class_column", "delimited", "number", "sqlite"),
    "separator": ("delimited", "hook"),
    "none": ("delimited", "hook"),
    "roots": ("filename", "folder"),
    "pattern": ("filename", "folder"),
    "query": ("sqlite",),
    "rules": ("sqlite",),
    "multi": ("class_columns", "hook"),
    "soft": ("class_columns",),
    "id_prefix": TABLES,
}
NEEDS = [  # a format, a key that it cannot do without, an example of it
    ("class_column", "column", '"<the label column>"'),
    ("delimited", "column", '"<the label column>"'),
    ("number", "column", '"<the column with the number>"'),
    ("filename", "roots", '["train"]'),
    ("filename", "pattern", "'(?P<label>.+)_\\d+\\.jpg$'"),
    ("folder", "roots", '["train"]'),
    ("sqlite", "query", '"SELECT path, label FROM pics"'),
]
VALUES = {  # a value for every key that some formats know
    "column": '"kind"',
    "separator": '"|"',
    "none": '"-"',
    "roots": '["train"]',
    "pattern": '"(?P<label>.)"',
    "query": '"SELECT 1"',
    "rules": "{}",
    "multi": "true",
    "id_prefix": '"train-"',
    "soft": "true",
}


def spec(
    labels: str = CLASS, files: str = SAMPLE, more: str = "", platform: str = "local"
) -> CompetitionSpec:
    """The spec of a competition.toml with these lines."""
    text = PLAIN.format(labels=labels, files=files, more=more, platform=platform)
    return parse(CompetitionSpec, tomllib.loads(text), "competition.toml")


def refusal(*args: str, **lines: str) -> str:
    """The one line that says why competition.toml cannot be."""
    with pytest.raises(SpecError) as caught:
        spec(*args, **lines)
    message = str(caught.value)
    assert message.startswith("competition.toml: ")
    assert "\n" not in message
    return message.removeprefix("competition.toml: ")


@pytest.mark.parametrize("name", WHOLE)
def test_every_format_is_whole_with_what_it_needs(name: str) -> None:
    labels = spec(WHOLE[name]).labels
    assert labels.format == name
    assert labels.many == (name == "delimited")
    assert labels.group_column is None


def test_every_format_is_tried_here() -> None:
    assert [*LABELS.every()] == [*WHOLE]
    assert tuple(name for name, kind in LABELS.every().items() if kind.reads_tables) == TABLES


@pytest.mark.parametrize(("name", "key", "example"), NEEDS)
def test_a_key_that_a_format_needs_is_asked_for_with_an_example(
    name: str, key: str, example: str
) -> None:
    lines = "\n".join(ln for ln in WHOLE[name].splitlines() if not ln.startswith(f"{key} = "))
    assert refusal(lines) == f"the key 'labels.{key}' is missing, e.g. {key} = {example}"


@pytest.mark.parametrize(
    ("name", "key"),
    [(name, key) for key, formats in KEYS.items() for name in WHOLE if name not in formats],
)
def test_a_key_of_another_format_is_refused(name: str, key: str) -> None:
    found = refusal(f"{WHOLE[name]}\n{key} = {VALUES[key]}")
    known = " or ".join(f'"{name}"' for name in KEYS[key])
    assert found == f'labels: {key} belongs to format = {known}, not to "{name}"'


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('format = "csv"', "labels: no label format is called 'csv'"),
        (f'{CLASS}\ncolour = "x"', "unknown key 'labels.colour'; did you mean 'column'?"),
        (
            f'{CLASS}\noverrides = "../fix.csv"',
            "labels.overrides: '../fix.csv' must be a path inside the competition's folder",
        ),
        (
            'format = "folder"\nroots = ["train", "/etc"]',
            "labels.roots: '/etc' must be a path inside the raw folder",
        ),
        (
            'format = "folder"\nroots = ["a/../../b"]',
            "labels.roots: 'a/../../b' must be a path inside the raw folder",
        ),
        ('format = "folder"\nroots = []', "labels.roots: tuple should have at least 1 item"),
        ('column = "kind"', "labels: format should name a label format: class_column, class_col"),
        (
            "format = 'filename'\nroots = ['a']\npattern = '(?P<label>.+'",
            "labels.pattern: '(?P<label>.+' is no regular expression: missing ), unterminated",
        ),
        (
            "format = 'filename'\nroots = ['a']\npattern = '(.+)_\\d+.jpg$'",
            "labels.pattern: '(.+)_\\\\d+.jpg$' needs a named group (?P<label>...)",
        ),
        (
            "format = 'folder'\nroots = ['a']\npattern = '(?P<path>.+)'",
            "labels.pattern: no group can be called 'path', a column of foldwise's own",
        ),
        (
            'format = "sqlite"\nquery = "SELECT 1"',
            '[labels] format = "sqlite" needs either column or [labels.rules]',
        ),
        (
            'format = "sqlite"\nquery = "SELECT 1"\ncolumn = "kind"\nrules = {}',
            '[labels] format = "sqlite" needs either column or [labels.rules]',
        ),
        (
            'format = "sqlite"\nquery = "SELECT 1"\nrules = { yes = "x", no = "x" }',
            "labels.rules: yes and no must be two classes, both are 'x'",
        ),
        (
            'format = "sqlite"\nquery = "SELECT 1"\nrules = { number = { a = { least = 1 } } }',
            "unknown key 'labels.rules.number.a.least'",
        ),
        (
            f'{CLASS}\nmerge = {{ a = "b", b = "c" }}',
            "labels: [labels] merge: 'a' leads to a label that is merged too",
        ),
        (
            'format = "class_columns"\nsoft = true\nmerge = { a = "b" }',
            "labels: [labels] merge and overrides change whole labels, "
            "and with soft = true a row has "
            "shares of several; change these in the file, and leave merge and overrides out",
        ),
        (
            'format = "class_columns"\nsoft = true\noverrides = "fix.csv"',
            "labels: [labels] merge and overrides change whole labels",
        ),
        (
            f'{CLASS}\nclasses = ["a", "b", "a"]',
            "labels.classes: every class must be named once, 'a' is named twice",
        ),
        (
            'format = "delimited"\ncolumn = "tags"\nseparator = ""',
            "labels.separator: string should have at least 1 character, got ''",
        ),
    ],
)
def test_a_mistake_in_labels_is_said(labels: str, message: str) -> None:
    assert message in refusal(labels)


def test_the_group_is_a_column_or_the_patterns_own() -> None:
    pattern = r"(?P<label>.)(?P<group>\d)(?P<site>\w)"
    labels = {"format": "filename", "roots": ("a",), "pattern": pattern}
    assert LABELS.parse(labels).group_column == "group"
    assert LABELS.parse({**labels, "group": "site"}).group_column == "site"
    grouped = '[folds.sites]\nkind = "group"'
    assert refusal(CLASS, more=grouped) == "[folds.sites] kind = 'group' needs [labels] group"
    lines = f"format = 'filename'\nroots = ['a']\npattern = '{pattern}'"
    assert spec(lines, more=grouped).folds["sites"].kind == "group"


def test_rules_name_the_columns_that_they_read() -> None:
    rules: dict[str, Any] = {
        "number": {"people": {"min": 1}},
        "every": {"ages": {}},
        "forbidden": ["flag", "ages"],
        "failed": {"people": ["-1"], "status": ["err"]},
    }
    assert Rules.model_validate(rules).columns() == ["people", "ages", "flag", "status"]
    rules["no_folders"] = ["x"]
    assert Rules.model_validate(rules).columns()[0] == "path"
    assert Rules.model_validate({**rules, "path": "file"}).columns()[0] == "file"


@pytest.mark.parametrize("key", ["train", "labels", "test", "format", "solution"])
def test_files_lie_in_the_raw_folder(key: str) -> None:
    files = "\n".join(
        f"{k} = {v!r}" for k, v in {"train": "a.csv", "format": "b.csv", key: "../x.csv"}.items()
    )
    assert refusal(files=files) == f"files.{key}: '../x.csv' must be a path inside the raw folder"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            {"files": TRAIN},
            "a competition has either a format file ([files] format) or a [holdout] "
            "that makes a test set of some training rows",
        ),
        ({"more": "[holdout]"}, "a competition has either a format file ([files] format) or a"),
        (
            {"files": TRAIN, "more": "[holdout]\nfraction = 0.9"},
            "holdout.fraction: input should be less than or equal to 0.5, got 0.9",
        ),
        (
            {"files": f'{TRAIN}\ntest = "test.csv"', "more": "[holdout]"},
            "[holdout] makes the test set: leave out [files] test and solution",
        ),
        (
            {"files": f'{TRAIN}\nsolution = "truth.csv"', "more": "[holdout]"},
            "[holdout] makes the test set: leave out [files] test and solution",
        ),
        (
            {"files": f'{SAMPLE}\nsolution = "s.csv"', "labels": WHOLE["folder"]},
            '[files] solution is read by [labels] format = "class_column" or "class_columns" or '
            '"delimited" or "number" or "sqlite" alone',
        ),
        (
            {"files": f'{SAMPLE}\nsolution = "s.csv"', "labels": WHOLE["hook"]},
            "[files] solution is read by [labels] format = ",
        ),
        (
            {"labels": f'{CLASS}\nmerge = {{ a = "b" }}'},
            "[labels] merge would leave out a class that the format file asks for",
        ),
        (
            {"more": '[submission]\nshape = "positive"'},
            "the key 'submission.positive' is missing, e.g. positive = \"dog\"",
        ),
        (
            {"more": '[submission]\npositive = "a"'},
            'submission: positive belongs to shape = "positive", not to "wide"',
        ),
        (
            {"more": '[submission]\nshape = "long"\nrow = "{class}"'},
            "submission.row: [submission] row must hold {id}, got '{class}'",
        ),
        (
            {"more": '[submission]\nshape = "long"\nrow = "{id}"'},
            "submission.row: [submission] row must hold {class}, got '{id}'",
        ),
        (
            {"more": '[submission]\nshape = "tall"'},
            "submission: no shape is called 'tall'; did you mean",
        ),
        ({"more": '[submission]\nshape = "tags"\nthreshold = 1'}, "submission.threshold: input"),
        (
            {"more": '[images]\npath = "images/1.jpg"'},
            "images.path: 'images/1.jpg' is no template: it must hold a column, as '{id}.jpg'",
        ),
        (
            {"more": '[images]\npath = ["{id}.jpg", "{}.png"]'},
            "images.path: '{}.png' is no template: it must hold a column, as '{id}.jpg'",
        ),
        ({"more": "[images]\npath = []"}, "images.path: '' is no template: it must hold a column"),
        (
            {"more": '[images]\ntest_path = "{id.jpg"'},
            "images.test_path: '{id.jpg' is no template: expected '}' before end of string",
        ),
        (
            {"more": '[images]\ntest_path = ["{id}", "/{id}"]'},
            "images.test_path: '/{id}' must be a path inside the raw folder",
        ),
        (
            {"more": '[folds."a/b"]\nkind = "stratified"'},
            "[folds.a/b]: a name is letters, digits, _ and - only",
        ),
        (
            {"more": '[folds.more]\nkind = "stratified"\nduplicates = 7'},
            "folds.more.duplicates: input should be a valid boolean",
        ),
        (
            {"more": "[folds.more]\nn = 3"},
            "folds.more: kind should name a fold scheme: stratified, group, stratified_group; ",
        ),
        (
            {"more": "[holdout]\nm = 1\n[metric]\nm = 1\n[images]\nm = 1\n[submission]\nm = 1"},
            "; and 1 more",
        ),
    ],
)
def test_what_does_not_fit_together_is_said(lines: dict[str, str], message: str) -> None:
    assert message in refusal(**lines)


@pytest.mark.parametrize("name", TABLES)
def test_tables_need_the_file_that_they_are_read_from(name: str) -> None:
    files = 'format = "sample.csv"'
    assert refusal(WHOLE[name], files) == f'[labels] format = "{name}" needs [files] train'


@pytest.mark.parametrize("platform", ["kaggle", "drivendata"])
def test_test_sets_of_our_own_belong_to_practice_boards(platform: str) -> None:
    message = '[holdout] and [files] solution belong to platform = "local"'
    solution = f'{SAMPLE}\nsolution = "truth.csv"'
    assert refusal(files=solution, platform=platform) == message
    assert refusal(files=TRAIN, more="[holdout]", platform=platform) == message
    assert spec(platform=platform).platform.practice is False


@pytest.mark.parametrize(
    ("labels", "more", "task"),
    [
        (CLASS, "", "multi-class"),
        (WHOLE["delimited"], "", "multi-label"),
        ('format = "class_columns"\nmulti = true', "", "multi-label"),
        ('format = "hook"\nmulti = true', "", "multi-label"),
        (f'{CLASS}\nclasses = ["b", "a"]', "", "binary"),
        (CLASS, '[submission]\nshape = "positive"\npositive = "a"', "binary"),
    ],
)
def test_the_task_follows_from_the_labels(labels: str, more: str, task: str) -> None:
    assert spec(labels, more=more).task == task


def test_one_template_is_a_list_of_one() -> None:
    images = spec(
        more='[images]\npath = "{site}/{id:>4}.jpg"\ntest_path = ["{id}", "x/{id}"]'
    ).images
    assert images.path == ("{site}/{id:>4}.jpg",)
    assert images.test_path == ("{id}", "x/{id}")
    assert spec().images.path == ("{id}.jpg",)


def test_files_are_listed_once_and_in_reading_order() -> None:
    files = f'{SAMPLE}\nlabels = "train.csv"\nsolution = "s.csv"\nextra = ["s.csv", "e.json"]'
    assert spec(files=files).files.names() == ["train.csv", "sample.csv", "s.csv", "e.json"]


def test_a_merge_is_allowed_where_no_column_of_the_format_file_is_lost() -> None:
    merged = f'{CLASS}\nmerge = {{ a = "b" }}'
    assert spec(merged, more='[submission]\nshape = "label"').labels.merge == {"a": "b"}
    assert spec(merged, files=TRAIN, more="[holdout]").submission.shape == "wide"
