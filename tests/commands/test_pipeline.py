"""The main job on a tiny competition: done once, found done, the same bytes again."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from foldwise.commands import blend as blending
from foldwise.commands import status
from foldwise.commands.catalogue import catalogue
from foldwise.commands.data import get_data
from foldwise.commands.planning import Selection, Session, scheme_folds
from foldwise.commands.submit import submit
from foldwise.commands.train import train
from foldwise.config.recipe import Recipe
from foldwise.data.competition import load_data
from foldwise.data.opened import OpenCompetition, open_competition
from foldwise.errors import (
    DataError,
)
from foldwise.jobs import fold_inputs
from foldwise.kinds.events import EpochDone, Event, FoldDone, FoldStarted
from foldwise.metrics.scoring import score
from foldwise.store.files import sha256_file
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from tiny import copy, edit, fold_job, ids, only_run, tree, write_tiny


def test_a_submission_is_validated_scored_sent_and_in_the_ledger(
    submitted: tuple[Workspace, Entry],
) -> None:
    workspace, entry = submitted
    frame = pd.read_csv(entry.file, dtype={"id": str})
    assert list(frame["id"]) == ids("test", 12)
    assert list(frame.columns) == ["id", "zebra", "10", "ant"]
    (row,) = status.status(workspace, "tiny")
    assert (row["file"], row["sha256"]) == (entry.file.name, sha256_file(entry.file))
    assert row["local"] == pytest.approx(entry.score.value, abs=1e-6)
    assert row["state"] == "scored"
    assert row["rank"] in (1, 2)
    assert row["public"] > 0
    assert row["private"] > 0
    assert entry.receipt is not None
    assert (entry.receipt.rank, entry.receipt.teams) == (row["rank"], 2)


def test_the_manifest_says_what_the_file_was_made_of(
    submitted: tuple[Workspace, Entry],
) -> None:
    workspace, entry = submitted
    manifest = json.loads(entry.file.with_suffix(".json").read_text())
    assert manifest["sha256"] == entry.sha256
    (run,) = manifest["runs"]
    assert run["run"] == only_run(workspace).name
    assert run["seed"] == 0
    assert run["local"]["value"] == entry.member_scores[run["run"]].value
    assert run["resolved"]["device"] in ("cpu", "cuda")
    folds = json.loads((workspace.data / "tiny" / "folds" / "default.json").read_text())
    assert manifest["folds"] == {"scheme": "default", "sha256": folds["sha256"]}
    assert {"torch", "fastai", "timm", "python"} <= set(manifest["versions"])
    assert set(manifest["code"]) == {"commit", "diff_sha256", "package_sha256", "adapter_sha256"}
    assert str(Path.home()) not in json.dumps(manifest)


def test_the_local_score_is_that_of_the_written_oof(
    submitted: tuple[Workspace, Entry],
) -> None:
    workspace, entry = submitted
    data, blend = load_data(workspace, "tiny"), blending.blend(open_competition(workspace, "tiny"))
    direct = score(data.spec.metric, data.train.frame, blend.oof())
    assert entry.score.value == pytest.approx(direct.value, abs=1e-9)


def test_every_training_id_is_predicted_once_by_a_model_that_did_not_see_it(
    submitted: tuple[Workspace, Entry],
) -> None:
    workspace, _ = submitted
    (run,) = train(open_competition(workspace, "tiny"))
    oof = run.oof()
    assert list(oof["id"]) == sorted(ids("train", 30))
    folds = run.folds.frame.set_index("id")["fold"]
    for k in range(3):
        predicted = pd.read_parquet(run.fold(k).path / "oof.parquet")["id"]
        assert set(predicted) == set(folds.index[folds == k])
    assert [list(frame["id"]) for frame in run.test(ids("test", 12))] == [ids("test", 12)] * 3


def test_tta_is_applied_to_oof_and_test_alike_and_the_plain_view_is_kept(
    submitted: tuple[Workspace, Entry],
) -> None:
    fold = only_run(submitted[0]) / "fold0"
    for part in ("oof", "test"):
        augmented = pd.read_parquet(fold / f"{part}.parquet")
        plain = pd.read_parquet(fold / f"{part}_plain.parquet")
        assert list(augmented["id"]) == list(plain["id"])
        assert not augmented.equals(plain)


def test_loading_and_predicting_equals_predicting_after_training(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    from foldwise.training.fitting.fold import predict_again

    workspace, _ = submitted
    predict_again(fold_inputs(fold_job(workspace, 1)), tmp_path)
    for name in ("oof", "oof_plain", "test", "test_plain"):
        saved = pd.read_parquet(only_run(workspace) / "fold1" / f"{name}.parquet")
        again = pd.read_parquet(tmp_path / f"{name}.parquet")
        pd.testing.assert_frame_equal(again, saved, check_exact=True)


def test_a_second_submit_finds_everything_done_and_says_so(
    submitted: tuple[Workspace, Entry], caplog: pytest.LogCaptureFixture
) -> None:
    workspace, first = submitted
    caplog.set_level("INFO", logger="foldwise")
    before = tree(workspace.root)
    events: list[Event] = []
    second = submit(open_competition(workspace, "tiny"), session=Session(observe=events.append))
    assert events == []
    assert (second.file, second.sha256) == (first.file, first.sha256)
    assert tree(workspace.root) == before
    for words in ("trained already", "blended already", "written already", "submitted already"):
        assert words in caplog.text


def test_the_same_command_elsewhere_gives_the_same_bytes(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    workspace, first = submitted
    second = submit(open_competition(write_tiny(tmp_path), "tiny"))
    assert second.sha256 == first.sha256
    assert tree(only_run(Workspace.find(tmp_path)) / "fold2").keys() >= {"weights.safetensors"}
    weights = [
        only_run(w) / "fold2" / "weights.safetensors" for w in (workspace, Workspace.find(tmp_path))
    ]
    assert sha256_file(weights[0]) == sha256_file(weights[1])


def test_global_generators_are_as_they_were_after_training(workspace: Workspace) -> None:
    import torch

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(open_competition(workspace, "tiny"), Selection(folds=(0,)))
    assert torch.equal(torch.rand(3), expected)


def test_permuted_rows_change_no_fold_and_no_score(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    first, _ = submitted
    data = load_data(first, "tiny")
    oof = train(open_competition(first, "tiny"))[0].oof()
    shuffled = data.train.frame.sample(frac=1, random_state=0)
    one = score(data.spec.metric, data.train.frame, oof)
    two = score(data.spec.metric, shuffled, oof.sample(frac=1, random_state=1))
    assert two.value == pytest.approx(one.value, rel=1e-12)
    other = write_tiny(tmp_path)
    for name in ("train_features.csv", "train_labels.csv"):
        path = other.raw("tiny") / name
        pd.read_csv(path, dtype=str).sample(frac=1, random_state=3).to_csv(path, index=False)
    folds = scheme_folds(open_competition(other, "tiny"))
    assert folds.sha256 == scheme_folds(OpenCompetition(first, data)).sha256


def test_a_dry_run_stops_before_the_upload_and_a_submit_then_sends_that_file(
    workspace: Workspace,
) -> None:
    dry = submit(open_competition(workspace, "tiny"), dry_run=True)
    assert dry.receipt is None
    assert not (workspace.data / "tiny" / "platform" / "board.json").exists()
    assert [row["state"] for row in status.status(workspace)] == ["written"]
    sent = submit(open_competition(workspace, "tiny"))
    assert sent.file == dry.file
    assert [row["state"] for row in status.status(workspace)] == ["scored"]


def test_a_lost_file_is_written_again_under_its_name(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    other = copy(submitted[0], tmp_path)
    name = submitted[1].file.name
    ledger = other.submissions("tiny", practice=True) / "ledger.jsonl"
    (ledger.parent / name).unlink()
    lines = ledger.read_text()
    again = submit(open_competition(other, "tiny"))
    assert (again.file.name, again.sha256) == (name, submitted[1].sha256)
    assert again.file.is_file()
    assert ledger.read_text() == lines  # nothing was sent again


def test_events_tell_the_progress_of_a_fold(workspace: Workspace) -> None:
    events: list[Event] = []
    train(
        open_competition(workspace, "tiny"),
        Selection(overrides=("stage.0.epochs=2",), folds=(1,)),
        session=Session(observe=events.append),
    )
    assert isinstance(events[0], FoldStarted)
    assert (events[0].fold, events[0].folds, events[0].epochs) == (1, 3, 2)
    epochs = [event for event in events if isinstance(event, EpochDone)]
    assert [event.epoch for event in epochs] == [1, 2]
    assert epochs[0].images_per_second > 0
    assert isinstance(events[-1], FoldDone)
    batches = [event.done for event in events if event.__class__.__name__ == "BatchDone"]
    assert batches == list(range(1, events[0].batches + 1))


def test_stages_freeze_the_body_and_change_the_size(workspace: Workspace) -> None:
    from foldwise.training.models.weights import load_state

    recipe = workspace.competition("tiny") / "recipes" / "tiny.toml"
    stage = '[[stage]]\ntrain = "head"\nepochs = 1\nlr = 1e-2\nimage_size = 16\n\n[[stage]]'
    edit(recipe, "[[stage]]", stage)
    runs = train(open_competition(workspace, "tiny"), Selection(folds=(0,)))
    history = json.loads((runs[0].fold(0).path / "history.json").read_text())
    assert len(history) == 2
    edit(recipe, "\n\n[[stage]]\nepochs = 1\nlr = 3e-3", "")
    head_only = train(open_competition(workspace, "tiny"), Selection(folds=(0,)))[0]
    trained = load_state(head_only.fold(0).path / "weights.safetensors")
    from foldwise.training.fitting.streams import seed_block
    from foldwise.training.models.building import build_model

    with seed_block(0, 0, "init"):
        fresh = build_model(head_only.recipe, 3, 1).state_dict()
    assert (trained["layer1.0.conv1.weight"] == fresh["layer1.0.conv1.weight"]).all()
    assert (trained["fc.weight"] != fresh["fc.weight"]).any()


def test_another_recipe_seed_or_label_is_another_run_and_the_metric_is_not(
    submitted: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    other = copy(submitted[0], tmp_path)
    first = only_run(other).name

    def name(*overrides: str) -> str:
        return train(
            open_competition(other, "tiny"), Selection(overrides=tuple(overrides), folds=())
        )[0].name

    assert name() == first
    assert name("batch_size=4") != first
    seeded = train(
        open_competition(other, "tiny"), Selection(overrides=("seeds=[3, 4]",), folds=())
    )
    assert [run.seed for run in seeded] == [3, 4]
    edit(
        other.competition("tiny") / "competition.toml",
        "[folds.default]",
        "[metric]\nclip = 1e-7\n\n[folds.default]",
    )
    assert name() == first
    (other.data / "tiny" / "folds" / "default.json").unlink()
    edit(other.raw("tiny") / "train_features.csv", "train 0", "train 9")
    assert name() != first


def test_recipes_and_seeds_of_one_command_share_cache_and_folds(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foldwise.training.fitting import tuning

    recipes = workspace.competition("tiny") / "recipes"
    text = (recipes / "tiny.toml").read_text()
    (recipes / "other.toml").write_text(text.replace("lr = 3e-3", "lr = 1e-3"))
    settled, decoded, settle = [], [], tuning.settle

    def watched(recipe: Recipe, *arguments: Any) -> dict[str, Any]:
        settled.append(recipe.name)
        return settle(recipe, *arguments)

    monkeypatch.setattr(tuning, "settle", watched)
    runs = train(
        open_competition(workspace, "tiny"),
        Selection(("tiny", "other"), ("seeds=[1, 2]",), folds=()),
        session=Session(progress=lambda done, total: decoded.append(done)),
    )
    assert [(run.recipe.name, run.seed) for run in runs] == [
        ("tiny", 1),
        ("tiny", 2),
        ("other", 1),
        ("other", 2),
    ]
    assert decoded.count(42) == 1  # all images, once
    assert len(list((workspace.data / "tiny" / "cache").glob("*/done.json"))) == 1
    for key in ("caches", "scheme", "folds_sha256"):
        assert len({json.dumps(getattr(run.record, key)) for run in runs}) == 1
    assert settled == ["tiny", "other"]  # what `auto` becomes: for all seeds at once


def test_a_fold_says_how_many_images_a_second_it_trained(workspace: Workspace) -> None:
    events: list[Event] = []
    (run,) = train(
        open_competition(workspace, "tiny"),
        Selection(overrides=("stage.0.epochs=3",), folds=(0,)),
        session=Session(observe=events.append),
    )
    epochs = [event for event in events if isinstance(event, EpochDone)]
    images = sum(epoch.images_per_second * epoch.seconds for epoch in epochs)
    assert images == pytest.approx(3 * 16)  # two batches of eight an epoch
    done = json.loads((run.fold(0).path / "done.json").read_text())
    mean = images / sum(epoch.seconds for epoch in epochs)
    assert done["images_per_second"] == pytest.approx(mean, abs=0.06)
    history = json.loads((run.fold(0).path / "history.json").read_text())
    assert set(history[0]) == {"train_loss", "valid_loss", "accuracy"}  # the same bytes again


def test_several_seeds_are_blended(workspace: Workspace) -> None:
    recipe = workspace.competition("tiny") / "recipes" / "tiny.toml"
    edit(recipe, "batch_size", "seeds = [1, 2]\nbatch_size")
    entry = submit(open_competition(workspace, "tiny"), dry_run=True)
    assert len(entry.member_scores) == 2
    geometric = blending.blend(open_competition(workspace, "tiny"), method="geometric")
    assert geometric.score.value != entry.score.value
    assert geometric.folder.name.startswith("blend-geometric-")
    assert len(geometric.test()) == 12


def test_the_data_verb_unpacks_and_says_what_is_missing(
    workspace: Workspace, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", workspace.raw("tiny"))
    shutil.rmtree(workspace.raw("tiny"))
    with pytest.raises(DataError, match="4 of 4 files are missing in"):
        get_data(workspace, "tiny")
    facts = get_data(workspace, "tiny", Path(archive))
    assert (facts["train_rows"], facts["test_rows"], facts["images_missing"]) == (30, 12, 0)


def test_prepare_runs_once_and_again_after_the_adapter_changed(workspace: Workspace) -> None:
    adapter = workspace.competition("tiny") / "adapter.py"
    body = "    with (raw / 'count').open('a') as handle:\n        handle.write('x')\n"
    count = "\n\ndef prepare(spec, raw):\n" + body
    adapter.write_text('"""Counts."""' + count)
    load_data(workspace, "tiny")
    load_data(workspace, "tiny")
    assert (workspace.raw("tiny") / "count").read_text() == "x"
    adapter.write_text('"""Counts again."""' + count)
    load_data(workspace, "tiny")
    assert (workspace.raw("tiny") / "count").read_text() == "xx"
    (workspace.raw("tiny") / "train_labels.csv").unlink()
    with pytest.raises(DataError, match="1 of 4 files are missing"):
        load_data(workspace, "tiny")
    assert (workspace.raw("tiny") / "count").read_text() == "xxx"


def test_the_catalogue_tells_the_state(submitted: tuple[Workspace, Entry], tmp_path: Path) -> None:
    (row,) = catalogue(submitted[0])
    assert (row["competition"], row["state"]) == ("tiny", "submitted")
    assert row["local"] == pytest.approx(submitted[1].score.value, abs=1e-6)
    fresh = write_tiny(tmp_path)
    assert catalogue(fresh)[0]["state"] == "data"
    train(open_competition(fresh, "tiny"), Selection(folds=(0,)))
    assert catalogue(fresh)[0]["state"] == "trained"
    shutil.rmtree(fresh.data)
    shutil.rmtree(fresh.runs)
    assert catalogue(fresh)[0]["state"] == "no data"


def test_time_is_written_in_utc() -> None:
    from foldwise.store.ledger import now

    parsed = time.strptime(now(), "%Y-%m-%dT%H:%M:%SZ")
    assert abs(time.mktime(time.gmtime()) - time.mktime(parsed)) < 5
