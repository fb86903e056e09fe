"""A run by folds, classes and groups: by hand, unfinished, under every kind of metric."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldwise.cli.printing import run_summarised
from foldwise.data.competition import CompetitionData, load_data
from foldwise.errors import PredictionError, RunError
from foldwise.kinds.shape import SHAPES
from foldwise.metrics.intervals import bootstrap_interval
from foldwise.metrics.probabilities import log_losses
from foldwise.metrics.scoring import score
from foldwise.reporting.summary import run_summary, summarise
from foldwise.store.files import write_json
from foldwise.store.frames import write_csv
from foldwise.store.predictions import predictions_frame, write_predictions
from foldwise.tasks import MultiLabel
from foldwise.workspace import Workspace
from planted import value_of
from records import blend_values, run_values
from tiny import CLASSES, metric_of, write_tiny

N = 3  # folds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny competition: 30 rows, three classes of ten, six sites of five."""
    return write_tiny(tmp_path_factory.mktemp("summary"))


@pytest.fixture(scope="module")
def data(place: Workspace) -> CompetitionData:
    return load_data(place, "tiny")


def folds_of(data: CompetitionData, grouped: bool = True) -> pd.DataFrame:
    """Three folds of two sites each, or of every third row; sorted by id."""
    sites, _ = pd.factorize(data.train.frame["group"])
    fold = sites % N if grouped else np.arange(30) // 10
    frame = pd.DataFrame({"id": data.train.frame["id"], "fold": fold})
    return frame.sort_values("id", ignore_index=True)


def oof_of(data: CompetitionData, seed: int = 0) -> pd.DataFrame:
    """Random predictions that lean to the truth, rows in no order."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(3), 30) + 0.5 * data.train.marks()
    frame = predictions_frame(
        data.train.frame["id"], probs / probs.sum(axis=1, keepdims=True), CLASSES
    )
    return frame.sample(frac=1, random_state=seed).reset_index(drop=True)


def under(data: CompetitionData, **settings: Any) -> CompetitionData:
    """The competition with another metric."""
    spec = data.spec.model_copy(update={"metric": metric_of(**settings)})
    return replace(data, spec=spec)


def joined(data: CompetitionData, oof: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Every row with its loss, fold, site, label and answer."""
    frame = data.train.frame.merge(folds, on="id").merge(oof, on="id")
    probs = frame[list(CLASSES)].to_numpy()
    frame["loss"] = log_losses(frame["label"].cat.codes.to_numpy(dtype=int), probs)
    frame["said"] = np.array(CLASSES)[probs.argmax(axis=1)]
    return frame


def test_a_summary_is_what_each_part_of_the_rows_says(data: CompetitionData) -> None:
    oof, folds = oof_of(data), folds_of(data)
    rows = joined(data, oof, folds)
    told = summarise(data, oof, folds)
    assert told["score"] == pytest.approx(rows["loss"].mean())
    assert (told["metric"], told["higher"], told["rows"]) == ("log loss", False, 30)
    folded = rows.groupby("fold")["loss"].mean()
    assert [row["value"] for row in told["by_fold"]] == pytest.approx(folded.tolist())
    assert [(row["fold"], row["rows"]) for row in told["by_fold"]] == [(0, 10), (1, 10), (2, 10)]
    assert told["mean"] == pytest.approx(folded.mean())
    assert told["deviation"] == pytest.approx(folded.std())
    assert len(told["by_class"]) == 3
    for row in told["by_class"]:
        own, said = rows[rows["label"] == row["class"]], rows[rows["said"] == row["class"]]
        assert row["rows"] == 10
        assert row["value"] == pytest.approx(own["loss"].mean())
        assert row["recall"] == pytest.approx((own["said"] == row["class"]).mean())
        assert row["precision"] == pytest.approx((said["label"] == row["class"]).mean())
    assert len(told["by_group"]) == 6
    for row in told["by_group"]:
        own = rows[rows["group"] == row["group"]]
        assert (row["rows"], row["value"]) == (5, pytest.approx(own["loss"].mean()))
        assert row["share"] == pytest.approx(own["loss"].sum() / rows["loss"].sum())
    for key, count in (("by_class", 3), ("by_group", 6)):
        values = [row["value"] for row in told[key]]
        assert len(values) == count
        assert values == sorted(values, reverse=True)  # the worst first
    assert json.loads(json.dumps(told)) == told


