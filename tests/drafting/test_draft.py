"""Drafts of competitions: what is understood of a download, what is unsure, what passes check."""

import json
import random
import sqlite3
import tomllib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from PIL import Image

from catalogue import FIXTURES
from catalogue.files import image, table
from foldwise import doctor
from foldwise.config.competition import CompetitionSpec, load_competition
from foldwise.config.recipe import load_recipe
from foldwise.doctor.findings import Findings
from foldwise.drafting.draft import Draft, draft
from foldwise.drafting.sections import Sheet, toml
from foldwise.errors import DataError, SpecError
from foldwise.tables.archives import unpack
from foldwise.workspace import Workspace

HOOKED = ("digit-recognizer", "digits", "iwildcam-2020", "statoil")  # adapter.py does much there
XYZ = ("x", "y", "z")


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace without competitions, with the folder data/new/raw for a download."""
    (tmp_path / "competitions").mkdir()
    (tmp_path / "data" / "new" / "raw").mkdir(parents=True)
    return Workspace(tmp_path, tmp_path / "data", tmp_path / "runs")


def positive_of(spec: CompetitionSpec) -> str | None:
    """The class whose probability the file holds, where it holds that of one."""
    return getattr(spec.submission, "positive", None)


def drafted(place: Workspace, name: str = "new") -> tuple[Draft, CompetitionSpec, Findings]:
    """The draft of data/<name>/raw, its spec, and what check finds."""
    made = draft(place, name, place.raw(name))
    return made, load_competition(made.folder), doctor.check(place, name)


def images(folder: Path, names: Iterable[str], ending: str = ".jpg") -> None:
    """Write images of three classes by turns."""
    for number, name in enumerate(names):
        image(folder / f"{name}{ending}", number % 3, number)


def names(letter: str, n: int) -> list[str]:
    """a0, a1, a2, ..."""
    return [f"{letter}{number}" for number in range(n)]


def labelled(raw: Path, n: int = 20, column: str = "label", labels: Sequence[str] = XYZ) -> None:
    """Write a training CSV and its images, a0 to a<n>."""
    images(raw / "train", names("a", n))
    rows = [(f"a{number}", labels[number % len(labels)]) for number in range(n)]
    table(raw / "train.csv", ["id", column], rows)


def asked(raw: Path, columns: Sequence[str], cells: Sequence[object], n: int = 6) -> None:
    """Write a sample submission and test images, b0 to b<n>."""
    images(raw / "test", names("b", n))
    table(raw / "sample_submission.csv", columns, [(id, *cells) for id in names("b", n)])


def unsure_of(made: Draft, start: str) -> str:
    (found,) = [text for text in made.unsure if text.startswith(start)]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FIXTURES if name not in HOOKED])
def test_the_draft_of_a_download_passes_its_check_and_agrees_with_the_catalogue(
    name: str, place: Workspace, repository: Path
) -> None:
    FIXTURES[name](place.raw(name))
    _, spec, findings = drafted(place, name)
    assert findings.errors == []
    ours = load_competition(repository / "competitions" / name)
    if name == "swipr":  # rules over several columns: a draft knows columns alone
        return
    assert spec.platform.name == ours.platform.name or ours.platform.name == "drivendata"
    assert spec.files == ours.files
    for key in ("format", "id", "prefix", "columns", "many", "group_column"):
        assert getattr(spec.labels, key) == getattr(ours.labels, key), key
    assert getattr(spec.labels, "none", None) == getattr(ours.labels, "none", None)
    assert sorted(spec.labels.folders) == sorted(ours.labels.folders)
    assert spec.images.path == ours.images.path
    assert spec.images.test_path == ours.images.test_path
    assert spec.images.skip == ours.images.skip
    assert sorted(spec.images.folders) == sorted(ours.images.folders)
    assert spec.folds["default"].kind == ours.folds["default"].kind
    if ours.files.format:
        assert spec.submission.shape == ours.submission.shape
        assert positive_of(spec) == positive_of(ours)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digit-recognizer", "iwildcam-2020", "statoil"])
def test_labels_that_no_column_holds_are_said_to_need_hooks(name: str, place: Workspace) -> None:
    FIXTURES[name](place.raw("new"))
    made, spec, findings = drafted(place)
    assert "needs read_labels in adapter.py" in findings.errors[0]
    text = unsure_of(made, "[labels]: no column (of one row per image), folder or file name was")
    for hook in ("read_labels(", "read_test(", "read_image(spec, row)", "prepare(spec, raw)"):
        assert hook in text
    files = {
        "digit-recognizer": ("test.csv", "train.csv"),
        "iwildcam-2020": (
            "iwildcam2020_test_information.json",
            "iwildcam2020_train_annotations.json",
        ),
        "statoil": ("test.json", "train.json"),
    }
    assert spec.files.extra == files[name]
    assert spec.files.format == "sample_submission.csv"
    expected = ("positive", "1") if name == "statoil" else ("label", None)
    assert (spec.submission.shape, positive_of(spec)) == expected


def test_images_without_any_label_are_said_to_need_a_hook(place: Workspace) -> None:
    images(place.raw("new") / "pics", names("a", 9))
    made, spec, _ = drafted(place)
    assert spec.labels.format == "hook"
    assert "folder or file name was understood as a label" in unsure_of(made, "[labels]")
    assert unsure_of(made, "[images] path") == (
        "[images] path: no column names the training images"
    )


def test_a_draft_holds_what_is_unsure_in_its_toml_and_its_answer(place: Workspace) -> None:
    labelled(place.raw("new"))
    asked(place.raw("new"), ["id", "label"], ["x"])
    made, spec, _ = drafted(place)
    assert [path.name for path in made.paths] == ["competition.toml", "resnet34.toml", "README.md"]
    text = made.paths[0].read_text()
    assert made.unsure
    for line in made.unsure:
        assert f"# unsure: {line.split(': ', 1)[1]}\n" in text
    readme = made.paths[2].read_text()
    assert readme.startswith("# new\n")
    for line in (*made.understood, *made.unsure):
        assert f"- {line}\n" in readme
    assert str(place.root) not in text + readme
    assert spec.platform.page == "https://www.kaggle.com/competitions/new"
    assert "20 training rows, 3 classes (class_column), ids in 'id'" in made.understood
    assert "training images: train/{id}.jpg" in made.understood


def test_the_recipe_takes_a_size_that_suits_small_images(place: Workspace) -> None:
    labelled(place.raw("new"))
    small, _, _ = drafted(place)
    recipe = load_recipe(small.folder, "resnet34")
    assert (str(recipe.model), recipe.weights, recipe.image_size) == (
        "resnet34.tv_in1k",
        "auto",
        64,
    )
    assert [(stage.train, stage.epochs) for stage in recipe.stage] == [("head", 1), ("all", 4)]
    for path in (place.raw("new") / "train").iterdir():
        with Image.open(path) as opened:
            larger = opened.resize((300, 500))
        larger.save(path)
    large = draft(place, "large", place.raw("new"))
    assert load_recipe(large.folder, "resnet34").image_size == 224


def test_two_words_for_the_platform_by_the_format_files_name(place: Workspace) -> None:
    labelled(place.raw("new"))
    images(place.raw("new") / "test", names("b", 6))
    rows = [(id, 0.3, 0.3, 0.4) for id in names("b", 6)]
    table(place.raw("new") / "submission_format.csv", ["id", *XYZ], rows)
    _, spec, findings = drafted(place)
    assert findings.errors == []
    assert spec.platform.name == "drivendata"


def test_without_a_format_file_the_platform_is_local_with_a_holdout(place: Workspace) -> None:
    raw = place.raw("new")
    labelled(raw)
    images(raw / "test", names("b", 6))
    table(raw / "test.csv", ["id", "label"], zip(names("b", 6), XYZ * 2, strict=True))
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.platform.name, spec.holdout is not None) == ("local", True)
    assert unsure_of(made, "[files]") == "[files]: not used: test.csv"


def test_a_solution_beside_the_format_file_makes_a_local_board(place: Workspace) -> None:
    raw = place.raw("new")
    labelled(raw)
    asked(raw, ["id", "label"], ["x"])
    rows = [(id, "xyz"[i % 3], "Public") for i, id in enumerate(names("b", 6))]
    table(raw / "solution.csv", ["id", "label", "Usage"], rows)
    _, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.platform.name, spec.files.solution) == ("local", "solution.csv")
    (raw / "sample_submission.csv").unlink()
    made = draft(place, "without", raw)
    assert "not used: solution.csv" in unsure_of(made, "[files]")


def test_measured_numbers_dates_groups_and_paths_are_no_labels(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "pics", names("a", 24))
    rows = [
        (f"a{i}", i / 7, f"2020-01-{i % 5 + 1:02d}", f"s{i % 6}", f"pics/a{i}.jpg", "xyz"[i % 3])
        for i in range(24)
    ]
    table(raw / "all.csv", ["id", "width", "taken", "site", "file", "kind"], rows)
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.labels.column, spec.labels.id) == ("kind", "id")
    assert spec.images.path == ("{file}",)
    assert [text for text in made.unsure if text.startswith("[labels] column")] == []


@pytest.mark.parametrize(
    ("label", "sample"),
    [("{}.25", "0"), ("{}", "41.5")],  # fractions; whole numbers for which fractions are asked
)
def test_numbers_that_the_format_file_asks_for_are_a_regression(
    place: Workspace, label: str, sample: str
) -> None:
    raw = place.raw("new")
    labelled(raw, column="age", labels=[label.format(number) for number in range(7)])
    asked(raw, ["id", "age"], [sample])
    made, spec, findings = drafted(place)
    assert spec.labels.format == "number"
    assert spec.submission.shape == "numbers"
    assert spec.metric.name == "rmse"
    assert findings.facts["task"] == "regression"
    assert any("numbers in 'age'" in line for line in made.understood)


def test_several_columns_of_numbers_are_asked_for_together(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "train", names("a", 20))
    rows = [(f"a{n}", n + 0.5, 7.25 - n) for n in range(20)]
    table(raw / "train.csv", ["id", "width", "height"], rows)
    asked(raw, ["id", "width", "height"], [0.0, 0.0])
    _, spec, findings = drafted(place)
    assert spec.labels.columns == ("id", "width", "height")
    assert spec.submission.shape == "numbers"
    assert findings.facts["task"] == "regression"


def test_whole_numbers_are_classes_where_no_fraction_is_asked_for(place: Workspace) -> None:
    raw = place.raw("new")
    labelled(raw, column="grade", labels=["0", "1", "2"])
    asked(raw, ["id", "grade"], ["0"])
    _, spec, _ = drafted(place)
    assert spec.labels.format == "class_column"


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ([f"{n / 7:.3f}" for n in range(40)], "40 different numbers, some of them fractions"),
        ([f"{n * n}" for n in range(40)], "40 different whole numbers, most of them in one row"),
        ([f"{n * n}.0" for n in range(40)], "40 different whole numbers, most of them in one row"),
    ],
)
def test_measurements_without_a_format_file_are_a_regression_and_unsure(
    place: Workspace, labels: list[str], why: str
) -> None:
    labelled(place.raw("new"), n=40, column="target", labels=labels)
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.labels.format, spec.labels.columns) == ("number", ("id", "target"))
    assert (spec.submission.shape, spec.metric.name) == ("numbers", "rmse")
    doubt = unsure_of(made, "[labels] format")
    assert doubt.startswith(f"[labels] format: {why}")
    assert doubt.endswith(
        'if they are classes, write format = "class_column", [submission] shape = "wide" and '
        '[metric] name = "log_loss"'
    )


@pytest.mark.parametrize(
    "labels",
    [
        ["0", "1", "2", "3", "4"],
        [str(n) for n in range(1, 31)],  # as many rows of each
        [f"{n:02d}" for n in range(1, 31)],
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_whole_numbers_that_are_few_or_evenly_frequent_are_classes(
    place: Workspace, labels: list[str], given: bool
) -> None:
    labelled(place.raw("new"), n=60, labels=labels)
    if given:
        asked(place.raw("new"), ["id", "label"], [labels[1]])
    made, spec, _ = drafted(place)
    assert spec.labels.format == "class_column"
    doubts = [text for text in made.unsure if text.startswith("[labels] format")]
    told = "[labels] format: 30 numbers are read as classes: if they are measurements, write "
    assert [text.startswith(told) for text in doubts] == [True] * (len(labels) > 20)


def test_numbers_that_fill_their_range_smoothly_are_asked_for_as_numbers(place: Workspace) -> None:
    raw = place.raw("new")
    generator = random.Random(0)
    labels = [str(round(generator.triangular(1, 40))) for _ in range(300)]
    labelled(raw, n=300, column="score", labels=labels)
    asked(raw, ["id", "score"], ["20"])
    made, spec, _ = drafted(place)
    assert spec.labels.format == "number"
    assert "neighbours are about equally frequent" in unsure_of(made, "[labels] format")


def test_a_column_of_classes_wins_over_measured_facts(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "train", names("a", 20))
    rows = [(f"a{n}", n / 7, n * n, XYZ[n % 3]) for n in range(20)]
    table(raw / "train.csv", ["id", "length", "area", "kind"], rows)
    _, spec, _ = drafted(place)
    assert (spec.labels.format, spec.labels.column) == ("class_column", "kind")


def test_of_two_named_columns_of_numbers_the_other_is_told(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "train", names("a", 20))
    rows = [(f"a{n}", n / 7, n / 9) for n in range(20)]
    table(raw / "train.csv", ["id", "target", "label"], rows)
    made, spec, _ = drafted(place)
    assert (spec.labels.format, spec.labels.columns) == ("number", ("id", "target"))
    assert unsure_of(made, "[labels] column").endswith(": a guess; it could be 'label'")


def test_of_several_measured_facts_none_is_the_label(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "train", names("a", 20))
    rows = [(f"a{n}", n / 7, n / 9) for n in range(20)]
    table(raw / "train.csv", ["id", "length", "area"], rows)
    assert draft(place, "new", raw).paths[0].read_text().count('format = "hook"') == 1


def test_shares_of_classes_are_no_regression(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "train", names("a", 20))
    table(raw / "train.csv", ["id", "x", "y"], [(f"a{n}", n / 20, 1 - n / 20) for n in range(20)])
    asked(raw, ["id", "x", "y"], [0.5, 0.5])
    _, spec, _ = drafted(place)
    assert spec.labels.format != "number"


def test_a_path_column_may_lead_from_a_folder_deeper_down(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "d" / "train", names("a", 20))
    images(raw / "d" / "test", names("b", 6))
    rows = [(i, f"train/a{i}.jpg", "xyz"[i % 3]) for i in range(20)]
    table(raw / "train.csv", ["key", "file", "label"], rows)
    table(raw / "test.csv", ["key", "file"], [(i + 20, f"test/b{i}.jpg") for i in range(6)])
    table(raw / "sample_submission.csv", ["key", "label"], [(i + 20, "x") for i in range(6)])
    _, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.labels.id, spec.images.path) == ("key", ("d/{file}",))
    assert spec.images.test_path is None


@pytest.mark.parametrize("folder", ["img_", "a0/"])
def test_ids_are_found_inside_file_names_and_folders(place: Workspace, folder: str) -> None:
    raw = place.raw("new")
    for number in range(30):
        inner = f"{number + 100}/{number + 100}" if folder == "a0/" else f"img_{number + 100}"
        image(raw / "train" / f"{inner}.jpg", number % 3, number)
    rows = [(number + 100, "xyz"[number % 3]) for number in range(30)]
    table(raw / "train.csv", ["id", "label"], rows)
    _, spec, findings = drafted(place)
    assert findings.errors == []
    expected = "train/{id}/{id}.jpg" if folder == "a0/" else "train/img_{id}.jpg"
    assert spec.images.path == (expected,)


def test_images_with_several_endings_get_several_templates(place: Workspace) -> None:
    raw = place.raw("new")
    labelled(raw)
    for number in (3, 5, 8):
        (raw / "train" / f"a{number}.jpg").unlink()
        image(raw / "train" / f"a{number}.png", number % 3, number)
    _, spec, findings = drafted(place)
    assert findings.errors == []
    assert spec.images.path == ("train/{id}.jpg", "train/{id}.png")


def test_missing_images_are_counted_and_could_be_skipped(place: Workspace) -> None:
    raw = place.raw("new")
    labelled(raw)
    (raw / "train" / "a3.jpg").unlink()
    made, _, findings = drafted(place)
    assert "1 of 20 ids have no image" in findings.errors[0]
    text = "1 of 20 training rows have no such image, e.g. 'a3'; skip leaves ids out"
    assert unsure_of(made, "[images]") == f"[images] path: {text}"
    toml_text = made.paths[0].read_text()
    made.paths[0].write_text(toml_text.replace("[images]\n", '[images]\nskip = ["a3"]\n'))
    assert doctor.check(place, "new").errors == []


def test_zeros_and_ones_without_a_format_file_are_class_columns(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "pics", names("a", 24))
    rows = [(f"a{i}", "true" if i % 2 else "false", int(i % 3 == 0), i) for i in range(24)]
    table(raw / "data.csv", ["image", "value", "dog", "weight"], rows)
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.labels.format, spec.labels.classes) == ("class_columns", ("value", "dog"))
    assert spec.labels.multi
    assert "every column of zeros and ones is taken for a class" in unsure_of(made, "[labels]")


@pytest.mark.parametrize("separator", [";", ",", "|", " "])
def test_cells_whose_parts_come_again_are_tags(place: Workspace, separator: str) -> None:
    tags = ("red", "big", f"red{separator}big", "blue", f"blue{separator}small", "small")
    labelled(place.raw("new"), 30, "kind", tags)
    _, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.labels.format, spec.labels.separator) == ("delimited", separator)
    assert (spec.submission.shape, spec.metric.name) == ("tags", "f1")


def test_names_of_two_words_are_classes_and_no_tags(place: Workspace) -> None:
    labelled(place.raw("new"), 30, "kind", ("Fender Jaguar", "Fender Mustang", "Gibson SG"))
    _, spec, _ = drafted(place)
    assert spec.labels.format == "class_column"


def test_cells_that_all_have_several_words_are_classes_but_unsure(place: Workspace) -> None:
    both = [f"{colour} {size}" for colour in ("red", "blue", "green") for size in ("s", "m", "l")]
    labelled(place.raw("new"), 36, "kind", both)
    made, spec, _ = drafted(place)
    assert spec.labels.format == "class_column"
    assert "they could be tags with ' ' between" in unsure_of(made, "[labels] column")


def test_many_columns_of_zeros_and_ones_are_classes_and_no_pixels(place: Workspace) -> None:
    raw = place.raw("new")
    classes = [f"class {number}" for number in range(100)]
    rows = [(f"a{i}", *(int(i % 100 == c) for c in range(100))) for i in range(300)]
    table(raw / "train.csv", ["id", *classes], rows)
    table(raw / "sample_submission.csv", ["id", *classes], [("b0", *[0.01] * 100)])
    _, spec, findings = drafted(place)
    assert "301 of 301 ids have no image" in findings.errors[0]
    assert (spec.labels.format, spec.labels.multi) == ("class_columns", False)


@pytest.mark.parametrize(
    ("cell", "labels", "shape"),
    [
        (0.5, ("0", "1"), "positive"),
        ("0.5", ("cat", "dog"), "positive"),
        (1, ("0", "1"), "positive"),  # every cell the same: unsure
        ("x", XYZ, "label"),
        ("", XYZ, "label"),
        ("x y", XYZ, "top"),
        (7, XYZ, "label"),  # no class: unsure
    ],
)
def test_the_submissions_shape_follows_from_the_sample_cells(
    place: Workspace, cell: object, labels: Sequence[str], shape: str
) -> None:
    labelled(place.raw("new"), 24, "label", labels)
    asked(place.raw("new"), ["id", "label"], [cell])
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert spec.submission.shape == shape
    metric = {"positive": "log_loss", "label": "accuracy", "top": "map"}
    assert spec.metric.name == metric[shape]
    assert "evaluation page" in unsure_of(made, "[metric] name")
    if cell in (1, 7):
        assert unsure_of(made, "[submission] shape")
    if labels == ("cat", "dog"):
        assert "The classes are cat and dog" in unsure_of(made, "[submission] positive")


def test_a_mixed_sample_of_zeros_and_ones_wants_labels(place: Workspace) -> None:
    labelled(place.raw("new"), 24, "label", ("0", "1"))
    images(place.raw("new") / "test", names("b", 6))
    rows = [(id, i % 2) for i, id in enumerate(names("b", 6))]
    table(place.raw("new") / "sample_submission.csv", ["id", "label"], rows)
    assert drafted(place)[1].submission.shape == "label"


@pytest.mark.parametrize("no", ["NORMAL", "healthy", "no_cat"])
def test_of_two_classes_the_one_that_says_no_is_not_the_positive_one(
    place: Workspace, no: str
) -> None:
    labelled(place.raw("new"), 24, "label", ("CAT", no))
    asked(place.raw("new"), ["id", "p"], [0.5])
    assert positive_of(drafted(place)[1]) == "CAT"


def test_a_row_per_id_and_class_is_not_understood_but_said(place: Workspace) -> None:
    raw = place.raw("new")
    labelled(raw)
    images(raw / "test", names("b", 6))
    pairs = [(id, name, 0.3) for id in names("b", 6) for name in XYZ]
    table(raw / "sample_submission.csv", ["id", "class", "p"], pairs)
    made, _, findings = drafted(place)
    assert findings.errors != []
    assert "no column holds 'class' and the like" in unsure_of(made, "[labels] column")
    joined = [("-".join(pair[:2]), 0.3) for pair in pairs]
    table(raw / "sample_submission.csv", ["id", "p"], joined)
    again = draft(place, "again", raw)
    text = "[images] test_path: no column names the test images"
    assert unsure_of(again, "[images] test_path") == text


def test_class_columns_that_no_label_has_are_said(place: Workspace) -> None:
    labelled(place.raw("new"))
    asked(place.raw("new"), ["id", "p_x", "p_y", "p_z"], [0.3, 0.3, 0.4])
    made, _, findings = drafted(place)
    assert not findings.ok
    assert "no column holds 'p_x' and the like" in unsure_of(made, "[labels] column")


def test_a_column_whose_values_are_others_in_test_is_the_group(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "train", names("a", 24))
    rows = [(f"a{i}", "xyz"[i % 3], f"w{i % 4}", "mf"[i % 2]) for i in range(24)]
    table(raw / "train.csv", ["id", "label", "when", "sex"], rows)
    asked(raw, ["id", "label"], ["x"])
    rest = [(id, f"w{i + 10}", "mf"[i % 2]) for i, id in enumerate(names("b", 6))]
    table(raw / "test.csv", ["id", "when", "sex"], rest)
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.labels.group, spec.folds["default"].kind) == ("when", "stratified_group")
    assert spec.folds["default"].n == 4
    assert "folds are grouped by 'when': 4 values in 24 rows, other ones in test" in made.understood
    text = "[labels] group: rows may belong together by 'sex' (2 values in 24 rows)"
    assert unsure_of(made, "[labels] group") == text


def test_a_group_that_would_take_whole_classes_away_is_only_a_candidate(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "train", names("a", 24))
    rows = [(f"a{i}", f"c{i % 8}", f"site {i % 8 // 2 + 1}") for i in range(24)]
    table(raw / "train.csv", ["id", "label", "site"], rows)
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert spec.labels.group is None
    assert "8 of 8 classes stand in one value alone" in made.paths[0].read_text()


def test_a_class_with_one_row_may_be_missing_from_a_training_part(place: Workspace) -> None:
    labelled(place.raw("new"))
    asked(place.raw("new"), ["id", "label"], ["x"])
    text = (place.raw("new") / "train.csv").read_text()
    (place.raw("new") / "train.csv").write_text(text.replace("a7,y", 'a7,"say ""y"""'))
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert spec.folds["default"].allow_missing == ('say "y"',)
    assert "1 of the classes have too few rows" in unsure_of(made, "[folds.default]")


