"""The workspace is found from any folder below it, and its data can lie elsewhere."""

from pathlib import Path

import pytest

from foldwise.errors import SpecError
from foldwise.workspace import Workspace


def test_it_is_found_from_a_folder_below(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = workspace.root / "competitions" / "tiny"
    monkeypatch.chdir(below)
    assert Workspace.find() == workspace


def test_data_and_runs_can_be_put_elsewhere(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOLDWISE_DATA", str(tmp_path / "big"))
    monkeypatch.setenv("FOLDWISE_RUNS", str(tmp_path / "fast"))
    found = Workspace.find(workspace.root)
    assert (found.data, found.runs) == (tmp_path / "big", tmp_path / "fast")


def test_a_folder_without_competitions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"expected a folder with competitions/ .* --root"):
        Workspace.find(tmp_path)


def test_an_unknown_competition_gets_the_nearest_name(workspace: Workspace) -> None:
    with pytest.raises(SpecError, match="no competition is called 'tny'; did you mean 'tiny'"):
        workspace.competition("tny")
    with pytest.raises(SpecError, match="no competition is called 'qqq'; there are: tiny"):
        workspace.competition("qqq")


def test_practice_submissions_are_data(workspace: Workspace) -> None:
    assert workspace.submissions("tiny", practice=True).is_relative_to(workspace.data)
    assert workspace.submissions("tiny", practice=False) == workspace.root / "submissions" / "tiny"
