"""The tiny competition with its labels in other forms, one of whose files is malformed."""

import json
import random
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

from torturing import samples
from torturing.mutating import NUMBERS, WORDS, mutated, table

ADAPTER = """\
from foldwise.data.labels.coco import read_coco

def read_labels(spec, raw):
    return read_coco(raw / "train.json").assign(path=lambda rows: "images/" + rows["file_name"])

def read_test(spec, raw):
    return read_coco(raw / "test.json").assign(path=lambda rows: "images/" + rows["file_name"])
"""
SPEC = """\
title = "Tiny"
platform = "local"
[files]
{files}
format = "sample.csv"
[labels]
{labels}
[images]
path = "images/{{id}}.png"
mode = "L"
[submission]
{submission}
[folds.default]
kind = "stratified"
n = 3
[submit]
recipes = ["tiny"]
"""
QUERY = 'format = "sqlite"\nquery = "SELECT id, label FROM rows"\ncolumn = "label"'


def malformed_form(folder: Path, rng: random.Random) -> None:
    """Give the tiny competition in a workspace another form, and damage one of its files."""
    write, labels, submission = FORMS[rng.choice([*FORMS])]
    raw = folder / "data" / "tiny" / "raw"
    train = [[id, samples.CLASSES[n % 3]] for n, id in enumerate(samples.ids("train"))]
    files = write(raw, train, samples.ids("test"))
    home = folder / "competitions" / "tiny"
    named = f'train = "{files[0]}"' + (f'\ntest = "{files[1]}"' if len(files) > 2 else "")
    spec = SPEC.format(files=named, labels=labels, submission=submission)
    (home / "competition.toml").write_text(spec)
    if files[0].endswith(".json"):
        (home / "adapter.py").write_text(ADAPTER)
    path = raw / rng.choice(files)
    data = path.read_bytes()
    if path.suffix == ".csv":
        path.write_bytes(table(data, rng))
    elif path.suffix == ".json" and rng.random() < 0.7:
        path.write_bytes(_json(data, rng))
    else:
        path.write_bytes(mutated(data, rng))


Train = list[list[str]]


def _columns(raw: Path, train: Train, test: list[str]) -> list[str]:
    samples.write_csv(raw / "train.csv", [["id", "label"], *train])
    samples.write_csv(raw / "sample.csv", [["id", "label"], *([id, "ant"] for id in test)])
    return ["train.csv", "sample.csv"]


def _long(raw: Path, train: Train, test: list[str]) -> list[str]:
    _columns(raw, train, test)
    rows = [[f"{id}_{name}", 0.1] for id in test for name in samples.CLASSES]
    samples.write_csv(raw / "sample.csv", [["id", "p"], *rows])
    return ["train.csv", "sample.csv"]


def _tags(raw: Path, train: Train, test: list[str]) -> list[str]:
    tagged = [
        [id, f"{label} zebra" if n % 2 and label != "zebra" else label]
        for n, (id, label) in enumerate(train)
    ]
    samples.write_csv(raw / "train.csv", [["id", "tags"], *tagged])
    samples.write_csv(raw / "sample.csv", [["id", "tags"], *([id, "ant"] for id in test)])
    return ["train.csv", "sample.csv"]


def _database(raw: Path, train: Train, test: list[str]) -> list[str]:
    _columns(raw, train, test)
    with sqlite3.connect(raw / "rows.db") as connection:
        connection.execute("CREATE TABLE rows (id TEXT, label TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", train)
    connection.close()
    return ["rows.db", "sample.csv"]


def _coco(raw: Path, train: Train, test: list[str]) -> list[str]:
    _columns(raw, train, test)
    images = {"train": [id for id, _ in train], "test": test}
    for part, ids in images.items():
        document: dict[str, list] = {
            "images": [{"id": id, "file_name": f"{id}.png", "location": 3} for id in ids]
        }
        if part == "train":
            document["annotations"] = [
                {"image_id": id, "category_id": label} for id, label in train
            ]
        (raw / f"{part}.json").write_text(json.dumps(document))
    return ["train.json", "test.json", "sample.csv"]


def _json(data: bytes, rng: random.Random) -> bytes:
    """The document with a value, or a whole part of it, replaced by something odd."""
    document = json.loads(data)
    odd = rng.choice(
        (
            None,
            True,
            [],
            {},
            [[]],
            [None],
            0,
            -1,
            2**70,
            1e308,
            float("nan"),
            rng.choice(WORDS),
            rng.choice(NUMBERS),
        )
    )
    part = rng.choice([*document])
    kind = rng.randrange(4)
    if kind == 0:
        document[part] = odd
    elif kind == 1:
        document = odd
    else:
        at = rng.randrange(len(document[part]))
        if kind == 2:
            document[part][at] = odd
        else:
            document[part][at][rng.choice([*document[part][at]])] = odd
    return json.dumps(document).encode()


# how its files are written (the table of rows first, the format file last), [labels], [submission]
FORMS: Mapping[str, tuple[Callable[[Path, Train, list[str]], list[str]], str, str]] = {
    "column": (_columns, 'format = "class_column"\ncolumn = "label"', 'shape = "label"'),
    "long": (_long, 'format = "class_column"\ncolumn = "label"', 'shape = "long"'),
    "tags": (_tags, 'format = "delimited"\ncolumn = "tags"', 'shape = "tags"'),
    "database": (_database, QUERY, 'shape = "label"'),
    "coco": (_coco, 'format = "hook"', 'shape = "label"'),
}
