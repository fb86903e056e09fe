"""Blends of runs on disk: what is fitted, what is written, and what does not belong together."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finished import N, settings, write_run
from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.data.competition import CompetitionData, load_data
from foldwise.ensembling.blend import Blend, blend_runs
from foldwise.ensembling.calibrate import Temperature
from foldwise.ensembling.chain import Chain, apply_chain, apply_steps
from foldwise.ensembling.members import of_run
from foldwise.errors import PredictionError, RunError, SpecError
from foldwise.kinds.blending import BLENDINGS, Stack
from foldwise.metrics.scoring import score
from foldwise.store.predictions import predictions_frame, write_predictions
from foldwise.tasks import MultiLabel
from foldwise.training.fitting.run import Run
from planted import ONE
from tiny import CLASSES, metric_of, write_tiny

METHODS = [name for name in BLENDINGS.known if name != "auto"]


def written(blend: Blend) -> dict[str, Any]:
    """What stands in blend.json."""
    return json.loads((blend.folder / "blend.json").read_text())


def probs(frame: pd.DataFrame) -> np.ndarray:
    return frame[list(CLASSES)].to_numpy()


def test_a_mean_without_a_chain_is_the_mean_bit_by_bit(
    data: CompetitionData, runs: list[Run], tmp_path: Path
) -> None:
    made = blend_runs(tmp_path, settings(data, chain="none"), runs, BLENDINGS.parse("mean"))
    mean = np.stack([probs(run.oof()) for run in runs]).mean(axis=0)
    assert (probs(made.oof()) == mean / mean.sum(axis=1, keepdims=True)).all()
    assert list(made.oof()["id"]) == sorted(data.train.frame["id"])
    ids = list(data.test.frame["id"])
    tests = np.stack([[probs(frame) for frame in run.test(ids)] for run in runs])  # (M, N, 12, 3)
    folds = tests.mean(axis=0)
    whole = (folds / folds.sum(axis=2, keepdims=True)).mean(axis=0)
    assert (probs(made.test()) == whole / whole.sum(axis=1, keepdims=True)).all()
    assert list(made.test()["id"]) == ids
    assert made.score.value == pytest.approx(made.record.in_sample)  # nothing is fitted
    assert made.record.steps == ()


def test_the_temperature_of_the_chain_is_that_of_the_folds_mean(
    data: CompetitionData, runs: list[Run], tmp_path: Path
) -> None:
    made = blend_runs(tmp_path, data, runs, BLENDINGS.parse("weights"))
    chain = Chain.model_validate(written(made)["chain"])
    (step,) = (step for step in chain.steps if isinstance(step, Temperature))
    assert step.of_each == 1  # the blend is too timid: only its mean is sharpened
    assert step.of_mean < step.temperature < 1
    ids = list(data.test.frame["id"])
    tests = [[probs(frame) for frame in run.test(ids)] for run in runs]
    first = chain.with_steps([Temperature(temperature=step.of_each)])
    folds = [
        apply_chain(first, Stack([member[k] for member in tests], ONE), slice(None))
        for k in range(N)
    ]
    after = [
        Temperature(temperature=step.of_mean) if each is step else each for each in chain.steps
    ]
    wanted = apply_steps(after, np.mean(folds, axis=0), ONE)
    assert probs(made.test()) == pytest.approx(wanted, abs=1e-12)
    assert made.record.averaging_gain > 0


def test_the_score_is_that_of_the_cross_fitted_oof_and_the_record_has_both(
    data: CompetitionData, runs: list[Run], tmp_path: Path
) -> None:
    made = blend_runs(tmp_path, data, runs, BLENDINGS.parse("stack"))
    record = written(made)
    ids = list(made.oof()["id"])
    folds = runs[0].folds.of(made.oof()["id"])
    stack = Stack([of_run(run, ids, []).oof() for run in runs], ONE)
    assert len(record["by_fold"]) == N
    for k, chain in enumerate(record["by_fold"]):
        own = apply_chain(Chain.model_validate(chain), stack, folds == k)
        assert probs(made.oof())[folds == k] == pytest.approx(own)
    assert made.score == score(data.spec.metric, data.train.frame, made.oof())
    everything = apply_chain(Chain.model_validate(record["chain"]), stack, slice(None))
    frame = predictions_frame(ids, everything, CLASSES)
    in_sample = score(data.spec.metric, data.train.frame, frame).value
    assert record["in_sample"] == pytest.approx(in_sample)
    assert in_sample < made.score.value == record["score"]["value"] < record["blend_alone"] + 0.01
    assert [trial["step"] for trial in record["steps"]] == ["temperature", "clip"]
    assert {*record["reliability"]} == {"before", "after"}
    assert record["reliability"]["after"]["calibration_error"] < 0.2
    best = min(made.member_scores.values(), key=lambda each: each.value)
    assert made.score.value < best.value
    rows = made.table()
    assert [row["run"] for row in rows] == [*(run.name for run in runs), made.folder.name]
    assert rows[-1]["in_sample"] == record["in_sample"]
    assert set(made.made_of()) == set(record) - {"by_fold", "reliability", "version"}


def test_members_are_recorded_with_scores_and_with_what_chose_their_weights(
    data: CompetitionData, runs: list[Run], tmp_path: Path
) -> None:
    stopped = write_run(tmp_path, data, "stopped", 5, 1.5, early_stop=2, ema=0.9)
    made = blend_runs(tmp_path, data, [runs[0], stopped], BLENDINGS.parse("mean"))
    plain, early = written(made)["members"]
    assert (plain["name"], plain["identity"]) == ("run0-s0", runs[0].record.identity)
    assert plain["score"]["value"] == made.member_scores["run0-s0"].value
    assert plain["score"]["low"] < plain["score"]["value"] < plain["score"]["high"]
    assert not {"early_stop", "ema", "swa"} & set(plain)
    assert (early["early_stop"], early["ema"]) == (2, 0.9)
    assert early["stopped_early_after_epoch"] == {"1": 3}


def test_auto_tries_all_methods_and_takes_the_simplest_of_the_best(
    data: CompetitionData, runs: list[Run], tmp_path: Path
) -> None:
    made = blend_runs(tmp_path, data, runs, BLENDINGS.parse("auto"))
    rows = made.table()
    assert [row["method"] for row in rows] == list(METHODS)
    scores = {row["method"]: row["cross_fitted"] for row in rows}
    for row in rows:
        assert row["difference"] == pytest.approx(row["cross_fitted"] - min(scores.values()))
        assert row["metric"] == "log loss"
    (chosen,) = (row for row in rows if row["chosen"])
    assert chosen is next(row for row in rows if row["within_noise"])
    assert made.method == chosen["method"] not in ("mean", "rank")  # the third run is poor
    assert made.score.value == pytest.approx(chosen["cross_fitted"])
    assert made.record.asked == "auto"
    alone = blend_runs(tmp_path, data, runs, BLENDINGS.parse(made.method))
    assert (probs(alone.test()) == probs(made.test())).all()
    (only,) = blend_runs(tmp_path, data, runs[:1], BLENDINGS.parse("auto")).table()
    assert (only["method"], only["chosen"]) == ("single", True)


def test_what_auto_calls_a_difference_is_in_the_metrics_own_direction(
    data: CompetitionData, runs: list[Run], tmp_path: Path
) -> None:
    accuracy = replace(data, spec=data.spec.model_copy(update={"metric": metric_of("accuracy")}))
    rows = blend_runs(tmp_path, accuracy, runs, BLENDINGS.parse("auto")).table()
    best = max(row["cross_fitted"] for row in rows)
    assert 0.5 < best <= 1
    assert all(row["difference"] == pytest.approx(row["cross_fitted"] - best) for row in rows)
    assert min(row["difference"] for row in rows) < 0


def test_a_blend_is_made_once_and_anew_for_other_settings(
    data: CompetitionData, runs: list[Run], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="foldwise")
    first = blend_runs(tmp_path, data, runs, BLENDINGS.parse("mean"))
    assert "blended already" not in caplog.text
    again = blend_runs(tmp_path, data, runs, BLENDINGS.parse("mean"))
    assert "blended already; skipped" in caplog.text
    assert (again.folder, again.score, again.member_scores) == (
        first.folder,
        first.score,
        first.member_scores,
    )
    clip = data.spec.model_copy(update={"metric": metric_of(clip=1e-3)})
    others = [
        blend_runs(tmp_path, settings(data, chain="none"), runs, BLENDINGS.parse("mean")),
        blend_runs(tmp_path, replace(data, spec=clip), runs, BLENDINGS.parse("mean")),
        blend_runs(tmp_path, data, runs[:2], BLENDINGS.parse("mean")),
    ]
    assert len({first.folder, *(other.folder for other in others)}) == 4


def test_a_member_from_elsewhere_is_blended_from_files(
    data: CompetitionData, runs: list[Run], tmp_path: Path
) -> None:
    oof, test = runs[1].oof(), runs[1].test(data.test.frame["id"])[0]
    oof.sample(frac=1, random_state=0).to_csv(tmp_path / "oof.csv", index=False)
    test.to_parquet(tmp_path / "test.parquet", index=False)
    member = f"theirs={tmp_path / 'oof.csv'},{tmp_path / 'test.parquet'}"
    plain = settings(data, chain="none")
    made = blend_runs(tmp_path, plain, runs[:1], BLENDINGS.parse("mean"), [member])
    mean = (probs(runs[0].oof()) + probs(oof)) / 2
    assert probs(made.oof()) == pytest.approx(mean)
    ours = np.mean([probs(frame) for frame in runs[0].test(data.test.frame["id"])], axis=0)
    assert probs(made.test()) == pytest.approx((ours + probs(test)) / 2)
    assert list(made.member_scores) == ["run0-s0", "theirs"]
    assert made.members == (runs[0],)
    assert written(made)["members"][1]["oof"] == "oof.csv"
    with pytest.raises(SpecError, match="different names, 'theirs' is there twice; rename one"):
        blend_runs(tmp_path, plain, runs[:1], BLENDINGS.parse("mean"), [member, member])
    oof[1:].to_csv(tmp_path / "oof.csv", index=False)
    with pytest.raises(
        PredictionError, match=r"oof.csv: expected each of 120 ids once; got 1 miss"
    ):
        blend_runs(tmp_path, plain, runs[:1], BLENDINGS.parse("mean"), [member])


def test_a_member_of_the_competition_lies_in_its_data_folder(
    data: CompetitionData, runs: list[Run], tmp_path: Path
) -> None:
    home = data.raw.parent
    runs[2].oof().to_csv(home / "oof.csv", index=False)
    runs[2].test(data.test.frame["id"])[0].to_csv(home / "test.csv", index=False)
    member = {"name": "theirs", "oof": "oof.csv", "test": "test.csv"}
    made = blend_runs(tmp_path, settings(data, member=[member]), runs[:2], BLENDINGS.parse("mean"))
    assert list(made.member_scores)[-1] == "theirs"
    spec = data.spec.model_dump()
    spec["submit"] = {"recipes": ["tiny"], "member": [{**member, "oof": "/oof.csv"}]}
    with pytest.raises(SpecError, match="must be a path inside the competition's data folder"):
        parse(CompetitionSpec, spec, "tiny")


def test_what_does_not_belong_together_is_refused(
    data: CompetitionData, runs: list[Run], tmp_path: Path
) -> None:
    moved = replace(runs[1], folds=replace(runs[1].folds, sha256="0123456789"))
    with pytest.raises(RunError, match=r"run0-s0 has [0-9a-f]{8}, run1-s0 has 01234567"):
        blend_runs(tmp_path, data, [runs[0], moved], BLENDINGS.parse("mean"))
    (runs[2].fold(1).path / "done.json").unlink()
    with pytest.raises(RunError, match="run2-s0: folds 1 of 4 are not trained yet"):
        blend_runs(tmp_path, data, runs, BLENDINGS.parse("mean"))
    assert list(tmp_path.glob("blend-*")) == []


def test_a_kill_while_it_is_written_leaves_no_record(
    data: CompetitionData, runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, value: Any) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("foldwise.store.records.write_json", full)
        with pytest.raises(OSError, match="killed"):
            blend_runs(tmp_path, data, runs, BLENDINGS.parse("mean"))
    (folder,) = tmp_path.glob("blend-mean-*")
    assert not (folder / "blend.json").exists()
    assert blend_runs(tmp_path, data, runs, BLENDINGS.parse("mean")).folder == folder


def test_thresholds_are_swept_and_fitted_for_tags(tmp_path: Path) -> None:
    made = load_data(write_tiny(tmp_path / "tiny", n_train=60), "tiny")
    labels = made.spec.labels.model_copy(update={"multi": True})
    shape = made.spec.submission.model_copy(update={"shape": "tags", "none": "-"})
    update = {"labels": labels, "submission": shape, "metric": metric_of("f1")}
    spec = made.spec.model_copy(update=update)
    hot = pd.DataFrame(made.train.marks(), columns=list(CLASSES))
    frame = pd.concat([made.train.frame.drop(columns="label"), hot], axis=1)
    train = replace(made.train, frame=frame, task=MultiLabel(made.classes))
    form = replace(made.format, settings=shape, task=train.task)
    run = write_run(tmp_path, made, "run", 0, 1.0)
    tags = replace(made, spec=spec, train=train, format=form)
    for k in range(N):  # timid: no probability comes near a half
        path = run.fold(k).path / "oof.parquet"
        frame = pd.read_parquet(path)
        frame[list(CLASSES)] *= 0.3
        write_predictions(path, frame)
    blend = blend_runs(tmp_path, tags, [run], BLENDINGS.parse("mean"))
    record = written(blend)
    (step,) = record["chain"]["steps"]
    assert step["step"] == "threshold"
    assert 0.1 < step["thresholds"] < 0.3
    assert record["blend_alone"] == 0 < 0.8 < record["score"]["value"]
    assert blend.oof()[list(CLASSES)].sum(axis=1).std() > 0.01  # rows need not sum to 1
    curve = pd.read_csv(blend.folder / "thresholds.csv")
    assert list(curve) == ["threshold", "metric", "accuracy"]
    best = curve.loc[curve["metric"].idxmax(), "threshold"]
    assert best == pytest.approx(step["thresholds"], abs=0.1)
