"""foldwise new --host: a practice board from labelled images, with a test set and baselines."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.config.competition import load_competition
from foldwise.data.competition import CompetitionData, image_caches, load_data
from foldwise.data.images.decoding import Progress
from foldwise.data.images.resizing import Resizing
from foldwise.drafting.draft import Draft, draft
from foldwise.errors import SpecError
from foldwise.metrics.scoring import score
from foldwise.shapes.submission import write_submission
from foldwise.store.data_records import BoardEntry
from foldwise.store.predictions import predictions_frame
from foldwise.submitting.platforms import Grade, Parcel, local
from foldwise.tables.archives import add_to_raw
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)

THUMBNAIL_SIZE = (8, 8)  # pixels
QUICK_CELLS = 200_000  # rows times classes up to which the regression takes seconds


@dataclass(frozen=True)
class Hosted:
    """A practice board: its parts, where truth and format file lie, its first entries.

    group: the column whose values stand in one part only, if there is one. draft: None where the
    competition was there already.
    """

    name: str
    train_rows: int
    test_rows: int
    group: str | None
    truth: Path
    format: Path
    board: tuple[BoardEntry, ...]
    draft: Draft | None


def host(workspace: Workspace, name: str, source: Path, progress: Progress | None = None) -> Hosted:
    """A practice board from a folder of labelled images: drafted, filled, split, with baselines.

    What is there already is kept, so that the same command goes on after a correction of the draft.
    Training never sees the test rows' labels; the files in raw still hold them.
    Raises: SpecError: the name is that of a competition with a board elsewhere.
            DataError, ImageError, FoldError: see `draft`, `add_to_raw` and `load_data`.
    """
    folder, raw = workspace.competitions / name, workspace.raw(name)
    made = None if name in workspace.names() else draft(workspace, name, source, host=True)
    spec = load_competition(folder)
    if not (spec.holdout or spec.files.solution):
        raise SpecError(
            f'expected a new name, or a competition with platform = "local" and [holdout] (or '
            f"[files] solution), got {name!r}, whose {folder / 'competition.toml'} has neither; "
            "choose another name"
        )
    if made:
        log.info(
            "%s: drafted; where something is wrong, correct competition.toml and run the same "
            "command again",
            name,
        )
    if source.resolve() != raw.resolve():
        add_to_raw(source, raw, spec)
    data = load_data(workspace, name)
    platform = data.home.platform
    for team, probs in baselines(data, progress).items():
        predictions = predictions_frame(data.format.ids, probs, data.classes)
        write_submission(platform.entry(team), predictions, data.format)
        if team == "uniform" and spec.holdout:
            write_submission(data.home.format, predictions, data.format)
    # no file of the team's is entered; those that were lie in this folder
    parcel = Parcel(
        spec=spec,
        file=workspace.submissions(name, spec.platform.practice) / data.home.format.name,
        shape=data.format,
        grade=_grade(data),
        data=raw.parent,
    )
    form = raw / spec.files.format if spec.files.format else data.home.format
    group = spec.labels.group_column if spec.holdout else None
    return Hosted(
        name=name,
        train_rows=len(data.train),
        test_rows=len(data.test),
        group=group,
        truth=platform.truth,
        format=form,
        board=tuple(local.enter(parcel)),
        draft=made,
    )


def baselines(data: CompetitionData, progress: Progress | None = None) -> dict[str, Array]:
    """Probabilities (n_test, C) by team, rows as in the format file: what no model should be below.

    Those of `Task.baselines`, and for small sets `logistic regression`, of the pixels of
    thumbnails.
    """
    found = data.task.baselines(data.train.targets, len(data.format.ids))
    if data.task.probabilities and len(data.train) * len(data.task) <= QUICK_CELLS:
        found["logistic regression"] = _regression(data, progress)
    return found


def _regression(data: CompetitionData, progress: Progress | None) -> Array:
    """Probabilities (n_test, C) of a logistic regression on thumbnails' pixels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    (cache,) = image_caches(data, [THUMBNAIL_SIZE], Resizing(shape="squash"), progress)
    ids = data.train.frame["id"], pd.Series(data.format.ids, dtype=str)
    train, test = (cache.pixels[cache.rows(rows)].reshape(len(rows), -1) / 255 for rows in ids)
    model = LogisticRegression(max_iter=200)
    with warnings.catch_warnings():
        # nearly converged is good enough; a tag that all rows or none have needs no model
        warnings.simplefilter("ignore", UserWarning)
        targets = data.train.targets.values
        if targets.ndim > 1:
            each = OneVsRestClassifier(model).fit(train, targets)
            return np.asarray(each.predict_proba(test))
        model.fit(train, targets)
    probs = np.zeros((len(test), len(data.task)))
    probs[:, model.classes_] = model.predict_proba(test)  # classes without a row stay 0
    return probs


def _grade(data: CompetitionData) -> Grade:
    hook = data.hooks.get("score")
    return lambda truth, predictions: (
        score(data.spec.metric, truth, predictions, hook, interval=False).value
    )
