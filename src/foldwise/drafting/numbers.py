"""Numbers: whether the numbers of a column are measurements, or the codes of classes."""

import pandas as pd

from foldwise.drafting.groups import NUMBER, words_of

WHOLE = r"-?\d+(\.0*)?"
PADDED = r"-?0\d.*"  # as codes are written
FEW_NUMBERS = 20  # different whole numbers up to which they are classes
CODE_WORDS = {"id", "ids", "index", "idx", "code", "key", "nr", "fold", "seed", "timestamp"}


def describe_measurements(cells: "pd.Series[str]") -> str | None:
    """What speaks for measurements in a column of cells; None where they are no such numbers.

    Fractions are. Whole numbers are where there are more than FEW_NUMBERS of them, without leading
    zeros, and either most of them stand in one row alone, or they fill most of their range and
    neighbours are about equally frequent, as a distribution has it and codes of classes have not.
    """
    if set(words_of(str(cells.name))) & CODE_WORDS:
        return None
    counts = cells[cells != ""].value_counts()
    values = counts.index.str
    if len(counts) < 3 or not values.fullmatch(NUMBER).all() or values.fullmatch(PADDED).any():
        return None
    if not values.fullmatch(WHOLE).all():
        return f"{len(counts)} different numbers, some of them fractions"
    counts = counts.groupby(counts.index.astype(float)).sum()  # by value, in its order
    span = counts.index[-1] - counts.index[0] + 1
    if len(counts) <= FEW_NUMBERS or len(counts) == counts.sum() == span:
        return None
    if (counts == 1).mean() > 0.5:
        return f"{len(counts)} different whole numbers, most of them in one row alone"
    if len(counts) > span / 2 and _are_smooth(counts):
        return f"{len(counts)} whole numbers, of which neighbours are about equally frequent"
    return None


def are_fractions(cells: "pd.Series[str]", given: "pd.Series[str]") -> bool:
    """True where cells are more than two whole numbers, and those of the format file fractions."""
    return cells.nunique() > 2 and are_numbers(cells) and are_measurements(given)


def are_measurements(cells: "pd.Series[str]") -> bool:
    """True where cells are numbers, and not all of them whole."""
    head = cells[cells != ""].head(200).str
    return are_numbers(cells) and not head.fullmatch(WHOLE).all()


def are_numbers(cells: "pd.Series[str]") -> bool:
    """True where the first cells that are not empty are numbers."""
    return bool(cells[cells != ""].head(200).str.fullmatch(NUMBER).all())


def _are_smooth(counts: "pd.Series[int]") -> bool:
    """True where each value's count says the next one's: three standard errors from chance.

    counts: by value, in its order. Classes that are numbered by how frequent they are would be
    smooth as well: counts that hardly do anything but rise, or fall, are none.
    """
    steps = counts.diff()
    if min((steps > 0).mean(), (steps < 0).mean()) < 0.1:
        return False
    ranks = counts.rank().reset_index(drop=True)
    if abs(ranks.corr(pd.Series(range(len(ranks)), dtype=float))) > 0.9:
        return False
    return bool(ranks.autocorr(1) > 3 / len(ranks) ** 0.5)
