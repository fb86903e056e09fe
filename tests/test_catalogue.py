"""Every competition in the repository, on a tiny copy of its download, from check to a file."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from catalogue import FIXTURES
from foldwise import doctor
from foldwise.commands.catalogue import catalogue
from foldwise.commands.data import get_data
from foldwise.commands.planning import Selection, scheme_folds
from foldwise.commands.train import train
from foldwise.config.competition import load_competition
from foldwise.data.competition import CompetitionData, load_data
from foldwise.data.opened import OpenCompetition, open_competition
from foldwise.metrics.scoring import score
from foldwise.shapes.submission import read_submission, write_submission
from foldwise.store.predictions import read_predictions
from foldwise.tables.archives import add_to_raw
from foldwise.workspace import Workspace
from packing import contents, make_tar, make_zip, packed

ROOT = Path(__file__).resolve().parents[1]
NAMES = Workspace(ROOT, ROOT, ROOT).names()
ONE_STEP = (
    "model=test_resnet",
    "weights=none",
    "image_size=32",
    "presize=40",
    "batch_size=512",
    'tta=["none"]',
    "stage=[{epochs=1, lr=1e-3}]",
    "seeds=[0]",
)


def unpacked(name: str, target: Path) -> Workspace:
    """A workspace with one of the repository's competitions and a tiny copy of its data."""
    shutil.copytree(ROOT / "competitions" / name, target / "competitions" / name)
    workspace = Workspace(target, target / "data", target / "runs")
    assert name in FIXTURES, f"write a fixture for competitions/{name} in tests/catalogue/"
    workspace.raw(name).mkdir(parents=True)
    FIXTURES[name](workspace.raw(name))
    return workspace


@pytest.mark.parametrize("name", NAMES)
def test_every_competition_goes_from_check_to_a_validated_file(name: str, tmp_path: Path) -> None:
    workspace = unpacked(name, tmp_path)
    findings = doctor.check(workspace, name)
    assert findings.errors == []
    data = load_data(workspace, name)
    assert len(data.train) >= 15
    assert len(data.test) >= 4
    folds_are_honest(workspace, data)
    (run,) = train(
        open_competition(workspace, name),
        Selection(tuple(data.spec.submit.recipes[:1]), tuple(ONE_STEP), folds=(0,)),
    )
    for part, ids in (("oof", None), ("test", data.format.ids)):
        predictions = read_predictions(run.fold(0).path / f"{part}.parquet", data.classes)
        shape = data.format if ids else data.format.for_ids(list(predictions["id"]))
        path = tmp_path / f"{part}.csv"
        write_submission(path, predictions, shape)
        back = read_submission(path, shape)
        pd.testing.assert_frame_equal(
            back,
            shape.decide(predictions).set_index("id").loc[list(shape.ids)].reset_index(),
            atol=1e-6,
            check_dtype=False,
        )
        if part == "oof":
            score_is_a_number(data, back)
        else:
            header = path.read_text().partition("\n")[0]
            if data.spec.files.format:
                sample = (data.raw / data.spec.files.format).read_text("utf-8-sig")
                assert header == sample.partition("\n")[0].strip()


def folds_are_honest(workspace: Workspace, data: CompetitionData) -> None:
    """Every training row is in one fold; a grouped scheme keeps every group whole."""
    folds = scheme_folds(OpenCompetition(workspace, data))
    frame = data.train.frame.assign(fold=folds.of(data.train.frame["id"]))
    assert set(frame["fold"]) == set(range(folds.n))
    if data.spec.folds[folds.name].kind != "stratified":
        assert (frame.groupby("group")["fold"].nunique() == 1).all()
        assert frame["group"].nunique() < len(frame)


def score_is_a_number(data: CompetitionData, back: pd.DataFrame) -> None:
    """The competition's own metric takes what was read back from a file."""
    truth = data.train.frame[data.train.frame["id"].isin(back["id"])].reset_index(drop=True)
    value = score(data.spec.metric, truth, back, data.hooks.get("score"), interval=False).value
    assert value == value
    assert value >= -1 if data.spec.metric.higher else value > 0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"])  # has none
