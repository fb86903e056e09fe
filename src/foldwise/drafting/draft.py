"""Drafts: a first competition.toml, recipe and README from what lies in an unpacked download."""

import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from foldwise.config.schema import FILES, FOLDER, schema_line, schema_text
from foldwise.drafting import sections
from foldwise.drafting.labels import FoundLabels, find_labels
from foldwise.drafting.roles import Roles, find_roles
from foldwise.drafting.survey import ARCHIVES, Survey, survey
from foldwise.errors import SpecError
from foldwise.store.files import scratch, write_text
from foldwise.workspace import Workspace

SIZES = (64, 224)  # pixels a side: below, layers leave nothing to see; what weights were trained at
RECIPE = """\
# A first recipe, drafted: a head first, then a few epochs of everything.
model = "resnet34.tv_in1k"
weights = "auto"
image_size = {size} # the images have about {typical:.0f} pixels a side
batch_size = 64

[augment]
hflip = true # unsure: write false where left and right differ
rotate = 10
zoom = [1.0, 1.2]

[[stage]]
train = "head"
epochs = 1
lr = 3e-3

[[stage]]
epochs = 4
lr = 5e-4
"""
README = """\
# {name}

A draft by `foldwise new`, from the files alone: nobody has read the competition's page for it yet.
Next: `make data COMP={name} FROM=<archive or folder>`, `foldwise check {name}`.

Understood:
{understood}

To look at (in `competition.toml` as `# unsure:`):
{unsure}
"""


@dataclass(frozen=True)
class Draft:
    """A competition as it was drafted: its files, what was understood, what is unsure."""

    name: str
    folder: Path
    paths: tuple[Path, ...]
    understood: tuple[str, ...]
    unsure: tuple[str, ...]


def draft(workspace: Workspace, name: str, folder: Path, host: bool = False) -> Draft:
    """Write competitions/<name> for an unpacked download; what is unsure is said in its TOML.

    The TOML files name their JSON schemas, which are written into competitions/.schema.

    host: the board is on this machine, and its test set are some of the training rows, unless the
    download has a test set with its solution.
    Raises: SpecError: the name is no good, or is taken.
            DataError: there is no such folder, or it holds neither table nor image.
    """
    target = workspace.competitions / name
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise SpecError(
            f"a competition's name should be letters, digits, - and _ only, got {name!r}; "
            "e.g. foldwise new bird-species --from <folder>"
        )
    if target.exists():
        raise SpecError(
            f"expected a new name, got {name!r}, which has {target} already; nothing was changed: "
            "choose another name, or remove that folder first"
        )
    found = survey(folder)
    sheet = _fill_sheet(name, found, host)
    typical = np.median([max(size) for size in found.sizes or [SIZES]])
    size = int(np.clip(32 * math.ceil(typical / 32), *SIZES))
    understood, unsure = ("\n- ".join(["", *said]) for said in (sheet.understood, sheet.unsure))
    texts = {
        "competition.toml": schema_line("competition") + sheet.text(),
        "recipes/resnet34.toml": schema_line("recipe") + RECIPE.format(size=size, typical=typical),
        "README.md": README.format(name=name, understood=understood, unsure=unsure),
    }
    for file in FILES:
        write_text(workspace.competitions / FOLDER / f"{file}.json", schema_text(file))
    _write(target, texts)
    return Draft(
        name=name,
        folder=target,
        paths=tuple(target / path for path in texts),
        understood=tuple(sheet.understood),
        unsure=tuple(sheet.unsure),
    )


def _fill_sheet(name: str, found: Survey, host: bool) -> sections.Sheet:
    """The sheet of a download, its sections in the order of other competitions'."""
    sheet = sections.Sheet()
    sheet.put("", "title", re.sub(r"[-_]+", " ", name).strip().capitalize() or name)
    for path, why in [*found.unreadable.items()][:1]:
        sheet.doubt("", f"not readable: {path} ({len(found.unreadable)} in all): {why}")
    packed = [path for path in found.others if path.lower().endswith(ARCHIVES)]
    for path in packed[:1]:
        sheet.doubt("", f"still packed: {path} ({len(packed)} in all); unpack, and draft again")
    given = roles = find_roles(found)
    labels = find_labels(found, roles)
    if host and not sections.has_solution(roles, labels):
        roles, labels = _without_test(roles, labels)
    sections.write_platform(sheet, name, roles, labels)
    sections.write_files(sheet, found, roles, labels)
    sections.write_labels(sheet, labels)
    sections.write_images(sheet, found, roles, labels)
    sections.write_submission(sheet, given, labels)
    sections.write_folds(sheet, roles, labels)
    return sheet


def _without_test(roles: Roles, labels: FoundLabels) -> tuple[Roles, FoundLabels]:
    """Roles and labels without the download's own test set and format file."""
    files = {key: table for key, table in roles.files.items() if key in ("train", "labels")}
    keys = labels.keys.copy()
    keys.pop("id_prefix", None)
    if keys["format"] == "class_columns":  # which the format file would name
        keys["classes"] = [*labels.columns]
    return replace(roles, files=files, test=None), replace(labels, keys=keys)


def _write(target: Path, texts: dict[str, str]) -> None:
    """Write the files into a folder of another name, then give it its own."""
    with scratch(target.parent, target.name) as staging:
        for path, text in texts.items():
            write_text(staging / target.name / path, text)
        os.rename(staging / target.name, target)
