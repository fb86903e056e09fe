"""Where submissions go: one module a platform, each with `send`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldwise.data.formats import SubmissionFormat
from foldwise.spec.competition import CompetitionSpec

Grade = Callable[[pd.DataFrame, pd.DataFrame], float]  # truth, predictions -> the metric


@dataclass(frozen=True)
class Parcel:
    """A validated submission file on its way to a platform."""

    spec: CompetitionSpec
    file: Path
    shape: SubmissionFormat
    grade: Grade  # the competition's metric, for platforms that score on this machine
    data: Path  # the competition's data folder


@dataclass(frozen=True)
class Receipt:
    """What a platform said: `state` is `scored`, or `ready` where a person uploads the file."""

    state: str
    message: str
    public: float | None = None
    private: float | None = None
    rank: int | None = None
    teams: int | None = None
