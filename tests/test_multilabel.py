"""Many labels per image, from a cell of tags to a place on a board where higher is better."""

import contextlib
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.losses import BCEWithLogitsLossFlat
from fastai.torch_core import TensorMultiCategory
from PIL import Image
from typer.testing import CliRunner

from foldwise import Competition, doctor
from foldwise.cli import app
from foldwise.commands import status
from foldwise.commands.blend import blend
from foldwise.commands.catalogue import catalogue
from foldwise.commands.planning import scheme_folds
from foldwise.commands.submit import submit
from foldwise.commands.train import train
from foldwise.data.competition import load_data
from foldwise.data.opened import OpenCompetition, open_competition
from foldwise.ensembling.methods import Stack, blend_rows
from foldwise.errors import LabelError, PlatformError, SpecError, SubmissionError
from foldwise.jobs import fold_inputs
from foldwise.kinds.blending import BLENDINGS
from foldwise.metrics.scoring import score
from foldwise.shapes.submission import read_submission, write_submission
from foldwise.store import ledger
from foldwise.store.data_records import BoardEntry
from foldwise.store.predictions import predictions_frame, read_predictions
from foldwise.submitting.entry import Entry
from foldwise.submitting.platforms import Parcel, local
from foldwise.training.fitting.activations import Meaning
from foldwise.training.fitting.criterion import loss_of
from foldwise.training.models.building import read_preprocessing
from foldwise.workspace import Workspace
from planted import MANY
from tiny import RECIPE, copy, edit, tree

TAGS = ("zebra", "10", "ant", "bee")  # in class order: given, for it is neither sorted nor found so
RARE = "bee"  # in three training rows
N_TRAIN, N_TEST = 36, 12
SPEC = """
title = "Stripes"
platform = "local"

[files]
train = "train.csv"
format = "sample.csv"
solution = "solution.csv"

[labels]
format = "delimited"
id = "Image"
column = "Tags"
separator = ";"
none = "nothing"
classes = ["zebra", "10", "ant", "bee"]

[images]
path = "photos/{id}"
mode = "L"

[metric]
name = "f1"
average = "samples"

[submission]
shape = "tags"
separator = ";"
none = "nothing"

[folds.default]
kind = "stratified"
n = 3
seed = 1

[submit]
recipes = ["two"]
"""


