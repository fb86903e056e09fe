"""Blending from the command line to a submission, on runs that were really trained."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from foldwise.cli import app
from foldwise.commands.submit import submit
from foldwise.commands.train import train
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.kinds.blending import BLENDINGS
from foldwise.metrics.scoring import score
from foldwise.workspace import Workspace
from tiny import copy, edit, write_tiny

METHODS = [name for name in BLENDINGS.known if name != "auto"]

LINEAR = """
model = "linear"
image_size = 8
seeds = [0, 1]

[[stage]]
epochs = 3
lr = 1.0
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a recipe of two seeds and a prior, trained; tests leave it as it is."""
    workspace = write_tiny(tmp_path_factory.mktemp("blending"), n_train=60)
    folder = workspace.competition("tiny")
    (folder / "recipes" / "linear.toml").write_text(LINEAR)
    (folder / "recipes" / "prior.toml").write_text('model = "prior"\n')
    edit(folder / "competition.toml", '["tiny"]', '["linear", "prior"]')
    train(open_competition(workspace, "tiny"))
    return workspace


def blend(workspace: Workspace, *words: str) -> str:
    result = CliRunner().invoke(app, ["blend", "tiny", *words, "--root", str(workspace.root)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_auto_prints_a_row_per_method_and_submit_takes_the_same_blend(
    trained: Workspace, tmp_path: Path
) -> None:
    workspace = copy(trained, tmp_path)
    header, *lines = blend(workspace, "--auto").splitlines()
    assert header.split() == [
        "method",
        "metric",
        "cross_fitted",
        "in_sample",
        "difference",
        "within_noise",
        "chosen",
    ]
    assert [line.split()[0] for line in lines] == list(METHODS)
    rows = json.loads(blend(workspace, "--auto", "--json"))
    (chosen,) = (row for row in rows if row["chosen"])
    edit(workspace.competition("tiny") / "competition.toml", "[submit]", '[submit]\nblend = "auto"')
    entry = submit(open_competition(workspace, "tiny"), dry_run=True)
    assert entry.score.value == pytest.approx(chosen["cross_fitted"], abs=1e-6)
    made = json.loads(entry.file.with_suffix(".json").read_text())["blend"]
    assert (made["asked"], made["method"]) == ("auto", chosen["method"])
    assert made["in_sample"] == chosen["in_sample"]
    assert made["score"]["value"] == pytest.approx(chosen["cross_fitted"])
    assert [member["name"].rsplit("-", 1)[0] for member in made["members"]] == [
        "linear-s0",
        "linear-s1",
        "prior-s0",
    ]
    assert made["chain"]["method"] == chosen["method"]
    assert {step["step"] for step in made["steps"]} >= {"temperature", "clip"}
    data = load_data(workspace, "tiny")
    oof = pd.read_parquet(workspace.runs / "tiny" / made["directory"] / "oof.parquet")
    assert score(data.spec.metric, data.train.frame, oof).value == pytest.approx(entry.score.value)


def test_a_method_prints_members_and_the_blend_with_its_in_sample_score(
    trained: Workspace, tmp_path: Path
) -> None:
    workspace = copy(trained, tmp_path)
    rows = json.loads(blend(workspace, "--method", "weights", "--json"))
    assert [row["run"].split("-")[0] for row in rows] == ["linear", "linear", "prior", "blend"]
    own = rows[-1]
    assert own["low"] < own["value"] < own["high"]
    assert own["in_sample"] < own["value"]


def test_a_member_from_elsewhere_joins_by_its_two_files(trained: Workspace, tmp_path: Path) -> None:
    workspace = copy(trained, tmp_path)
    data = load_data(workspace, "tiny")
    for name, table in (("oof", data.train), ("test", data.test)):
        frame = pd.DataFrame({"id": table.frame["id"], "zebra": 0.5, "10": 0.3, "ant": 0.2})
        frame.loc[0, ["zebra", "10"]] = [0.3, 0.5]
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    member = f"theirs={tmp_path / 'oof.csv'},{tmp_path / 'test.csv'}"
    rows = json.loads(blend(workspace, "--member", member, "--json"))
    assert [row["run"] for row in rows][-2] == "theirs"
    result = CliRunner().invoke(
        app, ["blend", "tiny", "--member", "theirs", "--root", str(workspace.root)]
    )
    assert result.exit_code == 1
    assert "expected a member as NAME=OOF,TEST, got 'theirs'" in result.output


def test_blending_loads_neither_torch_nor_scikit_learn(trained: Workspace, tmp_path: Path) -> None:
    workspace = copy(trained, tmp_path)
    program = (
        "import sys\nfrom foldwise.commands.blend import blend\n"
        "from foldwise.data.opened import open_competition\n"
        "from foldwise.workspace import Workspace\n"
        f"workspace = Workspace.find({str(workspace.root)!r})\n"
        "blend(open_competition(workspace, 'tiny'), method='stack')\n"
        "print([name for name in ('torch', 'fastai', 'timm', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
