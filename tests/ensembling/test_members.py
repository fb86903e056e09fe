"""Predictions from elsewhere are taken as they are meant, and refused where they are wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldwise.ensembling import members
from foldwise.ensembling.members import Member, of_files, oof_stack, read_member, split_member
from foldwise.errors import FoldwiseError, PredictionError, SpecError
from foldwise.tasks import MultiClass, MultiLabel

CLASSES = ("zebra", "10", "ant")
IDS = ["00012", "7", "1000000000000000001"]
PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.333333, 0.333333, 0.333333]])


def frame() -> pd.DataFrame:
    """The predictions as a file holds them, rows in another order than IDS."""
    made = pd.DataFrame(PROBS, columns=list(CLASSES))
    made.insert(0, "id", IDS)
    return made.iloc[[2, 0, 1]]


def saved(made: pd.DataFrame, path: Path) -> Path:
    """The file that holds a frame."""
    if path.suffix == ".parquet":
        made.to_parquet(path, index=False)
    else:
        made.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_are_matched_by_id_and_sum_to_exactly_1(tmp_path: Path, kind: str) -> None:
    path = saved(frame(), tmp_path / f"oof.{kind}")
    made = read_member(path, MultiClass(CLASSES), IDS)
    assert made == pytest.approx(PROBS, abs=1e-6)
    assert (made[2] == made[2][0]).all()
    assert made.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-15)
    many = read_member(path, MultiLabel(CLASSES), IDS)
    assert (many == PROBS).all()  # each label is its own


def no_number(made: pd.DataFrame) -> pd.DataFrame:
    made["10"] = made["10"].astype(object)
    made.loc[0, "10"] = "a lot"
    return made


BAD: dict[str, tuple[Callable[[pd.DataFrame], Any], str]] = {
    "NaN": (
        lambda f: f.assign(ant=[np.nan, 0.1, 0.8]),
        "1 cells should be numbers of 0 to 1, e.g. id '1000000000000000001' has .* in 'ant'",
    ),
    "text": (no_number, "1 cells should be numbers of 0 to 1, e.g. id '00012' has 'a lot' in '10'"),
    "above 1": (lambda f: f.assign(zebra=[0.3, 1.5, -0.2]), "2 cells should be .* has .*1.5.* in "),
    "sums": (
        lambda f: f.assign(zebra=[0.34, 0.7, 0.3]),
        "should sum to 1 within 0.001, 2 of 3 do not, e.g. id '7' sums to 1.2; give probabilities",
    ),
    "missing": (
        lambda f: f[1:],
        "expected each of 3 ids once; got 1 missing "
        r"\('1000000000000000001'\)",
    ),
    "unknown": (lambda f: pd.concat([f, f[:1].assign(id="new")]), r"1 unknown \('new'\)"),
    "twice": (lambda f: pd.concat([f, f[1:]]), "2 ids stand there twice, e.g. '00012', '7'; leave"),
    "swapped": (
        lambda f: f[["id", "ant", "10", "zebra"]],
        "expected the columns 'id', 'zebra', "
        "'10', 'ant', got 'id', 'ant', '10', 'zebra'; write them in this order",
    ),
    "class": (
        lambda f: f.rename(columns={"ant": "bee"}),
        "got 'id', 'zebra', '10', 'bee'; write one column per class, by its name",
    ),
    "constant": (
        lambda f: f.assign(zebra=0.5, ant=0.3, **{"10": 0.2}),
        "all 3 rows are the same, "
        r"e.g. \[0.5, 0.2, 0.3\]; constant predictions tell nothing: leave this member",
    ),
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("case", BAD)
def test_a_wrong_file_is_refused_with_what_is_wrong(tmp_path: Path, case: str, kind: str) -> None:
    if (case, kind) == ("text", "parquet"):
        kind = "csv"  # a parquet column has one type
    spoil, message = BAD[case]
    path = saved(spoil(frame()), tmp_path / f"oof.{kind}")
    with pytest.raises(FoldwiseError, match=message) as caught:
        read_member(path, MultiClass(CLASSES), IDS)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "oof.parquet"
    path.write_text("id,zebra")
    with pytest.raises(PredictionError, match=r"oof.parquet should be parquet, but cannot be read"):
        read_member(path, MultiClass(CLASSES), IDS)


def test_many_labels_need_not_sum_to_1(tmp_path: Path) -> None:
    path = saved(frame().assign(zebra=[0.9, 0.95, 0.3]), tmp_path / "oof.csv")
    assert read_member(path, MultiLabel(CLASSES), IDS)[:, 0].tolist() == [0.95, 0.3, 0.9]


def test_a_member_is_known_by_what_its_files_hold(tmp_path: Path) -> None:
    oof, test = saved(frame(), tmp_path / "oof.csv"), saved(frame(), tmp_path / "test.csv")

    def member() -> Member:
        return of_files("other", oof, test, MultiClass(CLASSES), IDS, IDS)

    first = member()
    assert (first.name, first.facts) == ("other", {"oof": "oof.csv", "test": "test.csv"})
    assert (first.oof() == first.test(3)).all()
    saved(frame().assign(ant=[0.333333, 0.1001, 0.8]), test)
    assert member().identity != first.identity
    test.unlink()
    with pytest.raises(PredictionError, match=r"member 'other': expected the file .*test.csv, fou"):
        member()


def test_a_member_is_named_in_one_word() -> None:
    assert split_member("a=x/oof.csv,y.csv") == ("a", Path("x/oof.csv"), Path("y.csv"))
    for text in ("oof.csv,test.csv", "a=oof.csv", "=o,t", "a=,t"):
        with pytest.raises(SpecError, match=f"expected a member as NAME=OOF,TEST, got '{text}', e"):
            split_member(text)


def test_what_is_too_large_for_memory_lies_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [Member(str(k), str(k), lambda k=k: PROBS * k, lambda fold: PROBS, {}) for k in (1, 2)]
    held = oof_stack(made, 3, MultiClass(CLASSES), tmp_path)
    monkeypatch.setattr(members, "BYTES_IN_MEMORY", 100)
    mapped = oof_stack(made, 3, MultiClass(CLASSES), tmp_path)
    assert isinstance(mapped.probs, np.memmap)
    assert not isinstance(held.probs, np.memmap)
    for m in range(2):
        assert (mapped.of(m, slice(None)) == held.of(m, slice(None))).all()
    assert list(tmp_path.iterdir()) == []  # it has no name