def test_class_folders_win_over_a_table_of_other_facts(place: Workspace) -> None:
    raw = place.raw("new")
    for name in XYZ:
        images(raw / "photos" / name, names(name, 6))
    rows = [(f"{name}{i}", 20 + i, "mf"[i % 2]) for name in XYZ for i in range(6)]
    table(raw / "people.csv", ["id", "age", "sex"], rows)
    _, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.labels.format, spec.labels.roots) == ("folder", ("photos",))


def test_class_folders_may_lie_at_the_top(place: Workspace) -> None:
    for name in XYZ:
        images(place.raw("new") / name, names(name, 6))
    _, spec, findings = drafted(place)
    assert findings.errors == []
    assert spec.labels.roots == (".",)


def test_several_roots_with_the_same_classes_are_one_pool_and_unsure(place: Workspace) -> None:
    for number in range(36):
        folder = place.raw("new") / "data" / ("val", "train", "test")[number // 12]
        image(folder / XYZ[number % 3] / f"{number}.jpg", number % 3, number)
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert spec.labels.roots == ("data/train", "data/test", "data/val")
    assert "one pool of training images" in unsure_of(made, "[labels] roots")


def test_a_person_in_every_name_becomes_the_group_and_unsure(place: Workspace) -> None:
    def write(parts: Iterable[str]) -> None:
        for number, part in enumerate(parts):
            for name in XYZ:
                image(place.raw("new") / name / f"{part}_{number}.jpg", number % 3, number)

    write(f"person{number % 8 + 1}" for number in range(24))
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert spec.labels.group_column == "group"
    assert findings.facts["groups"]["train"] + findings.facts["groups"]["test"] == 8
    assert "as person1: a person?" in unsure_of(made, "[labels] pattern")
    write(["somebody"])
    again = draft(place, "again", place.raw("new"))
    assert load_competition(again.folder).labels.pattern is None


@pytest.mark.parametrize(
    ("form", "first"),
    [("{}.{}.jpg", "ant"), ("{}_{}.jpg", "red_ant"), ("{}{}.jpg", "ant"), ("{1}_{0}.jpg", "ant")],
)
def test_labels_in_file_names_are_found_by_a_pattern(
    place: Workspace, form: str, first: str
) -> None:
    for number in range(24):
        name = form.format((first, "bee")[number % 2], number)
        image(place.raw("new") / "images" / name, number % 2, number)
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert spec.labels.format == "filename"
    assert set(findings.facts["classes"]) == {first, "bee"}
    assert "is the label" in unsure_of(made, "[labels] pattern")


def test_a_database_column_is_the_label_and_rows_without_it_are_left_out(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "img", names("a", 20))
    rows = [(f"img/a{i}.jpg", "xy"[i % 2] if i else None, f"s{i % 7}") for i in range(20)]
    with sqlite3.connect(raw / "pics.sqlite") as connection:
        connection.execute('CREATE TABLE "my pics" (file TEXT, kind TEXT, site TEXT)')
        connection.executemany('INSERT INTO "my pics" VALUES (?, ?, ?)', rows)
    connection.close()
    made, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.labels.format, spec.labels.id, spec.labels.column) == ("sqlite", "file", "kind")
    assert findings.facts["train_rows"] + findings.facts["test_rows"] == 19
    assert any("[labels.rules]" in text for text in made.unsure)


