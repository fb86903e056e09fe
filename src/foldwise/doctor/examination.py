"""check: what a competition's raw files hold, what is wrong with them, what is suspicious."""

from typing import cast

import numpy as np
import pandas as pd

from foldwise.config.recipe import load_recipe
from foldwise.data.competition import CompetitionData, load_data
from foldwise.data.folds import load_folds, make_folds
from foldwise.data.images.decoding import Progress
from foldwise.data.opened import OpenCompetition
from foldwise.doctor.findings import Findings, Understood
from foldwise.doctor.images import check_copies, check_files, check_headers, decoded_digests
from foldwise.doctor.leaks import (
    group_only_losses,
    has_crlf,
    split_like_platform,
    spreadsheet_damage,
    telling_columns,
)
from foldwise.errors import FoldwiseError, examples
from foldwise.kinds.folds import FOLDS, FoldScheme
from foldwise.store.layout import data_of
from foldwise.workspace import Workspace

LISTED = ("id", "path", "name", "label", "folder", "root")  # columns that readers make
FREQUENT = 50  # of many labels, so many of the most frequent are looked at for leaks


def check(workspace: Workspace, name: str, progress: Progress | None = None) -> Findings:
    """Every path, column, class, number and pixel of a competition, checked in the raw files.

    Images are decoded the first time, which takes as long as an epoch; their digests are kept.
    They are kept for reports, see `Findings.save`.
    Raises: SpecError: no competition has this name. All else becomes a finding.
    """
    workspace.competition(name)
    try:
        data = load_data(workspace, name)
    except FoldwiseError as error:
        findings = Findings(errors=[str(error)])
        findings.save(workspace.data / name, "check")
        return findings
    return examine(OpenCompetition(workspace=workspace, data=data), progress=progress)


def examine(
    competition: OpenCompetition, images: bool = True, progress: Progress | None = None
) -> Findings:
    """The findings about tables that could be read; with `images`, every image is looked at too.

    They are kept for reports, see `Findings.save`.
    """
    findings = _examine(competition, images, progress)
    home = competition.workspace.data / competition.name
    findings.save(home, "check" if images else "submit")
    return findings


def _examine(competition: OpenCompetition, images: bool, progress: Progress | None) -> Findings:
    data = competition.data
    findings = Findings(facts=_facts(data))
    for recipe in data.spec.submit.recipes:
        try:
            load_recipe(competition.folder, recipe)
        except FoldwiseError as error:
            findings.errors.append(str(error))
    findings.assign("Recipes")
    empty = [name for name, share in findings.facts.get("classes", {}).items() if share == 0]
    if empty:
        findings.warnings.append(
            f"{len(empty)} classes of the format file have no training row, e.g. {examples(empty)}"
        )
    findings.assign("Labels")
    _check_damage(data, findings)
    findings.assign("Data")
    digests = None
    if "read_image" not in data.hooks:
        present = check_files(data, findings)
        if images:
            check_headers(data, present, findings)
    if images:
        digests = decoded_digests(data, findings, progress)
        if digests is not None:
            check_copies(data, digests, findings)
    findings.assign("Images")
    for name, scheme in data.spec.folds.items():
        _check_folds(competition, name, scheme, digests, findings)
    findings.assign("Folds")
    _check_leaks(data, findings)
    findings.assign("Groups")
    return findings


def _facts(data: CompetitionData) -> Understood:
    """What the tables say."""
    facts: Understood = {
        "task": data.spec.task,
        "train_rows": len(data.train),
        "test_rows": len(data.test),
    }
    facts |= cast(Understood, data.task.facts(data.train.targets))
    facts |= {
        "format": {
            "file": data.spec.files.format or "made for the holdout",
            "rows": len(data.format.frame),
            "columns": len(data.format.columns),
            "shape": data.spec.submission.shape,
        },
        "metric": data.spec.metric.title,
        "image_mode": data.spec.images.mode,
        "changes": dict(data.counts),
    }
    if data.spec.labels.group_column:
        known = data.test.frame["group"].dropna()
        facts["groups"] = {
            "column": data.spec.labels.group_column,
            "train": int(data.train.frame["group"].nunique()),
            "test": int(known.nunique()) if len(known) else None,
            "shared": len(set(data.train.frame["group"]) & set(known)) if len(known) else None,
        }
    return facts


