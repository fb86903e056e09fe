"""foldwise new --host: a practice board from any labelled images, honest about its test set."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from catalogue import FIXTURES
from catalogue.files import image, table
from foldwise import doctor
from foldwise.cli import app, printing
from foldwise.data.competition import load_data
from foldwise.drafting.hosting import Hosted, baselines, host
from foldwise.errors import DataError, ImageError, SpecError
from foldwise.shapes.submission import read_submission
from foldwise.store.files import read_json
from foldwise.tables.archives import unpack
from foldwise.workspace import Workspace
from tiny import edit

XYZ = ("x", "y", "z")


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace without competitions; downloads lie in its folder `download`."""
    (tmp_path / "competitions").mkdir()
    return Workspace(tmp_path, tmp_path / "data", tmp_path / "runs")


def hosted(place: Workspace, name: str = "new") -> tuple[Hosted, dict[str, float]]:
    """The board made of the download, which passes its check; its private scores by team."""
    made = host(place, name, place.root / "download")
    findings = doctor.check(place, name)
    assert findings.errors == []
    return made, {entry.team: entry.private for entry in made.board}


def class_folders(root: Path, n: int = 20) -> None:
    """Images in a folder per class; the stripe says the class."""
    for number in range(3 * n):
        image(root / XYZ[number % 3] / f"{number}.jpg", number % 3, number)


def test_class_folders_become_a_board_with_a_stratified_test_set(place: Workspace) -> None:
    class_folders(place.root / "download" / "photos")
    made, scores = hosted(place)
    assert made.draft is not None
    assert (made.train_rows, made.test_rows, made.group) == (48, 12, None)
    truth = pd.read_csv(made.truth, dtype=str)
    assert truth["label"].value_counts().to_dict() == {"x": 4, "y": 4, "z": 4}
    assert made.truth.is_relative_to(place.data / "new" / "platform")
    assert scores["uniform"] == scores["class prior"] == pytest.approx(np.log(3), abs=1e-6)
    assert scores["logistic regression"] < 0.7


def test_the_test_rows_labels_reach_nothing_but_the_truth(place: Workspace) -> None:
    class_folders(place.root / "download")
    made, _ = hosted(place)
    data = load_data(place, "new")
    truth = pd.read_csv(made.truth, dtype=str)
    assert set(truth["id"]) == set(data.test.frame["id"]) == set(data.format.ids)
    assert set(truth["id"]).isdisjoint(data.train.frame["id"])
    assert data.test.frame.columns.tolist() == ["id", "path", "group"]
    entries = made.truth.parent / "entries"
    before = {path.name: path.read_bytes() for path in entries.iterdir()}
    truth.assign(label="x").to_csv(made.truth, index=False)
    host(place, "new", place.root / "download")
    assert {path.name: path.read_bytes() for path in entries.iterdir()} == before


def test_every_entry_and_the_format_file_is_a_valid_submission(place: Workspace) -> None:
    class_folders(place.root / "download")
    made, _ = hosted(place)
    data = load_data(place, "new")
    assert made.format == place.data / "new" / "submission_format.csv"
    files = [made.format, *(made.truth.parent / "entries").iterdir()]
    assert len(files) == 4
    for file in files:
        assert read_submission(file, data.format)["id"].tolist() == list(data.format.ids)


def test_one_hot_files_with_sites_are_split_by_site(place: Workspace) -> None:
    FIXTURES["wildlife"](place.root / "download")
    made, scores = hosted(place)
    assert made.group == "site"
    data = load_data(place, "new")
    assert data.spec.platform.name == "local"
    assert data.spec.labels.classes == data.classes
    assert data.spec.metric.name == "log_loss"
    assert (len(data.classes), made.train_rows + made.test_rows) == (8, 41)
    held = set(data.test.frame["group"])
    assert held
    assert not held & set(data.train.frame["group"])
    assert data.train.frame["label"].nunique() == 8
    assert scores["uniform"] == pytest.approx(np.log(8), abs=1e-5)
    assert str(printing.hosted_lines(made)[0]).endswith("test rows; no 'site' stands in both")
    unsure = " ".join(made.draft.unsure if made.draft else ())
    assert "not used: submission_format.csv, test_features.csv" in unsure


def test_ids_that_train_and_test_share_need_no_prefix_any_more(place: Workspace) -> None:
    raw = place.root / "download"
    for number in range(30):
        image(raw / "train" / f"{number}.jpg", number % 3, number)
        image(raw / "test" / f"{number}.jpg", number % 3, number + 100)
    rows = [(number, XYZ[number % 3]) for number in range(30)]
    table(raw / "train.csv", ["id", "label"], rows)
    table(raw / "sample_submission.csv", ["id", "label"], [(number, "x") for number in range(30)])
    made, scores = hosted(place)
    data = load_data(place, "new")
    assert (data.spec.labels.id_prefix, data.spec.images.test_path) == ("", None)
    assert (data.spec.submission.shape, data.spec.metric.name) == ("label", "accuracy")
    assert made.train_rows + made.test_rows == 30
    assert 0 <= scores["uniform"] <= 1
    assert set(pd.read_csv(made.format)["label"]) == {data.classes[0]}


def test_images_with_many_labels_have_baselines_too(place: Workspace) -> None:
    FIXTURES["masks"](place.root / "download")
    made, scores = hosted(place)
    assert set(scores) == {"uniform", "class prior", "logistic regression"}
    data = load_data(place, "new")
    assert data.spec.multi
    probs = baselines(data)["logistic regression"]
    assert probs.shape == (made.test_rows, len(data.classes))