def test_odd_names_of_files_columns_and_classes_stay_whole(place: Workspace) -> None:
    raw = place.raw("new")
    images(raw / "träin (1)", [f"a {number}" for number in range(30)])
    rows = [(f"a {i}", ('x"y', "y\\z", "z'")[i % 3]) for i in range(30)]
    table(raw / 'my "train".csv', ["my id", "la'bel \\ x"], rows)
    _, spec, findings = drafted(place)
    assert findings.errors == []
    assert (spec.labels.id, spec.labels.column) == ("my id", "la'bel \\ x")
    assert set(findings.facts["classes"]) == {'x"y', "y\\z", "z'"}


def test_packed_and_unreadable_files_are_said(place: Workspace) -> None:
    labelled(place.raw("new"))
    (place.raw("new") / "test.zip").write_bytes(b"x")
    (place.raw("new") / "extra.csv").write_text("")
    made, _, _ = drafted(place)
    assert "still packed: test.zip (1 in all); unpack, and draft again" in made.unsure
    assert any(text.startswith("not readable: extra.csv (1 in all)") for text in made.unsure)


def test_a_name_is_letters_digits_and_dashes(place: Workspace) -> None:
    labelled(place.raw("new"))
    for name in ("my birds", "../birds", "", "vögel"):
        with pytest.raises(SpecError) as error:
            draft(place, name, place.raw("new"))
        assert str(error.value) == (
            f"a competition's name should be letters, digits, - and _ only, got {name!r}; "
            "e.g. foldwise new bird-species --from <folder>"
        )


