"""The parts of a leaderboard whose sizes are known, so that each has an interval of its own."""

from collections.abc import Sequence

from foldwise.data.opened import OpenCompetition
from foldwise.ensembling.forecast import units_of
from foldwise.submitting.platforms import destination


def board_parts(competition: OpenCompetition) -> dict[str, int]:
    """How many rows, or groups (see `units_of`), the parts of the board have, by name.

    `public` and `private` of a local board, or of one whose `public_share` the spec states; nothing
    of another one. Raises: PlatformError: the local board's truth is not what it should be.
    """
    data = competition.data

    def units(ids: Sequence[str] | None) -> int:
        rows = data.test
        if ids is not None:
            rows = rows.where(rows.frame["id"].isin(ids).to_numpy())
        return units_of(rows, data.train)

    folder = competition.workspace.data / competition.name
    return destination(data.spec).parts(folder, data.format, units)
