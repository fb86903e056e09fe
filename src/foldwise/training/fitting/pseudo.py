"""Pseudo-labels: confident test predictions that join one fold's training part each.

Fold k takes them from fold k's model of a finished run with the same folds. That model never
trained on fold k's validation rows, so neither it nor what it teaches knows their labels. A blend,
or a mean over folds, would: all other folds' models were trained on these rows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.config.pseudo import Pseudo
from foldwise.config.recipe import Recipe
from foldwise.data.competition import CompetitionData, digests
from foldwise.data.folds import Folds
from foldwise.data.labels.table import SHARES, WEIGHT, LabelTable
from foldwise.errors import RunError, examples
from foldwise.store.files import sha256_file, sha256_json
from foldwise.store.layout import CompetitionRuns, RunFolder
from foldwise.store.predictions import align, read_predictions, write_predictions
from foldwise.store.run_records import RunRecord
from foldwise.store.runs import predictions_of_test
from foldwise.tasks import Task


@dataclass(frozen=True)
class PseudoLabels:
    """What the folds of a run take from its teacher.

    tables: for each fold the teacher's predictions `id, *classes` of the rows taken, sorted by id.
    record: for run.json: `run, identity` of the teacher, `left_out` (test rows that are copies of
    training rows), and for each of `folds` the number of `rows`, the lowest `confidence` among
    them, and hashes of where they come from.
    """

    tables: tuple[pd.DataFrame, ...]
    record: Mapping[str, object]

    def write(self, run: RunFolder) -> None:
        """Write each fold's table, where it is not there yet."""
        for fold, table in enumerate(self.tables):
            path = run.fold(fold).pseudo
            if not path.is_file():
                write_predictions(path, table)


def pseudo_labels(
    runs: Path,
    data: CompetitionData,
    recipe: Recipe,
    seed: int,
    folds: Folds,
) -> PseudoLabels | None:
    """The pseudo-labels of a recipe's run; None where it has no `[pseudo]`.

    Test rows whose pixels, or whose id, stand among the training rows are left out: in one fold
    these are validation rows, in the others their true label is known.

    Raises: RunError: there is no such teacher, see `teacher_of`, or it is not sure of any row.
    """
    if recipe.pseudo is None:
        return None
    teacher, record = teacher_of(
        CompetitionRuns(runs / data.spec.name), recipe, seed, folds, data.classes
    )
    ids, known = data.test.frame["id"], data.train.frame["id"]
    pixels = digests(data)
    twice = pixels.reindex(ids).isin(pixels.reindex(known).dropna()).to_numpy()
    left_out = twice | ids.isin(known).to_numpy()
    tables, sources = [], []
    for fold in range(folds.n):
        of = folds.frame["fold"]
        frame = predictions_of_test(teacher, fold, data.classes, ids)[~left_out]
        rows = int(((of >= 0) & (of != fold)).sum())
        what = f"{teacher.name} fold {fold}, test"
        table, lowest = surest(frame, data.task, recipe.pseudo, rows, what)
        tables.append(table)
        sources.append(
            {
                "rows": len(table),
                "confidence": lowest,
                "test_sha256": sha256_file(teacher.fold(fold).test),
                "ids_sha256": sha256_json([*table["id"]]),
            }
        )
    told = {"run": teacher.name, "identity": record.identity, "left_out": int(left_out.sum())}
    return PseudoLabels(tables=tuple(tables), record={**told, "folds": sources})


def surest(
    frame: pd.DataFrame, task: Task, pseudo: Pseudo, rows: int, what: str
) -> tuple[pd.DataFrame, float]:
    """The rows of a predictions frame that are taken, sorted by id; and the lowest confidence.

    A row's confidence: see `Task.sureness`. rows: those that the training part has without them.
    Raises: RunError: no row is as confident as is asked for.
    """
    probs = frame.iloc[:, 1:].to_numpy()  # (n, C)
    sure = task.sureness(probs)
    order = np.lexsort((frame["id"].to_numpy(dtype=str), -sure))
    most = math.ceil(rows * pseudo.share / (1 - pseudo.share) - 1e-9)
    order = order[sure[order] >= pseudo.confidence][:most]
    if not len(order):
        raise RunError(
            f"[pseudo] takes test rows with a confidence of at least {pseudo.confidence:g}, and "
            f"{what}, has none among {len(frame)}: the highest is "
            f"{sure.max(initial=0):.4f}; lower confidence, or train a better teacher"
        )
    return frame.iloc[order].sort_values("id", ignore_index=True), float(sure[order[-1]])


