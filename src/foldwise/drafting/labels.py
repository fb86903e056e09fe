"""Labels: where a download's labels stand: in a table's columns, in folders, in file names."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict

import pandas as pd

from foldwise.drafting.groups import WORDS, are_dates, guess_group, words_of
from foldwise.drafting.matching import is_path
from foldwise.drafting.numbers import (
    FEW_NUMBERS,
    are_fractions,
    are_measurements,
    are_numbers,
    describe_measurements,
)
from foldwise.drafting.roles import Roles, TableRole
from foldwise.drafting.survey import Survey

ONE = frozenset(("1", "1.0", "true", "True", "TRUE"))
HOT = ONE | {"0", "0.0", "false", "False", "FALSE"}
TAG_SEPARATORS = (";", "|", ",", " ")
NAMED_POINTS = 20  # points of a column that the format file names, or whose values it names
LABEL_WORDS = {
    "label",
    "labels",
    "class",
    "classname",
    "category",
    "target",
    "tag",
    "tags",
    "species",
    "breed",
    "diagnosis",
    "grade",
    "attribute",
    "disease",
}
TRAIN = {"train", "training"}
SPLITS = TRAIN | {"test", "testing", "val", "valid", "validation", "dev", "eval"}
IMAGE_FOLDERS = {
    "images",
    "image",
    "imgs",
    "img",
    "photos",
    "pictures",
    "data",
    "jpeg",
    "jpg",
    "png",
    "masks",
    "annotations",
}
# searched in a file's name; each has a group `label`
LABEL_PATTERNS = (
    r"(?P<label>[^/]+?)[._ -]+\(?\d+\)?\.\w+$",  # cat.0.jpg, bird_17.jpg, red fox (3).png
    r"(?P<label>[^/\d]+?)\d+\.\w+$",  # cat12.jpg
    r"\d+[._ -]+(?P<label>[^/.]*?[^\W\d])\.\w+$",  # 17_bird.jpg
)
# whose image it is, in the names of medical and other sets: IM-0115-0001, person12_virus_3
PERSON = (
    r"(?:^|/)(?P<group>(?:[A-Za-z0-9]+-)?IM-\d+"
    r"|(?:person|patient|subject|case|driver|user)[-_ ]?\d+)[-_. ]"
)


class LabelKeys(TypedDict, total=False):
    """The keys of [labels] that a draft may write, in the order in which they were set."""

    format: str
    id: str
    id_prefix: str
    column: str | list[str]
    query: str
    roots: list[str]
    pattern: str
    separator: str
    none: str
    multi: bool
    classes: list[str]


@dataclass(frozen=True)
class FoundLabels:
    """Where the labels stand: the keys of [labels], what is unsure about each, the labels found.

    pairs: one entry per row and label, indexed by the row's number, of `n` rows. columns: those of
    a table that hold labels. groups: the group of each row, of the column `group` or of a pattern;
    candidates: columns that could be it.
    """

    keys: LabelKeys = field(default_factory=lambda: LabelKeys(format="hook"))
    unsure: dict[str, str] = field(default_factory=dict)
    pairs: "pd.Series[str]" = field(default_factory=lambda: pd.Series(dtype=str))
    n: int = 0
    columns: tuple[str, ...] = ()
    weak: bool = False  # nothing speaks for the column but that it could be one
    group: str | None = None
    groups: "pd.Series[str] | None" = None
    candidates: dict[str, str] = field(default_factory=dict)

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders of images whose paths hold the labels."""
        return tuple(self.keys.get("roots", ()))

    @property
    def classes(self) -> list[str]:
        """The labels that occur, sorted."""
        return sorted(self.pairs.unique())


