"""check finds copies, leaks and damaged tables, and says where to look."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise import doctor
from foldwise.commands.planning import scheme_folds
from foldwise.commands.submit import submit
from foldwise.data.opened import open_competition
from foldwise.errors import DataError
from foldwise.tables.archives import add_to_raw
from foldwise.workspace import Workspace
from tiny import CLASSES, ids, write_tiny

TRAIN, TEST = ids("train", 30), ids("test", 12)  # the label of row i is CLASSES[i % 3]


def same_image(workspace: Workspace, first: str, *others: str) -> None:
    """Give other ids the first one's image, as a file of other bytes."""
    from PIL import Image

    folder = workspace.raw("tiny") / "images"
    with Image.open(folder / f"{first}.png") as image:
        for id in others:
            image.save(folder / f"{id}.png", compress_level=0)


def features(workspace: Workspace, part: str = "train") -> pd.DataFrame:
    return pd.read_csv(workspace.raw("tiny") / f"{part}_features.csv", dtype=str)


def listed(workspace: Workspace) -> pd.DataFrame:
    """The rows of data/tiny/copies.csv, all cells as text."""
    return pd.read_csv(workspace.data / "tiny" / "copies.csv", dtype=str, keep_default_na=False)


def about(warnings: list[str], words: str) -> str:
    """The one warning that holds these words."""
    (found,) = [warning for warning in warnings if words in warning]
    assert "\n" not in found
    return found


def test_copies_with_different_labels_are_told_and_listed(workspace: Workspace) -> None:
    same_image(workspace, TRAIN[0], TRAIN[1])
    findings = doctor.check(workspace, "tiny")
    assert findings.ok
    assert findings.facts["copies"] == {"images": 1, "rows": 2}
    label = {TRAIN[0]: "zebra", TRAIN[1]: "10"}
    first, second = sorted(label)
    path = workspace.data / "tiny" / "copies.csv"
    assert about(findings.warnings, "different labels") == (
        "1 images stand in train several times with different labels, e.g. "
        f"{first!r} is {label[first]!r} and {second!r} is {label[second]!r}; all are listed in "
        f"{path}. Correct them with [labels] overrides, or leave them out with [images] skip"
    )
    assert listed(workspace).to_numpy().tolist() == [
        ["0", first, "train", label[first]],
        ["0", second, "train", label[second]],
    ]


def test_of_several_copies_two_that_differ_are_named(workspace: Workspace) -> None:
    alike = sorted([TRAIN[0], TRAIN[3], TRAIN[6], TRAIN[9]])
    odd = max((id for n, id in enumerate(TRAIN) if n % 3 == 2))
    assert odd > alike[1]
    same_image(workspace, *alike, odd)
    told = about(doctor.check(workspace, "tiny").warnings, "different labels")
    assert f"{alike[0]!r} is 'zebra' and {odd!r} is 'ant'" in told


def test_copies_in_train_and_test_are_told_and_listed(workspace: Workspace) -> None:
    same_image(workspace, TRAIN[0], TEST[4], TRAIN[3])
    same_image(workspace, TEST[0], TEST[1])
    findings = doctor.check(workspace, "tiny")
    assert findings.facts["copies"] == {"images": 2, "rows": 5}
    told = about(findings.warnings, "in train and in test")
    assert told.startswith(
        f"1 images stand in train and in test, e.g. {min(TRAIN[0], TRAIN[3])!r} and {TEST[4]!r}; "
        f"all are listed in {workspace.data / 'tiny' / 'copies.csv'}. The leaderboard flatters"
    )
    assert not [warning for warning in findings.warnings if "different labels" in warning]
    rows = listed(workspace)
    assert rows.groupby("image")["part"].apply(sorted).to_list() in (
        [["test", "train", "train"], ["test", "test"]],
        [["test", "test"], ["test", "train", "train"]],
    )
    assert set(rows.loc[rows["part"] == "test", "label"]) == {""}
    assert set(rows.loc[rows["part"] == "train", "label"]) == {"zebra"}


