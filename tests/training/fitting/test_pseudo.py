"""A fold's pseudo-labels come from models that never trained on its validation rows."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foldwise.commands import status
from foldwise.commands import train as training
from foldwise.commands.planning import Selection, scheme_folds
from foldwise.commands.submit import submit
from foldwise.config.pseudo import Pseudo
from foldwise.config.recipe import Recipe, SizedRecipe, load_recipe
from foldwise.data.competition import CompetitionData, image_caches, load_data
from foldwise.data.folds import Folds
from foldwise.data.images.resizing import Resizing
from foldwise.data.labels.table import LabelTable
from foldwise.data.opened import open_competition
from foldwise.errors import RunError
from foldwise.executors import FoldJob
from foldwise.jobs import fold_inputs
from foldwise.store.files import read_json, write_json
from foldwise.store.layout import CompetitionRuns
from foldwise.store.predictions import predictions_frame, read_predictions, write_predictions
from foldwise.tasks import task_of
from foldwise.training.fitting.pseudo import pseudo_labels, surest, teacher_of, with_pseudo
from foldwise.training.fitting.run import Run, RunData, open_runs
from foldwise.training.loading.batches import FoldSplitter
from foldwise.workspace import Workspace
from planted import MANY, ONE
from records import run_values
from tiny import CLASSES, copy, edit, write_tiny

N = 24  # training rows, and as many of the test set
LINEAR = """
model = "linear"
image_size = 16
batch_size = 8

[[stage]]
epochs = {epochs}
lr = 20
"""
STUDENT = '\n[pseudo]\nrun = "teacher"\nconfidence = 0.9\nshare = 0.7\nweight = 1.0\n'


def noise(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Images of noise, which tell nothing of a label, and a teacher that was trained on them.

    Test image i is training image i but for a pixel, so whoever knows the one's label knows the
    other's. Test row 0 is the very same image.
    """
    workspace = write_tiny(tmp_path_factory.mktemp("taught"), n_train=N, n_test=N)
    recipes, images = workspace.competition("tiny") / "recipes", workspace.raw("tiny") / "images"
    (recipes / "teacher.toml").write_text(LINEAR.format(epochs=1))
    (recipes / "student.toml").write_text(LINEAR.format(epochs=60) + STUDENT)
    data, rng = load_data(workspace, "tiny"), np.random.default_rng(0)
    for number, (own, test) in enumerate(zip(*ids_of(data), strict=True)):
        pixels = rng.integers(0, 256, (16, 16)).astype(np.uint8)
        noise(images / f"{own}.png", pixels)
        pixels[3, 5] ^= 1 if number else 0
        noise(images / f"{test}.png", pixels)
    training.train(open_competition(workspace, "tiny"), Selection(("teacher",)))
    return workspace