def test_groups_are_resampled_where_the_folds_keep_them_whole(data: CompetitionData) -> None:
    oof = oof_of(data)
    for grouped, unit in ((True, "groups"), (False, "rows")):
        folds = folds_of(data, grouped)
        # the samples are numbered by rows, so they come in the order of the training rows
        rows = joined(data, oof, folds).set_index("id").loc[data.train.frame["id"]]
        told = summarise(data, oof, folds)
        groups = rows["group"].to_numpy() if grouped else None
        assert told["resampled"] == unit
        expected = bootstrap_interval(rows["loss"].to_numpy(), groups)
        assert (told["low"], told["high"]) == pytest.approx(expected)


def test_where_higher_is_better_the_lowest_is_the_worst(data: CompetitionData) -> None:
    data = under(data, name="accuracy")
    oof, folds = oof_of(data, 3), folds_of(data)
    rows = joined(data, oof, folds)
    wrong = rows["said"] != rows["label"].astype(str)
    told = summarise(data, oof, folds)
    values = [row["value"] for row in told["by_group"]]
    assert values == sorted(values)
    assert 0 < wrong.sum() < 30
    for row in told["by_group"]:
        own = wrong[rows["group"] == row["group"]]
        assert row["share"] == pytest.approx(own.sum() / wrong.sum())
        assert row["value"] == pytest.approx(1 - own.mean())
    assert sum(row["share"] for row in told["by_group"]) == pytest.approx(1)
    found = [(row["value"], row["recall"]) for row in told["by_class"]]
    assert [value for value, _ in found] == [recall for _, recall in found]
    assert len(found) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "auc"},
        {"name": "average_precision"},
        {"name": "f1", "average": "weighted", "beta": 2},
        {"name": "precision"},
        {"name": "recall", "average": "samples"},
    ],
    ids=lambda settings: str(settings["name"]),
)
def test_a_class_has_the_value_of_its_own_column(
    data: CompetitionData, settings: dict[str, Any]
) -> None:
    data = under(data, **settings)
    oof = oof_of(data).set_index("id").loc[data.train.frame["id"]].reset_index()
    probs, hot = oof[list(CLASSES)].to_numpy(), data.train.marks()
    answers = np.eye(3)[probs.argmax(axis=1)]
    table = probs if settings["name"] in ("auc", "average_precision") else answers
    own = data.spec.metric.model_copy(update={"average": "micro"})
    told = summarise(data, oof, folds_of(data))
    assert len(told["by_class"]) == len(CLASSES)
    for row in told["by_class"]:
        c = CLASSES.index(row["class"])
        alone = value_of(own, hot[:, [c]], table[:, [c]], True)
        assert row["value"] == pytest.approx(alone)
        if settings["name"] in ("precision", "recall"):
            assert row["value"] == pytest.approx(row[settings["name"]])


def test_what_is_no_mean_over_rows_is_computed_anew_for_each_group(data: CompetitionData) -> None:
    data = under(data, name="kappa")
    oof = oof_of(data)
    told = summarise(data, oof, folds_of(data))
    assert len(told["by_group"]) == 6
    for row in told["by_group"]:
        truth = data.train.frame[data.train.frame["group"] == row["group"]]
        own = oof[oof["id"].isin(truth["id"])]
        value = score(metric_of("kappa"), truth, own, interval=False).value
        assert (row["value"], row["share"]) == (pytest.approx(value), None)
    assert [row["value"] for row in told["by_class"]] == [None, None, None]
    assert told["low"] < told["score"] < told["high"]


def test_what_has_no_value_is_none_and_stands_last(data: CompetitionData) -> None:
    data = under(data, name="auc")
    folds, oof = folds_of(data), oof_of(data)
    label = data.train.frame.set_index("id")["label"].loc[folds["id"]].to_numpy()
    folds["fold"] = np.where(label == "ant", 0, 1 + np.arange(30) % 2)
    table = data.train.frame.assign(group=np.where(data.train.frame["label"] == "10", "z", "a"))
    told = summarise(replace(data, train=replace(data.train, frame=table)), oof, folds)
    assert [row["value"] is None for row in told["by_fold"]] == [True, False, False]
    assert told["mean"] == pytest.approx(np.mean([row["value"] for row in told["by_fold"][1:]]))
    assert [(row["group"], row["value"] is None) for row in told["by_group"]] == [
        ("a", False),
        ("z", True),
    ]


def test_a_class_that_is_neither_there_nor_named_has_no_value(data: CompetitionData) -> None:
    data = under(data, name="f1", average="macro")
    without = data.train.frame.loc[data.train.frame["label"] != "ant", "id"]
    oof = predictions_frame(without, np.tile([0.6, 0.4, 0.0], (20, 1)), CLASSES)
    told = summarise(data, oof, folds_of(data))
    assert told["by_class"][-1] == {
        "class": "ant",
        "rows": 0,
        "value": None,
        "precision": None,
        "recall": None,
    }


