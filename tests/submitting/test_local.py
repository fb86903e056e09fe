"""The local platform: halves split once, a board that is scored anew where it must be."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldwise.data.competition import load_data
from foldwise.errors import DataError, LabelError, PlatformError
from foldwise.metrics.scoring import score
from foldwise.shapes.submission import write_submission
from foldwise.store.predictions import predictions_frame
from foldwise.submitting.platforms import Parcel, local
from foldwise.tasks import MultiLabel
from foldwise.workspace import Workspace
from tiny import CLASSES, ids, metric_of, wide

NAMES = ids("test", 12)
SURE = np.eye(3)[np.arange(12) % 3] * 0.7 + 0.1  # the right class has 0.8
WRONG = np.eye(3)[(np.arange(12) + 1) % 3] * 0.97 + 0.01  # and here 0.01


def parcel(
    workspace: Workspace, probs: np.ndarray = SURE, file: str = "mine.csv", **metric: Any
) -> Parcel:
    """A submission to the local platform of `tiny`, scored by a metric."""
    data = load_data(workspace, "tiny")
    spec = data.spec.model_copy(update={"metric": metric_of(**metric)})
    path = workspace.root / file
    write_submission(path, predictions_frame(NAMES, probs, CLASSES), data.format)
    return Parcel(
        spec,
        path,
        data.format,
        lambda truth, said: score(spec.metric, truth, said, interval=False).value,
        workspace.data / "tiny",
    )


def platform(workspace: Workspace) -> Path:
    return workspace.data / "tiny" / "platform"


def change_truth(workspace: Workspace, **columns: Any) -> pd.DataFrame:
    """Write the truth again with other columns, or without those that are None."""
    path = platform(workspace) / "truth.csv"
    frame = pd.read_csv(path, dtype=str)
    for name, values in columns.items():
        frame = frame.drop(columns=name) if values is None else frame.assign(**{name: values})
    frame.to_csv(path, index=False)
    return frame


def board(workspace: Workspace) -> list[dict[str, Any]]:
    return json.loads((platform(workspace) / "board.json").read_text())["entries"]


def parts(made: Parcel) -> pd.DataFrame:
    """The truth that each half is scored with, with its part."""
    seen: list[pd.DataFrame] = []
    local.Local().send(replace(made, grade=lambda truth, said: seen.append(truth) or 0.0))
    public, private = seen[:2]
    return pd.concat([public.assign(part="public"), private.assign(part="private")])


def test_a_truth_without_parts_is_split_once_and_stratified(workspace: Workspace) -> None:
    change_truth(workspace, part=None)
    made = parcel(workspace)
    first = parts(made)
    assert pd.crosstab(first["label"], first["part"]).to_numpy().tolist() == [[2, 2]] * 3
    saved = json.loads((platform(workspace) / "parts.json").read_text())
    assert (saved["seed"], saved["share"]) == (42, 0.5)
    assert sorted(saved["public"]) == sorted(first.loc[first["part"] == "public", "id"])
    truth = change_truth(workspace, label=["ant"] * 4 + ["zebra"] * 8)  # corrected labels
    truth[::-1].to_csv(platform(workspace) / "truth.csv", index=False)
    second = parts(made).set_index("id")["part"]
    assert (second.reindex(first["id"]) == first["part"].to_numpy()).all()


def test_other_ids_are_split_anew(workspace: Workspace) -> None:
    change_truth(workspace, part=None)
    made = parcel(workspace)
    old = parts(made)
    names = [f"n{number}" for number in range(12)]
    change_truth(workspace, id=names)
    shape = wide("id", CLASSES, names)
    write_submission(made.file, predictions_frame(names, SURE, CLASSES), shape)
    for name in (platform(workspace) / "entries").iterdir():
        name.unlink()
    new = parts(replace(made, shape=shape))
    assert set(new["id"]) == set(names) != set(old["id"])
    assert new["part"].value_counts().to_dict() == {"public": 6, "private": 6}


def test_groups_of_the_truth_stay_in_one_half(workspace: Workspace) -> None:
    groups = [f"site {number}" for number in (0, 0, 0, 1, 1, 2, 2, 3, 3, 3, 4, 5)]
    change_truth(workspace, part=None, group=groups)
    found = parts(parcel(workspace))
    assert found.groupby("group")["part"].nunique().tolist() == [1] * 6
    assert found["part"].value_counts().min() >= 5


def test_rows_with_many_labels_are_split_too(workspace: Workspace) -> None:
    truth = change_truth(workspace, part=None)
    hot = pd.DataFrame((np.arange(12)[:, None] // [1, 2, 4]) % 2, columns=list(CLASSES))
    path = platform(workspace) / "truth.csv"
    pd.concat([truth["id"], hot], axis=1).to_csv(path, index=False)
    made = parcel(workspace)
    found = parts(replace(made, shape=replace(made.shape, task=MultiLabel(CLASSES))))
    assert found.groupby("part")[list(CLASSES)].sum().max(axis=0).tolist() == [3, 3, 2]
    assert found.columns.tolist() == ["id", *CLASSES, "part"]


def test_ignored_rows_are_in_neither_half(workspace: Workspace) -> None:
    change_truth(workspace, part=["ignored"] * 4 + ["public"] * 3 + ["private"] * 5)
    assert parts(parcel(workspace))["part"].value_counts().to_dict() == {"private": 5, "public": 3}


def test_the_board_is_scored_anew_where_the_metric_or_its_constants_change(
    workspace: Workspace,
) -> None:
    local.Local().send(parcel(workspace, WRONG, "wrong.csv"))
    assert board(workspace)[1]["private"] == pytest.approx(-np.log(0.01), abs=1e-6)
    local.Local().send(parcel(workspace, clip=0.05))
    team, wrong, right = board(workspace)
    assert (team["team"], wrong["file"], right["file"]) == ("uniform", "wrong.csv", "mine.csv")
    assert wrong["private"] == wrong["public"] == pytest.approx(-np.log(0.05), abs=1e-6)
    assert right["private"] == pytest.approx(-np.log(0.8), abs=1e-6)
    receipt = local.Local().send(parcel(workspace, name="accuracy"))
    assert [entry["private"] for entry in board(workspace)[1:]] == [0.0, 1.0]  # wrong, mine
    assert (receipt.rank, receipt.teams, receipt.private) == (1, 2, 1.0)


def test_the_board_is_scored_anew_where_the_truth_changes(workspace: Workspace) -> None:
    local.Local().send(parcel(workspace))
    assert board(workspace)[1]["private"] == pytest.approx(-np.log(0.8), abs=1e-6)
    change_truth(workspace, label=np.array(CLASSES)[(np.arange(12) + 1) % 3])
    local.Local().send(parcel(workspace, WRONG, "wrong.csv"))
    assert [e["private"] for e in board(workspace)[1:]] == pytest.approx(
        [-np.log(0.1), -np.log(0.98)], abs=1e-6
    )
    change_truth(workspace, part=["private"] * 3 + ["public"] * 9)
    assert local.Local().send(parcel(workspace, WRONG, "wrong.csv")).rank == 1
    assert [entry["team"] for entry in board(workspace)] == ["uniform", "you", "you"]


def test_nothing_is_scored_again_where_nothing_has_changed(workspace: Workspace) -> None:
    local.Local().send(parcel(workspace, WRONG, "wrong.csv"))
    made, calls = parcel(workspace), []
    local.Local().send(replace(made, grade=lambda truth, said: calls.append(1) or 0.5))
    assert len(calls) == 2  # the halves of the new file
    assert board(workspace)[1]["private"] == pytest.approx(-np.log(0.01), abs=1e-6)


def test_a_board_as_it_was_written_before_is_scored_anew(workspace: Workspace) -> None:
    local.Local().send(parcel(workspace, WRONG, "wrong.csv"))
    old = [
        {"team": "uniform", "public": 0.1, "private": 0.1},
        {"team": "you", "file": "wrong.csv", "public": 0.2, "private": 0.2},
    ]
    (platform(workspace) / "board.json").write_text(json.dumps(old))
    local.Local().send(parcel(workspace))
    assert [entry["private"] for entry in board(workspace)] == pytest.approx(
        [np.log(3), -np.log(0.01), -np.log(0.8)], abs=1e-6
    )


def test_entries_that_cannot_be_scored_anew_are_left_out_with_a_warning(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    others = platform(workspace) / "entries"
    (others / "second.csv").write_bytes((others / "uniform.csv").read_bytes())
    local.Local().send(parcel(workspace, file="gone.csv"))
    local.Local().send(parcel(workspace, file="broken.csv"))
    (workspace.root / "gone.csv").unlink()
    (others / "second.csv").unlink()
    with caplog.at_level(logging.WARNING, "foldwise"):
        local.Local().send(parcel(workspace))  # nothing else has changed: they stay
        assert not caplog.messages
        assert len(board(workspace)) == 5
        (workspace.root / "broken.csv").write_text("id,zebra\n")
        change_truth(workspace, part=["private"] * 5 + ["public"] * 7)
        local.Local().send(parcel(workspace))
    said = sorted(caplog.messages)
    assert [entry.get("file") for entry in board(workspace)] == [None, "mine.csv"]
    start = "the local leaderboard leaves out an entry of"
    assert said[0] == (
        f"{start} 'second', which cannot be scored: expected the file "
        f"{others / 'second.csv'}, found none"
    )
    assert said[1].startswith(f"{start} 'you', which cannot be scored: {workspace.root}")
    assert said[2].endswith("gone.csv, found none")


def test_an_entry_that_comes_later_or_changes_joins_the_board(workspace: Workspace) -> None:
    local.Local().send(parcel(workspace))
    others = platform(workspace) / "entries"
    made = parcel(workspace, WRONG, "wrong.csv")
    (others / "late.csv").write_bytes(made.file.read_bytes())
    (others / "uniform.csv").write_bytes(made.file.read_bytes())
    receipt = local.Local().send(parcel(workspace))
    assert [(e["team"], e["private"] > 4) for e in board(workspace)] == [
        ("uniform", True),
        ("late", True),
        ("you", False),
    ]
    assert (receipt.rank, receipt.teams) == (1, 3)


def test_the_board_can_be_had_without_an_entry(workspace: Workspace) -> None:
    (entry,) = local.enter(parcel(workspace))
    assert (entry.team, entry.public) == ("uniform", pytest.approx(np.log(3), abs=1e-6))
    assert board(workspace) == [entry.plain()]


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (
            {"id": [*NAMES[:-2], "x", "y"]},
            PlatformError,
            "should hold the 12 ids of the test set; 2 are missing: .*; correct the file",
        ),
        ({"id": [*NAMES[:-1], NAMES[0]]}, LabelError, "'id' must stand in one row, 1 stand in"),
        (
            {"part": ["public"] * 12},
            PlatformError,
            "rows of both parts, public and private, got 'public' in 12 rows; correct the column",
        ),
        ({"part": None, "group": ["one"] * 12}, PlatformError, r"\(then two rows or groups are"),
        (
            {"label": ["ant"] * 11 + ["amt"]},
            LabelError,
            "should say one of the 3 classes .'zebra', '10', 'ant'.; 1 of 12 do not, e.g. id '.*' "
            "has 'amt'; correct the file",
        ),
        ({"label": None}, DataError, "should have a column 'label'"),
    ],
)
def test_a_truth_that_does_not_fit_is_said(
    workspace: Workspace, columns: dict[str, Any], error: type[Exception], message: str
) -> None:
    made = parcel(workspace)
    change_truth(workspace, **columns)
    with pytest.raises(error, match=message):
        local.Local().send(made)
    assert not (platform(workspace) / "board.json").exists()


def test_ids_that_the_format_file_lacks_are_said(workspace: Workspace) -> None:
    made = parcel(workspace)
    path = platform(workspace) / "truth.csv"
    path.write_text(path.read_text() + "new,ant,public\n")
    with pytest.raises(PlatformError, match=r"1 are unknown: 'new'; correct the file \(rows of"):
        local.Local().send(made)


def test_a_cell_of_a_multi_label_truth_is_0_or_1(workspace: Workspace) -> None:
    made = parcel(workspace)
    hot = {name: ["1", *["0"] * 11] for name in CLASSES}
    change_truth(workspace, label=None, **{**hot, "ant": ["2", *["0"] * 11]})
    with pytest.raises(LabelError, match=r"should say 0 or 1 for each class; 1 of 12 do not, e.g"):
        local.Local().send(replace(made, shape=replace(made.shape, task=MultiLabel(CLASSES))))