def test_every_download_ends_where_it_belongs_however_it_is_packed(
    name: str, tmp_path: Path
) -> None:
    workspace = unpacked(name, tmp_path)
    spec, raw = load_competition(workspace.competition(name)), workspace.raw(name)
    expected = contents(raw)
    whole = make_zip(tmp_path / "download.zip", expected)
    add_to_raw(whole, tmp_path / "whole" / "raw", spec)
    assert contents(tmp_path / "whole" / "raw") == expected
    flat, files = {}, {**expected}
    for folder in spec.images.folders:  # each a zip of bare images
        inner = {path: files.pop(path) for path in expected if path.startswith(f"{folder}/")}
        short = {path[len(folder) + 1 :]: content for path, content in inner.items()}
        flat[f"{folder}.zip"] = packed(".zip", short, tmp_path)
    add_to_raw(make_zip(tmp_path / "a.zip", files | flat), tmp_path / "flat" / "raw", spec)
    assert contents(tmp_path / "flat" / "raw") == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("cifar-10", {"train.7z": "train/", "test.7z": "test/"}),
        ("invasive-species", {"train.7z": "train/", "test.7z": "test/"}),
        (
            "planet",
            {
                f"{part}.tar.7z": f"{part}/"
                for part in ("train-jpg", "test-jpg", "test-jpg-additional")
            },
        ),
        ("statoil", {"train.json.7z": "train.json", "test.json.7z": "test.json"}),
    ],
)
def test_downloads_of_7z_archives_are_unpacked(
    name: str, parts: dict[str, str], tmp_path: Path
) -> None:
    workspace = unpacked(name, tmp_path)
    files = contents(workspace.raw(name))
    shutil.rmtree(workspace.raw(name))
    expected, around = dict(files), "data/processed/" if name == "statoil" else ""
    for archive, start in parts.items():
        inner = {around + path: files.pop(path) for path in expected if path.startswith(start)}
        if ".tar." in archive:
            tar = make_tar(tmp_path / "inner.tar", inner)
            inner = {archive.removesuffix(".7z"): tar.read_bytes()}
        files[archive] = packed(".7z", inner, tmp_path)
    facts = get_data(workspace, name, make_zip(tmp_path / "download.zip", files))
    assert (facts["images_missing"], facts["packed"]) == (0, [])
    found = contents(workspace.raw(name))
    assert {path: found[path] for path in expected} == expected


@pytest.mark.parametrize("name", NAMES)
def test_no_adapter_is_longer_than_forty_lines(name: str) -> None:
    adapter = ROOT / "competitions" / name / "adapter.py"
    limit = 90 if name == "digits" else 40  # digits makes its own data and board
    if adapter.is_file():
        assert len(adapter.read_text().splitlines()) <= limit


def test_labels_decided_by_rules_can_be_written_as_a_csv(tmp_path: Path) -> None:
    workspace = unpacked("swipr", tmp_path)
    get_data(workspace, "swipr", labels=tmp_path / "labels.csv")
    written = pd.read_csv(tmp_path / "labels.csv", dtype=str)
    assert list(written.columns) == ["path", "label"]
    data = load_data(workspace, "swipr")
    assert list(written["path"]) == list(data.train.frame["path"])
    assert set(written["label"]) == {"yes", "no"}


def test_competitions_kept_elsewhere_are_listed(tmp_path: Path) -> None:
    workspace = unpacked("masks", tmp_path / "elsewhere")
    (row,) = catalogue(Workspace.find(workspace.root))
    assert (row["competition"], row["task"], row["state"]) == ("masks", "multi-label", "data")
    assert row["rows"] == len(pd.read_csv(workspace.raw("masks") / "labels.csv"))