def test_many_labels_have_a_value_per_column(data: CompetitionData) -> None:
    rng = np.random.default_rng(0)
    hot = (rng.random((30, 3)) < 0.4).astype(np.uint8)
    frame = data.train.frame.drop(columns="label")
    frame = pd.concat([frame, pd.DataFrame(hot, columns=list(CLASSES))], axis=1)
    train = replace(data.train, frame=frame, task=MultiLabel(data.classes))
    many = replace(data, train=train, format=replace(data.format, task=train.task))
    probs = np.clip(rng.random((30, 3)) * 0.6 + hot * 0.3, 0, 1)
    oof = predictions_frame(frame["id"], probs, CLASSES)
    for name in ("log_loss", "accuracy"):
        told = summarise(under(many, name=name), oof, folds_of(data))
        assert len(told["by_class"]) == len(CLASSES)
        for row in told["by_class"]:
            c = CLASSES.index(row["class"])
            wrong = -np.log(np.where(hot[:, c] == 1, probs[:, c], 1 - probs[:, c]))
            right = (probs[:, c] >= 0.5) == (hot[:, c] == 1)
            assert row["value"] == pytest.approx((wrong if name == "log_loss" else right).mean())
            assert row["rows"] == hot[:, c].sum()


def test_what_the_file_would_say_is_summarised(data: CompetitionData) -> None:
    shape = replace(data.format, settings=SHAPES.parse({"shape": "top", "k": 2}))
    told = summarise(
        replace(under(data, name="map", k=3), format=shape), oof_of(data), folds_of(data)
    )
    rows = joined(data, oof_of(data), folds_of(data))
    ranks = np.argsort(-rows[list(CLASSES)].to_numpy(), axis=1)
    codes = rows["label"].cat.codes.to_numpy()
    expected = np.where(ranks[:, 0] == codes, 1, np.where(ranks[:, 1] == codes, 1 / 2, 0))
    assert told["score"] == pytest.approx(expected.mean())  # the third rank is not in the file


def test_a_hook_is_asked_for_the_whole_and_for_folds_only(data: CompetitionData) -> None:
    hooked = replace(
        under(data, name="hook"), hooks={"score": lambda truth, said: float(len(truth))}
    )
    told = summarise(hooked, oof_of(data), folds_of(data))
    assert (told["score"], told["low"], told["mean"]) == (30, None, 10)
    assert told["by_group"] == []
    assert {row["value"] for row in told["by_class"]} == {None}


def test_without_groups_none_are_told_of(data: CompetitionData) -> None:
    lone = replace(data, train=replace(data.train, frame=data.train.frame.assign(group=None)))
    told = summarise(lone, oof_of(data), folds_of(data))
    assert (told["by_group"], told["resampled"]) == ([], "rows")


def test_ids_that_are_no_training_rows_are_refused(data: CompetitionData) -> None:
    oof = oof_of(data)
    oof.loc[0, "id"] = "stranger"
    with pytest.raises(PredictionError, match=r"out-of-fold predictions: .*unknown \('stranger'\)"):
        summarise(data, oof, folds_of(data))
    with pytest.raises(PredictionError, match="folds: expected each of 30 ids once; got 1 missing"):
        summarise(data, oof_of(data), folds_of(data).iloc[1:])


def write_run(
    place: Workspace, data: CompetitionData, name: str, done: Sequence[int], **record: Any
) -> Path:
    """A run's files as training leaves them, with the predictions of `oof_of`."""
    folder, folds, oof = place.runs / "tiny" / name, folds_of(data), oof_of(data)
    write_csv(folder / "folds.csv", folds)
    write_json(
        folder / "run.json",
        run_values(**{"seed": 7, "scheme": "sites", "classes": list(CLASSES), **record}),
    )
    for k in done:
        ids = folds.loc[folds["fold"] == k, "id"]
        write_predictions(folder / f"fold{k}" / "oof.parquet", oof[oof["id"].isin(ids)])
        write_json(folder / f"fold{k}" / "done.json", {"fold": k, "seconds": 1.0})
    return folder


def test_a_runs_summary_is_that_of_its_folds(place: Workspace, data: CompetitionData) -> None:
    write_run(place, data, "tiny-s7-whole", range(N))
    told = run_summary(place, "tiny", "tiny-s7-whole")
    direct = summarise(data, oof_of(data), folds_of(data))
    made = {"run": "tiny-s7-whole", "recipe": "tiny", "seed": 7, "scheme": "sites"}
    assert told == {**made, **direct}
    lines = run_summarised(told)
    assert [line for line in lines if "unfinished" in str(line)] == []
    assert told["named_from"] is None
    tags = [str(line) for line in run_summarised({**told, "named_from": 0.4})]
    (said,) = (
        set(tags)
        - {str(line) for line in lines if isinstance(line, str)}
        - {line for line in tags if not line.startswith("by class")}
    )
    assert "a label counts from a probability of 0.4 on, to which a blend moves" in said