def test_copies_stay_in_one_fold_and_the_facts_say_so(workspace: Workspace) -> None:
    same_image(workspace, TRAIN[0], TRAIN[6])  # of one site
    findings = doctor.check(workspace, "tiny")
    assert findings.ok
    assert [s["copies_together"] for s in findings.facts["folds"].values()] == [True, True]
    assert not [warning for warning in findings.warnings if "images stand" in warning]
    assert list(listed(workspace)["label"]) == ["zebra", "zebra"]
    folds = scheme_folds(open_competition(workspace, "tiny"))
    assert len(set(folds.of(pd.Series([TRAIN[0], TRAIN[6]])))) == 1


def test_a_copy_in_two_sites_joins_them(workspace: Workspace) -> None:
    same_image(workspace, TRAIN[0], TRAIN[3])  # both sites with zebras
    (error,) = doctor.check(workspace, "tiny").errors
    assert "'zebra' has only 10 rows in one group" in error


def test_without_copies_nothing_is_listed_and_an_old_list_goes(workspace: Workspace) -> None:
    assert doctor.check(workspace, "tiny").facts["copies"] == {"images": 0, "rows": 0}
    assert not (workspace.data / "tiny" / "copies.csv").exists()
    same_image(workspace, TRAIN[0], TRAIN[1])
    doctor.check(workspace, "tiny")
    assert len(listed(workspace)) == 2
    same_image(workspace, TRAIN[2], TRAIN[1])
    doctor.check(workspace, "tiny")
    assert set(listed(workspace)["id"]) == {TRAIN[1], TRAIN[2]}
    shutil.copyfile(
        write_tiny(workspace.root / "other").raw("tiny") / "images" / f"{TRAIN[1]}.png",
        workspace.raw("tiny") / "images" / f"{TRAIN[1]}.png",
    )
    assert doctor.check(workspace, "tiny").facts["copies"]["images"] == 0
    assert not (workspace.data / "tiny" / "copies.csv").exists()


def test_files_that_are_no_images_are_counted(workspace: Workspace) -> None:
    folder = workspace.raw("tiny") / "images"
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "read me.txt").write_bytes(b"x")
    (folder / "deeper").mkdir()
    findings = doctor.check(workspace, "tiny")
    assert findings.facts["changes"] == {
        "files ignored that are no images, e.g. 'images/read me.txt'": 2
    }
    assert findings.ok


def test_an_image_that_breaks_off_after_its_header_is_an_error(workspace: Workspace) -> None:
    path = workspace.raw("tiny") / "images" / f"{TRAIN[5]}.png"
    path.write_bytes(path.read_bytes()[:200])
    findings = doctor.check(workspace, "tiny")
    (error,) = findings.errors
    assert "1 of 42 images are missing or unreadable" in error
    assert TRAIN[5] in (workspace.data / "tiny" / "unreadable.txt").read_text()
    assert findings.document()["ok"] is False
    assert "copies" not in findings.facts


def test_what_the_group_alone_tells_is_measured_in_both_kinds_of_folds(
    workspace: Workspace,
) -> None:
    told = doctor.check(workspace, "tiny").facts["group_alone"]
    assert told["column"] == "site"
    # every site has images of one class: known from the others of the site, unknown from outside
    assert told["log_loss_in_random_folds"] < 0.5
    assert told["log_loss_of_class_shares"] == pytest.approx(np.log(3), abs=0.02)
    assert told["log_loss_in_grouped_folds"] > 1.0


def test_a_column_that_gives_the_label_away_is_a_warning(tmp_path: Path) -> None:
    workspace = write_tiny(tmp_path, n_train=60)
    frame = features(workspace)
    frame["camera"] = ["c" + "zau"[row % 3] for row in range(60)]
    frame["coin"] = np.random.default_rng(0).integers(0, 2, 60).astype(str)
    frame.to_csv(workspace.raw("tiny") / "train_features.csv", index=False)
    warnings = doctor.check(workspace, "tiny").warnings
    told = about(warnings, "alone predicts the label")
    assert told.startswith("the column 'camera' alone predicts the label: log loss 0.")
    assert "in random folds, 1.099 without it" in told
    assert told.endswith('name it as [labels] group and write kind = "stratified_group"')


def damage(workspace: Workspace, crlf: bool = True, shared: bool = True) -> None:
    """Drag the sites down in a spreadsheet, and let it write its line ends."""
    for part, start in (("train", 120), ("test", 125 if shared else 7000)):
        frame = features(workspace, part)
        frame["site"] = [f"S{start + row:04d}" for row in range(len(frame))]
        path = workspace.raw("tiny") / f"{part}_features.csv"
        frame.to_csv(path, index=False, lineterminator="\r\n" if crlf else "\n")


