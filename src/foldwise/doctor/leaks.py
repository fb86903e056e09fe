"""What a row's group, or another column, tells about its label; and signs of damaged tables."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd

from foldwise.arrays import Array
from foldwise.errors import examples

Strings: TypeAlias = "Sequence[str] | Array | pd.Series[str]"

PRIOR_ROWS = 1.0  # how many rows the prior weighs beside a group's own rows
NOTABLE = 0.1  # a column tells when its loss is lower than the prior's by more than this share,
SURE_AT = 4.0  # and by more than so many standard errors of the mean difference over rows
NEARLY_ALL = 0.95  # of the test set's groups, or of the steps from row to row
FEWEST_ROWS = 10  # fewer rows may count up by one without a spreadsheet's doing
HEAD_BYTES = 65536  # what is read of a file to see its line ends


@dataclass(frozen=True)
class GroupOnly:
    """Log losses out of fold: of the class frequencies, and of a predictor that knows the group.

    `prior` and `random` are measured in random folds, `grouped` in grouped ones. Where `random`
    is far below `grouped`, random folds flatter on a test set of other groups.
    """

    prior: float
    random: float
    grouped: float


@dataclass(frozen=True)
class Telling:
    """A column whose value alone gives the log loss `loss`; class frequencies give `prior`."""

    column: str
    prior: float
    loss: float


def group_only_losses(
    classes: Array, groups: Strings, random_folds: Array, grouped_folds: Array
) -> GroupOnly:
    """The log losses of a predictor that knows a row's group and nothing else, in both folds.

    It answers with the class frequencies of the group's rows in the training part, smoothed
    towards the training part's frequencies as if `PRIOR_ROWS` more rows of the group had those:
    (n_group_class + m * prior_class) / (n_group + m), the m-estimate (Cestnik, "Estimating
    probabilities: a crucial task in machine learning", ECAI 1990). The prior itself is Laplace's,
    (n_class + 1) / (n + C), so that a class which a training part lacks keeps a probability. A
    group that the training part lacks gets the prior.

    classes: codes, int (n,); or multi-hot, uint8 (n, C): then the mean of C binary log losses.
    groups: (n,). Folds: int (n,); a row with fold -1 is in no training and no validation part.
    """
    values = _codes(groups)
    random_prior, random = _row_losses(classes, values, random_folds)
    _, grouped = _row_losses(classes, values, grouped_folds)
    return GroupOnly(
        prior=float(random_prior.mean()),
        random=float(random.mean()),
        grouped=float(grouped.mean()),
    )


def telling_columns(
    frame: pd.DataFrame, skip: Collection[str], classes: Array, folds: Array
) -> list[Telling]:
    """The columns whose value alone predicts the label notably, the most telling first.

    The predictor is that of `group_only_losses`, in random folds. Notable is a loss lower than the
    prior's by more than 10 % (`NOTABLE`), and by more than 4 standard errors (`SURE_AT`): with few
    rows, noise gains 10 % at times. Columns in which half of the rows or more have a value of their
    own (names, most measurements), and columns with a single value, are not looked at.

    frame: any columns, n rows. skip: id, label and path columns, and the group if it is known.
    classes: codes, int (n,), or multi-hot, uint8 (n, C). folds: int (n,), -1: not used.
    """
    used = folds >= 0
    found = []
    for position, column in enumerate(frame.columns):
        if column in skip:
            continue
        values = _codes(frame.iloc[:, position])
        distinct = len(np.unique(values[used]))
        if distinct < 2 or 2 * distinct >= used.sum():
            continue
        prior, losses = _row_losses(classes, values, folds)
        gain = prior - losses  # (n used rows,)
        sure = gain.mean() > SURE_AT * gain.std() / np.sqrt(len(gain))
        if sure and gain.mean() > NOTABLE * prior.mean():
            prior_loss, loss = float(prior.mean()), float(losses.mean())
            found.append(Telling(column=str(column), prior=prior_loss, loss=loss))
    return sorted(found, key=lambda telling: telling.loss)


def split_like_platform(
    grouped: bool, scheme_name: str, column: str, train_groups: Strings, test_groups: Strings
) -> list[str]:
    """Warnings where the folds split groups otherwise than the platform split train from test.

    grouped: [folds.<scheme_name>] keeps groups whole.
    column: what people call the group. train_groups: a group per training row, test_groups: a
    group per test row; empty and missing ones are not compared.
    """
    train, test = _group_names(train_groups), _group_names(test_groups)
    here, there = set(train), set(test)
    if len(train) > 1 and len(here) == len(train):
        fold_remedy = f', with kind = "stratified" in [folds.{scheme_name}]' if grouped else ""
        return [
            f"rows should share their {column}, but {len(train)} training rows have {len(here)} "
            f"different ones, e.g. {examples(train)}: grouping by it does nothing. Name another "
            f"column, or remove `group` from [labels]{fold_remedy}"
        ]
    if not here or not there:
        return []
    known = here & there
    if not known:
        return [] if grouped else [_flatters(scheme_name, column, len(here), len(there))]
    if len(known) >= NEARLY_ALL * len(there):
        counts = f"{len(known)} of the test set's {len(there)}"
        return [_pessimistic(scheme_name, column, counts)] if grouped else []
    rows = sum(group in known for group in test)
    return [
        f"folds {scheme_name!r} are {'grouped' if grouped else 'random'}, but {rows} of "
        f"{len(test)} test rows ({rows / len(test):.0%}) have a {column} that train has too "
        f"({len(known)} of {len(there)}, e.g. {examples(sorted(known))}), the others a new one: "
        "the leaderboard will lie between the scores of random and of grouped folds. Keep a scheme "
        "of either kind and compare them"
    ]


def _flatters(name: str, column: str, train: int, test: int) -> str:
    """The warning about random folds where the test set has other groups."""
    return (
        f"folds {name!r} are random, but train and test share no {column} "
        f"({train} and {test}): the local score will flatter. Write "
        f'kind = "stratified_group" into [folds.{name}]'
    )


def _pessimistic(name: str, column: str, counts: str) -> str:
    """The warning about grouped folds where the test set has the same groups."""
    return (
        f"folds {name!r} keep every {column} whole, but train has {counts} too: the platform split "
        f"at random in {column}, and the local score will be pessimistic. Write "
        f'kind = "stratified" into [folds.{name}]'
    )


def spreadsheet_damage(groups: Strings, file_bytes_has_crlf: bool, shared: int) -> str | None:
    """One sentence if the group column was drag-filled in a spreadsheet, else None.

    Dragging a cell down makes S0120 the first of S0121, S0122, ...: as many groups as rows, each
    one more than the row above (in 95 % of the steps at least, `NEARLY_ALL`). A table that has
    truly a group per row may look so too, hence one more sign is asked for: CRLF line ends, or
    groups that the test set has as well.

    groups: the training rows' groups, (n,), in the order of the file's rows. file_bytes_has_crlf:
    `has_crlf` of that file. shared: how many groups train and test have in common.
    """
    listed = [str(group) for group in groups]
    if not (file_bytes_has_crlf or shared) or len(listed) < FEWEST_ROWS:
        return None
    if len(set(listed)) < len(listed) or not _counts_up(listed):
        return None
    signs = ["the file has CRLF line ends"] if file_bytes_has_crlf else []
    if shared:
        signs.append(f"train and test share {shared} of these groups")
    return (
        f"rows should share groups, but {len(listed)} rows hold {len(listed)} that count up by one "
        f"({examples(listed)}), and {' and '.join(signs)}: this copy looks damaged in a "
        "spreadsheet, its group column drag-filled; its labels are probably shifted against their "
        "ids as well. Do not use it, download the original again; if there truly is one group per "
        "row, remove `group` from [labels]"
    )


def has_crlf(path: Path) -> bool:
    """True where most lines of the file's first 64 KB end with CR LF, as spreadsheets write."""
    with open(path, "rb") as handle:
        head = handle.read(HEAD_BYTES)
    return 2 * head.count(b"\r\n") > head.count(b"\n")


def _counts_up(listed: list[str]) -> bool:
    """True where nearly every text is the one before it with its last number one higher."""
    parts = [re.fullmatch(r"(.*?)([0-9]{1,18})", text, re.DOTALL) for text in listed]
    ends = [(part[1], int(part[2])) if part else None for part in parts]
    steps = sum(one is not None and other == (one[0], one[1] + 1) for one, other in pairwise(ends))
    return steps >= NEARLY_ALL * (len(listed) - 1)


def _group_names(groups: Strings) -> list[str]:
    """The groups that are neither missing nor empty, in order."""
    series = pd.Series(list(groups), dtype=object)
    return [str(group) for group in series[series.notna() & (series != "")]]


def _codes(values: Strings) -> Array:
    """A number for each distinct value, int64 (n,); missing is a value like others."""
    codes, _ = pd.factorize(pd.Series(values), use_na_sentinel=False)
    return codes.astype(np.int64)


def _row_losses(classes: Array, values: Array, folds: Array) -> tuple[Array, Array]:
    """Each used row's log loss from the prior and from its value, two float64 (n used rows,).

    classes: int (n,) or multi-hot (n, C). values: codes, int64 (n,). folds: int (n,).
    """
    used = folds >= 0
    part = _codes(folds[used])
    targets = classes[used].reshape(used.sum(), -1)  # (n used rows, 1 or C)
    value = _codes(values[used])
    same_value = _elsewhere(value, part)
    training = _elsewhere(np.zeros_like(value), part)
    prior_losses = np.zeros(len(value))
    losses = np.zeros(len(value))
    for column in range(targets.shape[1]):
        target = _codes(targets[:, column])
        n_classes = target.max(initial=0) + 1
        prior = (_elsewhere(target, part) + 1) / (training + n_classes)
        same = _elsewhere(value * n_classes + target, part)
        prior_losses -= np.log(prior)
        losses -= np.log((same + PRIOR_ROWS * prior) / (same_value + PRIOR_ROWS))
    return prior_losses / targets.shape[1], losses / targets.shape[1]


def _elsewhere(keys: Array, part: Array) -> Array:
    """How many rows of the other folds have the row's key, int64 (n,)."""
    return _count(keys) - _count(keys * (part.max(initial=0) + 1) + part)


def _count(keys: Array) -> Array:
    """How many rows have the row's key, int64 (n,); keys: int64 (n,), not negative."""
    if keys.max(initial=0) > 4 * len(keys):
        keys = pd.factorize(keys)[0]
    return np.bincount(keys)[keys]
