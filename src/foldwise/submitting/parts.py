"""The parts of a leaderboard whose sizes are known, so that each has an interval of its own."""

from collections.abc import Sequence

from foldwise.data.competition import CompetitionData
from foldwise.ensembling.forecast import units_of
from foldwise.submitting.platforms import destination
from foldwise.workspace import Workspace


def board_parts(workspace: Workspace, data: CompetitionData) -> dict[str, int]:
    """How many rows, or groups (see `units_of`), the parts of the board have, by name.

    `public` and `private` of a local board, or of one whose `public_share` the spec states; nothing
    of another one. Raises: PlatformError: the local board's truth is not what it should be.
    """

    def units(ids: Sequence[str] | None) -> int:
        rows = data.test
        if ids is not None:
            rows = rows.where(rows.frame["id"].isin(ids).to_numpy())
        return units_of(rows, data.train)

    folder = workspace.data / data.spec.name
    return destination(data.spec).parts(folder, data.format, units)