def find_labels(found: Survey, roles: Roles) -> FoundLabels:
    """Those of a column that clearly holds them, else of paths, else of any column, else of a hook.

    A database may hold facts from which rules make labels: its columns are not weak.
    """
    train, test = roles.train, roles.test.rows if "test" in roles.files and roles.test else None
    labels = _numbers(train.rows, roles) if train else None
    if train and labels is None:
        labels = _column_labels(train, roles, test)
    sql = roles.files["train"].sql if train else None
    if labels is None or (labels.weak and not sql):
        labels = (
            class_folders(found.images) or labelled_names(found.images) or labels or FoundLabels()
        )
    if train is None or not labels.columns:
        return labels
    unsure = labels.unsure
    keys: LabelKeys = {"format": labels.keys["format"], "id": train.id}
    if roles.ids_collide:
        keys["id_prefix"] = "train-"
    if sql:
        column = labels.columns[0]
        keys |= {"format": "sqlite", "query": f"{sql} WHERE \"{column}\" <> ''", "column": column}
        unsure = {"column": "a guess; where several columns decide, write [labels.rules] instead"}
    else:
        keys |= labels.keys
    group, candidates = guess_group(train.rows, labels.pairs, [train.id, *labels.columns], test)
    groups = train.rows[group] if group else None
    return replace(
        labels, keys=keys, unsure=unsure, group=group, groups=groups, candidates=candidates
    )


def _numbers(rows: pd.DataFrame, roles: Roles) -> FoundLabels | None:
    """The columns that the format file names, where they hold numbers that are no classes.

    Fractions are none, but for the shares of classes, whose sum is 1; nor are more than two whole
    numbers where the format file has fractions for them, or where they look measured.
    """
    columns = roles.answers
    if not columns or not {*columns} <= {*rows.columns}:
        return None
    given = roles.files["format"].frame
    sure = all(are_measurements(rows[c]) or are_fractions(rows[c], given[c]) for c in columns)
    why = None if sure or columns[1:] else describe_measurements(rows[columns[0]])
    if not sure and (why is None or not are_numbers(given[columns[0]])):
        return None
    values = rows[columns].apply(pd.to_numeric, errors="coerce")
    if len(columns) > 1 and ((values.sum(axis=1) - 1).abs() < 0.01).all():
        return None
    return _number_labels(rows, columns, why)


def _number_labels(
    rows: pd.DataFrame, columns: list[str], why: str | None, unsure: str = ""
) -> FoundLabels:
    """Columns of numbers. why: what speaks for them, where it is a guess that they are no codes."""
    values = rows[columns].apply(pd.to_numeric, errors="coerce")
    empty = int(values.isna().any(axis=1).sum())
    unsure = f"{empty} rows have no number: leave them out of the table" if empty else unsure
    doubt = (
        f'{why}: if they are classes, write format = "class_column", [submission] shape = "wide" '
        'and [metric] name = "log_loss"'
    )
    return FoundLabels(
        keys={"format": "number", "column": columns if columns[1:] else columns[0]},
        unsure={"format": doubt if why else "", "column": unsure},
        pairs=pd.Series("number", index=rows.index, dtype=str),
        n=len(rows),
        columns=tuple(columns),
    )


def _column_labels(train: TableRole, roles: Roles, test: pd.DataFrame | None) -> FoundLabels | None:
    """Where a table's labels stand; None where no column can hold them. test: the test table."""
    rows, answers = train.rows, roles.answers
    columns = [column for column in rows.columns if column != train.id]
    hot = [c for c in columns if set(rows[c].head(500)) <= HOT and set(rows[c]) <= HOT]
    asked = [c for c in answers if c in hot]
    if len(asked) > 1:
        return _hot(rows, asked, "" if asked == [*answers] else "the format file asks for others")
    measured = _measured_columns(rows[columns], roles)
    points = {c: _points(rows[c], c, answers, test, c in measured) for c in columns}
    ranked = sorted(
        (c for c in columns if points[c] > 0), key=lambda c: (-points[c], c in measured)
    )
    weak = not ranked or points[ranked[0]] < 3
    if weak and len(hot) > 1:
        return _hot(rows, hot, "every column of zeros and ones is taken for a class")
    # several columns of measured facts say nothing about which one is asked for
    if not ranked or (weak and ranked[0] in measured and len(ranked) > 1):
        return None
    unsure = _doubt_of_column(points, ranked, measured, answers)
    if ranked[0] in measured:
        numbers = _number_labels(rows, ranked[:1], measured[ranked[0]], unsure)
        return replace(numbers, weak=weak)
    return _column(rows[ranked[0]], unsure, weak)