def teacher_of(
    folder: CompetitionRuns, recipe: Recipe, seed: int, folds: Folds, classes: Sequence[str]
) -> tuple[RunFolder, RunRecord]:
    """The folder and record of the run that `[pseudo] run` names, by its own or a recipe's name.

    Of a recipe's runs on these folds it is that of the same seed, else the only one there is.
    Raises: RunError: there is none, or are several; its folds or classes are others; a fold is not
            trained; its validation rows chose the epoch at which its training ended.
    """
    assert recipe.pseudo is not None
    name, who = recipe.pseudo.run, f"recipe {recipe.name}: [pseudo] run = {recipe.pseudo.run!r}"
    if folder.blend(name).finished:
        raise RunError(
            f"{who} is a blend: for each fold's validation rows it knows models that "
            "were trained on them; name one run or recipe"
        )
    found = [(run, RunRecord.read(run.record)) for run in folder.runs()]
    named = [(run, record) for run, record in found if name in (run.name, record.recipe["name"])]
    if not named:
        raise RunError(
            f"{who} names no run and no recipe that was trained; there are: "
            f"{examples([run.name for run, _ in found], 10) or 'none'}. Train it first: "
            f"`foldwise train {folder.name} --recipe {name}`"
        )
    same = [each for each in named if each[1].folds_sha256 == folds.sha256]
    if not same:
        raise RunError(
            f"{who} was trained on other folds ({named[0][1].folds_sha256[:8]}, here "
            f"{folds.sha256[:8]}), so its models may know this run's validation rows; train it on "
            "these folds"
        )
    chosen = [each for each in same if each[1].seed == seed] or same
    if len(chosen) > 1:
        raise RunError(
            f"{who} is one of {len(chosen)} runs on these folds; name one: "
            f"{examples([run.name for run, _ in chosen], 10)}"
        )
    _check_teacher(*chosen[0], folds, classes, who)
    return chosen[0]


def _check_teacher(
    run: RunFolder, record: RunRecord, folds: Folds, classes: Sequence[str], who: str
) -> None:
    """Raises: RunError: see `teacher_of`."""
    if record.classes != tuple(classes):
        raise RunError(
            f"{who} has other classes, {examples(record.classes)}, here "
            f"{examples(classes)}; train it again"
        )
    if open_folds := run.unfinished(folds.n):
        raise RunError(
            f"{who}: folds {examples(open_folds, 10)} of {folds.n} of {run.name} are not trained "
            "yet; run `foldwise train` for it, it goes on with them"
        )
    if record.recipe.get("early_stop"):
        raise RunError(
            f"{who}: {run.name} has early_stop, so each fold's validation rows chose its model; "
            "name a run with early_stop = 0"
        )


def with_pseudo(
    train: LabelTable, test: LabelTable, folds: Folds, fold: int, pseudo: Pseudo, path: Path
) -> tuple[LabelTable, Folds]:
    """The training rows and the folds of one fold's training, with its pseudo-labelled rows.

    These are put into the fold after this one, so they are in no validation part here. Every row
    has a weight then, and shares if `soft` says so, or if the training rows have some.
    path: what its run took from the teacher.
    """
    taken = read_predictions(path, train.classes)
    chosen = test.where(test.frame["id"].isin(taken["id"]).to_numpy())
    probs = align(taken, chosen.frame["id"], str(path)).iloc[:, 1:].to_numpy()
    added = chosen.frame[["id", "path", "group"]]
    targets = train.task.frame(train.task.likely(probs))
    new = replace(train, frame=pd.concat([added, targets], axis=1), source=chosen.source)
    soft, frames = pseudo.soft or SHARES in train.frame, []
    for table, shares, weight in (
        (train, train.marks(), 1.0),
        (new, probs if pseudo.soft else new.marks(), pseudo.weight),
    ):
        frame = table.frame.copy()
        if soft and SHARES not in frame:
            frame[SHARES] = list(shares.astype(np.float64))
        if WEIGHT not in frame:
            frame[WEIGHT] = weight
        frames.append(frame)
    places = pd.DataFrame({"id": added["id"], "fold": (fold + 1) % folds.n})
    return (
        replace(
            train,
            frame=pd.concat(frames, ignore_index=True),
            source=pd.concat([train.source, new.source], ignore_index=True),
        ),
        replace(folds, frame=pd.concat([folds.frame, places], ignore_index=True)),
    )
