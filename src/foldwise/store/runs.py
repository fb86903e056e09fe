"""The predictions of a run's folds, together."""

from collections.abc import Iterable, Sequence

import pandas as pd

from foldwise.store.layout import RunFolder
from foldwise.store.predictions import align, read_predictions


def fold_predictions(
    run: RunFolder,
    folds: pd.DataFrame,
    classes: Sequence[str],
    numbers: Iterable[int],
    plain: bool = False,
) -> dict[int, pd.DataFrame]:
    """The out-of-fold predictions `id, *classes` of some folds by their number.

    Rows stand in the order of folds, `id, fold`. plain: without test-time augmentation.
    Raises: PredictionError: a fold has not predicted exactly its own rows.
    """
    return {
        k: align(
            read_predictions(run.fold(k).predictions("oof", plain), classes),
            folds.loc[folds["fold"] == k, "id"],
            f"{run.name} fold {k}",
        )
        for k in numbers
    }


def predictions_of_test(
    run: RunFolder, number: int, classes: Sequence[str], ids: Iterable[str]
) -> pd.DataFrame:
    """The test predictions `id, *classes` of one fold, rows in the order of ids.

    Raises: PredictionError: it has predicted other ids.
    """
    frame = read_predictions(run.fold(number).test, classes)
    return align(frame, ids, f"{run.name} fold {number}, test")
