"""The headline of a run or a blend: its score, beside the best other one, its rank, its board."""

from collections.abc import Sequence
from typing import Any

from foldwise.reporting.comparing import against

OWN = ("run", "metric", "higher", "score", "low", "high", "resampled", "done", "folds")


def headline(
    summary: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    board: dict[str, Any] | None = None,
) -> dict[str, Any]:
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
    told = {key: summary.get(key) for key in OWN}
    told |= {"rank": None, "of": len(others) + 1, "best": None, "board": board}
    told["decided_apart"] = own.get("decided_apart")
    if own["score"] is not None:
        told["rank"] = 1 + sum(sign * row["score"] < sign * own["score"] for row in others)
    if others:
        best = min(others, key=lambda row: sign * row["score"])
        told["best"] = {"run": best["run"], "score": best["score"], **against(own, best)}
    return told


def _blend_of_it_alone(row: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether one of two rows is a run, and the other one a blend of nothing else."""
    return row.get("members") == [other["run"]] or other.get("members") == [row["run"]]


def headline_rows(told: dict[str, Any]) -> list[dict[str, str]]:
    """A headline in words, for terminal and page: `what, value, meaning`."""
    better = "higher" if told["higher"] else "lower"
    meaning = f"{told['metric']} of {told['run']}, of OOF, {better} is better"
    if told["low"] is not None:
        meaning += f"; 95 % interval {told['low']:.5f} to {told['high']:.5f}"
        meaning += f", bootstrap over {told['resampled']}" if told["resampled"] else ""
    if told["done"] < told["folds"]:
        meaning += f"; {told['done']} of {told['folds']} folds are done"
    rows = [{"what": "local", "value": f"{told['score']:.5f}", "meaning": meaning}]
    if told["decided_apart"] is not None and abs(cost := told["decided_apart"] - told["score"]) > 0:
        rows.append(
            {
                "what": "deciding",
                "value": f"{cost:+.5f}",
                "meaning": "on top of it, were each fold's labels also kept out of deciding which "
                "calibration or thresholds to use",
            }
        )
    best = told["best"]
    if best is None:
        rows.append({"what": "best", "value": "-", "meaning": "no other one with these folds"})
    else:
        meaning = f"{best['run']}, the best other one; {_difference(best)}"
        rows.append({"what": "best", "value": f"{best['score']:.5f}", "meaning": meaning})
    if told["rank"] is not None:
        rows.append(
            {
                "what": "rank",
                "value": f"{told['rank']} of {told['of']}",
                "meaning": "among the finished ones with these folds",
            }
        )
    return rows + _board_rows(told["board"] or {})


def _difference(best: dict[str, Any]) -> str:
    """How far it is from the best other one, and whether that is more than noise."""
    if best["difference"] is None:
        return best["verdict"]
    error = "" if best["error"] is None else f" ± {best['error']:.5f}"
    shared = f"mean over {best['shared']} folds"
    return f"difference {best['difference']:+.5f}{error} ({shared}): {best['verdict']}"


def _interval(low: float, high: float) -> str:
    return f"95 % interval {low:.5f} to {high:.5f}"


def _board_rows(board: dict[str, Any]) -> list[dict[str, str]]:
    """What a board is expected to say, and what it has said."""
    rows = []
    if board.get("expected") is not None:
        meaning = "on a board of all test rows: folds averaged, other rows"
        if board["expected_low"] is not None:
            meaning += f"; {_interval(board['expected_low'], board['expected_high'])}"
        value = f"{board['expected']:.5f}"
        rows.append({"what": "expected", "value": value, "meaning": meaning})
    for part in ("public", "private"):
        told, saw = (board.get("parts") or {}).get(part), board.get(part)
        words = [] if saw is None else [board["file"]]
        if told is not None:
            words += [f"expected {told['value']:.5f} on {told['units']} {told['of']}"]
            words += [_interval(told["low"], told["high"])] if told["low"] is not None else []
        if words:
            value = "-" if saw is None else f"{saw:.5f}"
            rows.append({"what": part, "value": value, "meaning": "; ".join(words)})
    if board.get("rank") is not None and board.get("teams") is not None:
        meaning = f"on the board, among the best {board['percentile']:g} %"
        meaning += f", worth {board['medal']} where there are medals" if board["medal"] else ""
        value = f"{board['rank']} of {board['teams']}"
        rows.append({"what": "place", "value": value, "meaning": meaning})
    return rows