def test_a_competition_that_is_there_is_never_overwritten(place: Workspace) -> None:
    labelled(place.raw("new"))
    made = draft(place, "new", place.raw("new"))
    made.paths[0].write_text("mine")
    with pytest.raises(SpecError) as error:
        draft(place, "new", place.raw("new"))
    assert str(error.value) == (
        f"expected a new name, got 'new', which has {made.folder} already; nothing was changed: "
        "choose another name, or remove that folder first"
    )
    assert made.paths[0].read_text() == "mine"


def test_nothing_is_left_behind_where_a_folder_holds_nothing(place: Workspace) -> None:
    with pytest.raises(DataError, match="expected tables"):
        draft(place, "new", place.raw("new"))
    assert list(place.competitions.iterdir()) == []


def test_values_are_written_as_toml_reads_them() -> None:
    for value in ('a "b"', "a\\d'", r"\d+", "é\n\x7f", True, 5, 0.2, ["a", "b\\"], [], ("x",)):
        read = tomllib.loads(f"key = {toml(value)}")["key"]
        assert read == (list(value) if isinstance(value, tuple) else value)
    assert toml(r"\d+") == r"'\d+'"
    assert toml(["a", r"\d"]) == r"""["a", '\d']"""


def test_what_is_unsure_stays_on_one_line() -> None:
    sheet = Sheet()
    sheet.put("labels", "column", "a", note="two lines", unsure="three\nmore")
    sheet.put("", "title", "A")
    assert sheet.text() == (
        'title = "A"\n\n[labels]\n# unsure: three more\ncolumn = "a" # two lines\n'
    )
    assert sheet.unsure == ["[labels] column: three more"]


