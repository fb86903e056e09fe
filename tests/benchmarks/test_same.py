"""The comparison of two versions: what it reads of a submit, and that it sees what differs."""

from pathlib import Path

import pandas as pd
import pytest

import same
from foldwise.commands.submit import submit
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.workspace import Workspace


@pytest.mark.parametrize("name", same.DRAWN)
def test_every_competition_is_sound(name: str, tmp_path: Path) -> None:
    same.write(tmp_path, name)
    data = load_data(Workspace(tmp_path, tmp_path / "data", tmp_path / "runs"), name)
    assert len(data.classes) == 3
    assert len(data.train) + len(data.test) == sum(same.PARTS.values()) - 24 * (name == "holdout")
    assert data.spec.multi == (name in ("tags", "columns"))


@pytest.mark.slow
def test_what_a_submit_leaves_is_compared_but_for_names_and_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = []
    for side in ("one", "other"):
        folder = tmp_path / side
        same.write(folder, "tags")
        submit(open_competition(Workspace(folder, folder / "data", folder / "runs"), "tags"))
        given.append(dict(same.collected(folder, "tags")))
    one, other = given
    assert {"net fold0 oof", "sums fold2 test", "blend", "blend test", "file", "ledger"} <= {*one}
    assert not same.told("tags", one, other)
    frame = other["sums fold2 test"].copy()
    frame.iloc[0, 1] += 1e-15
    moved = {
        "file": other["file"] + b" ",
        "ledger": other["ledger"][:-1],
        "sums fold2 test": frame,
    }
    for key, value in moved.items():
        assert same.told("tags", one, {**other, key: value})
        assert f"different: {key}" in capsys.readouterr().out
    assert same.told("tags", one, {"error": "no such key"})
    assert "head: no such key" in capsys.readouterr().out
    assert same.told("tags", {"error": "it fell"}, {"error": "it fell"})


def test_values_of_another_kind_are_unlike() -> None:
    frame = pd.DataFrame({"id": ["a"], "x": [0.5]})
    assert not same.unlike(frame, frame.copy())
    assert same.unlike(frame, frame.rename(columns={"x": "y"}))
    assert same.unlike(frame, None)
    assert same.unlike({"a": 1}, [1])
