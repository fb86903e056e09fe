"""What groups and other columns tell about labels, and how damaged tables are recognised."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold

from foldwise.data.grouped import balanced_groups
from foldwise.doctor import leaks
from foldwise.doctor.leaks import (
    group_only_losses,
    has_crlf,
    split_like_platform,
    spreadsheet_damage,
    telling_columns,
)

N = 600


@pytest.fixture
def rows() -> pd.DataFrame:
    """600 rows in 30 sites, each with its own favourite of 4 classes; unsorted, one lonely site."""
    rng = np.random.default_rng(3)
    site = rng.integers(0, 30, N)
    site[17] = 30  # a site with a single row
    label = np.where(rng.random(N) < 0.8, site * 7 % 4, rng.integers(0, 4, N))
    return pd.DataFrame(
        {
            "id": rng.permutation([f"i{n}" for n in range(N)]),
            "site": [f"café {n}" for n in site],
            "label": label,
            "camera": ["" if name == 2 else f"c{name}" for name in label],  # as good as the label
            "constant": "same",
            "coin": rng.choice(["0", "1"], N),
            "dice": rng.integers(0, 200, N).astype(str),
            "width": rng.permutation(N // 2).repeat(2).astype(str),  # half as many values as rows
        }
    )


def random_folds(n: int, seed: int = 0) -> np.ndarray:
    """The fold of each row, (n,): 5 folds of equal size."""
    return np.random.default_rng(seed).permutation(n) % 5


def site_folds(sites: pd.Series) -> np.ndarray:
    """The fold of each row, (n,): whole sites."""
    return pd.factorize(sites)[0] % 5


def test_knowing_the_group_helps_in_random_folds_only(rows: pd.DataFrame) -> None:
    losses = group_only_losses(
        rows["label"].to_numpy(), rows["site"], random_folds(N), site_folds(rows["site"])
    )
    assert losses.prior == pytest.approx(np.log(4), abs=0.02)
    assert losses.random < 0.7 * losses.prior
    assert losses.grouped > 0.97 * losses.prior


def test_several_labels_per_row_give_the_mean_of_binary_losses(rows: pd.DataFrame) -> None:
    hot = np.eye(4, dtype=np.uint8)[rows["label"]]
    folds = (random_folds(N), site_folds(rows["site"]))
    each = [group_only_losses(hot[:, j], rows["site"], *folds) for j in range(4)]
    both = group_only_losses(hot, rows["site"], *folds)
    assert both.random == pytest.approx(np.mean([one.random for one in each]))
    assert both.prior == pytest.approx(np.mean([one.prior for one in each]))
    assert both.random < 0.7 * both.prior


def test_the_smoothing_is_the_one_of_the_docstring() -> None:
    folds = np.array([0, 1, 1, 1, -1])
    losses = group_only_losses(np.array([0, 0, 1, 0, 1]), [*"aaabb"], folds, folds)
    outer = (2 + 1) / (3 + 2)  # rows of fold 1 for the row of fold 0: the last row has no fold
    inner = (1 + 1) / (1 + 2)  # the row of fold 0 for the rows of fold 1
    first = (1 + outer) / (2 + 1)
    seen = ((1 + inner) / (1 + 1), (1 - inner) / (1 + 1))
    expected = -np.log([first, *seen, inner])  # nobody knows group b: the prior
    assert losses.grouped == losses.random == pytest.approx(expected.mean())
    assert losses.prior == pytest.approx(-np.log([outer, inner, 1 - inner, inner]).mean())


def test_a_class_or_tag_that_training_lacks_keeps_a_probability() -> None:
    folds = np.array([0, 0, 1, 1])
    codes = np.array([5, 5, 2, 2])  # each fold trains without the other's class
    hot = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], dtype=np.uint8)
    for classes in (codes, hot):
        losses = group_only_losses(classes, [*"abcd"], folds, folds)
        assert 0 < losses.grouped < 5


def test_a_column_that_gives_the_label_away_is_told(rows: pd.DataFrame) -> None:
    told = telling_columns(rows, ["id", "label"], rows["label"].to_numpy(), random_folds(N))
    assert [one.column for one in told] == ["camera", "site"]  # the most telling first
    assert told[0].loss < 0.1 < 1.3 < told[0].prior
    several = np.eye(4, dtype=np.uint8)[rows["label"]]
    told = telling_columns(rows, ["id", "label", "site"], several, random_folds(N))
    assert [one.column for one in told] == ["camera"]


def test_constants_noise_and_single_classes_are_not_told(rows: pd.DataFrame) -> None:
    skip = ["id", "label", "camera", "site"]
    for seed in range(20):
        labels = np.random.default_rng(seed).integers(0, 3, N)
        for n in (12, 40, N):
            folds = random_folds(n, seed)
            assert telling_columns(rows[:n], skip, labels[:n], folds) == []
    assert telling_columns(rows, ["id"], np.zeros(N, dtype=int), random_folds(N)) == []
    assert telling_columns(rows, ["id"], rows["label"].to_numpy(), np.full(N, -1)) == []


def test_names_and_measurements_of_their_own_are_not_looked_at(rows: pd.DataFrame) -> None:
    table = pd.DataFrame({"width": rows["width"]})
    by_width = rows["width"].astype(int).to_numpy() % 2  # the column would tell
    assert telling_columns(table, [], by_width, random_folds(N)) == []
    twice = pd.DataFrame({"width": (rows["width"].astype(int) // 2 * 2 + by_width).astype(str)})
    twice["again"] = rows["width"].astype(int) % 2 + 0.5
    assert [one.column for one in telling_columns(twice, [], by_width, random_folds(N))] == [
        "again"
    ]


def test_columns_of_one_name_and_missing_cells_do_no_harm(rows: pd.DataFrame) -> None:
    table = rows[["camera", "coin"]].set_axis(["x", "x"], axis=1).replace("", None)
    told = telling_columns(table, [], rows["label"].to_numpy(), random_folds(N))
    assert [one.column for one in told] == ["x"]


def test_random_folds_over_other_groups_flatter() -> None:
    (warning,) = split_like_platform(False, "default", "site", [*"aab"], [*"cc"])
    assert warning == (
        "folds 'default' are random, but train and test share no site (2 and 1): the local score "
        'will flatter. Write kind = "stratified_group" into [folds.default]'
    )
    assert split_like_platform(True, "default", "site", [*"aab"], [*"cc"]) == []


@pytest.mark.parametrize("kind", ["group", "stratified_group"])
def test_grouped_folds_over_the_same_groups_are_pessimistic(kind: str) -> None:
    train, test = [*"aabbc"], pd.Series([*"cab"])
    (warning,) = split_like_platform(kind != "stratified", "sites", "site", train, test)
    assert warning == (
        "folds 'sites' keep every site whole, but train has 3 of the test set's 3 too: the "
        "platform split at random in site, and the local score will be pessimistic. Write "
        'kind = "stratified" into [folds.sites]'
    )
    assert split_like_platform(False, "sites", "site", train, test) == []


def test_a_test_set_with_known_and_new_groups_lies_between() -> None:
    train, test = np.array([*"aabbc"]), [*"aaab", "", "new", "newer", "newest", "last", "very"]
    for kind, word in (("stratified", "random"), ("stratified_group", "grouped")):
        (warning,) = split_like_platform(kind != "stratified", "x", "site", train, test)
        assert warning == (
            f"folds 'x' are {word}, but 4 of 9 test rows (44%) have a site that train has too "
            "(2 of 7, e.g. 'a', 'b'), the others a new one: the leaderboard will lie between the "
            "scores of random and of grouped folds. Keep a scheme of either kind and compare them"
        )


def test_a_group_per_row_does_nothing() -> None:
    start = (
        "rows should share their site, but 3 training rows have 3 different ones, e.g. 'a', 'b', "
        "'c': grouping by it does nothing. Name another column, or remove `group` from [labels]"
    )
    (warning,) = split_like_platform(True, "x", "site", [*"abc"], [*"ab"])
    assert warning == start + ', with kind = "stratified" in [folds.x]'
    assert split_like_platform(False, "x", "site", [*"abc"], [*"de"]) == [start]


def test_without_groups_on_one_side_nothing_is_said() -> None:
    for kind in ("stratified", "group"):
        assert split_like_platform(kind != "stratified", "x", "site", ["a", "a"], []) == []
        assert (
            split_like_platform(kind != "stratified", "x", "site", ["a", "a"], ["", np.nan, None])
            == []
        )
        assert split_like_platform(kind != "stratified", "x", "site", [], ["a"]) == []


def damage(features: pd.DataFrame, labels: pd.DataFrame, folder: Path) -> tuple[Path, Path]:
    """A spreadsheet's copy: labels one row off their ids, `site` dragged down, CRLF line ends."""
    head, first = features["site"].iloc[0][:1], int(features["site"].iloc[0][1:])
    dragged = features.assign(site=[f"{head}{first + n:04d}" for n in range(len(features))])
    shifted = labels.copy()
    shifted.iloc[:, 1:] = np.roll(labels.iloc[:, 1:].to_numpy(), 1, axis=0)
    folder.mkdir(exist_ok=True)
    paths = (folder / "features.csv", folder / "labels.csv")
    for path, table in zip(paths, (dragged, shifted), strict=True):
        table.to_csv(path, index=False, lineterminator="\r\n")
    return paths


