"""check says what is wrong, what is suspicious, and what it understood."""

from pathlib import Path

import pytest

from foldwise import doctor
from foldwise.workspace import Workspace
from tiny import CLASSES, edit, ids


def test_it_ends_with_what_it_understood(workspace: Workspace) -> None:
    edit(
        workspace.competition("tiny") / "competition.toml", "[submit]", '[submit]\nfolds = "sites"'
    )
    findings = doctor.check(workspace, "tiny")
    assert findings.ok
    assert findings.warnings == []
    facts = findings.facts
    assert (facts["train_rows"], facts["test_rows"]) == (30, 12)
    assert list(facts["classes"]) == list(CLASSES)
    assert sum(facts["classes"].values()) == pytest.approx(1, abs=1e-3)
    assert facts["groups"] == {"column": "site", "train": 6, "test": 6, "shared": 0}
    assert facts["format"] == {
        "file": "submission_format.csv",
        "rows": 12,
        "columns": 4,
        "shape": "wide",
    }
    assert facts["task"] == "multi-class"
    assert facts["metric"] == "log loss"
    assert facts["folds"]["sites"]["kind"] == "stratified_group"
    assert facts["images"]["files"] == 42
    assert 17 <= facts["images"]["width"][0] < facts["images"]["width"][1] < 40
    assert facts["images"]["modes"] == {"L": 42}
    assert not (workspace.data / "tiny" / "folds").exists()  # nothing is decided by looking


def test_random_folds_over_disjoint_groups_are_the_first_warning(workspace: Workspace) -> None:
    (workspace.raw("tiny") / "images" / "extra.png").write_bytes(b"")
    findings = doctor.check(workspace, "tiny")
    assert findings.warnings[0].startswith(
        "folds 'default' are random, but train and test share no"
    )
    assert 'kind = "stratified_group"' in findings.warnings[0]


def test_shared_groups_give_no_warning(workspace: Workspace) -> None:
    path = workspace.raw("tiny") / "test_features.csv"
    path.write_text(path.read_text().replace(",test ", ",train "))
    assert doctor.check(workspace, "tiny").warnings == []


def test_an_image_without_id_is_reported_and_other_files_are_not(workspace: Workspace) -> None:
    folder = workspace.raw("tiny") / "images"
    (folder / "lonely.JPG").write_bytes(b"x")
    (folder / "Thumbs.db").write_bytes(b"x")
    warnings = doctor.check(workspace, "tiny").warnings
    assert "1 images belong to no id, e.g. 'images/lonely.JPG'; they are not used" in warnings


def test_missing_and_unreadable_images_are_errors(workspace: Workspace) -> None:
    folder = workspace.raw("tiny") / "images"
    first, second, third = ids("train", 30)[:3]
    (folder / f"{first}.png").unlink()
    (folder / f"{second}.png").write_bytes(b"")
    (folder / f"{third}.png").write_text("no image")
    errors = doctor.check(workspace, "tiny").errors
    assert "1 of 42 ids have no image" in errors[0]
    assert "make data COMP=tiny" in errors[0]
    assert "2 images are unreadable" in errors[1]


def test_folds_that_cannot_be_made_and_recipes_that_are_wrong_are_errors(
    workspace: Workspace,
) -> None:
    folder = workspace.competition("tiny")
    edit(folder / "competition.toml", "n = 3\nseed = 1\n\n[submit]", "n = 7\nseed = 1\n\n[submit]")
    edit(folder / "recipes" / "tiny.toml", "batch_size", "batchsize")
    errors = doctor.check(workspace, "tiny").errors
    assert "did you mean 'batch_size'" in errors[0]
    assert "7 folds need at least as many groups, got 6" in errors[1]


def test_saved_folds_that_do_not_fit_are_an_error(workspace: Workspace) -> None:
    from foldwise import Competition

    Competition.load("tiny", workspace.root).folds()
    edit(
        workspace.competition("tiny") / "competition.toml",
        "n = 3\nseed = 1\n\n[folds.sites]",
        "n = 4\nseed = 1\n\n[folds.sites]",
    )
    assert "was made with other settings" in doctor.check(workspace, "tiny").errors[0]


def test_a_hooked_image_needs_no_file(workspace: Workspace) -> None:
    import shutil

    shutil.rmtree(workspace.raw("tiny") / "images")
    (workspace.competition("tiny") / "adapter.py").write_text(
        "import numpy as np\n\n\ndef read_image(spec, row):\n"
        "    return np.full((4, 4, 1), int(row['id'][-4:]) % 251, 'u1')\n"
    )
    findings = doctor.check(workspace, "tiny")
    assert findings.ok, findings.errors


@pytest.mark.realdata
def test_the_real_wildlife_csvs_are_understood(
    realdata: Path, repository: Path, tmp_path: Path
) -> None:
    import shutil

    from foldwise.tables.archives import add_to_raw

    shutil.copytree(
        repository / "competitions" / "wildlife", tmp_path / "competitions" / "wildlife"
    )
    workspace = Workspace(tmp_path, tmp_path / "data", tmp_path / "runs")
    add_to_raw(realdata / "wildlife-csv.zip", workspace.raw("wildlife"))
    findings = doctor.check(workspace, "wildlife")
    assert findings.facts["train_rows"] == 16488
    assert findings.facts["groups"] == {"column": "site", "train": 148, "test": 51, "shared": 0}
    assert len(findings.errors) == 1
    for words in (
        "20952 of 20952 ids have no image",
        "drivendata.org/competitions/87",
        "submission_format.csv",
        "train_features/",
        "make submit COMP=wildlife",
    ):
        assert words in findings.errors[0]
    assert findings.warnings == []  # the default scheme is grouped
    toml = tmp_path / "competitions" / "wildlife" / "competition.toml"
    edit(toml, 'recipes = ["resnet34"]', 'recipes = ["resnet34"]\nfolds = "random"')
    first = doctor.check(workspace, "wildlife").warnings[0]
    assert first.startswith(
        "folds 'random' are random, but train and test share no site (148 and 51)"
    )


def test_a_class_without_training_rows_is_a_warning(workspace: Workspace) -> None:
    raw = workspace.raw("tiny")
    for name in ("train_labels.csv", "submission_format.csv"):
        lines = (raw / name).read_text().splitlines()
        extra = ["bee", *["0.0"] * (len(lines) - 1)]
        both = [f"{line},{cell}" for line, cell in zip(lines, extra, strict=True)]
        (raw / name).write_text("\n".join(both) + "\n")
    findings = doctor.check(workspace, "tiny")
    assert "1 classes of the format file have no training row, e.g. 'bee'" in findings.warnings
    assert findings.ok