def labels(n: int, seed: int) -> np.ndarray:
    """0 or 1, (n, 4): each tag in about half of the rows, the rare one in three, some in none."""
    hot = np.random.default_rng(seed).integers(0, 2, (n, len(TAGS)))
    hot[:, TAGS.index(RARE)] = np.arange(n) % (n // 3) == 0
    hot[[5, n - 1]] = 0
    return hot


def cells(hot: np.ndarray) -> list[str]:
    """The tags of each row in a random order."""
    rng = np.random.default_rng(0)
    names = [[TAGS[c] for c in rng.permutation(np.flatnonzero(row))] for row in hot]
    return [";".join(row) or "nothing" for row in names]


def names_of(part: str, n: int) -> list[str]:
    """File names with leading zeros, in no sorted order."""
    numbers = np.random.default_rng(n).permutation(n) + (0 if part == "train" else 500)
    return [f"{number:05d}.png" for number in numbers]


def draw(path: Path, row: np.ndarray, rng: np.random.Generator) -> None:
    """A grey image of an odd size with a bright stripe for each of the row's tags."""
    height, width = int(rng.integers(24, 40)), int(rng.integers(24, 40))
    pixels = rng.integers(0, 80, (height, width)).astype(np.uint8)
    for tag in np.flatnonzero(row):
        pixels[tag * height // 4 : (tag + 1) * height // 4] += 150
    Image.fromarray(pixels).save(path)


def write_cells(path: Path, names: Sequence[str], tags: Sequence[str]) -> None:
    """A file of an image and its tags per row."""
    pd.DataFrame({"Image": names, "Tags": tags}).to_csv(path, index=False)


def write_stripes(root: Path) -> Workspace:
    """A workspace with the competition `stripes`, whose board has a perfect and an awful entry."""
    folder = root / "competitions" / "stripes"
    (folder / "recipes").mkdir(parents=True)
    (folder / "competition.toml").write_text(SPEC)
    recipe = RECIPE.replace("batch_size = 8", "batch_size = 8\nseeds = [0, 1]")
    (folder / "recipes" / "two.toml").write_text(recipe)
    workspace = Workspace(root, root / "data", root / "runs")
    raw = workspace.raw("stripes")
    (raw / "photos").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", N_TRAIN), ("test", N_TEST)):
        hot, names = labels(n, n), names_of(part, n)
        for name, row in zip(names, hot, strict=True):
            draw(raw / "photos" / name, row, rng)
        if part == "train":
            write_cells(raw / "train.csv", names, cells(hot))
            continue
        write_cells(raw / "sample.csv", names, ["zebra"] * n)
        solution = pd.DataFrame({"Image": names, "Tags": cells(hot)})
        solution["Usage"] = ["Public", "Private", "Private"] * (n // 3)
        solution.sample(frac=1, random_state=0).to_csv(raw / "solution.csv", index=False)
        entries = raw.parent / "platform" / "entries"
        entries.mkdir(parents=True)
        write_cells(entries / "perfect.csv", names, cells(hot))
        write_cells(entries / "awful.csv", names, cells(1 - hot))
    return workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the competition `stripes`."""
    return write_stripes(tmp_path)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Entry]:
    """A workspace whose competition was submitted once; tests leave it as it is."""
    workspace = write_stripes(tmp_path_factory.mktemp("stripes"))
    return workspace, submit(open_competition(workspace, "stripes"))


def test_tags_become_a_column_per_class_and_rows_may_have_none(workspace: Workspace) -> None:
    data = load_data(workspace, "stripes")
    assert (data.classes, data.spec.multi, data.spec.task) == (TAGS, True, "multi-label")
    assert (data.train.targets.values == labels(N_TRAIN, N_TRAIN)).all()
    assert data.train.targets.values.dtype == np.uint8
    assert (data.train.marks().sum(axis=1) == 0).sum() >= 2
    assert data.train.frame[RARE].sum() == 3
    folds = scheme_folds(OpenCompetition(workspace, data))
    rare = data.train.frame.loc[data.train.frame[RARE] == 1, "id"]
    assert sorted(folds.of(rare)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("zebra", "zebr", r"train.csv: .* labels are not among the 4 classes, e.g. 'zebr' of id"),
        ("nothing", "", r"6 rows have no tag, e.g. id '.*png', …; .* write none = "),
        ("nothing", "nothing;ant", "'nothing' means no tag, but stands beside others, e.g. 'noth"),
        ("nothing", "ant;ant", "rows repeat a tag, e.g. id .*; is ';' the right separator"),
    ],
)
def test_a_wrong_cell_of_tags_is_said(
    workspace: Workspace, old: str, new: str, message: str
) -> None:
    edit(workspace.raw("stripes") / "train.csv", old, new)
    if not new:
        edit(
            workspace.competition("stripes") / "competition.toml", 'none = "nothing"\nclas', "clas"
        )
    with pytest.raises(LabelError, match=message) as caught:
        load_data(workspace, "stripes")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["label", "group"])
def test_a_tag_may_be_called_like_a_column_of_ours(workspace: Workspace, name: str) -> None:
    toml = workspace.competition("stripes") / "competition.toml"
    before = load_data(workspace, "stripes").train.marks()[:, TAGS.index("ant")]
    edit(toml, "ant", name)
    for file in ("train.csv", "solution.csv"):
        edit(workspace.raw("stripes") / file, "ant", name)
    table = load_data(workspace, "stripes").train
    assert table.classes == ("zebra", "10", name, "bee")
    assert (table.frame[f"class:{name}"] == before).all()


def test_a_single_tag_is_no_competition(workspace: Workspace) -> None:
    toml = workspace.competition("stripes") / "competition.toml"
    edit(toml, 'classes = ["zebra", "10", "ant", "bee"]', "")
    write_cells(workspace.raw("stripes") / "train.csv", ["a.png", "b.png"], ["ant", "nothing"])
    with pytest.raises(LabelError, match=r"train.csv: expected at least two classes, got 'ant'"):
        load_data(workspace, "stripes")


def test_check_says_what_it_understood_of_tags(workspace: Workspace) -> None:
    findings = doctor.check(workspace, "stripes")
    hot = labels(N_TRAIN, N_TRAIN)
    assert (findings.errors, findings.warnings) == ([], [])
    facts = findings.facts
    assert (facts["task"], facts["metric"]) == ("multi-label", "per-row F1")
    assert facts["format"] == {"file": "sample.csv", "rows": 12, "columns": 2, "shape": "tags"}
    assert list(facts["classes"].values()) == pytest.approx(hot.mean(axis=0).tolist(), abs=1e-4)
    assert facts["labels_per_row"] == pytest.approx(hot.sum(axis=1).mean(), abs=1e-3)
    assert facts["rows_without_label"] == (hot.sum(axis=1) == 0).sum()


def test_training_is_by_binary_cross_entropy(sent: tuple[Workspace, Entry]) -> None:
    histories = sorted((sent[0].runs / "stripes").glob("two-s*/fold*/history.json"))
    assert len(histories) >= 3
    for history in histories:
        (epoch,) = json.loads(history.read_text())
        # untrained logits are near 0, which costs ln 2 a column, whatever the row's tags; softmax
        # over 4 classes would cost ln 4 per tag of a row
        assert epoch["train_loss"] == pytest.approx(math.log(2), abs=0.12)
        assert epoch["valid_loss"] == pytest.approx(math.log(2), abs=0.25)
    weights = next((sent[0].runs / "stripes").glob("two-s0-*/fold0/weights.safetensors"))
    preprocessing = read_preprocessing(weights)
    assert preprocessing is not None
    assert (preprocessing.one_class, preprocessing.classes) == (False, TAGS)


def test_label_smoothing_moves_binary_targets() -> None:
    import tomllib

    from foldwise.config.recipe import SettledRecipe

    recipe = SettledRecipe.model_validate({"name": "r", **tomllib.loads(RECIPE)})
    logits = torch.tensor([[2.0, -1.0, 0.0, 3.0]])
    target = TensorMultiCategory(torch.tensor([[1.0, 0.0, 1.0, 0.0]]))
    plain = BCEWithLogitsLossFlat()(logits, target)
    assert loss_of(recipe, Meaning("sigmoids"))(logits, target).item() == pytest.approx(
        plain.item()
    )
    smooth = loss_of(recipe.model_copy(update={"label_smoothing": 0.2}), Meaning("sigmoids"))
    moved = BCEWithLogitsLossFlat()(logits, TensorMultiCategory(target * 0.8 + 0.1))
    assert smooth(logits, target).item() == pytest.approx(moved.item())
    zeros = loss_of(recipe, Meaning("sigmoids"))(
        torch.zeros(3, 4), TensorMultiCategory(torch.ones(3, 4))
    )
    assert zeros.item() == pytest.approx(math.log(2))


def test_out_of_fold_probabilities_are_each_classs_own(
    sent: tuple[Workspace, Entry],
) -> None:
    workspace, _ = sent
    runs = train(open_competition(workspace, "stripes"))
    assert runs
    for run in runs:
        oof = run.oof()
        assert list(oof["id"]) == sorted(names_of("train", N_TRAIN))
        sums = oof[list(TAGS)].sum(axis=1)
        assert (np.abs(sums - 1) > 0.05).mean() > 0.9
        assert sums.mean() > 1.2  # untrained: about a half each


def test_a_blend_does_not_make_rows_sum_to_one(
    sent: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    workspace, entry = copy(sent[0], tmp_path), sent[1]
    toml = workspace.competition("stripes") / "competition.toml"
    edit(toml, 'recipes = ["two"]', 'recipes = ["two"]\nchain = "none"')
    runs = train(open_competition(workspace, "stripes"))
    assert len(entry.member_scores) == len(runs) == 2
    one, two = (run.oof()[list(TAGS)].to_numpy() for run in runs)
    made = blend(open_competition(workspace, "stripes"))
    assert made.oof()[list(TAGS)].to_numpy() == pytest.approx((one + two) / 2)
    ids = names_of("test", N_TEST)
    tests = [np.stack([f[list(TAGS)].to_numpy() for f in run.test(ids)]) for run in runs]
    assert made.test()[list(TAGS)].to_numpy() == pytest.approx(np.mean(tests, axis=(0, 1)))
    geometric = blend_rows(BLENDINGS.parse("geometric"), {}, Stack([one, two], MANY), slice(None))
    assert geometric == pytest.approx(np.sqrt(one * two))
    with pytest.raises(SpecError, match="no blend method is called 'geo'; did you mean 'geom") as e:
        blend(open_competition(workspace, "stripes"), method="geo")
    assert "\n" not in str(e.value)


def test_the_file_is_valid_and_in_the_ledger_with_its_scores(
    sent: tuple[Workspace, Entry],
) -> None:
    workspace, entry = sent
    data = load_data(workspace, "stripes")
    back = read_submission(entry.file, data.format)
    blended = blend(open_competition(workspace, "stripes")).test()
    assert (back[list(TAGS)] == data.format.decide(blended)[list(TAGS)]).all(axis=None)
    assert pd.read_csv(entry.file)["Image"].tolist() == names_of("test", N_TEST)
    (row,) = status.status(workspace, "stripes")
    assert row["local"] == pytest.approx(entry.score.value, abs=1e-6)
    assert entry.receipt is not None
    assert (row["public"], row["private"]) == (entry.receipt.public, entry.receipt.private)
    truth = pd.DataFrame(labels(N_TEST, N_TEST), columns=list(TAGS))
    truth.insert(0, "id", names_of("test", N_TEST))
    for part, rows in (("public", truth[::3]), ("private", truth[np.arange(N_TEST) % 3 > 0])):
        own = back[back["id"].isin(rows["id"])]
        value = score(data.spec.metric, rows.reset_index(drop=True), own, interval=False).value
        assert row[part] == pytest.approx(value, abs=1e-6)
    (listed,) = catalogue(workspace)
    assert (listed["task"], listed["metric"], listed["rows"]) == ("multi-label", "per-row F1", 36)
    before = tree(workspace.root)
    again = submit(open_competition(workspace, "stripes"))
    assert (again.file, again.receipt and again.receipt.rank) == (entry.file, row["rank"])
    assert tree(workspace.root) == before


def test_the_local_score_is_that_of_the_tags_that_the_file_would_name(
    sent: tuple[Workspace, Entry],
) -> None:
    workspace, entry = sent
    data = load_data(workspace, "stripes")
    oof = blend(open_competition(workspace, "stripes")).oof()
    decided = data.format.decide(oof)
    direct = score(data.spec.metric, data.train.frame, decided)
    assert entry.score == direct
    assert set(np.unique(decided[list(TAGS)])) <= {0, 1}
    assert (decided[list(TAGS)].to_numpy() == (oof[list(TAGS)] >= 0.5).to_numpy()).all()


def entry_of(workspace: Workspace, hot: np.ndarray, name: str) -> Parcel:
    """A submission that names these tags with probability 0.9, the others with 0.1."""
    data = load_data(workspace, "stripes")
    frame = predictions_frame(names_of("test", N_TEST), hot * 0.8 + 0.1, TAGS)
    write_submission(workspace.root / name, frame, data.format)
    return Parcel(
        data.spec,
        workspace.root / name,
        data.format,
        lambda truth, said: score(data.spec.metric, truth, said, interval=False).value,
        workspace.data / "stripes",
    )


def test_more_is_better_on_the_board_and_the_best_entry_counts(workspace: Workspace) -> None:
    hot = labels(N_TEST, N_TEST)
    half = hot.copy()
    half[: N_TEST // 2] = 0
    outcomes = [
        local.Local().send(entry_of(workspace, rows, name))
        for rows, name in (
            (1 - hot, "worst.csv"),
            (half, "half.csv"),
            (hot, "best.csv"),
            (half, "again.csv"),
        )
    ]
    # ties share a place: 1 beside the perfect entry
    assert [(o.rank, o.teams) for o in outcomes] == [(2, 3), (2, 3), (1, 3), (1, 3)]
    assert outcomes[2].private == outcomes[2].public == 1.0
    assert outcomes[0].private == 0.0
    path = workspace.data / "stripes" / "platform" / "board.json"
    board = json.loads(path.read_text())["entries"]
    assert {e["team"]: e["private"] for e in board[:2]} == {"awful": 0.0, "perfect": 1.0}
    assert len(board) == 6
    entries = [("a", 0.9), (local.TEAM, 0.5), ("b", 0.2), (local.TEAM, 0.1), ("a", 0.3)]
    small = [BoardEntry(team=team, private=v) for team, v in entries]
    assert (local.place_of_team(small, higher=True), local.place_of_team(small)) == ((2, 3), (1, 3))


def test_rows_with_none_of_these_tags_are_written_and_read(workspace: Workspace) -> None:
    parcel = entry_of(workspace, np.zeros((N_TEST, 4)), "none.csv")
    assert set(pd.read_csv(parcel.file)["Tags"]) == {"nothing"}
    assert (read_submission(parcel.file, parcel.shape)[list(TAGS)] == 0).all(axis=None)
    empty = (labels(N_TEST, N_TEST).sum(axis=1) == 0).mean()
    receipt = local.Local().send(parcel)
    assert receipt.private is not None
    assert 0 < receipt.private < 1
    truth = pd.read_csv(workspace.data / "stripes" / "platform" / "truth.csv")
    assert (truth[list(TAGS)].sum(axis=1) == 0).mean() == empty
    assert truth["part"].value_counts().to_dict() == {"private": 8, "public": 4}


def test_a_board_without_truth_and_a_wrong_entry_are_said(workspace: Workspace) -> None:
    parcel = entry_of(workspace, labels(N_TEST, 1), "mine.csv")
    edit(parcel.file, "zebra", "zebr")
    with pytest.raises(SubmissionError, match="'zebr' is no class; did you mean 'zebra'"):
        local.Local().send(parcel)
    (workspace.data / "stripes" / "platform" / "truth.csv").unlink()
    with pytest.raises(PlatformError, match=r"no truth at .*truth.csv; `foldwise data` makes it"):
        local.Local().send(parcel)


def test_a_test_row_without_a_solution_is_said(workspace: Workspace) -> None:
    path = workspace.raw("stripes") / "solution.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(LabelError, match=r"solution.csv: 1 of 12 test rows have no solution"):
        load_data(workspace, "stripes")


def test_the_catalogue_shows_the_highest_score(
    sent: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    workspace = copy(sent[0], tmp_path)
    book = workspace.submissions("stripes", practice=True) / "ledger.jsonl"
    for name, value in (("a.csv", 0.01), ("b.csv", 0.999), ("c.csv", 0.5)):
        ledger.append(book, "written", name, sha256=name, local=value)
        ledger.append(book, "scored", name, public=1 - value, private=value, rank=1, teams=2)
    (row,) = catalogue(workspace)
    assert (row["local"], row["public"]) == (0.999, 0.99)
    listed = CliRunner().invoke(app, ["list", "--root", str(workspace.root), "--json"])
    assert json.loads(listed.output) == [row]
    told = CliRunner().invoke(app, ["status", "stripes", "--root", str(workspace.root)])
    assert told.exit_code == 0
    for words in ("a.csv", "0.999", "scored"):
        assert words in told.output


@pytest.fixture(scope="module")
def competition(sent: tuple[Workspace, Entry]) -> Competition:
    return Competition.load("stripes", sent[0].root)


def test_the_datablock_has_float_targets_in_class_order(competition: Competition) -> None:
    dls = competition.datablock(0, "two").dataloaders(bs=8, device=torch.device("cpu"))
    assert list(dls.vocab) == list(TAGS)
    for loader in (dls.train, dls.valid):
        images, targets = loader.one_batch()
        assert isinstance(targets, TensorMultiCategory)
        assert (targets.dtype, targets.shape) == (torch.float32, (len(images), 4))
        assert images.shape[1:] == (1, 32, 32)
    images, targets = dls.valid.one_batch()
    rows = dls.valid_ds.items
    assert (targets.numpy() == rows[list(TAGS)].to_numpy()[: len(targets)]).all()
    items = [dls.valid_ds[i] for i in range(len(images))]
    slow = dls.valid.after_batch(dls.valid.do_batch(items))
    assert torch.allclose(images, slow[0])
    assert torch.equal(targets, slow[1])
    assert {len(batch) for batch in dls.test_dl(competition.test)} == {1}


def test_summary_and_show_batch_name_the_tags(
    competition: Competition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    import matplotlib.pyplot as plt

    said = io.StringIO()
    block = competition.datablock(0, "two")
    with contextlib.redirect_stdout(said):
        block.summary()
    assert "Building one batch" in said.getvalue()
    dls = block.dataloaders(bs=8, device=torch.device("cpu"))
    plt.close("all")
    dls.valid.show_batch(max_n=8)
    titles = [axes.get_title() for axes in plt.gcf().axes[:8]]
    rows = dls.valid_ds.items[list(TAGS)].to_numpy()[:8]
    assert titles == [";".join(np.array(TAGS)[row == 1]) for row in rows]
    plt.close("all")


def test_predicting_again_from_the_weights_gives_the_same_bytes(
    sent: tuple[Workspace, Entry], tmp_path: Path
) -> None:
    from foldwise.executors import FoldJob
    from foldwise.training.fitting.fold import predict_again

    workspace, _ = sent
    run = train(open_competition(workspace, "stripes"))[1]
    task = FoldJob(workspace.root, workspace.data, workspace.runs, "stripes", run.folder, 2)
    predict_again(fold_inputs(task), tmp_path)
    for name in ("oof", "oof_plain", "test", "test_plain"):
        saved = read_predictions(run.fold(2).path / f"{name}.parquet", TAGS)
        again = read_predictions(tmp_path / f"{name}.parquet", TAGS)
        pd.testing.assert_frame_equal(again, saved, check_exact=True)