def _check_damage(data: CompetitionData, findings: Findings) -> None:
    """Recognise tables that a spreadsheet has damaged: the worst kind of data, it looks right."""
    groups = findings.facts.get("groups")
    if groups is None or data.spec.files.train is None:
        return
    path = data.raw / data.spec.files.train
    damage = spreadsheet_damage(
        data.train.frame["group"], path.suffix == ".csv" and has_crlf(path), groups["shared"] or 0
    )
    if damage:
        findings.errors.append(f"{path}: {damage}")


def _check_folds(
    competition: OpenCompetition,
    name: str,
    scheme: FoldScheme,
    digests: "pd.Series[str] | None",
    findings: Findings,
) -> None:
    """Make (or read) the folds, note their sizes, compare their split with the platform's."""
    data, home = competition.data, data_of(competition.workspace, competition.name).folds
    same = digests if scheme.duplicates else None
    saved = home.record(name).is_file() and (same is not None or not scheme.duplicates)
    try:
        frame = (
            load_folds(data.train, name, scheme, home.path, same).frame
            if saved
            else make_folds(data.train, scheme, same)
        )
    except FoldwiseError as error:
        findings.errors.append(str(error))
        return
    sizes = frame.loc[frame["fold"] >= 0, "fold"].value_counts()
    findings.facts.setdefault("folds", {})[name] = {
        "kind": scheme.kind,
        "n": scheme.n,
        "seed": scheme.seed,
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
        "saved": saved,
        "copies_together": same is not None,
    }
    if name == data.spec.submit.folds and data.spec.labels.group_column:
        findings.warnings[:0] = split_like_platform(
            scheme.grouped,
            name,
            data.spec.labels.group_column,
            data.train.frame["group"],
            data.test.frame["group"],
        )


def _check_leaks(data: CompetitionData, findings: Findings) -> None:
    """What a row's group, and any other column alone, tells about its label."""
    spec, group = data.spec, data.spec.labels.group_column
    if not data.task.probabilities:
        return  # what a column tells is measured in log loss
    targets = data.train.targets.values
    if targets.ndim > 1:
        targets = targets[:, np.argsort(-targets.sum(axis=0), kind="stable")[:FREQUENT]]
    folds = {}
    for kind in ("stratified", "stratified_group") if group else ("stratified",):
        scheme = FOLDS.load(kind)(n=5, seed=0, allow_missing=("*",))
        try:
            made = make_folds(data.train, scheme).set_index("id")["fold"]
        except FoldwiseError:
            return  # the competition's own folds say what is wrong
        folds[kind] = made.reindex(data.train.frame["id"]).to_numpy(dtype=np.int64)
    if group:
        known = group_only_losses(
            targets, data.train.frame["group"], folds["stratified"], folds["stratified_group"]
        )
        findings.facts["group_alone"] = {
            "column": group,
            "log_loss_in_random_folds": round(known.random, 3),
            "log_loss_in_grouped_folds": round(known.grouped, 3),
            "log_loss_of_class_shares": round(known.prior, 3),
        }
    own = (*spec.labels.columns, *data.classes)
    skip = {*LISTED, *own, *([group] if group else [])}
    for found in telling_columns(data.train.source, skip, targets, folds["stratified"])[:3]:
        findings.warnings.append(
            f"the column {found.column!r} alone predicts the label: log loss {found.loss:.3f} in "
            f"random folds, {found.prior:.3f} without it. If test rows have other values of it, "
            f'name it as [labels] group and write kind = "stratified_group"'
        )
