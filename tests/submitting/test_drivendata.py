"""DrivenData: a file that passes its rules, the page it goes to, the score that a person enters."""

from collections.abc import Callable

import numpy as np
import pytest

from foldwise.data.competition import load_data
from foldwise.errors import SubmissionError
from foldwise.submitting.platforms import Parcel
from foldwise.submitting.platforms.drivendata import DrivenData
from foldwise.workspace import Workspace
from tiny import edit, ids, write_format

HERE = DrivenData(page="https://example.org/tiny")


def parcel(workspace: Workspace) -> Parcel:
    data = load_data(workspace, "tiny")
    file = workspace.root / "mine.csv"
    write_format(file, ids("test", 12))
    return Parcel(data.spec, file, data.format, lambda truth, said: np.nan, workspace.data / "tiny")


def test_the_page_and_the_command_after_it_are_said(workspace: Workspace) -> None:
    made = parcel(workspace)
    receipt = HERE.send(made)
    assert (receipt.state, receipt.public) == ("ready", None)
    assert receipt.message == (
        f"upload {made.file} by hand at https://example.org/tiny/submissions/, then enter its "
        "score: foldwise status mine.csv --record --public <score> --rank <place>"
    )
    nowhere = DrivenData().send(made)
    assert "at https://www.drivendata.org/submissions/, then" in nowhere.message


def first_rows_swapped(lines: list[str]) -> list[str]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first_rows_swapped, "rows should be in the format file's order; row 1 is"),
        (lambda lines: [lines[0].replace("zebra,10", "10,zebra"), *lines[1:]], "columns should be"),
        (lambda lines: [lines[0].lower().replace("id", "ID"), *lines[1:]], "missing: 'id'; un"),
        (lambda lines: lines[:-1], "expected the format file's 12 ids; got 1 missing"),
        (lambda lines: [*lines, lines[1]], "every id should stand once, 1 stand twice or more"),
        (lambda lines: [*lines[:-1], lines[-1].replace("0.33", "x", 1)], "should be finite"),
        (lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ",,0.5,0.5"], "has '' in 'zebra'"),
        (lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ",nan,0,1"], "has 'nan' in 'zebra'"),
    ],
)
def test_a_file_that_was_changed_by_hand_is_checked_by_the_platforms_rules(
    workspace: Workspace, change: Callable[[list[str]], list[str]], message: str
) -> None:
    made = parcel(workspace)
    lines = made.file.read_text().splitlines()
    made.file.write_text("\n".join(change(lines)) + "\n")
    with pytest.raises(SubmissionError, match=message):
        HERE.send(made)


def test_a_format_file_with_whole_numbers_is_right_as_it_is(workspace: Workspace) -> None:
    made = parcel(workspace)
    first = f"{ids('test', 12)[0]},"
    row = next(line for line in made.file.read_text().splitlines() if line.startswith(first))
    edit(made.file, row, f"{first}1,0,0")
    assert HERE.send(made).state == "ready"
