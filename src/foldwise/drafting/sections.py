"""Sections: the drafted competition.toml that guesses about a download become."""

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import TypedDict

import tomli_w

from foldwise.drafting.groups import NUMBER, fold_numbers
from foldwise.drafting.labels import TAG_SEPARATORS, FoundLabels
from foldwise.drafting.matching import fill_template
from foldwise.drafting.roles import Roles, TableRole
from foldwise.drafting.survey import ARCHIVES, Survey
from foldwise.kinds.shape import SHAPES
from foldwise.tables.listing import example

HOOKS_ADVICE = (
    "no column (of one row per image), folder or file name was understood as a label: this needs "
    "an adapter.py with hooks (for COCO's JSON see foldwise.data.labels.coco.read_coco): "
    "read_labels(spec, raw) -> frame id, label, path (and group); read_test(spec, raw) -> frame "
    "id, path, where test rows are not a CSV's; where images are no files, read_image(spec, row) "
    "-> uint8 array (height, width, channels), or prepare(spec, raw), which writes them and a CSV"
)
NEGATIVE = r"^(no|not|non|normal|negative|neg|healthy|benign|absent|false|0)(\b|_)"
GREY_MODES = ("1", "L", "I", "I;16", "F")  # Pillow's modes with one channel
SHOWN_FILES = 10  # files and columns listed at most


class SubmissionKeys(TypedDict, total=False):
    """The keys of [submission] that a draft may write."""

    shape: str
    separator: str
    none: str
    k: int
    positive: str


class Sheet:
    """The lines of a competition.toml that is being drafted."""

    def __init__(self) -> None:
        self.understood: list[str] = []
        self.unsure: list[str] = []
        self._sections: dict[str, list[str]] = {"": []}

    def put(self, section: str, key: str, value: object, note: str = "", unsure: str = "") -> None:
        """Set a key, with a comment behind it, or before it what is unsure about it."""
        if unsure:
            self.doubt(section, unsure, key)
        comment = f" # {note}" if note else ""
        self._sections.setdefault(section, []).append(f"{key} = {toml(value)}{comment}")

    def doubt(self, section: str, text: str, key: str = "") -> None:
        """Say that something is unsure, in the TOML and in the draft's answer."""
        text = " ".join(text.split())  # columns may have line ends in their names
        where = " ".join(filter(None, [f"[{section}]" * bool(section), key]))
        self.unsure.append(f"{where}: {text}" if where else text)
        self._sections.setdefault(section, []).append(f"# unsure: {text}")

    def text(self) -> str:
        """The TOML; the keys without a section stand first."""
        heads = {section: [f"[{section}]"] * bool(section) for section in self._sections}
        return "\n\n".join("\n".join([*heads[s], *self._sections[s]]) for s in heads) + "\n"


def toml(value: object) -> str:
    """A value as TOML writes it, on one line; a text with a backslash stays readable if it can."""
    if isinstance(value, str) and "\\" in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return tomli_w.dumps({"key": value}).removeprefix("key = ").rstrip()


def write_platform(sheet: Sheet, name: str, roles: Roles, labels: FoundLabels) -> None:
    """platform, slug and page; [holdout] where there is no format file."""
    shape = roles.files.get("format")
    if shape is None:
        sheet.put("holdout", "fraction", 0.2, "of the training rows are the test set")
    if shape is None or has_solution(roles, labels):
        sheet.put("", "platform", "local", "the leaderboard is on this machine")
        return
    platform, page = "kaggle", f"https://www.kaggle.com/competitions/{name}"
    if "submission_format" in shape.name.lower():
        platform, page = "drivendata", f"https://www.drivendata.org/competitions/{name}/"
    sheet.put("", "platform", platform, unsure=f"a guess from the name of {shape.name}")
    sheet.put("", "slug", name, unsure="the last part of the page's address")
    sheet.put("", "page", page, unsure="made from the name: put the right address here")


def write_files(sheet: Sheet, found: Survey, roles: Roles, labels: FoundLabels) -> None:
    """[files], and what each of them is."""
    passed = {"train", "labels", "test"} if labels.roots else set()
    passed |= set() if has_solution(roles, labels) else {"solution"}
    used = {key: table for key, table in roles.files.items() if key not in passed}
    for key, table in used.items():
        sheet.put("files", key, table.name)
        sheet.understood.append(f"[files] {key}: {table.line()}")
    unused = sorted({t.name for t in found.tables} - {t.name for t in used.values()})
    extra = [*unused, *(path for path in found.others if path.endswith(".json"))]
    if labels.keys["format"] == "hook" and extra:
        sheet.put("files", "extra", extra, "for the hooks of adapter.py")
    elif unused:
        sheet.doubt("files", f"not used: {', '.join(unused[:SHOWN_FILES])}")