@pytest.fixture
def real(realdata: Path, place: Workspace) -> Callable[[str], tuple[Draft, CompetitionSpec]]:
    """Drafts a real data set by its archive's name; its check must have no errors."""

    def drafts(name: str) -> tuple[Draft, CompetitionSpec]:
        place.raw(name).mkdir(parents=True)
        unpack(realdata / f"{name}.zip", place.raw(name))
        made, spec, findings = drafted(place, name)
        assert findings.errors == []
        return made, spec

    return drafts


@pytest.mark.slow
@pytest.mark.realdata
def test_the_draft_of_leaf_passes_its_check(
    real: Callable[[str], tuple[Draft, CompetitionSpec]],
) -> None:
    _, spec = real("leaf-classification")
    assert (spec.labels.column, spec.images.path) == ("species", ("images/{id}.jpg",))
    assert (spec.images.mode, spec.submission.shape, spec.platform.name) == ("L", "wide", "kaggle")


@pytest.mark.realdata
def test_the_draft_of_plant_pathology_passes_its_check(
    real: Callable[[str], tuple[Draft, CompetitionSpec]],
) -> None:
    _, spec = real("plant-pathology-2021-small")
    assert (spec.labels.format, spec.submission.shape) == ("delimited", "tags")
    assert (spec.platform.name, spec.files.solution) == ("local", "solution.csv")