@pytest.mark.parametrize(("crlf", "shared"), [(True, True), (True, False), (False, True)])
def test_a_copy_damaged_in_a_spreadsheet_is_an_error(
    workspace: Workspace, crlf: bool, shared: bool
) -> None:
    damage(workspace, crlf, shared)
    findings = doctor.check(workspace, "tiny")
    (error,) = findings.errors
    assert error.startswith(
        f"{workspace.raw('tiny') / 'train_features.csv'}: rows should share groups, but 30 rows "
        "hold 30 that count up by one ('S0120', 'S0121', 'S0122', …), and "
    )
    assert ("the file has CRLF line ends" in error) == crlf
    assert ("train and test share 12 of these groups" in error) == shared
    assert "download the original again" in error
    assert "\n" not in error
    with pytest.raises(DataError, match="this copy looks damaged in a spreadsheet"):
        submit(open_competition(workspace, "tiny"))
    assert not list((workspace.runs / "tiny").glob("tiny-*"))


def test_a_short_or_undamaged_table_with_these_line_ends_is_none(workspace: Workspace) -> None:
    path = workspace.raw("tiny") / "train_features.csv"
    features(workspace).to_csv(path, index=False, lineterminator="\r\n")
    assert doctor.check(workspace, "tiny").ok


def test_groups_as_many_as_rows_do_nothing_and_it_is_said(workspace: Workspace) -> None:
    damage(workspace, crlf=False, shared=False)  # neither sign of a spreadsheet
    findings = doctor.check(workspace, "tiny")
    assert findings.ok
    assert findings.warnings[0].startswith(
        "rows should share their site, but 30 training rows have 30 different ones, e.g. 'S0120'"
    )
    assert findings.facts["groups"] == {"column": "site", "train": 30, "test": 12, "shared": 0}


def test_the_findings_are_one_json_document(workspace: Workspace) -> None:
    import json

    document = json.loads(json.dumps(doctor.check(workspace, "tiny").document()))
    assert list(document) == ["ok", "errors", "warnings", "facts"]
    assert document["ok"] is True
    assert list(document["facts"]["classes"]) == list(CLASSES)


@pytest.fixture
def wildlife(realdata: Path, repository: Path, tmp_path: Path) -> Workspace:
    """A workspace with the real wildlife CSVs, without their images."""
    shutil.copytree(
        repository / "competitions" / "wildlife", tmp_path / "competitions" / "wildlife"
    )
    workspace = Workspace(tmp_path, tmp_path / "data", tmp_path / "runs")
    add_to_raw(realdata / "wildlife-csv.zip", workspace.raw("wildlife"))
    return workspace


@pytest.mark.realdata
def test_real_sites_alone_give_half_the_label_away_in_random_folds(wildlife: Workspace) -> None:
    told = doctor.check(wildlife, "wildlife").facts["group_alone"]
    assert told["column"] == "site"
    assert told["log_loss_in_random_folds"] == pytest.approx(1.29, abs=0.02)
    assert told["log_loss_in_grouped_folds"] == pytest.approx(2.06, abs=0.02)
    assert told["log_loss_of_class_shares"] == pytest.approx(2.05, abs=0.01)


@pytest.mark.realdata
def test_a_damaged_copy_of_the_real_tables_is_refused(wildlife: Workspace) -> None:
    raw = wildlife.raw("wildlife")
    for part in ("train", "test"):
        path = raw / f"{part}_features.csv"
        frame = pd.read_csv(path, dtype=str)
        frame["site"] = [f"S{120 + row:04d}" for row in range(len(frame))]
        frame.to_csv(path, index=False, lineterminator="\r\n")
    labels = pd.read_csv(raw / "train_labels.csv", dtype=str)
    labels.iloc[:, 1:] = np.roll(labels.iloc[:, 1:].to_numpy(), 1, axis=0)  # off their ids by one
    labels.to_csv(raw / "train_labels.csv", index=False, lineterminator="\r\n")
    errors = doctor.check(wildlife, "wildlife").errors
    assert "16488 rows hold 16488 that count up by one ('S0120', 'S0121', 'S0122', …)" in errors[0]
    assert "CRLF line ends and train and test share 4464 of these groups" in errors[0]
