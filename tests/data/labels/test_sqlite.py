"""A database's rows become labels: by a column of a query, or by rules over its columns."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.data.labels.sqlite import LEFT_OUT
from foldwise.data.labels.table import LabelTable, read_train
from foldwise.errors import DataError, LabelError, SpecError

QUERY = "SELECT path, ages, num_people, male_present FROM pics"
COLUMN = {
    "format": "sqlite",
    "id": "path",
    "query": "SELECT path, kind FROM pics",
    "column": "kind",
}
ROWS = (  # path, kind, ages, num_people, male_present
    ("b/2.jpg", "zebra", "24.5", 1, 0),
    ("a/1 é.jpg", "ant", "31, 5.5", 2, None),
    ("a/10.jpg", "zebra", None, 0, 0),
)
Row = tuple[str, str | None, object, object, object]


def database(path: Path, rows: Iterable[Row] = ROWS) -> Path:
    """Write a database with the table pics."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE pics (path TEXT, kind TEXT, ages, num_people, male_present)")
    connection.executemany("INSERT INTO pics VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return path


def spec_of(labels: dict[str, Any], **tables: Any) -> CompetitionSpec:
    """A spec with these `[labels]` over pics.db."""
    given = {
        "name": "own",
        "title": "Own",
        "platform": "local",
        "files": {"train": "pics.db"},
        "images": {"path": "photos/{path}"},
        "holdout": {},
        "folds": {"default": {"kind": "stratified"}},
        "submit": {"recipes": ["any"]},
        "labels": labels,
    }
    return parse(CompetitionSpec, {**given, **tables}, "competition.toml")


def read(raw: Path, **changes: Any) -> LabelTable:
    """The rows of pics.db, with some of `[labels]` changed."""
    return read_train(spec_of({**COLUMN, **changes}), raw, raw)


def by_rules(raw: Path, rows: Sequence[Row], **rules: Any) -> LabelTable:
    """These rows by `[labels.rules]`."""
    database(raw / "pics.db", rows)
    labels = {"format": "sqlite", "id": "path", "query": QUERY, "rules": rules}
    return read_train(spec_of(labels), raw, raw)


def decisions(raw: Path, rows: Sequence[Row], **rules: Any) -> str:
    """`y` or `n` for each row, in order."""
    return "".join(label[0] for label in by_rules(raw, rows, **rules).labels())


def pics(**columns: Sequence[object]) -> list[Row]:
    """Rows with these values; where a column is not given, it holds what is usually yes."""
    n = len(next(iter(columns.values())))
    usual = {
        "path": [f"x/{number}.jpg" for number in range(n)],
        "ages": ["24.5"] * n,
        "num_people": [1] * n,
        "male_present": [0] * n,
    }
    merged = {**usual, **columns}
    values = zip(
        merged["path"], merged["ages"], merged["num_people"], merged["male_present"], strict=True
    )
    return [(str(path), None, ages, people, male) for path, ages, people, male in values]


def test_a_column_of_a_query_is_the_class(tmp_path: Path) -> None:
    database(tmp_path / "pics.db")
    table = read(tmp_path)
    assert table.classes == ("ant", "zebra")
    assert table.frame["id"].tolist() == ["b/2.jpg", "a/1 é.jpg", "a/10.jpg"]
    assert table.frame["path"].tolist() == [
        "photos/b/2.jpg",
        "photos/a/1 é.jpg",
        "photos/a/10.jpg",
    ]
    assert table.labels().tolist() == ["zebra", "ant", "zebra"]
    query = "SELECT 'p' || num_people AS who, path, lower(kind) AS kind FROM pics ORDER BY path"
    table = read(tmp_path, query=query, group="who")
    assert table.frame["group"].tolist() == ["p2", "p0", "p1"]
    assert table.source.columns.tolist() == ["who", "path", "kind"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"query": "SELEC path FROM pics"},
            "[labels] query fails: near \"SELEC\": syntax error; it is 'SELEC path FROM pics'",
        ),
        ({"query": "SELECT path, kind FROM pcis"}, "[labels] query fails: no such table: pcis;"),
        ({"query": "SELECT path, kid FROM pics"}, "[labels] query fails: no such column: kid;"),
        ({"query": "SELECT 1; SELECT 2"}, "[labels] query fails: You can only execute one"),
        ({"query": "SELECT 'a\n\nb FROM pics"}, "[labels] query fails: unrecognized token: \"'a b"),
        (
            {"query": "SELECT path FROM pics"},
            "[labels] query should give a column 'kind'; there are: path",
        ),
        (
            {"query": "SELECT path, kind, ages AS kind FROM pics"},
            "[labels] query should give every column a name of its own, "
            "'kind' stands twice; rename",
        ),
        ({"id": "pth"}, "[labels] query should give a column 'pth'; did you mean 'path'?"),
        ({"query": "-- nothing"}, "[labels] query should give a column 'path'; there are: none"),
        (
            {"query": "SELECT path, kind FROM pics WHERE num_people > 9"},
            "[labels] query gives no row; it is 'SELECT path, kind FROM pics WHERE num_people > 9'",
        ),
        ({"query": "SELECT '' AS path, kind FROM pics"}, "3 rows have no 'path', e.g. line 2"),
        (
            {"query": "SELECT 'x' AS path, kind FROM pics"},
            "1 stand in several, e.g. 'x' (1 of them with different "
            "labels, e.g. 'x': 'zebra', 'ant'",
        ),
        (
            {"query": "SELECT path, NULL AS kind FROM pics", "classes": ["zebra", "ant"]},
            "3 labels are not among the 2 classes, e.g. '' of id 'b/2.jpg'; there are: ant, zebra",
        ),
        (
            {
                "query": "SELECT path, nullif(kind, 'ant') AS kind FROM pics WHERE "
                "path != 'b/2.jpg' "
                "UNION SELECT 'c', 'eel'"
            },
            "1 labels are not among the 2 classes, e.g. '' of id 'a/1 é.jpg'",
        ),
        ({"query": "SELECT '../' || path AS path, kind FROM pics"}, "must stay inside raw"),
    ],
)
def test_a_query_that_cannot_be_is_said(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = database(tmp_path / "pics.db")
    with pytest.raises(DataError) as caught:
        read(tmp_path, **changes)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM pics",
        "UPDATE pics SET kind = 'ant'",
        "INSERT INTO pics (path) VALUES ('new.jpg')",
        "DROP TABLE pics",
        "CREATE TABLE other (path TEXT)",
        "PRAGMA user_version = 3",
    ],
)
def test_a_query_cannot_write(tmp_path: Path, query: str) -> None:
    path = database(tmp_path / "pics.db")
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"query fails: attempt to write a readonly database; it"):
        read(tmp_path, query=query)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["pics.db"]


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    path = tmp_path / "pics.db"
    with pytest.raises(DataError, match=r"expected the file .*/pics.db, found none"):
        read(tmp_path)
    assert not path.exists()
    path.write_text("path,kind\n1.jpg,ant\n" * 100)
    with pytest.raises(
        DataError,
        match=r"pics.db is no SQLite database \(file is not a database\); download it again$",
    ):
        read(tmp_path)
    database(path, pics(path=[f"{number}.jpg" for number in range(2000)]))
    path.write_bytes(path.read_bytes()[:9000] + b"\xff" * 50_000)
    with pytest.raises(DataError, match=r"pics.db is no SQLite database \(.*malformed\); downl"):
        read(tmp_path)