@pytest.mark.slow
@pytest.mark.realdata
def test_the_draft_of_chest_xray_passes_its_check_with_patients_kept_together(
    real: Callable[[str], tuple[Draft, CompetitionSpec]],
) -> None:
    made, spec = real("chest-xray")
    assert spec.labels.roots == ("train", "test", "val")
    assert spec.folds["default"].kind == "stratified_group"
    assert unsure_of(made, "[labels] pattern")


@pytest.mark.slow
@pytest.mark.realdata
def test_the_draft_of_cifar_passes_its_check(
    real: Callable[[str], tuple[Draft, CompetitionSpec]],
) -> None:
    made, spec = real("cifar10-small")
    assert (spec.labels.format, spec.labels.roots) == ("folder", ("train", "test"))
    assert load_recipe(made.folder, "resnet34").image_size == 64


@pytest.mark.slow
@pytest.mark.realdata
def test_the_draft_of_wildlife_lacks_nothing_but_images(realdata: Path, place: Workspace) -> None:
    unpack(realdata / "wildlife-csv.zip", place.raw("new"))
    made, spec, findings = drafted(place)
    (error,) = findings.errors
    assert "20952 of 20952 ids have no image" in error
    assert (spec.platform.name, spec.labels.group) == ("drivendata", "site")
    assert (spec.images.path, spec.images.test_path) == (("{filepath}",), None)
    assert spec.images.folders == ("train_features", "test_features")
    assert "16488 of 16488 training rows" in unsure_of(made, "[images]")


def test_drafts_name_their_json_schemas_and_pass_them(place: Workspace) -> None:
    for name in ("cat", "dog"):
        image(place.raw("new") / name / f"{name}.png", 8, 8)
    made, _, _ = drafted(place)
    tomls = [path for path in made.paths if path.suffix == ".toml"]
    texts = {path: path.read_text() for path in tomls}
    assert [text.split()[0] for text in texts.values()] == ["#:schema", "#:schema"]
    schemas = {
        path: json.loads((path.parent / texts[path].split()[1]).read_text()) for path in tomls
    }
    valid = [Draft7Validator(schemas[path]).is_valid(tomllib.loads(texts[path])) for path in tomls]
    assert valid == [True, True]
