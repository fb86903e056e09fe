"""A platform that a competition brings along in its adapter.py alone."""

import json

import pytest

from foldwise.commands import status
from foldwise.commands.catalogue import catalogue
from foldwise.commands.submit import submit
from foldwise.data.opened import open_competition
from foldwise.errors import SpecError
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from tiny import edit

ADAPTER = '''
import shutil
from pathlib import Path
from typing import Literal

from foldwise.kinds.platform import Platform
from foldwise.submitting.platforms import Destination, Receipt


class Shelf(Destination):
    """A folder of this machine, where a teacher grades by counting lines."""

    name: Literal["shelf"] = "shelf"
    folder: str

    def send(self, parcel):
        """Put the file there."""
        there = parcel.data / self.folder
        there.mkdir(exist_ok=True)
        shutil.copyfile(parcel.file, there / parcel.file.name)
        lines = len(parcel.file.read_text().splitlines())
        return Receipt("scored", f"{lines} lines", public=lines / 100)


class Silent(Destination):
    """One that takes nothing."""

    name: Literal["silent"] = "silent"


class Bare(Platform):
    """One that is no destination."""

    name: Literal["bare"] = "bare"
'''


@pytest.fixture
def shelf(workspace: Workspace) -> Workspace:
    """The tiny competition, whose submissions go into a folder."""
    folder = workspace.competition("tiny")
    (folder / "adapter.py").write_text(ADAPTER)
    text = (folder / "competition.toml").read_text()
    text = text.replace('platform = "local"\n', "")
    (folder / "competition.toml").write_text(
        f'{text}\n[platform]\nname = "shelf"\nfolder = "graded"\n'
    )
    return workspace


def test_a_file_is_sent_once_and_its_score_is_in_the_ledger(
    shelf: Workspace, submitted: tuple[Workspace, Entry]
) -> None:
    entry = submit(open_competition(shelf, "tiny"))
    assert entry.receipt is not None
    assert (entry.receipt.state, entry.receipt.public) == ("scored", 0.13)
    (sent,) = (shelf.data / "tiny" / "graded").iterdir()
    assert sent.read_bytes() == submitted[1].file.read_bytes()
    sent.unlink()
    again = submit(open_competition(shelf, "tiny"))
    assert again.receipt is not None
    assert again.receipt.public == 0.13
    assert not [*(shelf.data / "tiny" / "graded").iterdir()]  # nothing is sent twice
    book = shelf.root / "submissions" / "tiny" / "ledger.jsonl"
    events = [json.loads(line)["event"] for line in book.read_text().splitlines()]
    assert events == ["written", "scored"]
    (row,) = status.status(shelf, "tiny")
    assert row["public"] == 0.13
    (listed,) = catalogue(shelf)
    assert listed["platform"] == "shelf"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "shelf"', 'name = "shel"', "no platform is called 'shel'; did you mean 'shelf'"),
        ("folder =", "floder =", "unknown key 'platform.floder'; did you mean 'folder'"),
        (
            'name = "shelf"\nfolder = "graded"',
            'name = "bare"',
            'platform = "bare" should be a class of foldwise.submitting.platforms.Destination',
        ),
        (
            'name = "shelf"\nfolder = "graded"',
            'name = "silent"',
            'platform = "silent" takes no files by itself; give its class in adapter.py a method',
        ),
    ],
)
def test_one_that_cannot_be_is_refused(shelf: Workspace, old: str, new: str, message: str) -> None:
    edit(shelf.competition("tiny") / "competition.toml", old, new)
    with pytest.raises(SpecError, match=message):
        submit(open_competition(shelf, "tiny"))
