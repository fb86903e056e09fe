"""The competition's metric of predictions for its own training rows, without an interval."""

import logging

import pandas as pd

from foldwise.data.competition import CompetitionData
from foldwise.errors import PredictionError
from foldwise.metrics.scoring import score

log = logging.getLogger(__name__)


def score_of(predictions: pd.DataFrame, data: CompetitionData, what: str) -> float | None:
    """The metric of what a file would say of these rows; None, with a warning, if it has none."""
    try:
        return exact_score(predictions, data)
    except PredictionError as error:  # AUC of a fold without positive rows, say
        log.warning("%s has no score: %s", what, error)
        return None


def epoch_score(predictions: pd.DataFrame, data: CompetitionData) -> float | None:
    """The same after an epoch of training, where nothing is said of it if there is none."""
    try:
        return exact_score(predictions, data)
    except PredictionError:
        return None


def exact_score(predictions: pd.DataFrame, data: CompetitionData) -> float:
    """The same. Raises: PredictionError: it has no value."""
    truth = data.train.frame
    truth = truth[truth["id"].isin(predictions["id"])]
    answers, hook = data.format.decide(predictions), data.hooks.get("score")
    return score(data.spec.metric, truth, answers, hook, interval=False).value
