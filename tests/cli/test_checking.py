"""The report of `check`: marks, one line for each part, and what to do at its end."""

import shutil
from typing import cast

import pytest

from foldwise import doctor
from foldwise.cli.checking import report_lines
from foldwise.doctor.findings import Findings, Understood
from foldwise.workspace import Workspace
from tiny import edit

MARKED = {"✓": "[green]✓[/]", "!": "[yellow]![/]", "✗": "[bold red]✗[/]"}


def marks_of(lines: list[str]) -> dict[str, str]:
    """The mark of each part of a report."""
    found = {}
    for line in lines:
        for mark, markup in MARKED.items():
            if line.startswith(f"{markup} [bold]"):
                found[line.removeprefix(f"{markup} [bold]").split()[0].split("[")[0]] = mark
    return found


def test_each_part_has_a_line_and_doubts_are_marked_where_they_belong(
    workspace: Workspace,
) -> None:
    lines = report_lines(doctor.check(workspace, "tiny"), "tiny")
    parts = ["Data", "Labels", "Groups", "Folds", "Images", "Format", "Metric"]
    marks = marks_of(lines)
    assert [*marks] == parts
    assert {part: mark for part, mark in marks.items() if mark != "✓"} == {"Folds": "!"}
    text = "\n".join(lines)
    for words in (
        "multi-class; 3 classes, 33.3% of the rows each",
        "site: 6 in train, 6 in test, 0 in both",
        "default: 3 folds, stratified, 10 rows each",
        "px, mode L; no copies",
        "submission_format.csv: 12 rows, 4 columns, shape wide",
        "log loss",
    ):
        assert words in text
    assert lines[-2:] == ["[green]ready[/]", "next    foldwise train tiny --fast"]


def test_missing_images_are_named_once_with_the_steps_to_get_them(workspace: Workspace) -> None:
    shutil.rmtree(workspace.raw("tiny") / "images")
    lines = report_lines(doctor.check(workspace, "tiny"), "tiny")
    assert marks_of(lines)["Images"] == "✗"
    assert sum("have no image" in line for line in lines) == 1
    steps = [line.split()[0] for line in lines if line.startswith("    ") and line[4].isdigit()]
    assert steps == ["1.", "2.", "3.", "4."]
    assert any("`make data COMP=tiny FROM=<archive or folder>`" in line for line in lines)
    assert lines[-2] == "[bold red]not ready[/]"
    assert lines[-1].endswith("then foldwise check tiny")


def test_a_wrong_recipe_has_a_line_of_its_own(workspace: Workspace) -> None:
    edit(workspace.competition("tiny") / "recipes" / "tiny.toml", "batch_size", "batchsize")
    marks = marks_of(report_lines(doctor.check(workspace, "tiny"), "tiny"))
    assert marks["Recipes"] == "✗"


def test_tables_that_cannot_be_read_leave_one_part(workspace: Workspace) -> None:
    (workspace.raw("tiny") / "train_labels.csv").unlink()
    assert marks_of(report_lines(doctor.check(workspace, "tiny"), "tiny")) == {"Data": "✗"}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {"classes": {"a": 0.25, "b": 0.5}, "labels_per_row": 0.75, "rows_without_label": 1200},
            "2 labels, from a (25.0% of the rows) to b (50.0%); 0.75 labels per row, "
            "1,200 rows without one",
        ),
        (
            {"numbers": {f"n{i}": {"low": 1.0, "high": 116.0, "mean": 33.25} for i in range(4)}},
            "n2 1 to 116, mean 33.25; 4 columns in all",
        ),
    ],
)
def test_labels_and_numbers_are_summed_up(facts: dict[str, object], words: str) -> None:
    findings = Findings(facts=cast(Understood, {"task": "a task", **facts}))
    text = " ".join(" ".join(report_lines(findings, "x")).split())
    assert words in text


def test_long_texts_fit_100_columns_and_commands_stay_whole() -> None:
    command = "`foldwise data birds --from somewhere/with/a/long/path.zip`"
    findings = Findings(errors=["word " * 17 + command + " end " * 20])
    lines = [line.replace("[bold red]✗[/]", "✗") for line in report_lines(findings, "birds")]
    assert max(map(len, lines)) <= 100
    assert any(command in line for line in lines)