def test_a_blends_summary_is_that_of_its_cross_fitted_predictions(
    place: Workspace, data: CompetitionData
) -> None:
    write_run(place, data, "tiny-s7-whole", range(N))
    blend = place.runs / "tiny" / "blend-mean-1"
    write_predictions(blend / "oof.parquet", oof_of(data))
    own = {"identity": "i", "score": {"value": 0.5}}
    members = [{"name": name, **own} for name in ("theirs", "tiny-s7-whole")]
    record = blend_values(members=members)
    write_json(blend / "blend.json", record)
    told = run_summary(place, "tiny", "blend-mean-1")
    made = {"run": "blend-mean-1", "recipe": "mean", "seed": None, "scheme": "sites"}
    assert told == {**made, **summarise(data, oof_of(data), folds_of(data))}
    write_json(blend / "blend.json", {**record, "members": members[:1]})
    with pytest.raises(RunError, match="blend-mean-1: its runs have gone, or have other classes"):
        run_summary(place, "tiny", "blend-mean-1")
    write_json(blend / "blend.json", record)
    write_predictions(blend / "oof.parquet", oof_of(data).assign(id=lambda f: "x" + f["id"]))
    with pytest.raises(RunError, match="blend-mean-1 was made of other rows than tiny has now"):
        run_summary(place, "tiny", "blend-mean-1")


def test_an_unfinished_run_is_summarised_by_its_done_folds_and_it_says_so(
    place: Workspace, data: CompetitionData
) -> None:
    write_run(place, data, "tiny-s7-half", [2, 0])
    told = run_summary(place, "tiny", "tiny-s7-half")
    assert (told["done"], told["folds"], told["rows"]) == (2, 3, 20)
    assert [row["fold"] for row in told["by_fold"]] == [0, 2]
    rows = joined(data, oof_of(data), folds_of(data))
    rows = rows[rows["fold"] != 1]
    assert told["score"] == pytest.approx(rows["loss"].mean())
    assert "2 of 3 folds are done; all figures are of these alone" in str(run_summarised(told)[1])


def test_one_done_fold_has_a_score_and_no_spread(place: Workspace, data: CompetitionData) -> None:
    write_run(place, data, "tiny-s7-one", [1])
    told = run_summary(place, "tiny", "tiny-s7-one")
    assert told["score"] == pytest.approx(told["mean"])
    assert told["deviation"] is None


def test_a_run_that_cannot_be_summarised_says_why(place: Workspace, data: CompetitionData) -> None:
    write_run(place, data, "tiny-s7-none", [])
    write_run(place, data, "tiny-s7-other", [0], classes=["ant", "zebra", "10"])
    for name, message in (
        (
            "tiny-s7-nine",
            "no run or blend of tiny is called 'tiny-s7-nine'; did you mean 'tiny-s7-none'?",
        ),
        ("tiny-s7-none", "tiny-s7-none: none of its folds is done yet; run `foldwise train` again"),
        ("tiny-s7-other", "tiny-s7-other was trained on other rows or classes than tiny has now"),
    ):
        with pytest.raises(RunError, match=message.replace("?", r"\?")):
            run_summary(place, "tiny", name)


def test_a_long_table_is_cut_and_says_of_how_many(data: CompetitionData) -> None:
    told = {"run": "r", **summarise(data, oof_of(data), folds_of(data))}
    told["by_group"] = [
        {"group": f"[site] {i}", "rows": 1, "value": 1.0 / (i + 1), "share": None}
        for i in range(25)
    ]
    lines = run_summarised(told)
    assert "by group, the worst 20 of 25 first; share: of the total loss" in lines
    assert lines[-1].row_count == 20  # type: ignore[union-attr]
    assert "by class, the worst first" in lines


def test_a_summary_loads_neither_torch_nor_scikit_learn(
    place: Workspace, data: CompetitionData
) -> None:
    write_run(place, data, "tiny-s7-light", range(N))
    program = (
        "import sys\nfrom foldwise.cli import app\n"
        "sys.argv = ['foldwise', 'status', 'tiny', '--run', 'tiny-s7-light']\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "print('heavy:', *sorted({'torch', 'fastai', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=place.root, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("tiny-s7-light: log loss ")
    assert done.stdout.splitlines()[-1] == "heavy:"