def test_odd_names_of_databases_are_opened(tmp_path: Path) -> None:
    database(tmp_path / "my pics? 100% #1.db")
    spec = spec_of(COLUMN, files={"train": "my pics? 100% #1.db"})
    assert len(read_train(spec, tmp_path, tmp_path)) == 3


def test_without_rules_that_refuse_every_row_is_yes(tmp_path: Path) -> None:
    table = by_rules(tmp_path, pics(num_people=[1, 7, "?"]))
    assert table.classes == ("no", "yes")
    assert table.labels().tolist() == ["yes", "yes", "yes"]
    named = by_rules(
        tmp_path, pics(num_people=[1, 2]), yes="one", no="other", number={"num_people": {"max": 1}}
    )
    assert named.classes == ("other", "one")
    assert named.labels().tolist() == ["one", "other"]


def test_folders_decide_before_flags_and_numbers(tmp_path: Path) -> None:
    paths = [
        "yes/1.jpg",
        "2.jpg",
        "no/3.jpg",
        "a/yes/b/4.jpg",
        "yes/no/5.jpg",
        "no/yes/6.jpg",
        "yesterday/7.jpg",
        "a/yes.jpg",
        "x/in ner/8.jpg",
        "x/9/in ner.jpg",
    ]
    rows = pics(path=paths, male_present=[1] * 10)
    rules = {"yes_folders": ["yes", "/x/in ner/"], "no_folders": ["no"]}
    assert decisions(tmp_path, rows, forbidden=["male_present"], **rules) == "ynnynnnnyn"
    assert decisions(tmp_path, pics(path=paths), **rules) == "yynynnyyyy"
    numbers = {"num_people": {"min": 2}}
    assert decisions(tmp_path, pics(path=paths), number=numbers, **rules) == "ynnynnnnyn"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, "yyyyy"),
        ({"min": 0, "max": 0}, "yyyyy"),
        ({"min": 1}, "nyyyy"),
        ({"max": 1}, "yynnn"),
        ({"min": 1, "max": 1}, "nynnn"),
        ({"min": 2, "max": 2.5}, "nnyyn"),
        ({"min": 5}, "nnnnn"),
    ],
)
def test_a_number_has_limits_and_0_is_none(
    tmp_path: Path, limits: dict[str, float], expected: str
) -> None:
    rows = pics(num_people=[0, 1, "2", 2.5, " 4 "])
    assert decisions(tmp_path, rows, number={"num_people": limits}) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"min": 0, "max": 0}, "yyyyyyy"),
        ({"min": 18}, "ynnyyyy"),
        ({"max": 30}, "yynnyyy"),
        ({"min": 18, "max": 30}, "ynnnyyy"),
        ({"min": 5.5, "max": 67}, "yyyyyyy"),
        ({"max": 66.9}, "yyynyyy"),
    ],
)
def test_every_number_of_a_cell_is_inside_its_limits(
    tmp_path: Path, limits: dict[str, float], expected: str
) -> None:
    rows = pics(ages=["24.5", "18, 5.5", "31,5.5", 67, None, "", "20,,21,"])
    assert decisions(tmp_path, rows, every={"ages": limits}) == expected
    assert decisions(tmp_path, pics(ages=[None, ""]), every={"ages": limits}) == "yy"


