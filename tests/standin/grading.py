"""Log loss as Kaggle published it, for a solution file: id and class columns, or id and label."""

import csv
import io
import math
from hashlib import sha256

from standin.state import Grade

CLIP = 1e-15


def log_loss_grade(solution: bytes) -> Grade:
    """A function that scores files by the solution, a third of the rows being public."""
    header, *rows = _read(solution)
    labels = len(header) == 2 and not all(_number(row[1]) for row in rows)
    truth = {row[0]: row[1] if labels else header[1 + _largest(row)] for row in rows}

    def grade(content: bytes) -> tuple[float, float]:
        columns, *sent = _read(content)
        if sorted(row[0] for row in sent) != sorted(truth):
            raise ValueError(f"Submission must have {len(truth)} rows with the solution's ids")
        if not labels and set(columns) != set(header):
            raise ValueError("Submission columns do not match the solution's")
        parts: dict[bool, list[float]] = {True: [], False: []}
        for row in sent:
            if len(row) != len(columns) or not all(map(_number, row[1:])):
                raise ValueError(f"Submission has a value that is no number in row '{row[0]}'")
            share = _share(columns, row, truth[row[0]])
            parts[_public(row[0])].append(-math.log(min(max(share, CLIP), 1 - CLIP)))
        both = parts[True] + parts[False]
        public, private = (
            (sum(p) / len(p) if p else sum(both) / len(both)) for p in parts.values()
        )
        return public, private

    return grade


def _read(content: bytes) -> list[list[str]]:
    rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"))) if row]
    if len(rows) < 2:
        raise ValueError("Submission has no rows")
    return rows


def _share(columns: list[str], row: list[str], label: str) -> float:
    if label not in columns[1:]:
        raise ValueError(f"Submission has no column '{label}'")
    total = sum(map(float, row[1:]))
    return float(row[columns.index(label)]) / total if total else 0.0


def _largest(row: list[str]) -> int:
    values = [float(value) for value in row[1:]]
    return values.index(max(values))


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _public(identifier: str) -> bool:
    return sha256(identifier.encode()).digest()[0] % 3 == 0
