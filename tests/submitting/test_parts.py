"""The sizes of the parts of a leaderboard, where they are known."""

from dataclasses import replace

import pandas as pd
import pytest

from foldwise.config.competition import CompetitionSpec
from foldwise.config.loading import parse
from foldwise.data.opened import OpenCompetition, open_competition
from foldwise.errors import PlatformError, SpecError
from foldwise.submitting.parts import board_parts
from foldwise.submitting.platforms.kaggle import Kaggle
from foldwise.workspace import Workspace

SPEC = {
    "name": "own",
    "title": "Own",
    "labels": {"format": "class_column", "column": "label"},
    "files": {"train": "train.csv", "format": "sample.csv"},
    "folds": {"default": {"kind": "stratified"}},
    "submit": {"recipes": ["a"]},
}


def on(competition: OpenCompetition, share: float | None) -> OpenCompetition:
    """The competition on Kaggle, with a public share."""
    spec = competition.spec.model_copy(update={"platform": Kaggle(public_share=share)})
    return replace(competition, data=replace(competition.data, spec=spec))


def test_a_local_board_is_counted(workspace: Workspace) -> None:
    competition = open_competition(workspace, "tiny")
    data = competition.data
    assert board_parts(competition) == {"public": 3, "private": 3}  # 12 rows of 6 sites
    truth = workspace.data / "tiny" / "platform" / "truth.csv"
    frame = pd.read_csv(truth, dtype=str)
    groups = data.test.frame.set_index("id")["group"].loc[frame["id"]].to_numpy()
    first = groups == groups[0]
    parts = pd.Series("private", frame.index).mask(first, "public")
    frame.assign(part=parts).to_csv(truth, index=False)
    assert board_parts(competition) == {"public": 1, "private": 5}
    data.train.frame["group"] = None
    count = int(first.sum())
    assert board_parts(competition) == {"public": count, "private": 12 - count}
    frame.iloc[:5].to_csv(truth, index=False)
    with pytest.raises(PlatformError, match=r"7 are missing"):
        board_parts(competition)
    truth.unlink()
    assert board_parts(competition) == {}


def test_elsewhere_the_spec_has_to_say_it(workspace: Workspace) -> None:
    competition = open_competition(workspace, "tiny")
    assert board_parts(on(competition, None)) == {}
    assert board_parts(on(competition, 0.34)) == {"public": 2, "private": 4}
    assert board_parts(on(competition, 0.001)) == {"public": 1, "private": 5}
    assert board_parts(on(competition, 0.999)) == {"public": 5, "private": 1}


def test_the_platform_may_be_a_table() -> None:
    flat = parse(CompetitionSpec, {**SPEC, "platform": "kaggle", "public_share": 0.3}, "x")
    table = {**SPEC, "platform": {"name": "kaggle", "public_share": 0.3}}
    assert parse(CompetitionSpec, table, "x") == flat
    assert flat.platform == Kaggle(public_share=0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"platform": {"public_share": 0.3}},
            r"platform: name should name a platform: local, kaggle, drivendata; there is none",
        ),
        (
            {"platform": {"name": "kaggle", "publicshare": 0.3}},
            r"unknown key 'platform.publicshare'; did you mean 'public_sh",
        ),
        ({"platform": {"name": "kaggle", "slug": "a"}, "slug": "b"}, r"'slug' stands both in"),
        (
            {"platform": {"name": "kaggle", "public_share": 1.0}},
            r"platform.public_share: .*less than 1",
        ),
        ({"platform": {"name": ["kaggle"]}}, r"platform: name should name a platform"),
        (
            {"platform": "local", "public_share": 0.3},
            r"public_share belongs to name = \"kaggle\" or \"drivendata\", not to",
        ),
    ],
)
def test_what_cannot_be_is_said(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(CompetitionSpec, {**SPEC, **changes}, "competition.toml")