@pytest.fixture
def own(taught: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it."""
    return copy(taught, tmp_path)


def ids_of(data: CompetitionData) -> tuple[list[str], list[str]]:
    """Training ids, and the test ids of the images that are nearly theirs."""
    return list(data.train.frame["id"]), list(data.test.frame["id"])


def teacher(workspace: Workspace) -> Path:
    (folder,) = (workspace.runs / "tiny").glob("teacher-*")
    return folder


def folds_of(workspace: Workspace) -> Folds:
    return scheme_folds(open_competition(workspace, "tiny"))


def student(workspace: Workspace, *overrides: str) -> SizedRecipe:
    recipe = load_recipe(workspace.competition("tiny"), "student", overrides)
    return recipe.with_sizes((0, 0), "bilinear")


def opened(workspace: Workspace, *overrides: str) -> Run:
    """The student's run, its pseudo-labels written; nothing is trained."""
    data, recipe = load_data(workspace, "tiny"), student(workspace, *overrides)
    caches = image_caches(data, recipe.cache_sizes, Resizing.of(recipe))
    on = RunData(competition=data, folds=folds_of(workspace), caches=caches)
    (run,) = open_runs(workspace.runs, on, recipe)
    return run


def plant(workspace: Workspace, told: Callable[[int, np.ndarray], np.ndarray]) -> None:
    """Make the teacher's test predictions anew: told(fold, of) gives each row's class number.

    of: the fold of the training image that each test image nearly is.
    """
    data = load_data(workspace, "tiny")
    own_ids, test_ids = ids_of(data)
    folds = folds_of(workspace)
    of = folds.of(pd.Series(own_ids))
    for fold in range(folds.n):
        probs = np.full((N, 3), 0.01)
        probs[np.arange(N), told(fold, of)] = 0.98
        path = teacher(workspace) / f"fold{fold}" / "test.parquet"
        write_predictions(path, predictions_frame(test_ids, probs, CLASSES))


def accuracy(run: Run, data: CompetitionData) -> float:
    """The share of fold 0's validation rows whose most probable class is right."""
    found = read_predictions(run.fold(0).path / "oof.parquet", CLASSES).set_index("id")
    truth = data.train.frame.set_index("id").loc[found.index, "label"]
    return float((found.idxmax(axis=1) == truth.astype(str)).mean())


def test_a_planted_leak_is_seen_and_the_rule_keeps_it_out(own: Workspace) -> None:
    data = load_data(own, "tiny")
    truth = data.train.targets.values

    def honest(fold: int, of: np.ndarray) -> np.ndarray:
        """A model knows what it was trained on, and is sure of something else for the rest."""
        return np.where(of == fold, (truth + 1) % 3, truth)

    plant(own, honest)
    (run,) = training.train(open_competition(own, "tiny"), Selection(("student",), folds=(0,)))
    assert accuracy(run, data) < 0.4

    def leaking(fold: int, of: np.ndarray) -> np.ndarray:
        """The model of another fold, which was trained on this fold's validation rows."""
        return np.where(of == fold, honest((fold + 1) % 3, of), honest(fold, of))

    plant(own, leaking)
    (leaked,) = training.train(open_competition(own, "tiny"), Selection(("student",), folds=(0,)))
    assert leaked.name != run.name
    assert accuracy(leaked, data) > 0.9


def test_a_fold_hears_its_own_folds_teacher_alone(own: Workspace) -> None:
    truth = load_data(own, "tiny").train.targets.values
    before = {}
    for changed in (None, 0, 2):
        plant(own, lambda fold, of, changed=changed: (truth + (fold == changed)) % 3)
        run = opened(own)
        tables = [(run.fold(k).pseudo).read_bytes() for k in range(3)]
        if changed is None:
            before = dict(enumerate(tables))
            first = run.name
            continue
        assert run.name != first  # another run: it is in its identity
        for k in range(3):
            assert (tables[k] == before[k]) == (k != changed)


def test_rows_join_the_training_part_of_their_fold_and_no_validation_part(own: Workspace) -> None:
    truth = load_data(own, "tiny").train.targets.values
    plant(own, lambda fold, of: truth)
    run = opened(own)
    task = FoldJob(own.root, own.data, own.runs, "tiny", run.folder, 1)
    inputs = fold_inputs(task)
    made = inputs.taught()
    taken = set(read_predictions(run.fold(1).pseudo, CLASSES)["id"])
    assert 0 < len(taken) < N
    split = [FoldSplitter(each.folds, 1)(each.train.frame) for each in (inputs, made)]
    parts = [
        [set(each.train.frame["id"].iloc[list(rows)]) for rows in rows_of]
        for each, rows_of in zip((inputs, made), split, strict=True)
    ]
    assert parts[1][0] == parts[0][0] | taken
    assert parts[1][1] == parts[0][1]
    assert made.folds.n == inputs.folds.n
    assert len(made.train.source) == len(made.train)
    assert inputs.recipe.pseudo is not None
    plain = inputs.__class__(**{**inputs.__dict__, "recipe": inputs.recipe.short()})
    assert plain.taught() is plain


def test_copies_of_training_images_and_ids_in_both_are_left_out(own: Workspace) -> None:
    data = load_data(own, "tiny")
    truth = data.train.targets.values
    plant(own, lambda fold, of: truth)
    own_ids, test_ids = ids_of(data)
    run = opened(own)
    taken = [set(read_predictions(run.fold(k).pseudo, CLASSES)["id"]) for k in range(3)]
    assert test_ids[0] not in set.union(*taken)  # the one that is the very same image
    assert test_ids[1] in set.union(*taken)
    assert run.record.resolved["pseudo"]["left_out"] == 1
    both = data.train.frame.copy()
    both.loc[5, "id"] = test_ids[7]
    named = CompetitionData(
        **{**data.__dict__, "train": LabelTable(both, data.train.source, data.task)}
    )
    shutil.copy(
        own.raw("tiny") / f"images/{own_ids[5]}.png", own.raw("tiny") / f"images/{test_ids[7]}.png"
    )
    made = pseudo_labels(own.runs, named, student(own), 0, folds_of(own))
    assert made is not None
    assert test_ids[7] not in {id for table in made.tables for id in table["id"]}


def test_the_record_says_what_was_taken_from_whom(own: Workspace) -> None:
    run = opened(own, "pseudo.confidence=0.3")
    told = read_json(run.folder / "run.json")["resolved"]["pseudo"]
    assert told["run"] == teacher(own).name
    assert told["identity"] == read_json(teacher(own) / "run.json")["identity"]
    assert len(told["folds"]) == 3
    for k, fold in enumerate(told["folds"]):
        taken = read_predictions(run.fold(k).pseudo, CLASSES)
        assert fold["rows"] == len(taken) <= 38  # 16 * 0.7 / 0.3, rounded up
        assert fold["confidence"] == taken[list(CLASSES)].max(axis=1).min() >= 0.3


def test_a_lost_table_is_written_anew_and_another_teacher_makes_another_run(own: Workspace) -> None:
    run = opened(own, "pseudo.confidence=0.3")
    path = run.fold(1).pseudo
    kept = path.read_bytes()
    path.unlink()
    assert opened(own, "pseudo.confidence=0.3").name == run.name
    assert path.read_bytes() == kept
    record = read_json(teacher(own) / "run.json")
    write_json(teacher(own) / "run.json", {**record, "identity": "another"})
    assert opened(own, "pseudo.confidence=0.3").name != run.name


def test_one_command_trains_teacher_and_student_and_the_manifest_tells(own: Workspace) -> None:
    shutil.rmtree(own.runs)
    edit(own.competition("tiny") / "competition.toml", '["tiny"]', '["teacher", "student"]')
    recipe = own.competition("tiny") / "recipes" / "student.toml"
    edit(recipe, "epochs = 60", "epochs = 1")
    edit(recipe, "confidence = 0.9", "confidence = 0.3")
    entry = submit(open_competition(own, "tiny"), dry_run=True)
    runs = json.loads(entry.file.with_suffix(".json").read_text())["runs"]
    assert "pseudo" not in runs[0]["resolved"]
    assert runs[1]["resolved"]["pseudo"]["run"] == runs[0]["run"]
    assert runs[1]["recipe"]["pseudo"]["confidence"] == 0.3
    compared = {
        row["recipe"]: row["verdict"] for row in status.compare(open_competition(own, "tiny"))
    }
    assert set(compared) == {"teacher", "student"}


FRAME = predictions_frame(
    ["d", "a", "c", "b"], np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6]]), ("z", "x")
)


