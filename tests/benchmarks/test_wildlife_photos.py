"""The generator of camera-trap photos: layout, determinism, and the leak that it is made for."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import wildlife_photos
from wildlife_photos import CLASSES, Tables, make_tables, read_tables, write_photos

SIZE = (64, 36)


@pytest.fixture
def made(tmp_path):
    """Tables of 40 and 16 rows, and the folder that holds their photos."""
    tables = make_tables(seed=1, train_rows=40, test_rows=16)
    assert write_photos(tables, tmp_path, seed=1, size=SIZE) == 56
    return tables, tmp_path


def photos(folder):
    return {path.name: path.read_bytes() for path in folder.glob("raw/*/*.jpg")}


def site_loss(tables: Tables, fold_of_row: np.ndarray) -> float:
    """Mean log loss of a predictor that knows the site only, over 5 folds."""
    labels = tables.train["label"].map(CLASSES.index).to_numpy()
    sites = tables.train["site"].astype("category").cat.codes.to_numpy()
    losses = []
    for fold in range(5):
        train = fold_of_row != fold
        counts = np.zeros((sites.max() + 1, len(CLASSES)))
        np.add.at(counts, (sites[train], labels[train]), 1)
        probs = counts + 2 * counts.sum(axis=0) / counts.sum()  # (n_sites, n_classes)
        probs /= probs.sum(axis=1, keepdims=True)
        losses.append(-np.log(probs[sites[~train], labels[~train]]))
    return float(np.concatenate(losses).mean())


def test_the_layout_is_the_competitions(made):
    tables, folder = made
    raw = folder / "raw"
    train, labels = pd.read_csv(raw / "train_features.csv"), pd.read_csv(raw / "train_labels.csv")
    test, sample = (
        pd.read_csv(raw / "test_features.csv"),
        pd.read_csv(raw / "submission_format.csv"),
    )
    assert list(train) == list(test) == ["id", "filepath", "site"]
    assert list(labels) == list(sample) == ["id", *CLASSES]
    assert train["filepath"].iloc[0] == "train_features/ZJ000000.jpg"
    assert test["filepath"].iloc[0] == "test_features/ZJ016488.jpg"
    assert (raw / "train_labels.csv").read_text().count("1.0") == 40
    assert labels[CLASSES].idxmax(axis=1).tolist() == tables.train["label"].tolist()
    assert sample["id"].tolist() == test["id"].tolist()
    np.testing.assert_allclose(sample[CLASSES].sum(axis=1), 1, rtol=0, atol=1e-7)
    paths = [*train["filepath"], *test["filepath"]]
    assert len(paths) == len(set(paths)) > 40
    for path in paths:
        with Image.open(raw / path) as photo:
            assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", SIZE)


def test_the_truth_lies_outside_raw_and_has_each_test_id_once(made):
    tables, folder = made
    truth = pd.read_csv(folder / "truth.csv")
    assert list(truth) == ["id", *CLASSES, "part"]
    assert truth["id"].tolist() == tables.test["id"].tolist()
    assert truth["id"].is_unique
    assert (truth[CLASSES].sum(axis=1) == 1).all()
    assert set(truth[CLASSES].dtypes.astype(str)) == {"int64"}
    assert truth["part"].value_counts().to_dict() == {"public": 8, "private": 8}


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(made, tmp_path_factory):
    _, folder = made
    again, other = tmp_path_factory.mktemp("again"), tmp_path_factory.mktemp("other")
    write_photos(make_tables(1, 40, 16), again, seed=1, size=SIZE)
    write_photos(make_tables(2, 40, 16), other, seed=2, size=SIZE)
    assert photos(again) == photos(folder)
    assert not set(photos(other).values()) & set(photos(folder).values())
    for name in ("raw/train_labels.csv", "raw/submission_format.csv", "truth.csv"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_a_photo_does_not_depend_on_the_other_rows(made, tmp_path_factory):
    tables, folder = made
    few = Tables(tables.train.iloc[[7, 3, 20]], tables.test.iloc[[5]], tables.sample.iloc[[5]])
    target = tmp_path_factory.mktemp("few")
    write_photos(few, target, seed=1, size=SIZE)
    assert len(photos(target)) == 4
    assert photos(target).items() <= photos(folder).items()


def test_many_processes_draw_what_one_draws(made, tmp_path_factory, monkeypatch):
    _, folder = made
    monkeypatch.setattr(wildlife_photos, "FEW_JOBS", 0)
    target = tmp_path_factory.mktemp("parallel")
    assert write_photos(make_tables(1, 40, 16), target, seed=1, size=SIZE) == 56
    assert photos(target) == photos(folder)


def test_the_background_belongs_to_the_site_and_the_animal_does_not(tmp_path):
    rows = [("ZJ000000", "S0001"), ("ZJ000001", "S0001"), ("ZJ000002", "S0002")]
    views = [np.asarray(wildlife_photos._background(1, site, SIZE)) for _, site in rows]
    assert (views[0] == views[1]).all()
    assert (views[0] != views[2]).mean() > 0.5
    animals = []
    for view in ((0, 0, 0), (255, 255, 255)):
        view = Image.new("RGB", (164, 94), view)
        rng = wildlife_photos._rng(1, "ZJ000000", "leopard")
        animals.append(np.asarray(wildlife_photos._draw_photo(rng, "leopard", view, (640, 360))))
    assert 0.01 < (np.abs(np.subtract(*animals, dtype=int)).max(axis=2) < 64).mean() < 0.9


def test_finished_photos_are_skipped_and_changed_rows_drawn_again(made):
    tables, folder = made
    assert write_photos(tables, folder, seed=1, size=SIZE) == 0
    before = photos(folder)
    train = tables.train.iloc[:-1].copy()
    old = train["label"].iloc[0]
    train.loc[0, "label"] = "hog" if old != "hog" else "bird"
    assert write_photos(tables._replace(train=train), folder, seed=1, size=SIZE) == 1
    after = photos(folder)
    assert set(before) - set(after) == {"ZJ000039.jpg"}
    assert [name for name in after if after[name] != before[name]] == ["ZJ000000.jpg"]


def test_photos_that_were_not_made_here_are_never_overwritten(tmp_path):
    photo = tmp_path / "raw" / "train_features" / "ZJ000000.jpg"
    photo.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(photo)
    with pytest.raises(FileExistsError, match=r"ZJ000000\.jpg was not made here"):
        write_photos(make_tables(1, 20, 8), tmp_path, seed=1, size=SIZE)


def test_the_sets_share_no_site():
    for rows in ((16488, 4464), (100, 30)):
        tables = make_tables(0, *rows)
        sites = [set(df["site"]) for df in (tables.train, tables.test)]
        assert not sites[0] & sites[1]
        assert [len(x) for x in sites] == ([148, 51] if rows[0] > 100 else [8, 2])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_site_predictor_flatters_itself_in_random_folds_only(seed):
    tables = make_tables(seed)
    rng = np.random.default_rng(seed)
    sites = tables.train["site"].astype("category").cat.codes.to_numpy()
    random_loss = site_loss(tables, rng.integers(5, size=len(sites)))
    grouped_loss = site_loss(tables, rng.integers(5, size=sites.max() + 1)[sites])
    assert 1.1 < random_loss < 1.5
    assert 1.9 < grouped_loss < 2.25
    assert tables.train["site"].value_counts().iloc[0] > 8 * len(sites) / sites.max()


def test_read_tables_takes_some_of_the_rows_and_invents_the_test_classes(tmp_path):
    write_photos(make_tables(3, 60, 24), tmp_path, seed=3, size=SIZE)
    whole, part = read_tables(tmp_path / "raw", 5), read_tables(tmp_path / "raw", 5, 30, 10)
    assert (len(whole.train), len(whole.test), len(part.train), len(part.test)) == (60, 24, 30, 10)
    assert whole.train["label"].tolist() == make_tables(3, 60, 24).train["label"].tolist()
    for few, all_ in zip(part, whole, strict=True):
        assert few["id"].is_monotonic_increasing
        pd.testing.assert_frame_equal(few, few[["id"]].merge(all_, on="id"))
    assert part.sample["id"].tolist() == part.test["id"].tolist()


def test_read_tables_names_an_id_without_its_label(tmp_path):
    write_photos(make_tables(3, 20, 8), tmp_path, seed=3, size=SIZE)
    labels = tmp_path / "raw" / "train_labels.csv"
    labels.write_text("\n".join(labels.read_text().splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"train: 1 ids are in one CSV of two, e\.g\. 'ZJ000019'"):
        read_tables(tmp_path / "raw", 0)


def test_the_command_line_makes_everything_and_refuses_to_overwrite_its_csvs(tmp_path, capsys):
    rows = ["--train-rows", "12", "--test-rows", "6", "--size", "64x36"]
    wildlife_photos.main([str(tmp_path), *rows])
    assert "18 photos, 18 of them drawn now" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        wildlife_photos.main([str(tmp_path), *rows, "--csvs", str(tmp_path / "raw")])
    assert "would be overwritten" in capsys.readouterr().err