def _measured_columns(rows: pd.DataFrame, roles: Roles) -> dict[str, str]:
    """What speaks for measurements in each column that has them.

    It is empty where a format file says what is asked for, or a database's facts become classes.
    """
    if roles.answers or roles.files["train"].sql:
        return {}
    found = {column: describe_measurements(rows[column]) for column in rows.columns}
    return {column: why for column, why in found.items() if why}


def _doubt_of_column(
    points: Mapping[str, float],
    ranked: Sequence[str],
    measured: Mapping[str, str],
    answers: Sequence[str],
) -> str:
    """What is unsure about the first of the ranked columns. Facts are no rivals of classes."""
    first = points[ranked[0]]
    if len(answers) > 1 and first < NAMED_POINTS:
        return (
            f"a guess: no column holds {answers[0]!r} and the like, which the format file has "
            "as columns; where they are classes, an adapter.py must name them"
        )
    rivals = [c for c in ranked[1:6] if ranked[0] in measured or c not in measured]
    near = [c for c in rivals if points[c] > first - 2]
    return f"a guess; it could be {', '.join(map(repr, near))}" if near else ""


def _hot(rows: pd.DataFrame, columns: list[str], unsure: str) -> FoundLabels:
    """One column per class, of zeros and ones."""
    hot = rows[columns].isin(ONE)
    pairs = pd.concat([pd.Series(c, index=rows.index[hot[c]], dtype=str) for c in columns])
    keys: LabelKeys = {"format": "class_columns"}
    if (hot.sum(axis=1) != 1).any():
        keys["multi"] = True
    if unsure:
        keys["classes"] = columns
    return FoundLabels(
        keys=keys, unsure={"format": unsure}, pairs=pairs, n=len(rows), columns=tuple(columns)
    )


def _column(cells: "pd.Series[str]", unsure: str, weak: bool) -> FoundLabels:
    """One column with a class, or with tags: cells with one, cells with several, again and again.

    Names of several words (Fender Jaguar) have more different words than there are names.
    """
    name = str(cells.name)
    for separator in TAG_SEPARATORS:
        tags = cells.str.split(separator, regex=False).explode().str.strip()
        counts = tags[tags != ""].value_counts()
        sizes = tags[tags != ""].index.value_counts()
        if sizes.max() < 2 or (counts == 1).mean() > 0.5 or len(counts) >= cells.nunique():
            continue
        if sizes.min() > 1:
            unsure = f"read as classes; they could be tags with {separator!r} between"
            continue
        none = min((v for v in cells.unique() if not re.search(r"\w", v)), default=None)
        keys: LabelKeys = {"format": "delimited", "column": name, "separator": separator}
        if none is not None:
            keys["none"] = none
        return FoundLabels(
            keys=keys,
            unsure={"column": unsure, "none": f"{none!r} is taken to mean: no tag at all"},
            pairs=tags[~tags.isin(["", none])],
            n=len(cells),
            columns=(name,),
            weak=weak,
        )
    empty = int((cells == "").sum())
    unsure = f"{empty} rows have no {name!r}: leave them out, or name them" if empty else unsure
    numbers = cells.nunique() > FEW_NUMBERS and are_numbers(cells)
    doubt = (
        f"{cells.nunique()} numbers are read as classes: if they are measurements, write format = "
        '"number", [submission] shape = "numbers" and [metric] name = "rmse"'
    )
    return FoundLabels(
        keys={"format": "class_column", "column": name},
        unsure={"format": doubt if numbers else "", "column": unsure},
        pairs=cells[cells != ""],
        n=len(cells),
        columns=(name,),
        weak=weak,
    )