def test_a_flag_makes_a_row_no(tmp_path: Path) -> None:
    rows = pics(male_present=[0, 1, None, "true", "No", "YES", 1.0, "", "0"])
    assert decisions(tmp_path, rows, forbidden=["male_present"]) == "ynynynnyy"


def test_rows_with_a_failure_code_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = pics(
        path=["a.jpg", "yes/b.jpg", "c.jpg", "d.jpg", "e.jpg"],
        ages=["24", "-1", "-1", "err", "3"],
        num_people=[1, 1, -1, 1, 2],
    )
    rules: dict[str, Any] = {
        "number": {"num_people": {"max": 1}},
        "every": {"ages": {"min": 1}},
        "yes_folders": ["yes"],
        "failed": {"ages": ["-1", "err"], "num_people": ["-1"]},
    }
    table = by_rules(tmp_path, rows, **rules)
    assert table.frame["id"].tolist() == ["a.jpg", "e.jpg"]
    assert table.labels().tolist() == ["yes", "no"]
    assert table.counts == {LEFT_OUT: 3}
    assert len(table.source) == 2
    assert by_rules(tmp_path, rows[:1], **rules).counts == {}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"num_people": [1, "many", None]},
            "2 values of 'num_people' should be numbers, e.g. 'many', … of id 'x/1.jpg', …; leave "
            'such rows out with [labels.rules.failed] num_people = ["<the code>"]',
        ),
        (
            {"ages": ["1", "20, old,x", "2"]},
            "2 values of 'ages' should be numbers, e.g. 'old', … of id 'x/1.jpg', …; leave such",
        ),
        ({"num_people": [1, "inf", 2]}, "1 values of 'num_people' should be numbers, e.g. 'inf'"),
    ],
)
def test_a_cell_that_is_no_number_is_said(
    tmp_path: Path, columns: dict[str, Sequence[object]], message: str
) -> None:
    rules = {"number": {"num_people": {"max": 1}}, "every": {"ages": {"min": 1}}}
    with pytest.raises(LabelError) as caught:
        by_rules(tmp_path, pics(**columns), **rules)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_that_a_rule_wants_must_be_in_the_query(tmp_path: Path) -> None:
    for rules in (
        {"number": {"peple": {}}},
        {"every": {"peple": {}}},
        {"forbidden": ["peple"]},
        {"failed": {"peple": ["-1"]}},
        {"path": "peple", "no_folders": ["x"]},
    ):
        with pytest.raises(DataError, match="query should give a column 'peple'; did you mean"):
            by_rules(tmp_path, pics(num_people=[1]), **rules)


