"""CSVs are read as they are, and the message of one that cannot be read names the cause."""

import re
from pathlib import Path
from unicodedata import normalize

import pandas as pd
import pytest

from foldwise.errors import DataError, alike, examples, nearest
from foldwise.tables.listing import as_on_disk
from foldwise.tables.text import is_index, one_row_each, read_header, read_table

SOURCE = Path(__file__).parents[2] / "src" / "foldwise"


def table(folder: Path, content: bytes | str, required: tuple[str, ...] = ()) -> pd.DataFrame:
    path = folder / "t.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, required)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,cat,dog,cat\n1,0,0,1\n", "1 names stand twice, e.g. 'cat' in columns 2 and 4; rename"),
        ("a,b,a,b,a\n1,2,3,4,5\n", "2 names stand twice, e.g. 'a' in columns 1 and 3 and 5"),
        ("id;label\n1;cat\n", "should have commas between its cells, but has semicolons, as"),
        ("id\tlabel\n1\tcat\n", r"but has tabs, as in 'id\\tlabel'; save it with commas"),
        ("id|label\n1|cat\n", "but has bars, as in 'id|label'; save it with commas"),
        ("id;share\n1;0,25\n2;0,5\n", "but has semicolons, as in 'id;share'"),
        ("id;kind,note\n1;2,3\n", "column 'id'; its cells are separated by semicolons: save it"),
        ("id,label\n1,café\n".encode("cp1252"), "but line 2 is not; in Windows-1252 it reads '1"),
        ("id,label\n1,a\n".encode("utf-16"), "should be UTF-8 text, but is UTF-16; save it as"),
        ("id,label\n1,a\n".encode("utf-16-le"), "but is UTF-16; save it as UTF-8, e.g. with iconv"),
        ("id,label\n" + "1,a\n" * 300 + "2,\0\n", "holds a NUL byte in line 302: it is damaged"),
        ('id,label\n1,"a\n2,b\n', 'a " opens a cell there that no other closes: correct that line'),
        ("id,label\n1,a\n2,b,c\n", "Expected 2 fields in line 3, saw 3; put cells that hold a"),
        ("id,label\n1,a,b\n", "rows should have 2 cells as the header has, got more in the first"),
        (" id,label\n1,a\n", "column 'id'; ' id' and 'id' differ by a space: remove it"),
        ("\n\n", "is empty; download it again"),
    ],
)
def test_the_cause_of_a_csv_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | str, message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message).replace("\\\\\\\\", "\\\\")) as caught:
        table(tmp_path, content, ("id",))
    assert "\n" not in str(caught.value)


def test_other_line_ends_and_a_byte_order_mark_are_no_mistake(tmp_path: Path) -> None:
    for content in (b"id,a\r1,x\r2,y\r", b"\xef\xbb\xbfid,a\r\n1,x\r\n2,y\r\n", b"id,a\n1,x\n2,y"):
        assert table(tmp_path, content, ("id",)).to_numpy().tolist() == [["1", "x"], ["2", "y"]]


def test_columns_without_a_name_are_numbered_and_the_header_keeps_them(tmp_path: Path) -> None:
    frame = table(tmp_path, ",id,\n0,a,\n1,b,\n")
    assert list(frame.columns) == ["Unnamed: 0", "id", "Unnamed: 2"]
    assert read_header(tmp_path / "t.csv") == ["", "id", ""]


@pytest.mark.parametrize(
    ("content", "index"),
    [
        (",id\n0,a\n1,b\n", True),
        ("Unnamed: 0,id\n1,a\n2,b\n", True),
        (",id\n7,a\n9,b\n", False),
        (",x\na,1\nb,2\n", False),
        ("n,id\n0,a\n1,b\n", False),
    ],
)
def test_a_first_column_that_only_counts_and_has_no_name_is_an_index(
    tmp_path: Path, content: str, index: bool
) -> None:
    assert is_index(table(tmp_path, content)) == index


def test_rows_that_say_the_same_of_an_id_are_one() -> None:
    rows = [("1", "a", "x"), ("2", "b", "x"), ("1", "a", "y"), ("2", "c", "x"), ("", "", "")] * 2
    frame = pd.DataFrame(rows, columns=["id", "label", "note"], dtype=str)
    found, again = one_row_each(frame, "id", ["label", "no such column"])
    assert again == 5
    assert found["id"].tolist() == ["1", "2", "2", "", ""]  # two labels, and no id: errors later
    assert one_row_each(found[:2], "id", ["label"])[1] == 0


@pytest.mark.parametrize(
    ("word", "choices", "cause"),
    [
        ("cafe\u0301", ["b", "café"], r"'caf\xe9' and 'cafe\u0301' are the same text in two"),
        ("1.0", ["1", "2"], "'1' and '1.0' may be one: a spreadsheet or pandas makes numbers of"),
        ("7", ["007"], "'007' and '7' may be one: a spreadsheet"),
        ("1.2E+17", ["120000000000000001"], "'1.2E+17' is a number that a spreadsheet has rounded"),
        ("x ", ["x"], "'x' and 'x ' differ by a space: remove it"),
        ("x", ["x\u00a0"], r"'x\xa0' and 'x' differ by a space: remove it"),
    ],
)
def test_what_only_looks_the_same_is_told_apart(word: str, choices: list[str], cause: str) -> None:
    assert alike([word], choices).startswith(f"; {cause}")
    assert nearest(word, choices) == alike([word], choices)


def test_what_looks_different_has_no_such_cause() -> None:
    assert alike(["x", "1"], ["y", "1", "2"]) == ""
    assert nearest("ct", ["cat", "dog"]) == "; did you mean 'cat'?"


def test_a_message_is_one_line_of_bounded_length_whatever_names_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        table(tmp_path, f'"a\nb",{"x" * 9999}\n1,2\n', ("id",))
    assert str(caught.value).count("\n") == 0
    assert examples(["y" * 999]) == repr("y" * 200 + "…")
    assert nearest("?", [str(number) for number in range(1000)]).endswith(", …")


def test_files_are_found_in_either_unicode_form(tmp_path: Path) -> None:
    composed, decomposed = normalize("NFC", "é"), normalize("NFD", "é")
    (tmp_path / decomposed).mkdir()
    (tmp_path / decomposed / f"{decomposed}.png").touch()
    (tmp_path / "a.png").touch()
    wanted = [f"{composed}/{composed}.png", f"{decomposed}/{decomposed}.png", "a.png", "b/ü.png"]
    there = f"{decomposed}/{decomposed}.png"
    assert as_on_disk(tmp_path, wanted) == [there, there, "a.png", "b/ü.png"]


def test_every_csv_from_outside_is_read_in_one_place() -> None:
    readers = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "read_csv(" in path.read_text(encoding="utf-8")
    }
    assert readers == {"tables/text.py", "store/frames.py"}  # folds are our own file