def sites(path: Path) -> pd.Series:
    """The `site` column of a CSV, in its order."""
    return pd.read_csv(path, dtype=str)["site"]


@pytest.fixture
def tables(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Features `id, site` and labels `id, bird, hog` of 600 rows."""
    features = rows[["id"]].assign(site="S" + rows["site"].str[5:].str.zfill(4))
    hot = pd.DataFrame({"bird": rows["label"] % 2, "hog": 1 - rows["label"] % 2})
    return features, rows[["id"]].join(hot.astype(float))


def test_a_copy_damaged_in_a_spreadsheet_is_recognised(
    tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    features, labels = damage(*tables, tmp_path)
    groups = sites(features)
    assert has_crlf(features)
    assert has_crlf(labels)
    message = spreadsheet_damage(groups, True, 120)
    assert message is not None
    assert message.startswith(
        f"rows should share groups, but 600 rows hold 600 that count up by one ('{groups[0]}', "
    )
    assert message.endswith(
        "…), and the file has CRLF line ends and train and test share 120 of these groups: this "
        "copy looks damaged in a spreadsheet, its group column drag-filled; its labels are "
        "probably shifted against their ids as well. Do not use it, download the original again; "
        "if there truly is one group per row, remove `group` from [labels]"
    )
    crlf, shared = spreadsheet_damage(groups, True, 0), spreadsheet_damage(groups, False, 120)
    assert crlf is not None
    assert "train and test" not in crlf
    assert shared is not None
    assert "CRLF" not in shared


def test_an_undamaged_copy_is_left_alone(
    tables: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    features, _ = tables
    features.to_csv(tmp_path / "f.csv", index=False)
    assert not has_crlf(tmp_path / "f.csv")
    for crlf, shared in ((False, 0), (True, 0), (True, 9)):
        assert spreadsheet_damage(sites(tmp_path / "f.csv"), crlf, shared) is None
        assert spreadsheet_damage(sorted(features["site"]), crlf, shared) is None


def test_a_patient_per_row_is_no_damage() -> None:
    patients = [f"P{n}" for n in range(1, 301)]
    assert spreadsheet_damage(patients, False, 0) is None  # neither CRLF nor shared
    mixed = list(np.random.default_rng(0).permutation(patients))
    assert spreadsheet_damage(mixed, True, 300) is None  # not in a spreadsheet's order
    assert spreadsheet_damage([f"P{n * 2}" for n in range(300)], True, 0) is None
    assert spreadsheet_damage([f"{n}a" for n in range(300)], True, 0) is None
    assert spreadsheet_damage(patients * 2, True, 300) is None  # two rows each
    assert spreadsheet_damage(patients[:5], True, 5) is None  # too few to tell
    assert spreadsheet_damage([], True, 5) is None


@pytest.mark.parametrize(
    "groups",
    [
        [f"S{n:04d}" for n in range(9990, 10200)],  # the width is not kept
        [f"S{n}" for n in range(1, 300)],
        [str(n) for n in range(300)],
        [f"site 2-{n:03d}" for n in range(300)],
        ["café", *(f"S{n:04d}" for n in range(200)), "x", *(f"S{n:04d}" for n in range(300, 400))],
    ],
    ids=lambda groups: groups[1],
)
def test_every_way_of_counting_up_is_seen(groups: list[str]) -> None:
    assert spreadsheet_damage(groups, True, 0) is not None


def test_line_ends_are_read_from_the_files_beginning(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for content, expected in (
        (b"", False),
        (b"id,site", False),
        (b"id,site\n1,a\n", False),
        (b"id,site\r\n1,a\r\n", True),
        (b'id,note\n1,"two\r\nlines"\n2,b\n3,c\n', False),
        (b"id,site\n" * 10_000 + b"1,a\r\n" * 100_000, False),
    ):
        path.write_bytes(content)
        assert has_crlf(path) is expected


def test_importing_it_loads_nothing_heavy() -> None:
    program = (
        "import sys, foldwise.doctor.leaks; print(*{'torch', 'timm', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == ("", 0)


@pytest.fixture(scope="module")
def wildlife(realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four CSVs of the real wildlife competition."""
    folder = tmp_path_factory.mktemp("wildlife")
    with zipfile.ZipFile(realdata / "wildlife-csv.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.realdata
@pytest.mark.parametrize("seed", [0, 1])
def test_real_sites_leak_three_quarters_of_a_nat_in_random_folds(wildlife: Path, seed: int) -> None:
    features = pd.read_csv(wildlife / "train_features.csv", dtype=str)
    labels = pd.read_csv(wildlife / "train_labels.csv")
    table = features.merge(labels, on="id", validate="one_to_one")
    hot = table[labels.columns[1:]].to_numpy()
    classes = hot.argmax(axis=1)
    folds = np.full(len(table), -1)
    splitter = StratifiedKFold(5, shuffle=True, random_state=seed)
    for fold, (_, valid) in enumerate(splitter.split(classes, classes)):
        folds[valid] = fold
    grouped = balanced_groups(hot, table["site"].to_numpy(), 5, seed)
    losses = group_only_losses(classes, table["site"], folds, grouped)
    assert losses.prior == pytest.approx(2.05, abs=0.01)
    assert 1.28 <= losses.random <= 1.33
    assert 2.05 <= losses.grouped <= 2.08
    told = telling_columns(features, ["id"], classes, folds)
    assert [one.column for one in told] == ["site"]
    assert (told[0].prior, told[0].loss) == pytest.approx((losses.prior, losses.random))
    test = sites(wildlife / "test_features.csv")
    (warning,) = split_like_platform(False, "x", "site", table["site"], test)
    assert "share no site (148 and 51)" in warning
    assert split_like_platform(True, "x", "site", table["site"], test) == []


@pytest.mark.realdata
def test_a_damaged_copy_of_the_real_tables_is_recognised(wildlife: Path, tmp_path: Path) -> None:
    labels = pd.read_csv(wildlife / "train_labels.csv")
    test_labels = pd.read_csv(wildlife / "submission_format.csv")
    train, test = (
        pd.read_csv(wildlife / f"{part}_features.csv", dtype=str) for part in ("train", "test")
    )
    train_path, labels_path = damage(train, labels, tmp_path / "train")
    test_path, _ = damage(test, test_labels, tmp_path / "test")
    damaged = pd.read_csv(labels_path)
    assert damaged.iloc[:, 1:].sum().equals(labels.iloc[:, 1:].sum())  # counts reveal nothing
    shared = len(set(sites(train_path)) & set(sites(test_path)))
    assert shared > 1000
    message = spreadsheet_damage(sites(train_path), has_crlf(train_path), shared)
    assert message is not None
    assert "16488 rows hold 16488 that count up by one ('S0120', 'S0121', 'S0122', …)" in message
    original = wildlife / "train_features.csv"
    assert spreadsheet_damage(sites(original), has_crlf(original), 0) is None


def test_the_stated_shares_are_the_constants() -> None:
    assert leaks.telling_columns.__doc__ is not None
    assert f"{leaks.NOTABLE:.0%}".replace("%", " %") in leaks.telling_columns.__doc__
    assert f"{leaks.SURE_AT:g} standard errors" in leaks.telling_columns.__doc__