def write_labels(sheet: Sheet, labels: FoundLabels) -> None:
    """[labels], with the group and what else it could be, or what hooks must do."""
    for key, value in labels.keys.items():
        sheet.put("labels", key, value, unsure=labels.unsure.get(key, ""))
    form = labels.keys["format"]
    if form == "hook":
        sheet.doubt("labels", HOOKS_ADVICE)
        return
    where = ", ".join(labels.roots) or f"ids in {labels.keys['id']!r}"
    what = f"{len(labels.classes)} classes"
    if form == "number":
        what = f"numbers in {', '.join(map(repr, labels.columns))}"
    sheet.understood.append(f"{labels.n} training rows, {what} ({form}), {where}")
    if labels.group:
        what = labels.candidates[labels.group]
        sheet.put("labels", "group", labels.group, what)
        sheet.understood.append(f"folds are grouped by {labels.group!r}: {what}")
    others = [f"{c!r} ({what})" for c, what in labels.candidates.items() if c != labels.group]
    if others:
        sheet.doubt(
            "labels", f"rows may belong together by {', '.join(others[:SHOWN_FILES])}", "group"
        )


def write_images(sheet: Sheet, found: Survey, roles: Roles, labels: FoundLabels) -> None:
    """[images]: templates, folders, mode."""
    train, test = roles.train if not labels.roots else None, roles.test
    folders = [folder for folder in labels.roots if folder != "."]
    if not labels.roots:
        folders += _template(sheet, "path", train)
    if test and train and test.image.templates == train.image.templates != ():
        folders += test.image.folders
    elif test:
        folders += _template(sheet, "test_path", test)
    if train and train.repeated:
        prefix = labels.keys.get("id_prefix", "")
        unsure = f"{len(train.repeated)} ids stand in several rows, and are left out"
        sheet.put("images", "skip", [prefix + id for id in train.repeated], unsure=unsure)
    if folders:
        sheet.put("images", "folders", [*dict.fromkeys(folders)])
    _write_unused(sheet, found, roles, labels)
    grey = bool(found.modes) and {*found.modes} <= {*GREY_MODES}
    clear = sum(mode in ("RGBA", "LA", "PA") for mode in found.modes)
    unsure = f'{clear} of {len(found.modes)} images are transparent: "RGBA" keeps that'
    sheet.put("images", "mode", "L" if grey else "RGB", unsure=unsure if clear else "")


def _write_unused(sheet: Sheet, found: Survey, roles: Roles, labels: FoundLabels) -> None:
    """What the draft leaves out: images that no row names, files that are no images or tables."""
    if labels.keys["format"] == "hook":
        return
    used = {path for path in found.images if any(_inside(path, root) for root in labels.roots)}
    parts = [part for part in (None if labels.roots else roles.train, roles.test) if part]
    for part in parts:
        rows = part.rows.assign(id=part.rows[part.id])
        used = used.union(*(fill_template(rows, template) for template in part.image.templates))
    unused = [path for path in found.images if path not in used]
    if unused:
        where = Counter(path.rpartition("/")[0] or "." for path in unused)
        shown = ", ".join(f"{folder} ({n})" for folder, n in where.most_common(SHOWN_FILES))
        sheet.doubt(
            "images", f"not used: {len(unused)} images, e.g. {unused[0]}; by folder: {shown}"
        )
    said = (".json", *ARCHIVES)
    others = [path for path in found.others if not path.lower().endswith(said)]
    if others:
        endings = Counter(PurePosixPath(path).suffix or "no ending" for path in others)
        shown = ", ".join(f"{ending} {n}" for ending, n in endings.most_common(SHOWN_FILES))
        sheet.understood.append(
            f"left out: {len(others)} files that are no images or tables, "
            f"e.g. {example(others)} ({shown})"
        )


def _inside(path: str, root: str) -> bool:
    return root == "." or path.startswith(f"{root}/")


