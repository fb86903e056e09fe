"""A workspace for a reproduction, made from the manifest; and manifests found by name."""

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import tomli_w

from foldwise.config.competition import tables_of_manifest
from foldwise.errors import SubmissionError, nearest
from foldwise.store.data_records import BegunRecord
from foldwise.store.files import hold_lock, write_text
from foldwise.store.layout import all_submissions, manifest_of, runs_of
from foldwise.store.manifests import Manifest
from foldwise.store.versions import versions
from foldwise.submitting import manifest
from foldwise.workspace import Workspace

log = logging.getLogger(__name__)


def find_manifest(workspace: Workspace, submission: str) -> Path:
    """The manifest of a submission, by its file's name, path or stem.

    Raises: SubmissionError: there is none; the nearest name is said.
    """
    given = Path(submission).expanduser()
    stem = given.stem if given.suffix in (".csv", ".json") else given.name
    direct = manifest_of(given.parent / f"{stem}.csv")
    if direct.is_file():
        return direct.resolve()
    known = {
        path.stem: path for folder in all_submissions(workspace) for path in folder.manifests()
    }
    if stem not in known:
        raise SubmissionError(f"no submission is called {submission!r}{nearest(stem, [*known])}")
    return known[stem]


@contextmanager
def scratch(workspace: Workspace, path: Path, told: Manifest) -> Iterator[Workspace]:
    """A workspace with the manifest's competition, the same data, and runs of its own.

    It is hidden below the competition's runs, so that nothing takes it for one; it is begun anew
    where manifest, code or versions are others than when it was begun.
    """
    name = told.competition
    folder, runs = workspace.competition(name), runs_of(workspace, name)
    home = runs.reproduction(path.stem)
    root, copy = home.path, home.competition(name)
    code = manifest.code(workspace.root, folder)
    begun = BegunRecord(
        manifest=told.manifest_sha256,
        package=code["package_sha256"],
        adapter=code["adapter_sha256"],
        versions=versions(),
        machine={**manifest.machine()},
    )
    with hold_lock(runs.reproduce_lock, f"reproducing {name}", wait=False):
        if begun.stands_in(home.record):
            log.info("%s: the reproduction goes on", path.stem)
        else:
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("recipes", "__pycache__"))
            write_text(copy / "competition.toml", toml_of(tables_of_manifest(told.spec)))
            for run in told.runs:
                recipe = run.recipe
                write_text(copy / "recipes" / f"{recipe['name']}.toml", toml_of(recipe))
            begun.write(home.record)
        try:
            yield Workspace(root=root, data=workspace.data, runs=home.runs)
        finally:
            if not home.runs.exists():  # refused before anything was trained
                shutil.rmtree(root, ignore_errors=True)


def toml_of(table: Mapping[str, object]) -> str:
    """Plain values as TOML; what is None is left out, which TOML cannot say."""
    return tomli_w.dumps({key: _plain(value) for key, value in table.items() if value is not None})


def _plain(value: object) -> object:
    """The value without the keys of its tables that are None."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items() if part is not None}
    return [_plain(part) for part in value] if isinstance(value, list) else value
