"""A label format that a competition brings along in its adapter.py alone."""

import pytest

from foldwise import doctor
from foldwise.commands.submit import submit
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.errors import LabelError, SpecError
from foldwise.submitting.entry import Entry
from foldwise.tables.text import read_table
from foldwise.workspace import Workspace
from tiny import edit

ADAPTER = '''
from typing import Literal

from foldwise.config.labels import Labels
from foldwise.kinds.rows import Rows
from foldwise.tables.text import read_table


class Lists(Labels):
    """A text file with a line per class: its name, a colon, its ids."""

    format: Literal["lists"] = "lists"
    file: str = "labels.txt"

    def read(self, spec, raw, classes):
        """The training rows."""
        names = {}
        for line in (raw / self.file).read_text().splitlines():
            name, _, ids = line.partition(":")
            names.update(dict.fromkeys(ids.split(), name))
        source = read_table(raw / "train_features.csv", [self.id])
        tags = [(names.get(id, ""),) for id in source[self.id]]
        paths = [*source["filepath"]]
        return Rows(source, source[self.id], tags, raw / self.file, paths=paths)


class Unfinished(Labels):
    """One without a method that reads."""

    format: Literal["unfinished"] = "unfinished"
'''


@pytest.fixture
def lists(workspace: Workspace) -> Workspace:
    """The tiny competition, whose labels are lists of ids."""
    folder, raw = workspace.competition("tiny"), workspace.raw("tiny")
    (folder / "adapter.py").write_text(ADAPTER)
    edit(folder / "competition.toml", 'format = "class_columns"', 'format = "lists"')
    edit(folder / "competition.toml", 'labels = "train_labels.csv"\n', "")
    table = read_table(raw / "train_labels.csv").set_index("id").astype(float)
    held = {name: [*table.index[table[name] == 1]] for name in table.columns}
    lines = [f"{name}: {' '.join(ids)}\n" for name, ids in held.items()]
    (raw / "labels.txt").write_text("".join(lines))
    (raw / "train_labels.csv").unlink()
    return workspace


def test_it_goes_through_check_and_submit_and_gives_the_same_file(
    lists: Workspace, submitted: tuple[Workspace, Entry]
) -> None:
    assert doctor.check(lists, "tiny").errors == []
    entry = submit(open_competition(lists, "tiny"))
    assert entry.file.read_bytes() == submitted[1].file.read_bytes()
    assert entry.score == submitted[1].score


def test_its_keys_are_checked_as_foldwises_own_are(lists: Workspace) -> None:
    path = lists.competition("tiny") / "competition.toml"
    edit(path, 'format = "lists"', 'format = "lists"\nfiel = "labels.txt"')
    with pytest.raises(SpecError, match=r"unknown key 'labels.fiel'; did you mean 'file'"):
        load_data(lists, "tiny")
    edit(path, 'format = "lists"\nfiel', 'format = "list"\nfile')
    with pytest.raises(SpecError, match="no label format is called 'list'; did you mean 'lists'"):
        load_data(lists, "tiny")


def test_its_rows_are_checked_as_foldwises_own_are(lists: Workspace) -> None:
    edit(lists.raw("tiny") / "labels.txt", "zebra: ", "zebras: ")
    with pytest.raises(LabelError, match=r"10 labels are not among the 3 classes, e\.g\. 'zebras'"):
        load_data(lists, "tiny")


def test_one_that_reads_nothing_is_refused(lists: Workspace) -> None:
    path = lists.competition("tiny") / "competition.toml"
    edit(path, '"lists"', '"unfinished"')
    with pytest.raises(SpecError, match=r'"unfinished" reads nothing by itself; give its class in'):
        load_data(lists, "tiny")
