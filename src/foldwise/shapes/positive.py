"""Positive: the probability of one of two classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from foldwise.arrays import Array
from foldwise.errors import SpecError
from foldwise.kinds.shape import SubmissionFormat
from foldwise.shapes.numbers import OneColumn, as_text, check_probabilities, need_classes
from foldwise.tables.text import numeric


class Positive(OneColumn):
    """The probability of one of two classes, in one column."""

    one_of_two: ClassVar[bool] = True

    shape: Literal["positive"] = "positive"
    # The class whose probability the column holds. Example: "dog"
    positive: str = Field(examples=["dog"])

    def write(self, answers: Array, form: SubmissionFormat) -> pd.DataFrame:
        """One column with the probability of the positive class."""
        return form.fill({form.answers[0]: as_text(answers[:, self._number(form)])})

    def read(self, frame: pd.DataFrame, form: SubmissionFormat, path: Path) -> Array:
        """A probability in 0..1; the other class has the rest."""
        values = numeric(frame, form.answers, form.id_column, path)
        check_probabilities(path, values, form.ids)
        answers = np.hstack([values, 1 - values])
        return answers if self._number(form) == 0 else answers[:, ::-1]

    def check_classes(self, classes: Sequence[str]) -> None:
        """See `Shape.check_classes`."""
        need_classes([self.positive], classes)
        if len(classes) != 2:
            raise SpecError(
                f'[submission] shape = "positive" needs two classes, there are {len(classes)}'
            )

    def _number(self, form: SubmissionFormat) -> int:
        return form.classes.index(self.positive)
