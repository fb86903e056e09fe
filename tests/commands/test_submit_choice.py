"""`submit` of other recipes, folds, times and blends than those of [submit]; the file elsewhere."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.commands import status
from foldwise.commands.planning import Selection
from foldwise.commands.submit import Choice, submit
from foldwise.commands.train import train
from foldwise.data.opened import open_competition
from foldwise.errors import RunError, SpecError
from foldwise.reproducing.reproduce import reproduce
from foldwise.store.layout import manifest_of
from foldwise.submitting.entry import Entry
from foldwise.workspace import Workspace
from tiny import copy, tree

PRIOR = 'model = "prior"\n'


@pytest.fixture
def own(submitted: tuple[Workspace, Entry], tmp_path: Path) -> Workspace:
    """A copy of the submitted workspace, with a second recipe that trains in no time."""
    workspace = copy(submitted[0], tmp_path / "own")
    (workspace.competition("tiny") / "recipes" / "prior.toml").write_text(PRIOR)
    return workspace


def choose(
    *recipes: str,
    folds: tuple[int, ...] | None = None,
    budget: str | None = None,
    blend: str | None = None,
    out: Path | None = None,
) -> Choice:
    """A choice of recipes and folds."""
    selection = Selection(recipes=recipes, folds=folds)
    return Choice(selection=selection, budget=budget, blend=blend, out=out)


def told_of(entry: Entry) -> dict[str, dict[str, object]]:
    """An entry's manifest."""
    found: dict[str, dict[str, object]] = json.loads(manifest_of(entry.file).read_text())
    return found


def test_other_recipes_are_trained_blended_and_sent(own: Workspace) -> None:
    competition = open_competition(own, "tiny")
    entry = submit(competition, choice=choose("prior"))
    assert [name.split("-")[0] for name in entry.member_scores] == ["prior"]
    rows = status.status(own, "tiny")
    assert [row["state"] for row in rows] == ["scored", "scored"]
    assert rows[-1]["file"] == entry.file.name
    both = submit(competition, choice=choose("tiny", "prior"))
    assert [name.split("-")[0] for name in both.member_scores] == ["tiny", "prior"]
    assert submit(competition, choice=choose("tiny", "prior")).file == both.file
    assert len(status.status(own, "tiny")) == 3  # what is there already is not sent again


def test_another_blend_is_in_the_manifest_and_can_be_reproduced(own: Workspace) -> None:
    competition = open_competition(own, "tiny")
    mean = submit(competition, choice=choose("tiny", "prior"))
    entry = submit(competition, choice=choose("tiny", "prior", blend="geometric"))
    assert entry.sha256 != mean.sha256
    assert entry.file.stem.split("-", 2)[2].startswith("blend-geometric-")
    told = told_of(entry)
    assert told["blend"]["asked"] == "geometric"
    assert "geometric" in json.dumps(told["spec"]["submit"])
    assert reproduce(own, entry.file.name).same


def test_the_file_is_written_elsewhere_too_whether_it_is_sent_or_not(
    own: Workspace, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = tree(own.root)
    words = ["submit", "tiny", "--no-track", "--root", str(own.root)]
    for number, more in enumerate(([], ["--dry-run"])):
        out = tmp_path / f"new{number}" / "mine.csv"
        done = CliRunner().invoke(app, [*words, *more, "--out", str(out)])
        assert done.exit_code == 0, done.output
        (file,) = (own.data / "tiny" / "submissions").glob("*.csv")
        assert out.read_bytes() == file.read_bytes()
        assert f"{file.name}: written to {out} as well" in caplog.text
    assert {path for path in tree(own.root).items() if "submissions" in path[0]} == {
        path for path in before.items() if "submissions" in path[0]
    }


def test_a_fold_is_trained_where_the_others_are_there(own: Workspace) -> None:
    competition = open_competition(own, "tiny")
    with pytest.raises(RunError) as caught:
        submit(competition, choice=choose("prior", folds=(0,)))
    assert "needs all 3 folds, and --fold leaves out 2 of them (1, 2)" in str(caught.value)
    assert str(caught.value).endswith("foldwise train NAME --recipe prior --fold 1")
    assert list((own.runs / "tiny").glob("prior-*/fold*/done.json")) == []
    train(competition, Selection(recipes=("prior",), folds=(1, 2)))
    entry = submit(competition, choice=choose("prior", folds=(0,)))
    assert entry.receipt is not None
    assert entry.receipt.state == "scored"


def test_folds_that_a_budget_leaves_out_are_said_before_anything_is_trained(
    own: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foldwise.training.fitting.run import Run

    monkeypatch.setattr(Run, "planned_folds", lambda run: [0, 2])
    with pytest.raises(RunError, match=r"the budget has no time for 1 of them \(1\), .*more time"):
        submit(open_competition(own, "tiny"), choice=choose("prior"))
    assert list((own.runs / "tiny").glob("prior-*/fold*/done.json")) == []


def test_a_budget_is_a_setting_of_each_recipe(
    own: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[object, ...]] = []

    def stop(competition: object, selection: object, budget: object, *others: object) -> None:
        seen.append((selection, budget))
        raise RunError("seen")

    monkeypatch.setattr("foldwise.commands.submit.train", stop)
    words = ["submit", "tiny", "--budget", "30m", "--recipe", "prior", "--recipe", "tiny"]
    done = CliRunner().invoke(app, [*words, "--fold", "2", "--root", str(own.root)])
    assert "error seen" in done.stderr
    assert seen == [(Selection(recipes=("prior", "tiny"), folds=(2,)), "30m")]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (choose(blend="median"), "no blend method is called 'median'"),
        (choose("prior", "prior"), "'prior'"),
        (choose("priro"), "has no recipe 'priro'"),
        (choose("prior", folds=(7,)), "folds are numbered 0 to 2, got 7"),
        (choose("prior", budget="soon"), "a budget is a time such as 30m, 2h or 1h30m, got 'soon'"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(own: Workspace, choice: Choice, message: str) -> None:
    ledger = (own.data / "tiny" / "submissions" / "ledger.jsonl").read_bytes()
    with pytest.raises(SpecError, match=message):
        submit(open_competition(own, "tiny"), choice=choice)
    assert (own.data / "tiny" / "submissions" / "ledger.jsonl").read_bytes() == ledger


def test_a_file_elsewhere_is_no_folder_and_no_submission_of_before(own: Workspace) -> None:
    competition, home = open_competition(own, "tiny"), own.data / "tiny" / "submissions"
    with pytest.raises(SpecError, match=r"got .*own, which is a folder; give for example --out"):
        submit(competition, choice=choose(out=own.root))
    (file,) = home.glob("*.csv")
    with pytest.raises(SpecError, match="which is in the folder that foldwise keeps submissions"):
        submit(competition, choice=choose(out=file))


@pytest.mark.parametrize("option", ["--again", "--resend"])
def test_a_dry_run_cannot_send_again(option: str) -> None:
    done = CliRunner().invoke(app, ["submit", "tiny", "--dry-run", option], env={"COLUMNS": "120"})
    assert done.exit_code == 2
    assert f"expected --dry-run, which sends nothing, or {option}, got both" in done.output