def test_measured_numbers_become_a_board_of_their_own(place: Workspace) -> None:
    raw = place.root / "download"
    for number in range(40):
        image(raw / "train" / f"a{number}.jpg", number % 3, number)
    table(raw / "train.csv", ["id", "length"], [(f"a{n}", n * n) for n in range(40)])
    made, scores = hosted(place)
    data = load_data(place, "new")
    assert (data.spec.labels.format, data.spec.metric.name) == ("number", "rmse")
    assert (made.train_rows, made.test_rows) == (32, 8)
    assert set(scores) == {"mean", "median"}
    assert 100 < scores["mean"] < 1000
    root = ["--root", str(place.root)]
    for verb in ("data", "check"):
        done = CliRunner().invoke(app, [verb, "new", *root])
        assert done.exit_code == 0, done.output


def test_a_download_with_a_solution_keeps_its_own_test_set(place: Workspace) -> None:
    FIXTURES["plant-pathology-2021-small"](place.root / "download")
    made, scores = hosted(place)
    assert (made.train_rows, made.test_rows) == (36, 12)
    assert made.format == place.raw("new") / "sample_submission.csv"
    assert not (place.data / "new" / "submission_format.csv").exists()
    assert len(scores) == 3


def test_large_sets_have_no_regression(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(place.root / "download", 5)
    monkeypatch.setattr("foldwise.drafting.hosting.QUICK_CELLS", 35)
    _, scores = hosted(place)
    assert set(scores) == {"uniform", "class prior"}


def test_a_download_that_lies_in_raw_already_is_not_copied(place: Workspace) -> None:
    class_folders(place.raw("new"), 5)
    made = host(place, "new", place.raw("new"))
    assert made.train_rows + made.test_rows == 15


def test_the_same_command_goes_on_after_a_correction(
    place: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    raw = place.root / "download"
    for number in range(30):
        image(raw / "train" / f"a{number}.jpg", number % 3, number)
    rows = [(f"a{number}", XYZ[number % 3]) for number in range(31)]
    table(raw / "train.csv", ["id", "label"], rows)
    with caplog.at_level(logging.INFO, "foldwise"), pytest.raises(ImageError, match="1 of 31 ids"):
        host(place, "new", raw)
    said = "new: drafted; where something is wrong, correct competition.toml and run the same"
    assert any(message.startswith(said) for message in caplog.messages)
    toml = place.competition("new") / "competition.toml"
    edit(toml, "[images]\n", '[images]\nskip = ["a30"]\n')
    before = toml.read_bytes()
    made, _ = hosted(place)
    assert made.draft is None
    assert made.train_rows + made.test_rows == 30
    assert toml.read_bytes() == before
    again, _ = hosted(place)
    assert again == made
    board = read_json(made.truth.parent / "board.json")
    assert len(board["entries"]) == 3


def test_a_competition_with_a_board_elsewhere_is_refused(workspace: Workspace) -> None:
    toml = workspace.competition("tiny") / "competition.toml"
    before = sorted(path for path in workspace.root.rglob("*"))
    with pytest.raises(SpecError) as caught:
        host(workspace, "tiny", workspace.raw("tiny"))
    assert str(caught.value) == (
        'expected a new name, or a competition with platform = "local" and [holdout] (or [files] '
        f"solution), got 'tiny', whose {toml} has neither; choose another name"
    )
    assert sorted(path for path in workspace.root.rglob("*")) == before


def test_nothing_is_made_of_a_folder_without_images(place: Workspace) -> None:
    (place.root / "download").mkdir()
    with pytest.raises(DataError, match="expected tables"):
        host(place, "new", place.root / "download")
    assert not place.data.exists()


def test_the_command_says_what_was_made(place: Workspace) -> None:
    class_folders(place.root / "download", 10)
    words = ["new", "own", "--from", str(place.root / "download"), "--host"]
    done = CliRunner().invoke(app, [*words, "--root", str(place.root)])
    assert done.exit_code == 0, done.output
    for shown in (
        "30 training rows, 3 classes (folder)",
        "then foldwise submit own",
        "own: 24 training rows and 6 test rows",
        "truth.csv",
        "submission_format.csv",
        "class prior",
        "1.0986",
    ):
        assert shown in done.output
    again = CliRunner().invoke(app, [*words, "--root", str(place.root)])
    assert again.exit_code == 0
    assert "Next:" not in again.output
    listed = CliRunner().invoke(app, ["list", "--json", "--root", str(place.root)])
    assert json.loads(listed.stdout)[0]["state"] == "data"


@pytest.mark.slow
@pytest.mark.realdata
def test_leaf_becomes_a_practice_board(realdata: Path, place: Workspace) -> None:
    unpack(realdata / "leaf-classification.zip", place.root / "download")
    made, scores = hosted(place)
    assert (made.train_rows, made.test_rows) == (792, 198)
    assert scores["uniform"] == pytest.approx(np.log(99), abs=1e-5)
    assert scores["logistic regression"] < 4


def test_hosting_takes_a_function_for_progress(place: Workspace) -> None:
    class_folders(place.root / "download", 5)
    seen: list[tuple[int, int]] = []
    note: Callable[[int, int], None] = lambda done, of: seen.append((done, of))  # noqa: E731
    host(place, "new", place.root / "download", note)
    assert seen[-1] == (15, 15)


@pytest.mark.parametrize("name", ["../competitions/tiny", "my birds"])
def test_a_bad_name_is_refused_as_without_a_board(workspace: Workspace, name: str) -> None:
    with pytest.raises(SpecError, match="should be letters, digits, - and _ only, got"):
        host(workspace, name, workspace.raw("tiny"))
