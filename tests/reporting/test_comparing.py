"""Runs side by side: by hand, in either direction, and what cannot be compared."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from foldwise.commands import status
from foldwise.data.competition import CompetitionData, load_data
from foldwise.data.folds import frame_hash
from foldwise.data.opened import open_competition
from foldwise.kinds.shape import SHAPES
from foldwise.metrics.intervals import paired_interval
from foldwise.metrics.probabilities import log_losses
from foldwise.reporting.comparing import against, compare_runs
from foldwise.store.files import write_json
from foldwise.store.frames import write_csv
from foldwise.store.predictions import predictions_frame, write_predictions
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from records import run_values
from tiny import CLASSES, metric_of, write_tiny

N = 5  # folds


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CompetitionData:
    """The tiny competition: 30 rows, three classes of ten."""
    return load_data(write_tiny(tmp_path_factory.mktemp("comparing")), "tiny")


def folds_of(data: CompetitionData, shift: int = 0) -> pd.DataFrame:
    """Five folds of six rows, two of each class."""
    codes = pd.Series(data.train.targets.values)
    fold = (codes.groupby(codes).cumcount() + shift) % N
    frame = pd.DataFrame({"id": data.train.frame["id"], "fold": fold})
    return frame.sort_values("id", ignore_index=True)


def metric(data: CompetitionData, **settings: Any) -> CompetitionData:
    """The competition with another metric."""
    spec = data.spec.model_copy(update={"metric": metric_of(**settings)})
    return replace(data, spec=spec)


def write_run(
    runs: Path,
    data: CompetitionData,
    name: str,
    sure: Sequence[float],
    *,
    folds: pd.DataFrame | None = None,
    done: Sequence[int] = range(N),
    **record: Any,
) -> Path:
    """A run's files as training leaves them.

    sure: the probability of the true class in each fold; the other classes share the rest.
    """
    folds = folds_of(data) if folds is None else folds
    folder = runs / name
    write_csv(folder / "folds.csv", folds)
    write_json(
        folder / "run.json",
        run_values(
            **{
                "recipe": {"name": name.split("-")[0]},
                "folds_sha256": frame_hash(folds, ""),
                "classes": list(data.classes),
                **record,
            }
        ),
    )
    truth = data.train.frame.set_index("id")["label"]
    for k in done:
        ids = folds.loc[folds["fold"] == k, "id"]
        hot = np.eye(len(CLASSES))[truth.loc[ids].cat.codes]
        probs = np.where(hot == 1, sure[k], (1 - sure[k]) / 2)
        write_predictions(
            folder / f"fold{k}" / "oof.parquet", predictions_frame(ids, probs, CLASSES)
        )
        marker = {"fold": k, "seconds": 10.0 * (k + 1), "images_per_second": 100.0 + k}
        write_json(folder / f"fold{k}" / "done.json", marker)
    return folder


GOOD = [0.8, 0.7, 0.75, 0.72, 0.79]
NEAR = [0.82, 0.66, 0.77, 0.70, 0.78]  # here a little better, there a little worse
POOR = [0.7, 0.62, 0.66, 0.6, 0.7]


def by_run(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["run"]: row for row in rows}


def test_scores_spread_time_and_differences_are_those_of_a_calculation_by_hand(
    data: CompetitionData, tmp_path: Path
) -> None:
    for name, sure in (("poor-s0", POOR), ("good-s0", GOOD), ("near-s1", NEAR)):
        write_run(tmp_path, data, name, sure, seed=int(name[-1]))
    rows = compare_runs(tmp_path, data)
    assert [row["run"] for row in rows] == ["good-s0", "near-s1", "poor-s0"]
    good, near, poor = rows
    losses = -np.log(POOR)
    assert poor["fold_scores"] == pytest.approx(losses)
    assert poor["score"] == pytest.approx(losses.mean())  # folds of one size
    assert (poor["mean"], poor["deviation"]) == pytest.approx((losses.mean(), losses.std(ddof=1)))
    assert (poor["recipe"], poor["seed"], near["seed"]) == ("poor", 0, 1)
    assert (poor["scheme"], poor["folds"], poor["done"]) == ("default", 5, 5)
    assert (poor["metric"], poor["higher"]) == ("log loss", False)
    assert poor["seconds"] == 150
    weights = np.arange(1, 6) / 15
    assert poor["images_per_second"] == pytest.approx((100 + np.arange(5)) @ weights)
    test = ttest_rel(losses, -np.log(GOOD))
    assert poor["difference"] == pytest.approx((losses + np.log(GOOD)).mean())
    assert poor["error"] == pytest.approx(poor["difference"] / test.statistic)
    assert poor["shared"] == 5
    assert [row["verdict"] for row in rows] == ["best", "same within noise", "worse"]
    assert test.pvalue < 0.05 < ttest_rel(-np.log(NEAR), -np.log(GOOD)).pvalue
    assert (good["difference"], good["error"], good["shared"]) == (None, None, None)


def test_the_paired_interval_is_that_of_the_t_test() -> None:
    one, two = np.random.default_rng(0).normal(size=(2, 7))
    expected = ttest_rel(one, two).confidence_interval(0.9)
    mean, error, low, high = paired_interval(one - two, level=0.9)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert mean == pytest.approx((one - two).mean())
    assert error == pytest.approx((one - two).std(ddof=1) / 7**0.5)
    assert paired_interval(np.zeros(3)) == (0, 0, 0, 0)


def test_a_difference_that_shows_as_nothing_is_none() -> None:
    own, other = ({"run": n, "folds_sha256": "f", "higher": False} for n in "ab")
    scores = [0.3, 0.5, 0.4]
    tiny = {**own, "fold_scores": [s - 1e-6 for s in scores]}, {**other, "fold_scores": scores}
    assert against(*tiny)["verdict"] == "same within noise"
    more = {**own, "fold_scores": [s - 1e-5 for s in scores]}, {**other, "fold_scores": scores}
    assert against(*more)["verdict"] == "better"


def test_higher_is_better_where_the_metric_says_so(data: CompetitionData, tmp_path: Path) -> None:
    accuracy = metric(data, name="accuracy")
    write_run(tmp_path, accuracy, "never", [0.2] * N)
    write_run(tmp_path, accuracy, "always", [0.8] * N)
    first, second = compare_runs(tmp_path, accuracy)
    assert (first["run"], first["score"], first["verdict"]) == ("always", 1.0, "best")
    assert (second["score"], second["difference"], second["verdict"]) == (0.0, -1.0, "worse")
    assert second["higher"] is True


def test_a_score_is_that_of_what_the_file_would_say(data: CompetitionData, tmp_path: Path) -> None:
    write_run(tmp_path, data, "never", [0.2] * N)
    (row,) = compare_runs(tmp_path, data)
    assert row["score"] == pytest.approx(-np.log(0.2))
    labels = replace(data, format=replace(data.format, settings=SHAPES.parse("label")))
    (row,) = compare_runs(tmp_path, labels)
    assert row["score"] == pytest.approx(log_losses(np.array([0]), np.array([[0.0, 1.0]]))[0])


def test_a_metric_of_the_competitions_own_is_asked(data: CompetitionData, tmp_path: Path) -> None:
    def score(truth: pd.DataFrame, predictions: pd.DataFrame) -> float:
        assert list(truth["id"]) == list(predictions["id"])
        return float(len(truth))

    own = replace(metric(data, name="hook", higher_is_better=True), hooks={"score": score})
    write_run(tmp_path, own, "r", GOOD)
    (row,) = compare_runs(tmp_path, own)
    assert (row["score"], row["fold_scores"], row["higher"]) == (30, [6] * N, True)


def test_an_unfinished_run_is_compared_over_the_folds_that_it_has(
    data: CompetitionData, tmp_path: Path
) -> None:
    write_run(tmp_path, data, "best", GOOD)
    write_run(tmp_path, data, "three", [p + 0.1 for p in GOOD], done=[0, 2, 4])
    write_run(tmp_path, data, "two", POOR, done=[1, 3])
    write_run(tmp_path, data, "none", POOR, done=[])
    rows = by_run(compare_runs(tmp_path, data))
    three, two, none = rows["three"], rows["two"], rows["none"]
    assert (three["done"], three["score"], three["shared"]) == (3, None, 3)
    assert three["fold_scores"][1] is None
    assert three["verdict"] == "better"
    assert (two["verdict"], two["shared"], two["error"]) == ("too few folds", 2, None)
    own, its = (-np.log([p[1], p[3]]).mean() for p in (POOR, GOOD))
    assert two["difference"] == pytest.approx(own - its)
    for key in ("score", "mean", "deviation", "seconds", "images_per_second", "verdict"):
        assert none[key] is None
    assert next(iter(rows)) == "best"


def test_without_a_finished_run_nothing_is_the_best(data: CompetitionData, tmp_path: Path) -> None:
    write_run(tmp_path, data, "one", GOOD, done=[0])
    (row,) = compare_runs(tmp_path, data)
    assert row["mean"] == pytest.approx(-np.log(0.8))
    assert (row["deviation"], row["difference"], row["verdict"]) == (None, None, None)
    assert compare_runs(tmp_path / "nowhere", data) == []


def test_the_best_run_has_the_folds_that_submit_uses(tmp_path: Path) -> None:
    workspace = write_tiny(tmp_path)
    data = load_data(workspace, "tiny")
    runs = workspace.runs / "tiny"
    others = folds_of(data, shift=1)
    write_run(runs, data, "own", POOR)
    write_run(runs, data, "kind", GOOD, folds=others, scheme="random")
    write_run(runs, data, "kinder", NEAR, folds=others, scheme="random")
    rows = by_run(compare_runs(runs, data))  # no folds are saved: those of most runs
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "kind": "best",
        "kinder": "same within noise",
        "own": "other folds",
    }
    write_json(
        data.raw.parent / "folds" / "default.json", {"sha256": frame_hash(folds_of(data), "")}
    )
    rows = by_run(status.compare(open_competition(workspace, "tiny")))
    assert list(rows) == ["own", "kind", "kinder"]
    assert [row["verdict"] for row in rows.values()] == ["best", "other folds", "other folds"]
    assert rows["kind"]["difference"] is None


def test_a_run_of_rows_or_classes_that_are_gone_is_named(
    data: CompetitionData, tmp_path: Path
) -> None:
    folds = folds_of(data)
    write_run(tmp_path, data, "rows", GOOD, folds=folds)
    write_run(tmp_path, data, "classes", GOOD, classes=["ant", "10", "zebra"])
    fewer = replace(data, train=data.train.without([str(folds["id"][0])]))
    rows = compare_runs(tmp_path, fewer)
    assert [(each["verdict"], each["score"], each["done"]) for each in rows] == [
        ("other rows", None, 5)
    ] * 2


def test_a_fold_whose_metric_is_undefined_has_no_score(
    data: CompetitionData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    auc = metric(data, name="auc")
    folds = folds_of(data)
    label = data.train.frame.set_index("id")["label"].loc[folds["id"]].to_numpy()
    folds["fold"] = np.where(label == "ant", 0, 1 + np.arange(30) % 3)
    write_run(tmp_path, auc, "sorted", GOOD, folds=folds, done=range(4))
    (row,) = compare_runs(tmp_path, auc)
    assert row["fold_scores"] == [None, 1.0, 1.0, 1.0]
    assert row["verdict"] == "best"
    assert "sorted fold 0 has no score: ROC AUC needs a class with both" in caplog.text


def test_the_numbers_are_those_of_real_runs_and_need_no_torch(
    submitted: tuple[Workspace, Entry],
) -> None:
    workspace, entry = submitted
    program = (
        "import json, sys\nfrom foldwise.commands.status import compare\n"
        "from foldwise.data.opened import open_competition\n"
        "from foldwise.workspace import Workspace\n"
        f"(row,) = compare(open_competition(Workspace.find({str(workspace.root)!r}), 'tiny'))\n"
        "print(row['score'], row['verdict'], row['images_per_second'] > 0, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    score, verdict, fast, torch = done.stdout.split()
    (own,) = entry.member_scores.values()
    assert float(score) == pytest.approx(own.value)
    assert (verdict, fast, torch) == ("best", "True", "False")
