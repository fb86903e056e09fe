"""OpenCompetition: a competition whose data are loaded, once for all that a command does."""

from dataclasses import dataclass
from pathlib import Path

from foldwise.config.competition import CompetitionSpec
from foldwise.data.competition import CompetitionData, load_data
from foldwise.store.layout import CompetitionRuns
from foldwise.workspace import Workspace


@dataclass(frozen=True)
class OpenCompetition:
    """A competition's data, and where it lies."""

    workspace: Workspace
    data: CompetitionData

    @property
    def name(self) -> str:
        """The competition's name."""
        return self.data.spec.name

    @property
    def spec(self) -> CompetitionSpec:
        """What `competition.toml` says."""
        return self.data.spec

    @property
    def folder(self) -> Path:
        """The folder of `competition.toml` and the recipes."""
        return self.workspace.competition(self.name)

    @property
    def files(self) -> CompetitionRuns:
        """The folder of its runs and blends."""
        return CompetitionRuns(self.workspace.runs / self.name)


def open_competition(workspace: Workspace, name: str) -> OpenCompetition:
    """The competition of this name, its tables read and checked against each other.

    Raises: SpecError, DataError, LabelError: see `load_data`.
    """
    return OpenCompetition(workspace=workspace, data=load_data(workspace, name))
