"""The headline of a run or a blend: its score, beside the best other one, its rank, its board."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from foldwise.reporting.comparing import BlendRow, Difference, Expected, RunRow, against
from foldwise.reporting.summary import RunSummary

PARTS: tuple[Literal["public", "private"], ...] = ("public", "private")


class Rival(Difference):
    """The best other run or blend, and how the own one differs from it."""

    run: str
    score: float | None


class Board(Expected):
    """What a board is expected to say of a blend, and has said of its latest submission.

    See `standing.board_of`; None is what is not known (yet).
    """

    file: str | None
    public: float | None
    private: float | None
    rank: int | None
    teams: int | None
    percentile: float | None
    medal: str | None


class Head(TypedDict):
    """What is to be known first of a run or a blend, see `headline`."""

    run: str
    metric: str
    higher: bool
    score: float | None
    low: float | None
    high: float | None
    resampled: str | None
    done: int
    folds: int
    rank: int | None
    of: int
    best: Rival | None
    board: Board | None
    decided_apart: float | None


class HeadRow(TypedDict):
    """A line of a headline in words."""

    what: str
    value: str
    meaning: str


def headline(
    summary: RunSummary | BlendRow, rows: Sequence[RunRow | BlendRow], board: Board | None = None
) -> Head:
    """What is to be known first of a run or a blend, as plain values.

    summary: of `run_summary`, or a row of `compare_blends`. rows: those of `compare_runs`, and of
    `compare_blends` where blends count too; its own is among them. board: see `board_of`.

    Keys: `run, metric, higher, score, low, high, resampled, done, folds` as in the summary;
    `rank, of`: its place among the finished ones with the same folds, None until it is finished
    (a blend of one run and that run are not set against each other); `decided_apart`: see
    `compare_blends`, None for a run;
    `best`: the best other one of these: `run, score`, and of the difference to it `difference,
    error, shared, verdict` (see `compare_runs`), None without any; `board`.
    """
    (own,) = (row for row in rows if row["run"] == summary["run"])
    alike = [row for row in rows if row["folds_sha256"] == own["folds_sha256"]]
    others = [
        row
        for row in alike
        if row is not own and row["score"] is not None and not _blend_of_it_alone(row, own)
    ]
    sign = -1 if own["higher"] else 1
    places = [sign * (row["score"] or 0.0) for row in others]
    rank = None
    if own["score"] is not None:
        rank = 1 + sum(place < sign * own["score"] for place in places)
    rival: Rival | None = None
    if others:
        best = others[places.index(min(places))]
        rival = {"run": best["run"], "score": best["score"], **against(own, best)}
    resampled, apart = summary.get("resampled"), own.get("decided_apart")  # not all have them
    return {
        "run": summary["run"],
        "metric": summary["metric"],
        "higher": summary["higher"],
        "score": summary["score"],
        "low": summary["low"],
        "high": summary["high"],
        "resampled": resampled if isinstance(resampled, str) else None,
        "done": summary["done"],
        "folds": summary["folds"],
        "rank": rank,
        "of": len(others) + 1,
        "best": rival,
        "board": board,
        "decided_apart": apart if isinstance(apart, float) else None,
    }


def _blend_of_it_alone(row: RunRow | BlendRow, other: RunRow | BlendRow) -> bool:
    """Whether one of two rows is a run, and the other one a blend of nothing else."""
    return row.get("members") == [other["run"]] or other.get("members") == [row["run"]]


def headline_rows(told: Head) -> list[HeadRow]:
    """A headline in words, for terminal and page: `what, value, meaning`."""
    better = "higher" if told["higher"] else "lower"
    meaning = f"local score ({told['metric']}, {better} is better)"
    if told["low"] is not None:
        meaning += _interval(told["low"], told["high"])
        meaning += f" over {told['resampled']}" if told["resampled"] not in (None, "rows") else ""
    if told["done"] < told["folds"]:
        meaning += f"; {told['done']} of {told['folds']} folds are done"
    rows: list[HeadRow] = [{"what": "local", "value": f"{told['score']:.5f}", "meaning": meaning}]
    apart, score = told["decided_apart"], told["score"]
    if apart is not None and score is not None and (cost := apart - score):
        rows.append(
            {
                "what": "deciding",
                "value": f"{cost:+.5f}",
                "meaning": "change in local score if no fold had a say in its calibration or "
                "thresholds",
            }
        )
    best = told["best"]
    if best is None:
        rows.append(
            {"what": "best", "value": "-", "meaning": "no other run or blend has these folds"}
        )
    else:
        meaning = f"best of the others, {best['run']}; {_difference(best)}"
        rows.append({"what": "best", "value": f"{best['score']:.5f}", "meaning": meaning})
    if told["rank"] is not None:
        rows.append(
            {
                "what": "rank",
                "value": f"{told['rank']} of {told['of']}",
                "meaning": "among the finished runs and blends with these folds",
            }
        )
    return rows + (_board_rows(told["board"]) if told["board"] else [])


def _difference(best: Rival) -> str:
    """How far it is from the best other one, and whether that is more than noise."""
    if best["difference"] is None:
        return str(best["verdict"])
    error = "" if best["error"] is None else f" ± {best['error']:.5f}"
    shared = f"mean of {best['shared']} folds"
    return f"difference to it {best['difference']:+.5f}{error} ({shared}): {best['verdict']}"


def _interval(low: float | None, high: float | None) -> str:
    """The interval in words; nothing where there is none."""
    return "" if low is None or high is None else f"; 95 % interval {low:.5f} to {high:.5f}"


def _board_rows(board: Board) -> list[HeadRow]:
    """What a board is expected to say, and what it has said."""
    rows: list[HeadRow] = []
    if board["expected"] is not None:
        meaning = "expected on a leaderboard of all test rows"
        meaning += _interval(board["expected_low"], board["expected_high"])
        value = f"{board['expected']:.5f}"
        rows.append({"what": "expected", "value": value, "meaning": meaning})
    for part in PARTS:
        told, saw = (board["parts"] or {}).get(part), board[part]
        if saw is None and told is None:
            continue
        meaning = f"{part} score" if saw is not None else f"{part} score, not known yet"
        if told is not None:
            chance = _interval(told["low"], told["high"])
            meaning += f"; expected {told['value']:.5f} on {told['units']} {told['of']}{chance}"
        value = "-" if saw is None else f"{saw:.5f}"
        rows.append({"what": part, "value": value, "meaning": meaning})
    if board["rank"] is not None and board["teams"] is not None:
        meaning = f"on the leaderboard, among the best {board['percentile']:g} %"
        meaning += f"; worth {board['medal']} where there are medals" if board["medal"] else ""
        value = f"{board['rank']} of {board['teams']}"
        rows.append({"what": "place", "value": value, "meaning": meaning})
    return rows
