"""Tasks: targets go in and come out as they were, and predictions are what each task says."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.kinds.rows import Rows
from foldwise.kinds.targets import Targets
from foldwise.kinds.task import CellError, Known
from foldwise.tasks import MultiClass, MultiLabel, Regression, Task, task_of

CLASSES = ("b", "id", "a")  # not sorted, and one is called as a column of foldwise's own
ONE, MANY = MultiClass(CLASSES), MultiLabel(CLASSES)
TAGS: dict[Task, list[tuple[str, ...]]] = {
    ONE: [("a",), ("b",), ("id",), ("a",)],
    MANY: [("a", "b"), (), ("id",), ("b",)],
}
FREE = Known(Targets(np.array([[0, 0, 0], [1, 1, 1]])), np.empty((2, 3)))
BOTH = pytest.mark.parametrize("task", [ONE, MANY], ids=lambda task: task.name)


def rows(task: Task) -> Rows:
    """Rows with the labels of TAGS."""
    ids = pd.Series(["1", "2", "3", "4"], dtype=str)
    return Rows(source=ids.to_frame("id"), ids=ids, tags=TAGS[task], file=Path("train.csv"))


def blocks(task: Task, rows: int = 50) -> np.ndarray:
    """Predictions of a task."""
    raw = np.random.default_rng(0).uniform(0.05, 0.95, (rows, 3))
    return raw / raw.sum(axis=1, keepdims=True) if task.sums_to_one else raw


def test_the_task_follows_from_how_many_labels_a_row_may_have() -> None:
    assert task_of(["b", "a"], "class") == MultiClass(("b", "a"))
    assert task_of(["b", "a"], "labels") == MultiLabel(("b", "a"))
    assert task_of(["b"], "numbers") == Regression(("b",))
    assert len(ONE) == 3


@BOTH
def test_targets_survive_a_frame_and_a_files_text(task: Task) -> None:
    targets = task.encode(rows(task))
    frame = task.frame(targets)
    assert list(frame.columns) == task.target_columns
    assert (task.targets(frame).values == targets.values).all()
    text = frame.astype(str)
    read = task.parse(text, lambda: text.to_numpy(dtype=np.float64))
    assert (read.values == targets.values).all()
    assert read.values.dtype == targets.values.dtype


@BOTH
def test_marks_and_text_name_the_labels(task: Task) -> None:
    targets = task.encode(rows(task))
    named = [{CLASSES[c] for c in np.flatnonzero(row)} for row in task.marks(targets)]
    assert named == [set(tags) for tags in TAGS[task]]
    joined = [set(text.split("+")) - {""} for text in task.text(targets, "+")]
    assert joined == named
    assert (task.strata(targets) == task.marks(targets)).all()
    assert (targets[np.array([2, 0])].values == targets.values[[2, 0]]).all()


@pytest.mark.parametrize(
    ("task", "cells", "expected"),
    [
        (ONE, {"label": ["a", "c"]}, "one of the 3 classes"),
        (MANY, {"b": ["0", "2"], "class:id": ["0", "1"], "a": ["1", "1"]}, "0 or 1 for each"),
    ],
)
def test_a_cell_that_is_no_target_is_told(
    task: Task, cells: dict[str, Sequence[str]], expected: str
) -> None:
    text = pd.DataFrame(cells)
    with pytest.raises(CellError, match=expected) as caught:
        task.parse(text, lambda: text.to_numpy(dtype=np.float64))
    assert caught.value.right.tolist() == [True, False]


@BOTH
def test_scores_are_undone_and_a_temperature_keeps_the_order(task: Task) -> None:
    block = blocks(task)
    assert task.from_scores(task.to_scores(block)) == pytest.approx(block)
    assert task.at_temperature(block, 1.0) == pytest.approx(block)
    flat = task.at_temperature(block, 3.0)
    assert (flat.argsort(axis=1) == block.argsort(axis=1)).all()
    assert flat.max(axis=1).mean() < block.max(axis=1).mean()
    certain = np.array([[1.0, 0.0, 0.0]])
    assert np.isfinite(task.to_scores(certain)).all()


@BOTH
def test_what_weights_and_rounding_left_is_brought_back(task: Task) -> None:
    block = blocks(task)
    assert task.normalise(block) == pytest.approx(block)
    above = task.normalise(np.array([[1 + 1e-15, 0.5, 0.5]]))
    assert above.max() <= 1
    if task.sums_to_one:
        assert above.sum() == pytest.approx(1)


def test_the_probability_of_the_truth_is_that_of_the_class_or_of_the_worst_cell() -> None:
    block = np.array([[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    codes, marks = Targets(np.array([1, 2])), Targets(np.array([[0, 1, 0], [1, 0, 1]]))
    assert ONE.likelihood(codes, block).tolist() == ONE.right(codes, block).tolist() == [0.7, 0.1]
    assert MANY.likelihood(marks, block) == pytest.approx(
        np.array([[0.8, 0.7, 0.9], [0.6, 0.7, 0.1]])
    )
    assert MANY.right(marks, block) == pytest.approx([0.7, 0.1])
    assert ONE.log_loss(ONE.likelihood(codes, block)) == pytest.approx(-np.log([0.7, 0.1]).mean())
    cells = -np.log([[0.8, 0.7, 0.9], [0.6, 0.7, 0.1]])
    assert MANY.log_loss(MANY.likelihood(marks, block)) == pytest.approx(cells.mean())
    weighted = MANY.log_loss(MANY.likelihood(marks, block), (0, 0, 2))
    assert weighted == pytest.approx(cells[:, 2].mean())


@BOTH
def test_what_is_likely_is_named_and_as_sure_as_its_least_sure_decision(task: Task) -> None:
    block = blocks(task)
    likely = task.likely(block)
    assert (task.marks(likely) == task.name_classes(block, 0.5)).all()
    assert task.sureness(block) == pytest.approx(task.right(likely, block))
    confidence, right = task.decisions(likely, block)
    assert len(confidence) == len(right)
    assert right[confidence > 0.5].all()


@BOTH
def test_drawn_labels_have_the_probabilities_they_are_drawn_from(task: Task) -> None:
    block = np.tile(blocks(task, 1), (40_000, 1))
    drawn = task.draw(block, FREE, np.random.default_rng(0))
    assert task.marks(drawn).mean(axis=0) == pytest.approx(block[0], abs=0.01)


def test_many_labels_are_drawn_as_many_as_rows_have() -> None:
    two = Known(Targets(np.array([[1, 1, 0], [0, 1, 1]])), np.empty((2, 3)))
    drawn = MANY.draw(np.full((500, 3), 0.5), two, np.random.default_rng(0))
    assert (drawn.values.sum(axis=1) == 2).all()


@BOTH
def test_an_expected_value_is_the_mean_over_drawn_labels(task: Task) -> None:
    block = np.tile(blocks(task, 1), (60_000, 1))
    values = np.log(task.outcomes(blocks(task, 1)[:, ::-1].copy()))
    given = task.draw(block, FREE, np.random.default_rng(1))
    lost = task.log_loss(task.likelihood(given, block[:, ::-1]))
    tiled = np.repeat(values, len(block), axis=-2)
    assert task.expect(block, tiled) == pytest.approx(-lost, abs=0.01)


def test_the_facts_are_shares_and_of_many_labels_their_number_too() -> None:
    assert ONE.facts(ONE.encode(rows(ONE))) == {"classes": {"b": 0.25, "id": 0.25, "a": 0.5}}
    assert MANY.facts(MANY.encode(rows(MANY))) == {
        "classes": {"b": 0.5, "id": 0.25, "a": 0.25},
        "labels_per_row": 1.0,
        "rows_without_label": 1,
    }


@BOTH
def test_a_baseline_knows_the_shares_or_nothing(task: Task) -> None:
    targets = task.encode(rows(task))
    made = task.baselines(targets, 2)
    assert made["class prior"][1] == pytest.approx(task.marks(targets).mean(axis=0))
    assert len(np.unique(made["uniform"])) == 1
    assert not any(task.unfit(block).any() for block in made.values())


@BOTH
def test_what_is_no_probability_is_found(task: Task) -> None:
    block = np.array([[0.5, 0.5, 0.0], [0.5, np.nan, 0.0], [1.1, 0.0, 0.0], [0.0, -0.1, 1.0]])
    assert task.unfit(block).tolist() == [False, True, True, True]


@BOTH
def test_the_worst_rows_have_the_largest_losses(task: Task) -> None:
    targets, block = task.encode(rows(task)), blocks(task, 4)
    assert task.losses(targets, block) == pytest.approx(-np.log(task.right(targets, block)))
    assert np.isfinite(task.losses(task.likely(block), np.zeros((4, 3)))).all()
