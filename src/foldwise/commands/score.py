"""`score`: any submission file, validated by its platform's rules and scored by known answers."""

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import pandas as pd

from foldwise.data.competition import CompetitionData
from foldwise.data.holdout import UNCOUNTED, parts_in, read_solution, read_truth
from foldwise.data.opened import OpenCompetition
from foldwise.errors import DataError, FoldwiseError, examples
from foldwise.metrics.scoring import score
from foldwise.shapes.submission import read_in_any_order, read_submission
from foldwise.submitting.platforms import destination
from foldwise.tables.text import read_header


class PartScore(TypedDict):
    """The score of a part of the rows.

    part: `all`, `public` or `private`. low, high: the ends of its 95 % interval; None: it has none.
    """

    part: str
    rows: int
    value: float
    low: float | None
    high: float | None


class FileScores(TypedDict):
    """What `score_file` found.

    moved: which of `rows` and `columns` stand in another order than the format file's. asked: the
    ids that the format file asks for. truth: where the answers came from; None where nobody knows
    them, and `scores` is then empty. page: the platform's. resampled: what intervals are drawn of.
    """

    competition: str
    file: str
    platform: str
    page: str | None
    moved: list[str]
    asked: int
    metric: str
    higher: bool
    truth: str | None
    resampled: str
    scores: list[PartScore]


def score_file(competition: OpenCompetition, file: Path, truth: Path | None = None) -> FileScores:
    """Validate a submission file by the platform's rules, and score it where there is a truth.

    truth: answers of test rows, laid out as the format file, as the training labels, or as a
    practice board's truth.csv; by default the practice board's own. Of it all rows count, and each
    part that it names by itself; those of part `ignored` count nowhere. Nothing is written, and
    nothing is sent.
    Raises: SubmissionError: the file breaks a rule. DataError: the truth is missing, is laid out in
            another way, or is of other ids. PredictionError: the metric has no value.
    """
    data = competition.data
    platform, moved = destination(data.spec), list[str]()
    if platform.any_order:
        predictions, moved = read_in_any_order(file, data.format)
    else:
        predictions = read_submission(file, data.format)
    board = data.home.platform.truth
    if truth is None and platform.practice and board.is_file():
        truth = board
    scores: list[PartScore] = []
    grouped = False
    if truth is not None:
        answers = _with_groups(read_answers(data, truth), data.test.frame)
        grouped = "group" in answers
        scores = _score_parts(data, answers, predictions)
    return {
        "competition": data.spec.name,
        "file": str(file),
        "platform": platform.title,
        "page": platform.page,
        "moved": moved,
        "asked": len(data.format.ids),
        "metric": data.spec.metric.title,
        "higher": data.spec.metric.higher,
        "truth": str(truth) if truth else None,
        "resampled": "groups" if grouped else "rows",
        "scores": scores,
    }


def read_answers(data: CompetitionData, path: Path) -> pd.DataFrame:
    """The truth in a file: `id`, targets as a LabelTable has them, and `part` if rows have one.

    It is read in the first of its possible layouts that fits: that of the format file, of
    a practice board's truth.csv, of the training labels.
    Raises: DataError: none of them fits, or it holds an id that the format file does not ask for.
    """
    if not path.is_file():
        raise DataError(
            f"expected a file with the answers at {path}, found none; give its path, e.g. "
            "--truth solution.csv"
        )
    readers: dict[str, Callable[[CompetitionData, Path], pd.DataFrame]] = {
        "the format file": _as_format,
        "a practice board's truth": lambda data, path: read_truth(path, data.task).drop(
            columns="group", errors="ignore"
        ),
        "the training labels": _as_training_labels,
    }
    misfits: dict[str, str] = {}
    for name, read in readers.items():
        try:
            answers = read(data, path)
        except FoldwiseError as error:
            misfits[name] = str(error).removeprefix(f"{path}: ")
            continue
        unknown = answers.loc[~answers["id"].isin(data.format.ids), "id"]
        if len(unknown):
            raise DataError(
                f"{path} should hold answers of the {len(data.format.ids)} ids that a submission "
                f"is asked for; {len(unknown)} of {len(answers)} are unknown, e.g. "
                f"{examples(unknown, 1)}; remove them, or give the truth of this test set"
            )
        return answers
    like_format = {*read_header(path)} == {*data.format.columns}
    name = "the format file" if like_format else "the training labels"
    raise DataError(
        f"{path} should hold the true answers, laid out as the format file (columns "
        f"{examples(data.format.columns, 4)}), as a practice board's truth or as the training "
        f"labels; read as {name}: {misfits[name]}; correct the file"
    )


def _as_format(data: CompetitionData, path: Path) -> pd.DataFrame:
    """The answers of a file that is itself a perfect submission."""
    task = data.task
    rows, _ = read_in_any_order(path, data.format)
    block = rows.iloc[:, 1:].to_numpy()
    targets = task.likely(block)
    if "probabilities" in task.answers:
        sure = (task.marks(targets) == block).all(axis=1)
        if not sure.all():
            raise DataError(
                f"{path}: answers should be certain, 0 or 1; {(~sure).sum()} of {len(rows)} rows "
                f"are not, e.g. id {examples(rows.loc[~sure, 'id'], 1)}"
            )
    return pd.concat([rows[["id"]], task.frame(targets)], axis=1)


def _as_training_labels(data: CompetitionData, path: Path) -> pd.DataFrame:
    """The answers of a file that is laid out as the training labels, perhaps with `Usage`."""
    table = read_solution(data.spec, data.raw, str(path.resolve()), data.classes)
    answers, parts = table.frame[["id", *data.task.target_columns]], parts_in(table)
    return answers if parts is None else answers.assign(part=parts)


def _with_groups(answers: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    """The answers with the `group` of each test row, where all rows have one."""
    groups = test.set_index("id")["group"].reindex(answers["id"])
    return answers if groups.isna().any() else answers.assign(group=groups.to_numpy())


def _score_parts(
    data: CompetitionData, answers: pd.DataFrame, predictions: pd.DataFrame
) -> list[PartScore]:
    """The scores of all rows that count, and of each part that they have.

    Raises: DataError: no row counts. PredictionError: see `score`.
    """
    part = answers.get("part", pd.Series("all", index=answers.index, dtype=str))
    counted = part != UNCOUNTED
    if not counted.any():
        raise DataError(f"the truth should have rows that count, all {len(part)} are {UNCOUNTED!r}")
    chosen = {"all": counted} | {name: part == name for name in sorted({*part[counted]} - {"all"})}
    rows: list[PartScore] = []
    for name, its_own in chosen.items():
        truth = answers[its_own].drop(columns="part", errors="ignore").reset_index(drop=True)
        own = predictions[predictions["id"].isin(truth["id"])]
        found = score(data.spec.metric, truth, own, data.hooks.get("score"))
        rows.append(
            {
                "part": name,
                "rows": len(truth),
                "value": found.value,
                "low": found.low,
                "high": found.high,
            }
        )
    return rows