@pytest.mark.parametrize(
    ("many", "keys", "rows", "expected", "lowest"),
    [
        (False, {"confidence": 0.7}, 100, ["a", "c", "d"], 0.8),
        (False, {"confidence": 0.5}, 2, ["c", "d"], 0.9),  # as many as there are
        (False, {"confidence": 0.5, "share": 0.01}, 10, ["c"], 0.9),  # of equal ones by id
        (False, {"confidence": 0.5, "share": 0.6}, 2, ["a", "c", "d"], 0.8),  # 3 of 5
        (True, {"confidence": 0.8}, 100, ["a", "c", "d"], 0.8),
    ],
)
def test_the_surest_rows_are_taken_up_to_a_share(
    many: bool, keys: dict[str, Any], rows: int, expected: list[str], lowest: float
) -> None:
    pseudo = Pseudo(run="t", **keys)
    for frame in (FRAME, FRAME[::-1]):
        table, least = surest(frame, MANY if many else ONE, pseudo, rows, "t fold 0, test")
        assert list(table["id"]) == expected
        assert least == pytest.approx(lowest)


def test_with_many_labels_every_one_must_be_sure() -> None:
    frame = predictions_frame(["a", "b"], np.array([[0.95, 0.02], [0.99, 0.6]]), ("z", "x"))
    table, lowest = surest(frame, MANY, Pseudo(run="t", confidence=0.9), 10, "")
    assert list(table["id"]) == ["a"]
    assert lowest == 0.95


