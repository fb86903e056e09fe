"""What check and submit found is kept beside the data, for reports."""

import json

from foldwise import doctor
from foldwise.data.opened import open_competition
from foldwise.workspace import Workspace
from tiny import edit


def test_findings_are_kept_by_who_looked(workspace: Workspace) -> None:
    path = workspace.data / "tiny" / "findings.json"
    quick = doctor.examine(open_competition(workspace, "tiny"), images=False)
    assert json.loads(path.read_text()) == {
        "version": 1,
        "submit": {
            "ok": True,
            "errors": [],
            "warnings": quick.warnings,
            "facts": {k: v for k, v in quick.facts.items() if k != "folds"},
        },
    }
    whole = doctor.check(workspace, "tiny")
    told = json.loads(path.read_text())
    assert {*told} == {"version", "submit", "check"}
    assert told["check"]["warnings"] == whole.warnings
    assert told["check"]["facts"]["copies"] == {"images": 0, "rows": 0}
    assert "copies" not in told["submit"]["facts"]


def test_what_is_known_is_not_written_again(workspace: Workspace) -> None:
    path = workspace.data / "tiny" / "findings.json"
    doctor.check(workspace, "tiny")
    before = path.stat()
    doctor.check(workspace, "tiny")
    assert path.stat().st_ino == before.st_ino  # a new file would have been renamed to it


def test_tables_that_cannot_be_read_are_a_finding_too(workspace: Workspace) -> None:
    doctor.check(workspace, "tiny")
    edit(workspace.raw("tiny") / "train_features.csv", "id,", "number,")
    findings = doctor.check(workspace, "tiny")
    path = workspace.data / "tiny" / "findings.json"
    assert json.loads(path.read_text())["check"]["errors"] == findings.errors
    assert len(findings.errors) == 1


def test_without_data_nothing_is_kept(workspace: Workspace) -> None:
    home = workspace.data / "tiny"
    home.rename(home.with_name("elsewhere"))
    assert not doctor.check(workspace, "tiny").ok
    assert not home.exists()
