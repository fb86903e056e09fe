"""Competition in a notebook: fastai's objects on the real pipeline, results as frames."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from fastai.interpret import ClassificationInterpretation, Interpretation
from fastai.learner import Learner

from foldwise import Competition
from foldwise.errors import RunError, SpecError
from foldwise.store.predictions import read_predictions
from foldwise.submitting.entry import Entry
from foldwise.training.models.building import load_trained
from foldwise.workspace import Workspace
from tiny import CLASSES, edit, only_run

mpl.use("agg")
Submitted = tuple[Workspace, Entry]


@pytest.fixture
def competition(submitted: Submitted) -> Competition:
    return Competition.load("tiny", submitted[0].root)


def test_a_learner_begins_with_the_weights_of_training(competition: Competition) -> None:
    one, two = (competition.learner("tiny", fold=1) for _ in range(2))
    assert isinstance(one, Learner)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, two.model.state_dict()[name])
    other = competition.learner("tiny", fold=2).model.state_dict()
    assert any(not torch.equal(other[name], t) for name, t in one.model.state_dict().items())
    images, _ = one.dls.valid.one_batch()
    assert images.shape[1:] == (1, 32, 32)
    assert len(one.dls.valid_ds) == 10
    with one.no_bar(), one.no_logging():
        one.fit_one_cycle(1, 3e-3)
    trained = load_trained(only_run(competition.workspace) / "fold1" / "weights.safetensors")[0]
    assert one.model.state_dict().keys() == trained.state_dict().keys()
    assert np.isfinite(one.recorder.values[-1]).all()


def test_dataloaders_are_those_of_the_datablock(competition: Competition) -> None:
    dls = competition.dataloaders(0, "tiny")
    block = competition.datablock(0, "tiny")
    assert list(dls.vocab) == list(CLASSES)
    assert list(dls.valid_ds.items["id"]) == list(block.datasets().valid.items["id"])
    assert dls.bs == 8


def test_interpretation_is_of_out_of_fold_predictions(competition: Competition) -> None:
    run = only_run(competition.workspace)
    interpretation = competition.interpret(run.name)
    assert isinstance(interpretation, ClassificationInterpretation)
    oof = competition.oof(run.name)
    rows = oof.merge(competition.train[["id", "label"]], on="id", validate="one_to_one")
    probs = rows[list(CLASSES)].to_numpy()
    said, true = probs.argmax(axis=1), rows["label"].cat.codes.to_numpy()
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (true, said), 1)
    np.testing.assert_array_equal(interpretation.confusion_matrix(), expected)
    losses, _, items = interpretation.top_losses(30, items=True)
    own = -np.log(probs[np.arange(30), true])
    np.testing.assert_allclose(losses, np.sort(own)[::-1])
    assert items["id"].iloc[0] == rows["id"][own.argmax()]
    interpretation.plot_top_losses(4)
    titles = [axes.get_title() for axes in mpl.pyplot.gcf().axes[:1]]
    worst = own.argmax()
    assert titles == [
        f"{CLASSES[said[worst]]}/{CLASSES[true[worst]]} / {own[worst]:.2f} / "
        f"{probs[worst].max():.2f}"
    ]
    mpl.pyplot.close("all")


def test_many_labels_have_fastais_plain_interpretation(workspace: Workspace) -> None:
    edit(
        workspace.root / "competitions" / "tiny" / "competition.toml",
        'format = "class_columns"\n',
        'format = "class_columns"\nmulti = true\n',
    )
    competition = Competition.load("tiny", workspace.root)
    runs = competition.fit("tiny", folds=[0])
    assert list(runs["done"]) == [1]
    interpretation = competition.interpret(runs["run"][0])
    assert type(interpretation) is Interpretation
    oof = read_predictions(
        workspace.runs / "tiny" / runs["run"][0] / "fold0" / "oof.parquet", CLASSES
    )
    rows = oof.merge(competition.train, on="id", suffixes=("_said", ""), validate="one_to_one")
    said = rows[[f"{name}_said" for name in CLASSES]].to_numpy()
    right = np.where(rows[list(CLASSES)].to_numpy() == 1, said, 1 - said).min(axis=1)
    np.testing.assert_allclose(interpretation.top_losses()[0], np.sort(-np.log(right))[::-1])


def test_results_are_frames(competition: Competition, submitted: Submitted) -> None:
    run = only_run(competition.workspace).name
    assert list(competition.runs()["run"]) == [run]
    assert list(competition.fit("tiny")["run"]) == [run]  # nothing is trained again
    assert list(competition.submissions()["file"]) == [submitted[1].file.name]
    said = competition.predict(run, [competition.data.raw / "images"])
    assert len(said) == 42
    assert "30 training rows" in repr(competition)


def test_what_has_no_images_or_no_folds_is_said(competition: Competition) -> None:
    folder = competition.workspace.root / "competitions" / "tiny" / "recipes"
    (folder / "prior.toml").write_text('model = "prior"\nimage_size = 32\n')
    with pytest.raises(SpecError, match='model = "prior" sees no images'):
        competition.learner("prior")
    with pytest.raises(RunError, match="no run or blend of tiny is called 'tiny-s1'"):
        competition.interpret("tiny-s1")
    (folder / "prior.toml").unlink()


@pytest.mark.slow
def test_the_documented_notebook_runs(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository / "competitions" / "digits", tmp_path / "competitions" / "digits")
    notebook = json.loads((repository / "docs" / "notebook.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells
    for cell in cells:
        kinds = [output["output_type"] for output in cell["outputs"]]
        assert cell["execution_count"], "every cell was executed"
        assert "error" not in kinds
    assert str(repository) not in json.dumps(notebook)
    program = "\n".join(shown("".join(cell["source"])) for cell in cells)
    environment = {**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "1438 training rows" in done.stdout


def shown(source: str) -> str:
    """A cell whose last line, if it is an expression, is printed, as a notebook shows it."""
    tree = ast.parse(source)
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        tree.body[-1] = ast.parse(f"print({ast.unparse(last)})").body[0]
    return ast.unparse(tree)
