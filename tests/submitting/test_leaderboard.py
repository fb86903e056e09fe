"""Boards as Kaggle sends them, places and medals on them, and what local scores foretell."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldwise.cli import printing
from foldwise.commands import status
from foldwise.errors import DataError
from foldwise.store import ledger
from foldwise.submitting.leaderboard import agreement, medal, place, rank_rows, read_leaderboard
from foldwise.workspace import Workspace

TODAY = (
    "\ufeffRank,TeamId,TeamName,LastSubmissionDate,Score,SubmissionCount,TeamMemberUserNames\n"
    '1,7,"A, B",2026-01-02 00:00:00,0.25,3,"a,b"\n2,007,Ünï,2026-01-02 00:00:00,0.5,1,u\n'
    "3,8,nan,2026-01-02 00:00:00,0.5,1,n\n,9,late,,,0,l\n"
)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def rows(local: list[Any], public: list[Any], private: list[Any] | None = None) -> list[dict]:
    """Rows of a ledger with these scores."""
    last = private or [None] * len(local)
    return [
        {"local": a, "public": b, "private": c} for a, b, c in zip(local, public, last, strict=True)
    ]


def test_a_board_has_a_row_per_team_with_its_score(tmp_path: Path) -> None:
    board = read_leaderboard(write(tmp_path / "b.csv", TODAY), higher=False)
    assert board["team"].tolist() == ["A, B", "Ünï", "nan"]  # teams 7 and 007 are two
    assert board["score"].tolist() == [0.25, 0.5, 0.5]
    assert read_leaderboard(tmp_path / "b.csv", True)["team"].tolist() == ["Ünï", "nan", "A, B"]


def test_the_best_of_a_teams_rows_counts_on_an_older_board(tmp_path: Path) -> None:
    text = "TeamId,TeamName,SubmissionDate,Score\n5,x,2019,0.9\n6,y,2019,0.8\n5,x,2020,0.7\n"
    path = write(tmp_path / "b.csv", text)
    assert read_leaderboard(path, False).to_numpy().tolist() == [["x", 0.7], ["y", 0.8]]
    assert read_leaderboard(path, True).to_numpy().tolist() == [["x", 0.9], ["y", 0.8]]
    small = write(tmp_path / "c.csv", "teamId,teamName,submissionDate,score\n5,x,2019,0.9\n")
    assert read_leaderboard(small, True)["team"].tolist() == ["x"]


@pytest.mark.parametrize("odd", ["best", "inf", "-Infinity", "1e999", "nan", "0,5", "true"])
def test_a_row_with_an_odd_score_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, odd: str
) -> None:
    text = f'TeamId,TeamName,Score\n1,a,0.9\n2,b,"{odd}"\n3,c, 0.5 \n4,d,{" "}\n5,e,"{odd}"\n'
    path = write(tmp_path / "b.csv", text)
    assert read_leaderboard(path, False).to_numpy().tolist() == [["c", 0.5], ["a", 0.9]]
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{path}: scores should be finite numbers, 2 of 5 are not, e.g. team 'b' has '{odd}'; "
        "places are counted without these rows"
    )


def test_rows_without_a_score_are_left_out_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "b.csv", "TeamId,TeamName,Score\n1,a,\n2,b,\n")
    assert len(read_leaderboard(path, False)) == 0
    assert not caplog.records


def test_a_zip_of_a_board_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "leaf.zip"
    with zipfile.ZipFile(path, "w") as handle:
        handle.writestr("leaf-publicleaderboard.csv", TODAY)
    assert read_leaderboard(path, False)["score"].tolist() == [0.25, 0.5, 0.5]
    with zipfile.ZipFile(path, "a") as handle:
        handle.writestr("another.csv", TODAY)
    with pytest.raises(DataError, match=r"leaf.zip should be a leaderboard's CSV, or a zip of tha"):
        read_leaderboard(path, False)
    path.write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"leaf.zip is damaged or incomplete .* download it again"):
        read_leaderboard(path, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Rank,Team,Score\n1,a,0.5\n", "columns TeamId, TeamName and Score, .* got Rank, Team, Sc"),
        (
            "TeamId,TeamName,Score\n1,a,best\n2,b,\n",
            r"scores should be finite numbers, none of 2 is, e.g. team 'a' has 'best'; download",
        ),
        ("", "is empty"),
    ],
)
def test_what_is_no_board_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_leaderboard(write(tmp_path / "b.csv", text), True)


def test_a_place_counts_the_strictly_better_ones() -> None:
    scores = [0.2, 0.3, 0.3, 0.9]
    assert place(scores, 0.3, higher=False) == (2, 4, 50.0)
    assert place(scores, 0.3, higher=True) == (2, 4, 50.0)
    assert place(scores, 0.1, higher=False) == (1, 4, 25.0)
    assert place(scores, 1.0, higher=False) == (5, 5, 100.0)  # one more team
    assert place(scores, 0.95, higher=True)[0] == 1


@pytest.mark.parametrize(
    ("teams", "ends"),
    [
        (2, (0, 0, 0)),
        (3, (0, 0, 1)),
        (19, (1, 3, 7)),
        (99, (9, 19, 39)),
        (100, (10, 20, 40)),
        (249, (10, 49, 99)),
        (250, (10, 50, 100)),
        (499, (10, 50, 100)),
        (500, (11, 50, 100)),
        (999, (11, 50, 100)),
        (1000, (12, 50, 100)),
        (1019, (12, 50, 101)),
        (5000, (20, 250, 500)),
    ],
)
def test_medals_end_where_kaggles_rules_say(teams: int, ends: tuple[int, int, int]) -> None:
    won = [medal(rank, teams) for rank in range(1, teams + 1)]
    last = 0
    for name, end in zip(("gold", "silver", "bronze"), ends, strict=True):
        assert won[last:end] == [name] * (end - last)
        last = end
    assert set(won[last:]) <= {None}


def test_the_ledgers_own_rank_counts_before_a_boards() -> None:
    own = {"rank": 3, "teams": 60, "public": 0.1, "private": None}
    unknown = {"rank": None, "teams": None, "public": 0.1, "private": None}
    unscored = {**unknown, "public": None}
    alone = {**own, "teams": None}
    found = rank_rows([own, unknown, unscored, alone], list(np.linspace(0, 1, 200)), True)
    keys = ("rank", "teams", "percentile", "medal")
    assert [tuple(row[key] for key in keys) for row in found] == [
        (3, 60, 5.0, "gold"),
        (181, 200, 90.5, None),
        (None,) * 4,
        (3, None, None, None),
    ]
    assert [row["rank"] for row in rank_rows([own, unknown], None, True)] == [3, None]


def test_two_submissions_are_too_few_to_say() -> None:
    told = agreement(rows([0.5, None, 0.4, 0.3], [0.6, 0.5, None, 0.35]), False)
    assert told["stopped"] is None
    assert told["verdict"] == (
        "too few to say: 2 submissions have a local score and a board's, 3 are needed"
    )
    assert told["local_public"] == {
        "submissions": 2,
        "correlation": None,
        "gap": pytest.approx(0.075),
    }
    assert agreement([], True)["local_private"] == {
        "submissions": 0,
        "correlation": None,
        "gap": None,
    }


def test_correlations_and_gaps_are_those_by_hand() -> None:
    from scipy.stats import spearmanr

    local, public = [0.5, 0.4, 0.45, 0.4, 0.3], [0.6, 0.5, 0.5, 0.7, 0.2]
    private = [0.55, 0.35, 0.5, None, 0.3]
    told = agreement(rows(local, public, private), False)
    assert told["local_public"]["correlation"] == pytest.approx(spearmanr(local, public)[0])
    assert told["local_public"]["gap"] == pytest.approx(0.09)
    assert told["local_private"] == {
        "submissions": 4,
        "correlation": pytest.approx(1.0),
        "gap": pytest.approx(0.05 / 4),
    }
    assert told["public_private"]["submissions"] == 4
    assert told["stopped"] is False
    assert told["verdict"].endswith("stopped predicting the board, over 5 submissions")
    same = agreement(rows([0.5] * 5, public), False)
    assert (same["local_public"]["correlation"], same["stopped"]) == (None, False)


@pytest.mark.parametrize("higher", [False, True])
def test_the_last_five_say_that_the_local_score_has_stopped_predicting(higher: bool) -> None:
    before = [0.9, 0.8, 0.7, 0.6, 0.5, 0.45]
    local, public = [*before, 0.40, 0.39, 0.38, 0.37, 0.36], [*before, 0.4, 0.5, 0.6, 0.55, 0.42]
    both = [1 - v for v in local], [1 - v for v in public]
    told = agreement(rows(*(both if higher else (local, public))), higher)
    assert told["local_public"]["correlation"] > 0.5
    assert told["stopped"] is True
    assert (
        "over the last 5 scored submissions the rank correlation of local and public score "
        "is -0.30. Do not choose by it alone" in told["verdict"]
    )
    assert agreement(rows(local[:-3], public[:-3]), False)["stopped"] is False


@pytest.mark.parametrize("higher", [False, True])
def test_two_gains_that_the_board_does_not_see_are_said(higher: bool) -> None:
    local, public = [0.5, 0.4, 0.3, 0.2], [0.6, 0.3, 0.35, 0.36]
    if higher:
        local, public = [1 - v for v in local], [1 - v for v in public]
    told = agreement(rows(local, public), higher)
    assert told["stopped"] is True
    assert (
        "in each of the last 2 submissions the local score got better and the public score "
        "worse" in told["verdict"]
    )
    assert agreement(rows(local, public), not higher)["stopped"] is False  # worse, and better
    assert agreement(rows(local[:3], public[:3]), higher)["stopped"] is False
    private = agreement(rows(local, local, public), higher)
    assert "the private score worse" in private["verdict"]
    assert "public score" not in private["verdict"]


def test_the_standing_of_a_competition_uses_a_board_beside_its_data(workspace: Workspace) -> None:
    book = workspace.submissions("tiny", True) / "ledger.jsonl"
    for number, public in enumerate((0.4, 0.3, 0.26)):
        ledger.append(book, "written", f"{number}.csv", sha256=str(number), local=public - 0.05)
        ledger.append(book, "scored", f"{number}.csv", public=public)
    told = status.read_standing(workspace, "tiny")
    assert [row["rank"] for row in told["submissions"]] == [None] * 3
    folder = workspace.data / "tiny"
    write(folder / "leaderboard.csv", TODAY)
    told = status.read_standing(workspace, "tiny")
    assert [row["rank"] for row in told["submissions"]] == [2, 2, 2]
    assert told["submissions"][0]["percentile"] == 66.67
    write(folder / "leaderboard.csv", TODAY.replace("0.25", "0.35"))
    assert [row["rank"] for row in status.read_standing(workspace, "tiny")["submissions"]] == [
        2,
        1,
        1,
    ]
    write(folder / "leaderboard.csv", TODAY.replace("0.25", "n/a"))  # one row stops nothing
    odd = status.read_standing(workspace, "tiny")["submissions"]
    assert [(row["rank"], row["teams"]) for row in odd] == [(1, 2)] * 3
    lines = printing.standing_lines(told)
    assert lines[1:] == [
        "local and public: rank correlation 1, mean difference +0.05000 (3 submissions)",
        "nothing says that the local score has stopped predicting the board, over 3 submissions",
    ]
    stopped = {**told, "agreement": {**told["agreement"], "stopped": True, "verdict": "[so]"}}
    assert printing.standing_lines(stopped)[-1] == "[yellow]warning[/] \\[so]"


def test_a_competition_without_submissions_says_so(workspace: Workspace) -> None:
    told = status.read_standing(workspace, "tiny")
    assert told["submissions"] == []
    assert printing.standing_lines(told) == [
        "no submissions yet: `foldwise submit NAME` makes the first one"
    ]