def test_a_teacher_that_is_never_sure_is_told() -> None:
    with pytest.raises(RunError) as caught:
        surest(FRAME, ONE, Pseudo(run="t", confidence=0.95), 10, "t-s0-12345678 fold 2, test")
    assert str(caught.value) == (
        "[pseudo] takes test rows with a confidence of at least 0.95, and t-s0-12345678 fold 2, "
        "test, has none among 4: the highest is 0.9000; lower confidence, or train a better teacher"
    )


def tables(multi: bool) -> tuple[LabelTable, LabelTable, Folds]:
    """Three training rows in two folds, three test rows."""
    frame = pd.DataFrame({"id": ["r", "q", "s"], "path": "x.png", "group": None})
    source = pd.DataFrame({"id": frame["id"], "kind": "?"})
    test = pd.DataFrame({"id": ["b", "c", "a"], "path": "y.png", "group": None})
    if multi:
        frame[["z", "x"]] = np.array([[1, 0], [1, 1], [0, 0]], dtype=np.uint8)
    else:
        frame["label"] = pd.Categorical(["x", "z", "x"], categories=["z", "x"])
    folds = pd.DataFrame({"id": ["q", "r", "s"], "fold": [0, 1, 1]})
    return (
        LabelTable(frame, source, task_of(("z", "x"), "labels" if multi else "class")),
        LabelTable(test, test[["id"]], task_of(("z", "x"), "labels" if multi else "class")),
        Folds("f", folds, ""),
    )


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("multi", [False, True])
def test_a_pseudo_labelled_row_has_a_weight_and_what_the_recipe_wants(
    tmp_path: Path, multi: bool, soft: bool
) -> None:
    train, test, folds = tables(multi)
    probs = np.array([[0.25, 0.75], [0.9, 0.1]])
    write_predictions(tmp_path / "pseudo.parquet", predictions_frame(["a", "b"], probs, ("z", "x")))
    pseudo = Pseudo(run="t", weight=0.25, soft=soft)
    made, places = with_pseudo(train, test, folds, 1, pseudo, tmp_path / "pseudo.parquet")
    assert list(made.frame["id"]) == ["r", "q", "s", "b", "a"]  # as the test rows stand
    assert list(made.frame["weight"]) == [1, 1, 1, 0.25, 0.25]
    hot = [[0, 1], [1, 0], [0, 1], [1, 0], [0, 1]]
    if multi:
        hot[1:3] = [[1, 1], [0, 0]]
        hot[0] = [1, 0]
    assert made.marks().tolist() == hot
    assert ("shares" in made.frame) == soft
    if soft:
        assert np.stack([*made.frame["shares"]]).tolist() == [*hot[:3], [0.9, 0.1], [0.25, 0.75]]
    assert places.of(made.frame["id"]).tolist() == [1, 0, 1, 0, 0]


def test_shares_and_weights_of_the_training_rows_stay(tmp_path: Path) -> None:
    train, test, folds = tables(False)
    train.frame["shares"] = list(np.array([[0.4, 0.6], [1, 0], [0.1, 0.9]]))
    train.frame["weight"] = [2.0, 0.0, 1.0]
    write_predictions(
        tmp_path / "pseudo.parquet", predictions_frame(["c"], np.array([[0.9, 0.1]]), ("z", "x"))
    )
    made, _ = with_pseudo(train, test, folds, 0, Pseudo(run="t"), tmp_path / "pseudo.parquet")
    assert list(made.frame["weight"]) == [2.0, 0.0, 1.0, 0.5]
    assert np.stack([*made.frame["shares"]]).tolist() == [[0.4, 0.6], [1, 0], [0.1, 0.9], [1, 0]]


