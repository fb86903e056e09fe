"""Fixtures: a workspace with a tiny competition, and an environment without the user's own."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from costs import mark_slow
from foldwise.commands.submit import submit
from foldwise.data.opened import open_competition
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from tiny import write_tiny

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several: each has a core of its own
    os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: no test reaches a hub
for _name in [_name for _name in os.environ if _name.startswith(("KAGGLE_", "WANDB_"))]:
    del os.environ[_name]  # nor a platform, with the user's own key
os.environ["WANDB_MODE"] = "disabled"
os.environ["HOME"] = tempfile.mkdtemp(prefix="foldwise-home-")
atexit.register(shutil.rmtree, os.environ["HOME"], ignore_errors=True)
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what trains, submits or starts a process, so that `make quick` leaves it out."""
    mark_slow(items)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the user's reaches a test."""
    for name in [name for name in os.environ if name.startswith("FOLDWISE_")]:
        if name != "FOLDWISE_REALDATA":
            monkeypatch.delenv(name)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the competition `tiny`."""
    return write_tiny(tmp_path)


@pytest.fixture(scope="session")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Entry]:
    """A workspace whose competition was submitted once; tests leave it as it is."""
    workspace = write_tiny(tmp_path_factory.mktemp("submitted"))
    return workspace, submit(open_competition(workspace, "tiny"))


@pytest.fixture
def repository() -> Path:
    """The folder of this checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder with real competition files; skips where there is none."""
    folder = Path(os.environ.get("FOLDWISE_REALDATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; FOLDWISE_REALDATA names another folder")
    return folder
