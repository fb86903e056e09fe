"""Where things stand: submissions with their boards, and the headline of a run or a blend."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, cast

from foldwise.config.competition import CompetitionSpec
from foldwise.data.competition import CompetitionData
from foldwise.errors import RunError
from foldwise.reporting.comparing import (
    BlendRow,
    Expected,
    PartRow,
    RunRow,
    compare_blends,
    compare_runs,
)
from foldwise.reporting.headline import Board, Head, headline
from foldwise.reporting.summary import made_by, read_run, summarise
from foldwise.store.layout import data_of, manifest_of, runs_of, submissions_of
from foldwise.store.ledger import submissions
from foldwise.store.manifests import BlendSaid, Headline, Interval
from foldwise.submitting.leaderboard import (
    Agreement,
    PlacedRow,
    agreement,
    rank_rows,
    read_leaderboard,
)
from foldwise.workspace import Workspace


class Stand(TypedDict):
    """Where a competition's submissions stand, see `stand`."""

    submissions: list[PlacedRow]
    agreement: Agreement


class DescribedRow(PlacedRow, Expected):
    """A submission with what its manifest tells, see `with_manifests`."""

    local_low: float | None
    local_high: float | None
    blend: str | None
    runs: list[str] | None


def stand(workspace: Workspace, spec: CompetitionSpec) -> Stand:
    """`submissions`, rows of the ledger with their places (see `rank_rows`), and their `agreement`.

    The board of public scores is data/<name>/leaderboard.csv, where there is one.
    Raises: DataError: that file is no board.
    """
    rows = submissions(
        submissions_of(workspace, spec.name, spec.platform.practice).ledger, spec.name, strict=False
    )
    board, higher = data_of(workspace, spec.name).leaderboard, spec.metric.higher
    scores = [*read_leaderboard(board, higher)["score"]] if board.is_file() else None
    return {"submissions": rank_rows(rows, scores, higher), "agreement": agreement(rows, higher)}


def with_manifests(
    workspace: Workspace, spec: CompetitionSpec, rows: Sequence[PlacedRow]
) -> list[DescribedRow]:
    """The rows of `stand` with what their manifests tell, None where there is none (any more).

    Keys: `local_low, local_high`; `expected, expected_low, expected_high`, of a board, and `parts`
    of it (see `compare_blends`); `blend`, its directory; `runs`, names.
    """
    home = workspace.submissions(spec.name, spec.platform.practice)
    found: list[DescribedRow] = []
    for row in rows:
        told = Headline.read(manifest_of(home / Path(row["file"]).name))
        own, blend = told.local or Interval(), told.blend or BlendSaid()
        board = blend.expected or Interval()
        found.append(
            {
                **row,
                "local_low": own.low,
                "local_high": own.high,
                "expected": board.value,
                "expected_low": board.low,
                "expected_high": board.high,
                "parts": cast(Mapping[str, PartRow], blend.parts or {}),
                "blend": blend.directory,
                "runs": [run.run for run in told.runs] or None,
            }
        )
    return found


def board_of(workspace: Workspace, spec: CompetitionSpec, blend: BlendRow) -> Board:
    """What a board is expected to say of a blend, and has said of the latest submission of it.

    Keys: `expected, expected_low, expected_high, parts`, and `file, public, private, rank, teams,
    percentile, medal`, None where it was not submitted. blend: a row of `compare_blends`.
    """
    rows = with_manifests(workspace, spec, stand(workspace, spec)["submissions"])
    sent = [row for row in rows if row["blend"] == blend["run"]]
    return board_after(sent[-1] if sent else None, blend)


def board_after(sent: PlacedRow | None, expected: Expected | None) -> Board:
    """What a board has said of a submission, and what is expected of it, as far as it is known."""
    return {
        "expected": expected["expected"] if expected else None,
        "expected_low": expected["expected_low"] if expected else None,
        "expected_high": expected["expected_high"] if expected else None,
        "parts": expected["parts"] if expected else None,
        "file": sent["file"] if sent else None,
        "public": sent["public"] if sent else None,
        "private": sent["private"] if sent else None,
        "rank": sent["rank"] if sent else None,
        "teams": sent["teams"] if sent else None,
        "percentile": sent["percentile"] if sent else None,
        "medal": sent["medal"] if sent else None,
    }


def headline_of(
    workspace: Workspace,
    data: CompetitionData,
    what: str,
    rows: Sequence[RunRow] | None = None,
    blends: Sequence[BlendRow] | None = None,
) -> Head:
    """The `headline` of a run or a blend by its name; a blend's has its board.

    rows, blends: of `compare_runs` and `compare_blends`, where they are known already.
    Raises: RunError: see `read_run` and `blend_named`.
    """
    runs = runs_of(workspace, data.spec.name)
    rows = compare_runs(runs.path, data) if rows is None else rows
    if not runs.blend(what).finished:
        record, folds, oof = read_run(runs, what, data)
        return headline({**made_by(what, record), **summarise(data, oof, folds)}, rows)
    blends = compare_blends(runs.path, data, rows) if blends is None else blends
    own = blend_named(blends, data, what)
    return headline(own, [*rows, *blends], board_of(workspace, data.spec, own))


def blend_named(blends: Sequence[BlendRow], data: CompetitionData, what: str) -> BlendRow:
    """The row of `compare_blends` with a name.

    Raises: RunError: it is not among them, see there.
    """
    for row in blends:
        if row["run"] == what:
            return row
    raise RunError(
        f"{what}: an earlier version made this blend, or its runs have gone; "
        f"`foldwise blend {data.spec.name}` makes it anew"
    )
