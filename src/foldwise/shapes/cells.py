"""Classes by name or code in one cell: the most probable, the first k, all above a threshold."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from foldwise.arrays import Array
from foldwise.errors import SpecError, SubmissionError, nearest
from foldwise.kinds.answer import Answer
from foldwise.kinds.bounds import Count, Inside
from foldwise.kinds.shape import SubmissionFormat
from foldwise.shapes.numbers import OneColumn, need_classes


class Coded(OneColumn):
    """A shape whose file names classes."""

    # What stands in the file for a class; by default its name. Example: {cat = "0", dog = "1"}
    codes: dict[str, str] = Field(default_factory=dict)

    def code(self, name: str) -> str:
        """What stands in the file for a class."""
        return self.codes.get(name, name)

    def check_classes(self, classes: Sequence[str]) -> None:
        """See `Shape.check_classes`."""
        need_classes([*self.codes], classes)
        known = self.words()
        for name in classes:
            code = self.code(name)
            if code in known:
                raise SpecError(
                    f"[submission] codes should differ, {known[code]} and {name!r} are "
                    f"both {code!r} in the file"
                )
            known[code] = repr(name)

    def words(self) -> dict[str, str]:
        """Cells that are no class, and what each of them is, for messages."""
        return {}


class Cells(Coded):
    """A shape whose cells hold the classes that are answered, the first ranked first."""

    holds: ClassVar[Answer] = "labels"

    def most(self, classes: Sequence[str]) -> int:
        """How many classes a cell may hold."""
        return 1

    def split(self, cell: str) -> list[str]:
        """The codes in a cell."""
        return [cell]

    def write(self, answers: Array, form: SubmissionFormat) -> pd.DataFrame:
        """One column with the classes that are answered."""
        order = np.argsort(-answers, axis=1, kind="stable")
        cells = [
            self.join([self.code(form.classes[c]) for c in ranked if row[c] > 0])
            for row, ranked in zip(answers, order, strict=True)
        ]
        return form.fill({form.answers[0]: cells})

    def read(self, frame: pd.DataFrame, form: SubmissionFormat, path: Path) -> Array:
        """Known classes, none twice."""
        cells, most = frame[form.answers[0]], self.most(form.classes)
        code = {self.code(name): number for number, name in enumerate(form.classes)}
        answers = np.zeros((len(cells), len(form.classes)))
        for row, cell in enumerate(cells):
            names = self.split(cell)
            where = f"{path}: id {form.ids[row]!r} has {cell!r} in {form.answers[0]!r}"
            for name in names:
                if name not in code:
                    raise SubmissionError(f"{where}; {name!r} is no class{nearest(name, [*code])}")
            if len(names) > most or len(set(names)) < len(names):
                raise SubmissionError(
                    f"{where}; expected at most {most} classes, none of them twice"
                )
            ranks = 1 / np.arange(1, len(names) + 1) if self.holds == "ranking" else 1.0
            answers[row, [code[name] for name in names]] = ranks
        return answers


class Label(Cells):
    """The most probable class."""

    usual_metric: ClassVar[str] = "accuracy"

    shape: Literal["label"] = "label"

    def decide(self, probs: Array) -> Array:
        """1 for the most probable class, 0 for the others."""
        answer = np.zeros_like(probs)
        answer[np.arange(len(probs)), probs.argmax(axis=1)] = 1
        return answer


class Several(Cells):
    """A shape whose cells may hold several classes."""

    separator: str = " "  # What stands between two classes in a cell. Example: ";"

    @property
    def several(self) -> bool:
        """Whether a cell may hold more than one class; else a code may hold the separator."""
        return True

    def join(self, names: Sequence[str]) -> str:
        """The classes with the separator between them."""
        return self.separator.join(names)

    def split(self, cell: str) -> list[str]:
        """The codes in a cell."""
        return cell.split(self.separator) if self.several else [cell]

    def check_classes(self, classes: Sequence[str]) -> None:
        """See `Shape.check_classes`."""
        super().check_classes(classes)
        for code in map(self.code, classes):
            if self.several and self.separator in code:
                raise SpecError(
                    f"[submission] separator = {self.separator!r} is part of the class {code!r}; "
                    "choose another one, or write [submission.codes] without it"
                )


class Top(Several):
    """The k most probable classes, in one cell."""

    holds: ClassVar[Answer] = "ranking"
    usual_metric: ClassVar[str] = "map"

    shape: Literal["top"] = "top"
    k: Count = 5  # How many classes a cell holds at most, the most probable first. Example: 3

    def most(self, classes: Sequence[str]) -> int:
        """k."""
        return self.k

    @property
    def several(self) -> bool:
        """See `Several.several`."""
        return self.k > 1

    def decide(self, probs: Array) -> Array:
        """1, 1/2, 1/3, ... for the first k classes; equal probabilities go by class order."""
        answer = np.zeros_like(probs)
        best = np.argsort(-probs, axis=1, kind="stable")[:, : self.k]
        np.put_along_axis(answer, best, 1 / np.arange(1, best.shape[1] + 1), axis=1)
        return answer


class TagsCell(Several):
    """Every class whose probability reaches a threshold, in one cell."""

    usual_metric: ClassVar[str] = "f1"

    shape: Literal["tags"] = "tags"
    threshold: Inside = 0.5  # The probability from which on a class is named. Example: 0.4
    # The cell of a row in which no class reaches the threshold; by default the most probable class.
    # Example: "nothing"
    none: str | None = None

    @property
    def cutoff(self) -> float | None:
        """The threshold."""
        return self.threshold

    def most(self, classes: Sequence[str]) -> int:
        """All of them."""
        return len(classes)

    def words(self) -> dict[str, str]:
        """The cell where no class passes."""
        return {} if self.none is None else {self.none: "[submission] none"}

    def join(self, names: Sequence[str]) -> str:
        """The classes, or the cell for none."""
        return super().join(names) if names else self.none or ""

    def split(self, cell: str) -> list[str]:
        """The codes in a cell."""
        return [] if cell == self.none else super().split(cell)

    def decide(self, probs: Array) -> Array:
        """1 for classes at or above the threshold; where none passes and `none` is no answer, for
        the most probable one."""
        answer = (probs >= self.threshold).astype(np.float64)
        if self.none is None:
            empty = np.flatnonzero(~answer.any(axis=1))
            answer[empty, probs[empty].argmax(axis=1)] = 1
        return answer
