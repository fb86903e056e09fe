"""foldwise predict: photos from anywhere get the numbers that a submission would have had."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.commands import predict as predicting
from foldwise.commands.planning import Selection
from foldwise.commands.predict import SAYS, predict
from foldwise.commands.train import train
from foldwise.data.competition import load_data
from foldwise.data.images.photos import photos_of
from foldwise.data.opened import open_competition
from foldwise.errors import DataError, RunError, SpecError
from foldwise.kinds.task import NONE
from foldwise.store.files import write_json
from foldwise.store.predictions import read_predictions
from foldwise.submitting.entry import Entry
from foldwise.tasks import MultiClass, MultiLabel, Regression
from foldwise.workspace import Workspace
from tiny import CLASSES, copy, only_run

Submitted = tuple[Workspace, Entry]


def blend_of(workspace: Workspace) -> Path:
    """The directory of the one blend there is."""
    (record,) = (workspace.runs / "tiny").glob("blend-*/blend.json")
    return record.parent


def photo(path: Path) -> Path:
    """A photo as a phone makes it: large, in colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(3).integers(0, 255, (90, 120, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_test_images_get_the_submissions_own_numbers(submitted: Submitted) -> None:
    workspace, _ = submitted
    data, blend = load_data(workspace, "tiny"), blend_of(workspace)
    files = [data.raw / path for path in data.test.frame["path"]]
    said = predict(workspace, blend.name, files)
    expected = read_predictions(blend / "test.parquet", CLASSES)
    assert list(expected["id"]) == list(data.test.frame["id"])
    np.testing.assert_allclose(said[list(CLASSES)], expected[list(CLASSES)], rtol=0, atol=1e-12)
    assert list(said["image"]) == [str(file) for file in files]
    best = expected[list(CLASSES)].to_numpy()
    assert list(said["answer"]) == [CLASSES[number] for number in best.argmax(axis=1)]
    np.testing.assert_allclose(said["confidence"], best.max(axis=1), atol=1e-12)


def test_a_run_alone_is_the_mean_of_its_folds_that_are_done(
    submitted: Submitted, tmp_path: Path
) -> None:
    workspace = copy(submitted[0], tmp_path)
    run, data = only_run(workspace), load_data(workspace, "tiny")
    (run / "fold1" / "done.json").unlink()
    said = predict(workspace, str(run), [data.raw / path for path in data.test.frame["path"]])
    folds = [
        read_predictions(run / f"fold{k}" / "test.parquet", CLASSES)[list(CLASSES)] for k in (0, 2)
    ]
    np.testing.assert_allclose(said[list(CLASSES)], (folds[0] + folds[1]) / 2, atol=1e-12)


def test_a_prior_needs_no_image_to_answer(workspace: Workspace, tmp_path: Path) -> None:
    recipe = workspace.root / "competitions" / "tiny" / "recipes" / "prior.toml"
    recipe.write_text('model = "prior"\nimage_size = 32\n')
    (run,) = train(open_competition(workspace, "tiny"), Selection(("prior",)))
    said = predict(workspace, run.name, [photo(tmp_path / "a.jpg")])
    assert said[list(CLASSES)].to_numpy().sum() == pytest.approx(1)


def test_an_unreadable_photo_is_a_row_and_no_stop(submitted: Submitted, tmp_path: Path) -> None:
    workspace, _ = submitted
    good = photo(tmp_path / "photos" / "deep" / "good.JPG")
    (tmp_path / "photos" / "bad.png").write_text("no image")
    (tmp_path / "photos" / "notes.txt").write_text("not looked at")
    table = tmp_path / "list.csv"
    table.write_text("number,path\n1,photos/gone.jpg\n2,photos/deep/good.JPG\n")
    said = predict(workspace, blend_of(workspace).name, [tmp_path / "photos", table])
    names = [
        str(tmp_path / "photos" / "bad.png"),
        str(good),
        "photos/gone.jpg",
        "photos/deep/good.JPG",
    ]
    assert list(said["image"]) == names
    assert list(said.columns) == [*SAYS, *CLASSES]
    assert said["error"].str.contains("decoded").tolist()[0]
    assert "is missing" in said["error"][2]
    assert said.loc[[0, 2], ["answer", "confidence", *CLASSES]].isna().all(axis=None)
    assert said["error"][[1, 3]].isna().all()
    np.testing.assert_array_equal(said.loc[1, list(CLASSES)], said.loc[3, list(CLASSES)])
    assert not list((workspace.runs / "tiny").glob(".predict-*"))  # nothing is left behind


def test_an_answer_below_the_threshold_is_none_of_these() -> None:
    probs = np.array([[0.7, 0.6, 0.1], [0.2, 0.3, 0.45], [np.nan] * 3])
    one, many = MultiClass(CLASSES), MultiLabel(CLASSES)
    answers, confidence = one.describe(probs, 0.0, " ".join)
    assert answers == ["zebra", "ant", None]
    assert confidence[:2].tolist() == [0.7, 0.45]
    answers, confidence = one.describe(probs, 0.5, " ".join)
    assert answers == ["zebra", NONE, None]
    assert confidence[1] == pytest.approx(0.55)
    answers, confidence = many.describe(probs, 0.5, " ".join)
    assert answers == ["zebra 10", NONE, None]
    assert confidence[:2].tolist() == pytest.approx([0.6, 0.55])
    assert many.describe(probs, 0.65, " ".join)[0][0] == "zebra"
    numbers = Regression(("a", "b", "c")).describe(100 * probs, 0.0, " ".join)
    assert numbers[0] == ["70 60 10", "20 30 45", None]
    assert np.isnan(numbers[1]).all()


def test_what_an_earlier_version_made_is_said(submitted: Submitted, tmp_path: Path) -> None:
    workspace = copy(submitted[0], tmp_path / "w")
    run, blend, shown = only_run(workspace), blend_of(workspace), photo(tmp_path / "a.jpg")
    record = json.loads((blend / "blend.json").read_text())
    bent = {**record["chain"], "steps": [{"step": "clp", "low": 0.1, "high": 0.9}]}
    write_json(blend / "blend.json", {**record, "chain": bent})
    with pytest.raises(SpecError, match=r"the chain of blend-.*'clp'; did you mean 'clip'"):
        predict(workspace, blend.name, [shown])
    del record["chain"]
    write_json(blend / "blend.json", record)
    with pytest.raises(RunError, match=r"earlier version .* run `foldwise blend tiny` again"):
        predict(workspace, blend.name, [shown])
    record = json.loads((run / "run.json").read_text())
    del record["resolved"]["batch_size"]
    write_json(run / "run.json", record)
    with pytest.raises(RunError, match=r"earlier version .* run `foldwise train tiny` again"):
        predict(workspace, run.name, [shown])


def test_the_command_prints_a_table_and_writes_every_probability(
    submitted: Submitted, tmp_path: Path
) -> None:
    workspace, _ = submitted
    photo(tmp_path / "photos" / "a.png")
    (tmp_path / "photos" / "b.png").write_bytes(b"")
    out = tmp_path / "said.csv"
    words = [
        "predict",
        blend_of(workspace).name,
        str(tmp_path / "photos"),
        "--root",
        str(workspace.root),
    ]
    done = CliRunner().invoke(app, [*words, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "1 of 2 photos could not be read" in done.output
    assert f"written {out}" in done.output
    written = pd.read_csv(out, dtype={"answer": str})
    assert list(written.columns) == [*SAYS, *CLASSES]
    assert written.loc[0, list(CLASSES)].sum() == pytest.approx(1)
    rows = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert rows[0]["answer"] == written["answer"][0]
    assert rows[1]["answer"] is None
    assert "is empty" in rows[1]["error"]


def test_what_is_no_model_or_no_photo_is_said(submitted: Submitted, tmp_path: Path) -> None:
    workspace = copy(submitted[0], tmp_path / "w")
    run, blend = only_run(workspace), blend_of(workspace)
    shown = photo(tmp_path / "a.jpg")
    with pytest.raises(SpecError, match=f"no run or blend .*did you mean '{run.name}'"):
        predict(workspace, run.name[:-1] + "x", [shown])
    with pytest.raises(SpecError, match=f"got the competition 'tiny'; it has: {blend.name}, "):
        predict(workspace, "tiny", [shown])
    with pytest.raises(DataError, match=r"e\.g\. photos/, but .*gone is not there"):
        photos_of([tmp_path / "gone"])
    with pytest.raises(DataError, match="is no folder, CSV or image"):
        photos_of([blend / "blend.json"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no images .* name a folder that holds some"):
        photos_of([tmp_path / "empty"])
    record = json.loads((blend / "blend.json").read_text())
    write_json(run / "run.json", json.loads((run / "run.json").read_text()) | {"identity": "other"})
    with pytest.raises(RunError, match="is another run than the one that was blended"):
        predict(workspace, blend.name, [shown])
    record["members"][0]["oof"] = "oof.csv"
    write_json(blend / "blend.json", record)
    with pytest.raises(RunError, match="came from elsewhere"):
        predict(workspace, blend.name, [shown])
    for marker in run.glob("fold*/done.json"):
        marker.unlink()
    with pytest.raises(RunError, match="no fold is trained yet"):
        predict(workspace, run.name, [shown])
    (run / "run.json").unlink()
    del record["members"][0]["oof"]
    write_json(blend / "blend.json", record)
    with pytest.raises(RunError, match="which is gone; predict with one of its runs"):
        predicting.find_trained(workspace, blend.name)
