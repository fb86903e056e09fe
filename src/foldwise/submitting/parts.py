"""The parts of a leaderboard whose sizes are known, so that each has an interval of its own."""

from foldwise.data.competition import CompetitionData
from foldwise.ensembling.forecast import units_of
from foldwise.submitting.platforms import local
from foldwise.workspace import Workspace


def board_parts(workspace: Workspace, data: CompetitionData) -> dict[str, int]:
    """How many rows, or groups (see `units_of`), the parts of the board have, by name.

    `public` and `private` of a local board, or of one whose `public_share` the spec states; nothing
    of another one. Raises: PlatformError: the local board's truth is not what it should be.
    """
    if data.spec.practice:
        parts = local.part_ids(workspace.data / data.spec.name, data.format)
        return {
            part: units_of(data.test.where(data.test.frame["id"].isin(ids).to_numpy()), data.train)
            for part, ids in parts.items()
        }
    if data.spec.public_share is None:
        return {}
    units = units_of(data.test, data.train)
    public = min(max(round(data.spec.public_share * units), 1), units - 1)
    return {"public": public, "private": units - public} if public else {}
