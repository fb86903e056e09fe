"""The headline: the best other one, the rank, and the words that people read."""

from typing import Any

import pytest

from foldwise.reporting.headline import headline, headline_rows


def row(name: str, score: float | None, folds: str = "f", higher: bool = False) -> dict[str, Any]:
    values = [None if score is None else score + k / 100 for k in range(3)]
    return {
        "run": name,
        "score": score,
        "fold_scores": values,
        "folds_sha256": folds,
        "higher": higher,
    }


def summary(name: str, score: float, done: int = 3) -> dict[str, Any]:
    return {
        "run": name,
        "metric": "log loss",
        "higher": False,
        "score": score,
        "low": score - 0.1,
        "high": score + 0.1,
        "resampled": "groups",
        "done": done,
        "folds": 3,
    }


def test_the_rank_counts_finished_runs_with_the_same_folds() -> None:
    rows = [
        row("a", 0.5),
        row("own", 0.4),
        row("b", 0.4),
        row("c", 0.1, folds="other"),
        row("d", None),
    ]
    told = headline(summary("own", 0.4), rows)
    assert (told["rank"], told["of"]) == (1, 3)  # one is as good
    assert told["best"]["run"] == "b"
    assert (told["best"]["difference"], told["best"]["shared"]) == (0, 3)
    assert told["best"]["verdict"] == "same within noise"


def test_where_higher_is_better_the_best_is_the_highest() -> None:
    rows = [row("own", 0.4, higher=True), row("a", 0.5, higher=True), row("b", 0.3, higher=True)]
    told = headline({**summary("own", 0.4), "higher": True}, rows)
    assert (told["rank"], told["best"]["run"]) == (2, "a")
    assert told["best"]["difference"] == pytest.approx(-0.1)
    assert told["best"]["verdict"] == "worse"


def test_an_unfinished_run_has_no_rank_and_says_so() -> None:
    told = headline(summary("own", 0.4, done=2), [row("own", None), row("a", 0.5)])
    assert told["rank"] is None
    rows = {each["what"]: each for each in headline_rows(told)}
    assert "rank" not in rows
    assert rows["local"]["meaning"].endswith("over groups; 2 of 3 folds are done")
    assert rows["best"]["meaning"] == "best of the others, a; too few folds"


def test_the_words_hold_all_its_numbers() -> None:
    board = {
        "expected": 0.33,
        "expected_low": 0.2,
        "expected_high": 0.4,
        "file": "x.csv",
        "public": 0.31,
        "private": None,
        "rank": 7,
        "teams": 100,
        "percentile": 7.0,
        "medal": "gold",
        "parts": {
            "public": {"units": 30, "of": "rows", "value": 0.32, "low": 0.1, "high": 0.5},
            "private": {"units": 70, "of": "rows", "value": 0.33, "low": 0.2, "high": 0.45},
        },
    }
    told = headline(summary("own", 0.4), [row("own", 0.4), row("a", 0.45)], board)
    assert headline_rows(told) == [
        {
            "what": "local",
            "value": "0.40000",
            "meaning": "local score (log loss, lower is better); 95 % interval 0.30000 to 0.50000 "
            "over groups",
        },
        {
            "what": "best",
            "value": "0.45000",
            "meaning": "best of the others, a; difference to it -0.05000 ± 0.00000 (mean of 3 "
            "folds): better",
        },
        {
            "what": "rank",
            "value": "1 of 2",
            "meaning": "among the finished runs and blends with these folds",
        },
        {
            "what": "expected",
            "value": "0.33000",
            "meaning": "expected on a leaderboard of all test rows; 95 % interval 0.20000 to "
            "0.40000",
        },
        {
            "what": "public",
            "value": "0.31000",
            "meaning": "public score; expected 0.32000 on 30 rows; 95 % interval 0.10000 to "
            "0.50000",
        },
        {
            "what": "private",
            "value": "-",
            "meaning": "private score, not known yet; expected 0.33000 on 70 rows; 95 % interval "
            "0.20000 to 0.45000",
        },
        {
            "what": "place",
            "value": "7 of 100",
            "meaning": "on the leaderboard, among the best 7 %; worth gold where there are medals",
        },
    ]


def test_a_first_run_has_nothing_beside_it() -> None:
    told = headline({**summary("own", 0.4), "low": None}, [row("own", 0.4)])
    assert (told["best"], told["rank"], told["of"]) == (None, 1, 1)
    assert [each["what"] for each in headline_rows(told)] == ["local", "best", "rank"]
    assert headline_rows(told)[1]["value"] == "-"
    assert "interval" not in headline_rows(told)[0]["meaning"]


def test_a_blend_of_one_run_is_not_set_against_that_run() -> None:
    blend = {**row("blend", 0.39), "members": ["own"], "decided_apart": 0.4012}
    rows = [row("own", 0.4), row("other", 0.5), blend]
    told = headline(summary("blend", 0.39), rows)
    assert (told["rank"], told["of"], told["best"]["run"]) == (1, 2, "other")
    assert (told := headline(summary("own", 0.4), rows))["of"] == 2
    assert told["best"]["run"] == "other"


def test_what_deciding_on_the_steps_costs_is_a_line_of_its_own() -> None:
    blend = {**row("blend", 0.39), "members": ["a", "b"], "decided_apart": 0.4012}
    lines = headline_rows(headline(summary("blend", 0.39), [blend]))
    assert [line["what"] for line in lines] == ["local", "deciding", "best", "rank"]
    assert lines[1]["value"] == "+0.01120"
    lines = headline_rows(headline(summary("blend", 0.39), [blend | {"decided_apart": 0.39}]))
    assert [line["what"] for line in lines] == ["local", "best", "rank"]
