"""check: what a competition's raw files hold, what is wrong with them, what is suspicious."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from foldwise.data.competition import CompetitionData, load_data, need_images
from foldwise.data.folds import load_folds, make_folds
from foldwise.data.images import missing_images
from foldwise.errors import FoldwiseError, ImageError, examples
from foldwise.spec.competition import FoldScheme
from foldwise.spec.recipe import load_recipe
from foldwise.workspace import Workspace

IMAGE_ENDS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")


@dataclass
class Findings:
    """What `check` found: `errors` stop a run, `warnings` want a look, `facts` were understood."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True where nothing stops a run."""
        return not self.errors

    def document(self) -> dict[str, Any]:
        """The findings as one JSON document: `ok, errors, warnings, facts`."""
        return {"ok": self.ok, **asdict(self)}


def check(workspace: Workspace, name: str) -> Findings:
    """Every path, column, class and number of a competition, checked against the raw files.

    Raises: SpecError: no competition has this name. All else becomes a finding.
    """
    workspace.competition(name)
    try:
        data = load_data(workspace, name)
    except FoldwiseError as error:
        return Findings(errors=[str(error)])
    return examine(workspace, data)


def examine(workspace: Workspace, data: CompetitionData, headers: bool = True) -> Findings:
    """The findings about tables that could be read; with `headers`, every image is opened too."""
    findings = Findings(facts=_facts(data))
    for recipe in data.spec.submit.recipes:
        try:
            load_recipe(workspace.competition(data.spec.name), recipe)
        except FoldwiseError as error:
            findings.errors.append(str(error))
    empty = [name for name, share in findings.facts["classes"].items() if share == 0]
    if empty:
        findings.warnings.append(
            f"{len(empty)} classes of the format file have no training row, e.g. {examples(empty)}"
        )
    for name, scheme in data.spec.folds.items():
        _check_groups(data, name, scheme, findings)
        _check_folds(workspace, data, name, scheme, findings)
    if "read_image" not in data.hooks:
        present = _check_files(data, findings)
        if headers:
            _check_headers(data, present, findings)
    return findings


def _facts(data: CompetitionData) -> dict[str, Any]:
    shares = data.train.frame["label"].value_counts(normalize=True, sort=False)
    facts = {
        "train_rows": len(data.train),
        "test_rows": len(data.test),
        "classes": {str(name): round(float(share), 4) for name, share in shares.items()},
        "format": {"file": data.spec.files.format, "rows": len(data.format.ids),
                   "columns": len(data.format.columns)},
        "metric": data.spec.metric.model_dump(mode="json"),
        "image_mode": data.spec.images.mode,
        "skipped": len(data.spec.images.skip),
    }  # fmt: skip
    if data.spec.labels.group:
        facts["groups"] = {
            "column": data.spec.labels.group,
            "train": int(data.train.frame["group"].nunique()),
            "test": int(data.test.frame["group"].nunique()),
            "shared": len(set(data.train.frame["group"]) & set(data.test.frame["group"])),
        }
    return facts


def _check_groups(data: CompetitionData, name: str, scheme: FoldScheme, findings: Findings) -> None:
    """Warn first of all where the test set has other groups than train and the folds do not."""
    groups = findings.facts.get("groups")
    if not groups or scheme.kind != "stratified":
        return
    if groups["shared"] == 0 and name == data.spec.submit.folds:
        findings.warnings.insert(
            0,
            f"folds {name!r} are random, but train and test share no {groups['column']} "
            f"({groups['train']} and {groups['test']}): the local score will flatter. Write "
            f'kind = "stratified_group" into [folds.{name}]',
        )


def _check_folds(
    workspace: Workspace, data: CompetitionData, name: str, scheme: FoldScheme, findings: Findings
) -> None:
    """Make (or read) the folds and note their sizes."""
    folder = workspace.data / data.spec.name / "folds"
    try:
        saved = (folder / f"{name}.json").is_file()
        frame = (
            load_folds(data.train, name, scheme, folder).frame
            if saved
            else make_folds(data.train, scheme)
        )
    except FoldwiseError as error:
        findings.errors.append(str(error))
        return
    sizes = frame.loc[frame["fold"] >= 0, "fold"].value_counts()
    findings.facts.setdefault("folds", {})[name] = {
        "kind": scheme.kind, "n": scheme.n, "seed": scheme.seed,
        "smallest": int(sizes.min()), "largest": int(sizes.max()), "saved": saved,
    }  # fmt: skip


def _check_files(data: CompetitionData, findings: Findings) -> list[str]:
    """Look for missing images and for images that no row names; returns the paths that exist."""
    try:
        need_images(data)
    except ImageError as error:
        findings.errors.append(str(error))
    table = data.all_rows()
    known = set(table.frame["path"])
    extra = _unnamed(data.raw, known)
    if extra:
        findings.warnings.append(
            f"{len(extra)} images belong to no id, e.g. {examples(extra)}; they are not used"
        )
    return sorted(known - {path for _, path in missing_images(table, data.raw)})


def _check_headers(data: CompetitionData, present: list[str], findings: Findings) -> None:
    """Open every image, without decoding it; note sizes and modes."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        headers = list(pool.map(lambda path: _header(data.raw / path), present))
    pairs = zip(present, headers, strict=True)
    bad = [(path, head) for path, head in pairs if isinstance(head, str)]
    if bad:
        findings.errors.append(
            f"{data.spec.name}: {len(bad)} images are unreadable, e.g. {bad[0][0]}: {bad[0][1]}; "
            "get them again, or list ids of training rows under [images] skip"
        )
    _image_facts([head for head in headers if not isinstance(head, str)], findings)


def _header(path: Path) -> tuple[int, int, str] | str:
    """(width, height, mode) from an image's header, or what is wrong with it."""
    try:
        with Image.open(path) as image:
            return (*image.size, image.mode)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return "it is empty" if path.stat().st_size == 0 else str(error)


def _image_facts(headers: list[tuple[int, int, str]], findings: Findings) -> None:
    if not headers:
        return
    sizes = pd.DataFrame(headers, columns=["width", "height", "mode"])
    findings.facts["images"] = {
        "files": len(sizes),
        "sizes": len(sizes[["width", "height"]].drop_duplicates()),
        "width": [int(sizes["width"].min()), int(sizes["width"].max())],
        "height": [int(sizes["height"].min()), int(sizes["height"].max())],
        "modes": dict(Counter(sizes["mode"]).most_common()),
    }


def _unnamed(raw: Path, known: set[str]) -> list[str]:
    """Image files below the folders that ids use, which no id names."""
    folders = sorted({str(Path(path).parent) for path in known})
    found = []
    for folder in folders:
        if not (raw / folder).is_dir():
            continue
        for name in sorted(os.listdir(raw / folder)):
            path = name if folder == "." else f"{folder}/{name}"
            if path not in known and name.lower().endswith(IMAGE_ENDS):
                found.append(path)
    return found
