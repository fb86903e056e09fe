"""Class columns may hold shares of classes, and a column may say how much a row counts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.data.competition import load_data
from foldwise.data.labels.columns import TIES
from foldwise.data.labels.table import LabelTable, label_table, read_train
from foldwise.errors import DataError, SpecError
from foldwise.kinds.rows import Rows
from foldwise.workspace import Workspace
from tiny import edit

CLASSES = ["zebra", "10", "ant"]
SOFT = {"format": "class_columns", "classes": CLASSES, "soft": True}
VOTES = """id,ant,10,zebra,sure
7,0.25,0.25,0.5,1
1,0.4,0.4,0.2,0
9,0.33,0.33,0.33,2.5
3,0,1,0,0.5
"""


def spec_of(labels: dict[str, Any], **tables: Any) -> CompetitionSpec:
    """A spec with these `[labels]` over train.csv."""
    given = {
        "name": "own",
        "title": "Own",
        "platform": "local",
        "files": {"train": "train.csv", "format": "sample.csv"},
        "folds": {"default": {"kind": "stratified"}},
        "submit": {"recipes": ["any"]},
        "labels": labels,
    }
    return parse(CompetitionSpec, {**given, **tables}, "competition.toml")


def read(
    raw: Path, lines: str = VOTES, given: Sequence[str] | None = None, **labels: Any
) -> LabelTable:
    """The training rows of a train.csv with these lines."""
    (raw / "train.csv").write_text(lines)
    return read_train(spec_of({**SOFT, **labels}), raw, raw, given)


def refusal(*args: Any, **labels: Any) -> str:
    """The one line that says why these rows cannot be read."""
    with pytest.raises((DataError, SpecError)) as caught:
        read(*args, **labels)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shares_of(table: LabelTable) -> dict[str, list[float]]:
    return {id: list(row) for id, row in zip(table.frame["id"], table.frame["shares"], strict=True)}


def test_shares_stand_in_class_order_and_the_largest_is_the_label(tmp_path: Path) -> None:
    table = read(tmp_path)
    assert table.classes == tuple(CLASSES)
    labels = dict(zip(table.frame["id"], table.frame["label"], strict=True))
    assert labels == {"7": "zebra", "1": "10", "9": "zebra", "3": "10"}  # ties: in class order
    assert table.counts == {TIES: 2}
    found = shares_of(table)
    assert found["7"] == [0.5, 0.25, 0.25]
    assert found["9"] == pytest.approx([1 / 3] * 3)  # rounded shares sum to 1 afterwards
    assert table.targets.values.tolist() == [0, 1, 0, 1]


def test_shares_follow_the_format_files_order_of_classes(tmp_path: Path) -> None:
    table = read(tmp_path, given=["ant", "zebra", "10"])
    assert table.classes == ("ant", "zebra", "10")
    assert shares_of(table)["7"] == [0.25, 0.5, 0.25]
    assert table.labels().tolist() == ["zebra", "ant", "ant", "10"]


def test_rows_that_are_left_out_take_their_shares_and_weights_along(tmp_path: Path) -> None:
    table = read(tmp_path, weight="sure").without(["1"])
    assert shares_of(table)["3"] == [0, 1, 0]
    assert table.frame.set_index("id")["weight"].to_dict() == {"7": 1, "9": 2.5, "3": 0.5}


def test_with_many_labels_each_share_is_its_own(tmp_path: Path) -> None:
    lines = "id,zebra,10,ant\nb,0.9,0.5,0.49\na,0,0.1,0\n"
    table = read(tmp_path, lines, multi=True)
    assert table.targets.values.tolist() == [[1, 1, 0], [0, 0, 0]]
    assert shares_of(table) == {"b": [0.9, 0.5, 0.49], "a": [0, 0.1, 0]}
    assert table.counts == {}


@pytest.mark.parametrize(
    ("row", "multi", "message"),
    [
        (
            "3,1,1",
            False,
            "shares of classes should be 0 to 1 and sum to 1 in each row, in 1 of 2 "
            "rows they are not, e.g. id '5' has 3, 1, 1; divide votes by their "
            "number",
        ),
        ("0.5,0.3,0.1", False, "id '5' has 0.5, 0.3, 0.1"),
        ("1.5,-0.5,0", False, "id '5' has 1.5, -0.5, 0"),
        (
            "0.5,0.3,1.1",
            True,
            "shares of classes should be 0 to 1, in 1 of 2 rows they are not, "
            "e.g. id '5' has 0.5, 0.3, 1.1",
        ),
        ("0.5,,0.5", False, "1 cells should be finite numbers, e.g. id '5' has '' in '10'"),
    ],
)
def test_votes_and_other_numbers_are_no_shares(
    tmp_path: Path, row: str, multi: bool, message: str
) -> None:
    assert message in refusal(tmp_path, f"id,zebra,10,ant\n2,1,0,0\n5,{row}\n", multi=multi)


def test_shares_come_from_class_columns_alone(tmp_path: Path) -> None:
    spec, frame = spec_of(SOFT), pd.DataFrame({"id": ["1", "2"]})
    rows = Rows(frame, frame["id"], [("ant",), ("10",)], tmp_path / "adapter.py")
    with pytest.raises(SpecError, match=r"read_labels in adapter.py gives labels; leave soft out"):
        label_table(rows, spec, None)


@pytest.mark.parametrize(
    ("column", "cells", "message"),
    [
        ("sur", "12", "should have the weight column 'sur'; did you mean 'sure'?"),
        (
            "sure",
            ("1", "-2"),
            "weights in 'sure' should be 0 or more, and not all 0; 1 are less, "
            "e.g. of id '2'; correct the column",
        ),
        ("sure", "00", "and not all 0; all are 0; correct the column"),
        ("sure", ("1", "much"), "e.g. id '2' has 'much' in 'sure'"),
    ],
)
def test_a_weight_is_a_number_of_0_or_more(
    tmp_path: Path, column: str, cells: Sequence[str], message: str
) -> None:
    lines = f"id,kind,sure\n1,a,{cells[0]}\n2,b,{cells[1]}\n"
    labels = {"format": "class_column", "column": "kind", "weight": column, "soft": False}
    (tmp_path / "train.csv").write_text(lines)
    with pytest.raises(DataError) as caught:
        spec = spec_of({key: value for key, value in labels.items() if value})
        read_train(spec, tmp_path, tmp_path)
    assert message in str(caught.value)


def test_the_hash_knows_shares_and_weights_and_no_order_of_rows(tmp_path: Path) -> None:
    head, *rows = VOTES.splitlines(keepends=True)
    first = read(tmp_path, weight="sure").soft_hash()
    assert first is not None
    assert read(tmp_path, head + "".join(rows[::-1]), weight="sure").soft_hash() == first
    assert read(tmp_path).soft_hash() != first
    for old, new in (("0.25,0.25,0.5", "0.3,0.2,0.5"), ("2.5", "2.6")):
        assert read(tmp_path, VOTES.replace(old, new), weight="sure").soft_hash() != first
    plain = "id,zebra,10,ant\n2,1,0,0\n5,0,1,0\n"
    (tmp_path / "train.csv").write_text(plain)
    hard = spec_of({key: value for key, value in SOFT.items() if key != "soft"})
    assert read_train(hard, tmp_path, tmp_path).soft_hash() is None


def test_a_solution_needs_no_weights(workspace: Workspace) -> None:
    toml, raw = workspace.competition("tiny") / "competition.toml", workspace.raw("tiny")
    edit(toml, 'group = "site"', 'group = "site"\nweight = "sure"')
    edit(toml, "\n[labels]", 'solution = "solution.csv"\n\n[labels]')
    labels = pd.read_csv(raw / "train_labels.csv", dtype=str)
    labels.assign(sure="0.5").to_csv(raw / "train_labels.csv", index=False)
    asked = pd.read_csv(raw / "submission_format.csv", dtype=str)["id"]
    truth = labels.iloc[: len(asked)].assign(id=asked.to_numpy())
    truth.to_csv(raw / "solution.csv", index=False)
    data = load_data(workspace, "tiny")
    assert set(data.train.frame["weight"]) == {0.5}
    assert "weight" not in data.test.frame