def test_two_names_for_one_class_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"yes and no must be two classes, both are 'no'$"):
        by_rules(tmp_path, pics(num_people=[1]), yes="no")


def plain_counts(rows: Sequence[Row]) -> dict[str, int]:
    """The classes of some rows, by the rules of the test below written as ifs."""
    counts = {"yes": 0, "no": 0, "failed": 0}
    for path, _, ages, people, male in rows:
        numbers = [float(age) for age in str(ages).split(",")] if ages else []
        if ages == "-1" or people == -1:
            counts["failed"] += 1
        elif "landscapes" in path.split("/")[:-1]:
            counts["no"] += 1
        elif "portraits" in path.split("/")[:-1]:
            counts["yes"] += 1
        elif male == 1 or people != 1 or not all(18 <= number <= 60 for number in numbers):
            counts["no"] += 1
        else:
            counts["yes"] += 1
    return counts


@pytest.mark.slow
def test_a_database_of_255_000_rows_gives_the_counts_of_plain_python(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    n = 255_000
    people = rng.choice([-1, 0, 1, 1, 1, 1, 2, 3], n).tolist()
    ages = np.round(rng.uniform(1, 90, (n, 3)), 1).tolist()
    male = rng.choice([0, 0, 0, 1], n).tolist()
    folders = rng.choice(["landscapes", "portraits", "user 1", "user 2/portraits of dogs"], n)
    rows: list[Row] = []
    for number, (count, row, flag, folder) in enumerate(
        zip(people, ages, male, folders.tolist(), strict=True)
    ):
        cell = ",".join(str(age) for age in row[: max(count, 0)]) or None
        rows.append(
            (
                f"{folder}/{number}.jpg",
                None,
                "-1" if number % 97 == 0 else cell,
                count,
                None if number % 5 == 0 else flag,
            )
        )
    table = by_rules(
        tmp_path,
        rows,
        no_folders=["landscapes"],
        yes_folders=["portraits"],
        forbidden=["male_present"],
        number={"num_people": {"min": 1, "max": 1}},
        every={"ages": {"min": 18, "max": 60}},
        failed={"ages": ["-1"], "num_people": ["-1"]},
    )
    expected = plain_counts(rows)
    assert min(expected.values()) > 20_000
    found = table.labels().value_counts()
    assert {"yes": found["yes"], "no": found["no"], "failed": table.counts[LEFT_OUT]} == expected
