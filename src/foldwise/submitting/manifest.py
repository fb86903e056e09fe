"""The manifest: what a submission was made of, enough to make it again (see reproducing/)."""

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

import foldwise
from foldwise.config.recipe import recorded_recipe
from foldwise.data.competition import CompetitionData, need_images
from foldwise.data.folds import labels_hash
from foldwise.data.images.sources import source_hashes, sources_key
from foldwise.data.opened import OpenCompetition
from foldwise.ensembling.blend import Blend
from foldwise.errors import WeightsError
from foldwise.metrics.scoring import Score
from foldwise.store import ledger
from foldwise.store.files import sha256_file, sha256_json, sha256_text
from foldwise.store.layout import RunFolder
from foldwise.store.run_records import RateSearch, RunRecord
from foldwise.store.versions import versions


class RowCounts(TypedDict):
    """How many rows there are."""

    train: int
    test: int


class DataFacts(TypedDict):
    """What the data are, see `facts`."""

    rows: RowCounts
    changes: dict[str, int]
    labels: str
    soft: str | None
    images: str | None
    format: str
    files: dict[str, str]


class Machine(TypedDict):
    """What results depend on of the machine, see `machine`."""

    machine: str
    system: str
    processor: str
    gpu: str | None
    cpus: int | None
    threads: int


class Code(TypedDict):
    """What code there is, see `code`."""

    commit: str | None
    diff_sha256: str | None
    package_sha256: str
    adapter_sha256: str | None


def describe(
    competition: OpenCompetition, blend: Blend, own: Score, digest: str
) -> dict[str, object]:
    """What a submission file was made of. own: its local score. digest: its bytes' SHA-256.

    `spec` (as competition.toml says it), `runs` (each with its recipe, `--set` included, what
    `auto` became, the budget's plan and the rates found), `teachers` (runs that gave pseudo-labels,
    each after its own) and `folds` are what makes it again; `data`, `code`, `versions` and
    `machine` are what has to be the same then.
    """
    data, folder, folds = competition.data, competition.folder, blend.members[0].folds
    seen = any(run.record.caches for run in blend.members)  # a prior looks at no image
    return {
        "competition": competition.name,
        "created": ledger.now(),
        "sha256": digest,
        "local": asdict(own),
        "spec": data.spec.model_dump(mode="json", exclude_unset=True),
        "data": facts(data, seen or data.spec.folds[folds.name].duplicates),
        "blend": {"directory": blend.folder.name, **blend.made_of()},
        "runs": [
            {**_run_entry(run.folder, folder), "local": asdict(blend.member_scores[run.name])}
            for run in blend.members
        ],
        "teachers": _teachers((run.folder for run in blend.members), folder),
        "folds": {"scheme": folds.name, "sha256": folds.sha256},
        "code": code(competition.workspace.root, folder),
        "versions": versions(),
        "machine": machine(),
    }


def facts(data: CompetitionData, images: bool) -> DataFacts:
    """What the data are: counts, and hashes of whatever training and writing depend on.

    Keys: `rows, changes` (what was ignored or corrected), `labels` (ids, labels and groups), `soft`
    (shares and weights), `images` (None unless asked for), `format` (what the file asks for), and
    `files`, those that were read, by their paths in data/<competition>.
    Raises: ImageError: images are missing.
    """
    home, shape, sources = data.raw.parent, data.format, None
    if images:
        need_images(data)
        hook = data.hooks.get("read_image")
        sources = sources_key(
            source_hashes(data.all_rows(), data.raw, hook, data.spec.images.readers)
        )
    outside = [path for each in data.spec.submit.member for path in (each.oof, each.test)]
    read = [*(f"{data.raw.name}/{name}" for name in data.spec.files.names()), *outside]
    asked = shape.frame.drop(columns=list(shape.answers))
    return {
        "rows": {"train": len(data.train), "test": len(data.test)},
        "changes": data.counts,
        "labels": labels_hash(data.train),
        "soft": data.train.soft_hash(),
        "images": sources,
        "format": sha256_json(
            [shape.columns, asked.to_numpy().tolist(), [*shape.ids], [*shape.classes]]
        ),
        "files": {path: sha256_file(home / path) for path in read},
    }


def _run_entry(folder: Path, competition: Path) -> dict[str, object]:
    """What it takes to train a run again, from its directory. competition: the folder."""
    from foldwise.training.models.backbones import weights_file  # loads torch

    run, weights = RunFolder(folder), None
    record = RunRecord.read(run.record)
    rates: dict[str, dict[str, dict[str, float]]] = {}  # by fold, file and method
    recipe = recorded_recipe(competition, record.recipe, folder.name)
    for fold in run.there():
        for path in fold.rate_searches().values():
            rates.setdefault(fold.name, {})[path.name] = RateSearch.read(path).suggestions
    if recipe.weights != "none":
        with contextlib.suppress(WeightsError):  # gone since the training
            file = weights_file(recipe)
            weights = sha256_file(file) if file else None
    return {
        "run": folder.name,
        **record.model_dump(include={"identity", "recipe", "seed", "resolved", "caches"}),
        "recipe_sha256": sha256_json(recipe.identity()),
        "rates": rates,
        "weights_sha256": weights,
    }


def _teachers(runs: Iterable[Path], competition: Path) -> list[dict[str, object]]:
    """The runs that gave pseudo-labels to these, and to those, each after its own teacher."""
    found: dict[str, dict[str, object]] = {}
    for folder in runs:
        pseudo = RunRecord.read(RunFolder(folder).record).resolved.get("pseudo")
        if pseudo:
            teacher = folder.parent / pseudo["run"]
            own = [*_teachers([teacher], competition), _run_entry(teacher, competition)]
            found |= {str(each["run"]): each for each in own}
    return list(found.values())


def machine() -> Machine:
    """What results depend on of the machine: processor, GPU, and the number of threads."""
    from foldwise.training.speed.machine import gpu, threads  # loads torch

    cpuinfo, processor = Path("/proc/cpuinfo"), platform.processor()
    if cpuinfo.is_file():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = named[0].partition(": ")[2] if named else processor
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": processor,
        "gpu": gpu(),
        "cpus": os.cpu_count(),
        "threads": threads(),
    }


def code(root: Path, competition: Path | None = None) -> Code:
    """What code there is. root: the checkout. competition: the folder of one, for its adapter.

    Keys: `commit` (None outside git), `diff_sha256`, of the uncommitted diff (None where the tree
    is clean), `package_sha256`, of foldwise's own files, and `adapter_sha256` (None without one).
    `submissions/` is left out: each submission writes there.
    """
    commit = _git(root, "rev-parse", "HEAD")
    diff = _git(root, "diff", "HEAD", "--", ".", ":(exclude)submissions")
    package = Path(str(foldwise.__file__)).parent
    adapter = competition / "adapter.py" if competition else None
    files = {
        path.relative_to(package).as_posix(): sha256_file(path) for path in package.rglob("*.py")
    }
    return {
        "commit": (commit or "").strip() or None,
        "diff_sha256": sha256_text(diff) if diff else None,
        "package_sha256": sha256_json(files),
        "adapter_sha256": sha256_file(adapter) if adapter and adapter.is_file() else None,
    }


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