def _points(
    cells: "pd.Series[str]",
    name: str,
    answers: Sequence[str],
    test: pd.DataFrame | None,
    measured: bool,
) -> float:
    """How well a column suits as the label, of measurements or classes; 0 or less does not."""
    if [name] == [*answers] or len({*answers} & {*cells}) > 1:
        return NAMED_POINTS
    distinct, no_label = cells.nunique(), is_path(cells) or are_dates(cells)
    no_class = distinct == len(cells) or are_measurements(cells)
    if distinct < 2 or no_label or (no_class and not measured):
        return 0
    words = set(words_of(name))
    points = 1 + 4 * bool(words & LABEL_WORDS) - 4 * bool(words & {*WORDS})
    if test is not None and len(test.columns) > 1:
        points += 4 if name not in test.columns else -5
    return points - 2 * (distinct > len(cells) / 2 and not measured)


def class_folders(paths: Sequence[str]) -> FoundLabels | None:
    """The images in one folder per class, below one root or several with the same classes."""
    rows = pd.DataFrame(_below_roots(paths), columns=["root", "label", "path"], dtype=str)
    if rows.empty:
        return None
    classes = rows.groupby("root")["label"].agg(set)
    roots = sorted(classes.index, key=lambda r: (not _split_words(r) & TRAIN, -len(classes[r]), r))
    roots = [root for root in roots if len(classes[root] & classes[roots[0]]) > 1]
    rows = rows[rows["root"].isin(roots)].reset_index(drop=True)
    pool = "all are one pool of training images; name fewer to leave some out"
    labels = FoundLabels(
        keys={"format": "folder", "roots": roots},
        unsure={"roots": pool} if len(roots) > 1 else {},
        pairs=rows["label"],
        n=len(rows),
    )
    persons = rows["path"].str.extract(PERSON)["group"]
    held = persons.groupby(rows["label"]).nunique()
    if persons.isna().any() or (held < 2).any() or persons.is_unique:
        return labels
    why = f"the group is how names begin, as {persons[0]}: a person?"
    return replace(
        labels,
        keys={**labels.keys, "pattern": PERSON},
        unsure={**labels.unsure, "pattern": why},
        groups=persons,
    )


def _below_roots(paths: Sequence[str], above: str = "") -> list[tuple[str, str, str]]:
    """The root, class folder and path below the root of each image in class folders."""
    below = defaultdict(list)
    for path in paths:
        top, _, rest = path.partition("/")
        below[top if rest else ""].append(rest)
    names = [name for name in below if name]
    parts = any(_split_words(name) or name.lower() in IMAGE_FOLDERS for name in names)
    if parts or len(below) == len(names) == 1:
        return [row for n in names for row in _below_roots(below[n], f"{above}{n}/")]
    if "" in below:
        return []
    return [(above[:-1] or ".", n, f"{n}/{rest}") for n in names for rest in below[n]]


def labelled_names(paths: Sequence[str]) -> FoundLabels | None:
    """The images of a folder whose file names all hold a label that comes again."""
    rows = pd.DataFrame([path.rpartition("/")[::2] for path in paths], columns=["folder", "name"])
    folders = [(str(folder), names) for folder, names in rows.groupby("folder")["name"]]
    for folder, some in sorted(folders, key=lambda entry: not _split_words(entry[0]) & TRAIN):
        names = some.reset_index(drop=True)
        for pattern in LABEL_PATTERNS if not _split_words(folder) - TRAIN else ():
            labels = names.str.extract("^" + pattern)["label"]
            counts = labels.value_counts()
            again = 2 <= len(counts) <= max(2, len(names) / 3) and counts.min() > 1
            if again and labels.notna().all() and not set(labels) <= SPLITS:
                return FoundLabels(
                    keys={
                        "format": "filename",
                        "roots": [folder or "."],
                        "pattern": "(?:^|/)" + pattern,
                    },
                    unsure={"pattern": f"{labels[0]!r} of {names[0]} is the label"},
                    pairs=labels,
                    n=len(names),
                )
    return None


def _split_words(name: str) -> set[str]:
    return {word for word in re.split(r"[^a-z]+", name.lower()) if word in SPLITS}
