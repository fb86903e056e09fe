"""Groups: which column says what rows belong together, and how many folds rows and groups allow."""

import re
from collections.abc import Iterable

import pandas as pd

from foldwise.drafting.matching import is_path

WORDS = (
    "site",
    "location",
    "place",
    "patient",
    "subject",
    "person",
    "driver",
    "user",
    "animal",
    "individual",
    "tree",
    "plant",
    "field",
    "farm",
    "institution",
    "hospital",
    "slide",
    "plate",
    "camera",
    "device",
    "video",
    "chain",
    "study",
    "session",
    "sequence",
    "seq",
    "series",
    "owner",
    "group",
)
DATE = r"\d{4}[-/:]\d{1,2}[-/:]\d{1,2}.*|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}.*"
NUMBER = r"-?\d+(\.\d*)?(e-?\d+)?"
TRIAL_FOLDS = 5


def guess_group(
    rows: pd.DataFrame, pairs: "pd.Series[str]", known: Iterable[str], test: pd.DataFrame | None
) -> tuple[str | None, dict[str, str]]:
    """The column to group folds by, where one is clear, and what speaks for each that could be it.

    pairs: one entry per row and label, indexed by the row's number. known: columns that are no
    groups. A column that splits whole classes off is not clear: a fold would train without them.
    """
    clear: list[tuple[bool, int, int, str]] = []
    candidates: dict[str, str] = {}
    for column in rows.columns.difference([*known], sort=False):
        cells, distinct = rows[column], rows[column].nunique()
        ranks = [WORDS.index(word) for word in words_of(column) if word in WORDS]
        numbers = not ranks and cells.head(200).str.fullmatch(NUMBER).all()
        if numbers or not 2 <= distinct < len(rows) / 1.5 or is_path(cells) or are_dates(cells):
            continue
        what = f"{distinct} values in {len(rows)} rows"
        apart = test is not None and column in test and not set(cells) & set(test[column])
        what += ", other ones in test" * apart
        held = cells.loc[pairs.index].groupby(pairs.to_numpy()).nunique()
        if (held < 2).mean() > 0.1:
            what += f"; {(held < 2).sum()} of {len(held)} classes stand in one value alone"
        elif apart or (ranks and distinct >= TRIAL_FOLDS and (cells != "").all()):
            clear.append((not apart, distinct, min(ranks, default=len(WORDS)), column))
        candidates[column] = what
    return min(clear)[-1] if clear else None, candidates


def fold_numbers(
    pairs: "pd.Series[str]", groups: "pd.Series[str] | None", n: int, holdout: bool
) -> tuple[int, list[str]]:
    """The number of folds for n rows, and the classes that some training part may lack."""
    if pairs.empty:
        return TRIAL_FOLDS, []
    units = pd.Series(range(n)) if groups is None else groups
    held = units.loc[pairs.index].groupby(pairs.to_numpy()).nunique()
    most = min(units.nunique(), int(held.max()))
    few = held[held < (3 if holdout else 2)]
    most = int(0.8 * most) if holdout else most
    return max(2, min(TRIAL_FOLDS, most)), [str(name) for name in few.index]


def are_dates(cells: "pd.Series[str]") -> bool:
    """True where cells look like days."""
    return bool(cells[cells != ""].head(50).str.fullmatch(DATE).all())


def words_of(name: str) -> list[str]:
    """The words of a column's name, lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
