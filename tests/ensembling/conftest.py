"""The tiny competition, and three finished runs of it."""

from pathlib import Path

import pytest

from finished import write_run
from foldwise.data.competition import CompetitionData, load_data
from foldwise.training.fitting.run import Run
from tiny import write_tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CompetitionData:
    """The tiny competition with 120 rows, three classes of forty."""
    return load_data(write_tiny(tmp_path_factory.mktemp("blend"), n_train=120), "tiny")


@pytest.fixture
def runs(data: CompetitionData, tmp_path: Path) -> list[Run]:
    """Three finished runs that err in different rows, the last one often."""
    return [
        write_run(tmp_path, data, f"run{m}", m, noise) for m, noise in ((0, 1.5), (1, 1.6), (2, 6))
    ]
