"""The boards of `make bench-boards`: their splits, what is looked at, and the figures."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import boards
from boarding import competing, splits, summing
from boarding.sets import ImageSet


def images(multi: bool = False, groups: bool = False, rows: int = 1300) -> ImageSet:
    """Three classes of points in five dimensions, of sixty groups, each with a place of its own."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, 60, rows)
    codes = rng.integers(0, 3, rows)
    centres = rng.normal(0, 1, (3, 5))
    features = centres[codes] + rng.normal(0, 1.2, (rows, 5)) + rng.normal(0, 0.5, (60, 5))[group]
    hot = np.eye(3, dtype=np.uint8)[codes]
    if multi:
        hot |= np.eye(3, dtype=np.uint8)[rng.integers(0, 3, rows)]
    features = features.astype(np.float32)
    names = np.array([f"g{number}" for number in group]) if groups else None
    return ImageSet("points", features, features[:, :2], hot, names, multi)


@pytest.mark.parametrize("groups", [False, True])
def test_a_split_is_a_function_of_its_number_and_parts_do_not_overlap(groups: bool) -> None:
    points = images(groups=groups)
    for number in range(5):
        train, test, folds, public = splits.draw(points, number)
        again = splits.draw(points, number)
        for one, other in zip((train, test, folds, public), again, strict=True):
            np.testing.assert_array_equal(one, other)
        assert not {*train} & {*test}
        assert len(folds) == len(train)
        assert len(public) == len(test)
        assert 0 < public.sum() < len(test)
        if points.groups is not None:
            assert not {*points.groups[train]} & {*points.groups[test]}
            own, numbers = points.groups[train], np.unique(folds)
            assert len(numbers) > 1
            for fold in numbers:
                assert not {*own[folds == fold]} & {*own[folds != fold]}
        else:
            shares = points.hot[test].mean(axis=0), points.hot.mean(axis=0)
            assert np.abs(shares[0] - shares[1]).max() < 0.02  # stratified
    assert len(splits.draw(points, 0)[1]) != len(splits.draw(points, 1)[1])


@pytest.mark.parametrize("multi", [False, True])
def test_what_is_told_stands_beside_what_came(
    multi: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "members_of", lambda *of: ["linear", "near", "elsewhere"])
    points = images(multi)
    split = splits.predicted(points, 1, tmp_path)
    assert [len(split.tested[name]) for name in ("linear", "near", "elsewhere")] == [
        split.folds.max() + 1,
        split.folds.max() + 1,
        1,
    ]
    monkeypatch.setattr(splits, "_member", None)  # the second time it is read
    kept = splits.predicted(points, 1, tmp_path)
    assert split.oof.keys() == kept.oof.keys() == {"linear", "near", "elsewhere"}
    for name in split.oof:
        np.testing.assert_array_equal(split.oof[name], kept.oof[name])
    kinds = competing.kinds_of(points)
    assert kinds
    for kind in kinds:
        row = boards.board(points, kept, kind)
        assert row["elsewhere"]
        assert row["private_rows"] == (~split.public).sum()
        assert abs(row["z"]) < 4
        assert row["low"] < row["expected"] < row["high"]
        assert row["inside"] == (row["low"] <= row["private"] <= row["high"])
        assert row["worse"] < 0.05
        assert abs(row["told_gain"] - row["real_gain"]) < 0.02
        assert row["than_best"] >= 0


def rows(count: int, off: float = 0.0, spread: float = 1.0) -> pd.DataFrame:
    """Rows of boards.csv whose private scores lie `off` standard errors above what was expected."""
    z = off + spread * np.random.default_rng(0).normal(size=count)
    return pd.DataFrame(
        {
            "private": 0.5 + 0.05 * z,
            "expected": 0.5,
            "z": z,
            "inside": np.abs(z) < 1.96,
            "oof_error": 0.03,
            "private_error": 0.04,
            "oof_units": 1600,
            "units": 900,
            "told_gain": 0.02,
            "real_gain": 0.021,
            "gain_error": 0.002,
            "worse": -0.01,
            "than_single": -0.02,
            "than_best": 0.01,
        }
    )


def test_bars_are_met_by_what_is_right_and_missed_by_what_is_not() -> None:
    assert {*summing.verdicts(rows(300)).values()} == {"ok"}

    def missed(table: pd.DataFrame) -> set[str]:
        return {bar for bar, verdict in summing.verdicts(table).items() if verdict != "ok"}

    assert "mean" in missed(rows(300, off=0.5))
    assert {"inside", "spread", "distance"} <= missed(rows(300, spread=1.6))
    assert missed(rows(300).assign(told_gain=0.03)) == {"told"}
    assert missed(rows(300).assign(worse=0.003)) == {"often"}
    worse = np.where(np.arange(300) < 20, 0.02, -0.01)
    assert missed(rows(300).assign(worse=worse)) == {"loss"}
    assert missed(rows(45).assign(inside=True)) == set()  # 45 of 45 may be 98 %


def test_the_perfect_forecaster_knows_the_spread_of_both_samples() -> None:
    error = summing.perfect_errors(rows(1))[0]
    each = (1600**2 * 0.03**2 + 900**2 * 0.04**2) / 2500  # the variance of a row
    assert error == pytest.approx((each / 1600 + each / 900) ** 0.5)


def test_the_figures_are_printed_by_kind_and_set(capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.concat([rows(30).assign(kind="log loss", set=name) for name in ("a", "b")])
    boards.tell(table)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["log", "loss", "all", "60"],
        ["log", "loss", "a", "30"],
        ["log", "loss", "b", "30"],
    ]
    assert lines[0].split()[:3] == ["kind", "set", "boards"]