def told(run: str, seed: int = 0, **keys: Any) -> dict[str, Any]:
    """A run.json, of two folds and the classes z, x unless keys say otherwise."""
    recipe = {"name": run.split("-")[0], "early_stop": keys.pop("early_stop", 0)}
    known = {"recipe": recipe, "seed": seed, "folds_sha256": "same" * 16, "identity": run, **keys}
    return run_values(**known)


def asked(
    folder: Path,
    run: str,
    records: Sequence[tuple[str, dict[str, Any]]],
    done: int = 2,
    seed: int = 0,
) -> Path:
    """The teacher's directory for `[pseudo] run`, among runs with these records."""
    for name, record in records:
        write_json(folder / name / "run.json", record)
        for fold in range(done):
            write_json(folder / name / f"fold{fold}" / "done.json", {})
    recipe = Recipe.model_validate(
        {
            "name": "student",
            "model": "linear",
            "image_size": 8,
            "pseudo": {"run": run},
            "stage": [{"epochs": 1, "lr": 1}],
        }
    )
    folds = Folds("f", pd.DataFrame({"id": ["a", "b"], "fold": [0, 1]}), "same" * 16)
    return teacher_of(CompetitionRuns(folder), recipe, seed, folds, ("z", "x"))[0]


def test_the_teacher_is_the_run_of_that_name_or_the_recipes_of_the_same_seed(
    tmp_path: Path,
) -> None:
    records = [
        ("a-s0-1", told("a-s0-1")),
        ("a-s1-2", told("a-s1-2", 1)),
        ("a-s0-3", told("a-s0-3", folds_sha256="other")),
        ("b-s7-4", told("b-s7-4", 7)),
    ]
    for run, seed, expected in (
        ("a", 0, "a-s0-1"),
        ("a", 1, "a-s1-2"),
        ("a-s1-2", 0, "a-s1-2"),
        ("b", 0, "b-s7-4"),
    ):
        assert asked(tmp_path, run, records, seed=seed).name == expected


@pytest.mark.parametrize(
    ("run", "record", "done", "message"),
    [
        (
            "c",
            {},
            2,
            "recipe student: [pseudo] run = 'c' names no run and no recipe that was "
            "trained; there are: 'a-s0-1'. Train it first: `foldwise train {folder} "
            "--recipe c`",
        ),
        (
            "a",
            {"folds_sha256": "otherfolds"},
            2,
            "'a' was trained on other folds (otherfol, here "
            "samesame), so its models may know this run's validation rows; train it on these folds",
        ),
        ("a", {"classes": ["x", "z"]}, 2, "'a' has other classes, 'x', 'z', here 'z', 'x'; train"),
        ("a", {}, 1, "folds 1 of 2 of a-s0-1 are not trained yet; run `foldwise train` for it"),
        (
            "a",
            {"early_stop": 3},
            2,
            "a-s0-1 has early_stop, so each fold's validation rows chose "
            "its model; name a run with early_stop = 0",
        ),
    ],
)
def test_a_teacher_that_cannot_be_one_is_refused(
    tmp_path: Path, run: str, record: dict[str, Any], done: int, message: str
) -> None:
    with pytest.raises(RunError) as caught:
        asked(tmp_path, run, [("a-s0-1", told("a-s0-1", **record))], done)
    assert message.format(folder=tmp_path.name) in str(caught.value)


def test_of_several_teachers_one_must_be_named(tmp_path: Path) -> None:
    records = [("a-s0-1", told("a-s0-1")), ("a-s0-2", told("a-s0-2"))]
    with pytest.raises(RunError, match=r"one of 2 runs .*; name one: 'a-s0-1', 'a-s0-2'"):
        asked(tmp_path, "a", records)


def test_a_blend_is_no_teacher(tmp_path: Path) -> None:
    write_json(tmp_path / "blend-mean-1" / "blend.json", {})
    with pytest.raises(RunError, match=r"is a blend: .* name one run or recipe"):
        asked(tmp_path, "blend-mean-1", [("a-s0-1", told("a-s0-1"))])