def _template(sheet: Sheet, key: str, part: TableRole | None) -> tuple[str, ...]:
    """Write where a part's images lie; returns the folders."""
    what = "test" if key == "test_path" else "training"
    if part is None or not part.image.templates:
        sheet.doubt("images", f"no column names the {what} images", key)
        return ()
    templates, lacking = part.image.templates, [*part.rows.loc[~part.image.there, part.id]]
    unsure = f"{len(lacking)} of {len(part.rows)} {what} rows have no such image"
    unsure = f"{unsure}, e.g. {lacking[0]!r}; skip leaves ids out" if lacking else ""
    sheet.put("images", key, templates if templates[1:] else templates[0], unsure=unsure)
    sheet.understood.append(f"{what} images: {', '.join(templates)}")
    return part.image.folders


def write_submission(sheet: Sheet, roles: Roles, labels: FoundLabels) -> None:
    """[metric] and [submission]: guesses from the format file's columns and cells."""
    keys, unsure = _submission(roles, labels)
    why = "a guess by the shape: see the competition's evaluation page, or choose your own"
    sheet.put("metric", "name", SHAPES.load(keys["shape"]).usual_metric, unsure=why)
    if "k" in keys:
        sheet.put("metric", "k", keys["k"])
    for key, value in keys.items():
        sheet.put("submission", key, value, unsure=unsure.get(key, ""))


def _submission(roles: Roles, labels: FoundLabels) -> tuple[SubmissionKeys, dict[str, str]]:
    """The keys of [submission], and what is unsure about them."""
    answers, classes = roles.answers, labels.classes
    if labels.keys["format"] == "number":
        return {"shape": "numbers"}, {}
    if "separator" in labels.keys and len(answers) < 2:
        return _tag_keys(labels), {}
    if len(answers) != 1:
        return {"shape": "wide"}, {}
    given = sorted({*roles.files["format"].frame[answers[0]]} - {""})
    if len(classes) in (0, 2) and given and all(re.fullmatch(NUMBER, cell) for cell in given):
        fractions = any(float(cell) % 1 for cell in given)
        if fractions or (classes and len(given) == 1):
            return _positive(classes or ["0", "1"], "" if fractions else given[0])
    if not classes or {*classes}.issuperset(given):
        return {"shape": "label"}, {}
    for separator in reversed(TAG_SEPARATORS):
        parts = [cell.split(separator) for cell in given]
        most = max(map(len, parts))
        if most > 1 and any(part in classes for cell in parts for part in cell):
            why = f"the most classes that a cell of the format file holds: {most}"
            return {"shape": "top", "k": most, "separator": separator}, {"k": why}
    why = f"the format file says {given[0]!r}, which is no class: write codes for the classes"
    return {"shape": "label"}, {"shape": why}


def _tag_keys(labels: FoundLabels) -> SubmissionKeys:
    """The keys where cells hold tags, as the training labels have them."""
    keys: SubmissionKeys = {"shape": "tags", "separator": labels.keys["separator"]}
    if "none" in labels.keys:
        keys["none"] = labels.keys["none"]
    return keys


def _positive(classes: list[str], cell: str) -> tuple[SubmissionKeys, dict[str, str]]:
    """Two classes and one number: the probability of the class that is no "no"."""
    chosen = [name for name in classes if not re.search(NEGATIVE, name, re.I)]
    why = f'every cell of the format file is {cell}; if a class is asked for, write "label"'
    unsure = {"shape": why} if cell else {}
    if {name.lower() for name in classes} not in ({"0", "1"}, {"false", "true"}):
        unsure["positive"] = f"whose probability is it? The classes are {' and '.join(classes)}"
    return {"shape": "positive", "positive": [*classes, *chosen][-1]}, unsure


def write_folds(sheet: Sheet, roles: Roles, labels: FoundLabels) -> None:
    """[folds.default] and [submit]: as many folds as rows, groups and classes allow, up to 5."""
    grouped, holdout = labels.groups is not None, "format" not in roles.files
    n, missing = fold_numbers(labels.pairs, labels.groups, labels.n, holdout)
    sheet.put("folds.default", "kind", "stratified_group" if grouped else "stratified")
    sheet.put("folds.default", "n", n)
    sheet.put("folds.default", "seed", 42)
    if missing:
        why = f"{len(missing)} of the classes have too few {'groups' if grouped else 'rows'}"
        sheet.put("folds.default", "allow_missing", missing, unsure=why)
    sheet.put("submit", "recipes", ["resnet34"])


def has_solution(roles: Roles, labels: FoundLabels) -> bool:
    """True where a solution beside the format file can be read as the training labels are."""
    if not {"solution", "format"} <= roles.files.keys() or not labels.columns or roles.ids_collide:
        return False
    return {labels.keys["id"], *labels.columns} <= {*roles.files["solution"].columns}
