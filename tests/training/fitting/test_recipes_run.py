"""Whatever the loss, a run's predictions are probabilities, and its settings reach the training."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.commands.planning import Selection
from foldwise.commands.train import train
from foldwise.data.opened import open_competition
from foldwise.errors import SpecError
from foldwise.jobs import fold_inputs
from foldwise.training.fitting.run import Run
from foldwise.training.models.building import read_preprocessing
from foldwise.training.models.weights import load_state
from foldwise.workspace import Workspace
from tiny import CLASSES, edit, only_run, write_tiny


def trained(workspace: Workspace, *settings: str) -> tuple[Run, pd.DataFrame]:
    """A run of one fold and epoch, with its OOF of that fold."""
    run = train(
        open_competition(workspace, "tiny"), Selection(overrides=tuple(settings), folds=(0,))
    )[0]
    return run, pd.read_parquet(run.fold(0).path / "oof.parquet")


@pytest.mark.parametrize(
    ("n", "settings", "outputs", "n_outputs"),
    [
        (2, ["loss=bce"], "one_sigmoid", 1),
        (2, ["loss=mae", "mixup=0.4"], "one_sigmoid", 1),
        (3, ["loss=bce", "label_smoothing=0.1"], "scaled_sigmoids", 3),
        (3, ["loss=focal", "class_weights=balanced"], "softmax", 3),
        (3, ["loss=mae", "sampling=balanced", "ordinal=0.5", "cutmix=1"], "softmax", 3),
    ],
)
def test_rows_sum_to_one_whatever_the_outputs_mean(
    tmp_path: Path, n: int, settings: list[str], outputs: str, n_outputs: int
) -> None:
    run, oof = trained(write_tiny(tmp_path, classes=CLASSES[:n]), *settings)
    probs = oof[list(CLASSES[:n])].to_numpy()
    assert probs.shape == (10, n)
    assert probs.sum(axis=1) == pytest.approx(np.ones(10), abs=1e-12)
    assert ((probs > 0) & (probs < 1)).all()
    weights = run.fold(0).path / "weights.safetensors"
    about = read_preprocessing(weights)
    assert about is not None
    assert about.outputs == outputs
    assert load_state(weights)["fc.weight"].shape[0] == n_outputs
    test = pd.read_parquet(run.fold(0).path / "test.parquet")
    assert test[list(CLASSES[:n])].sum(axis=1).to_numpy() == pytest.approx(np.ones(12), abs=1e-12)
    (epoch,) = json.loads((run.fold(0).path / "history.json").read_text())
    plain = pd.read_parquet(run.fold(0).path / "oof_plain.parquet")
    truth = pd.read_csv(run.folder.parents[2] / "data/tiny/raw/train_labels.csv", dtype={"id": str})
    labels = truth.set_index("id").loc[plain["id"]].idxmax(axis=1).to_numpy()
    right = (plain[list(CLASSES[:n])].idxmax(axis=1).to_numpy() == labels).mean()
    assert epoch["accuracy"] == pytest.approx(right)


def test_a_heavy_class_is_predicted_more(workspace: Workspace) -> None:
    settings = ["stage.0.epochs=8", "precision=fp32"]
    plain, heavy = (
        trained(workspace, *settings, *more)[1]["zebra"].mean()
        for more in ([], ["class_weights.zebra=30"])
    )
    assert heavy > plain + 0.1


def test_what_does_not_fit_the_task_is_said_before_anything_is_made(workspace: Workspace) -> None:
    with pytest.raises(SpecError, match=r"class_weights names .zebr., .*; did you mean .zebra."):
        train(open_competition(workspace, "tiny"), Selection(overrides=("class_weights.zebr=2",)))
    assert not (workspace.data / "tiny" / "cache").exists()


def test_weights_from_before_outputs_had_kinds_predict_the_same(workspace: Workspace) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    from foldwise.executors import FoldJob
    from foldwise.training.fitting.fold import predict_again

    edit(workspace.competition("tiny") / "recipes" / "tiny.toml", "rotate = 5", "rotate = 1")
    train(open_competition(workspace, "tiny"), Selection(folds=(0,)))
    folder = only_run(workspace)
    path = folder / "fold0" / "weights.safetensors"
    with safe_open(path, framework="pt") as handle:
        about = json.loads(handle.metadata()["foldwise"])
    about.pop("outputs")
    save_file(load_state(path), path, metadata={"foldwise": json.dumps({**about, "multi": False})})
    task = FoldJob(workspace.root, workspace.data, workspace.runs, "tiny", folder, 0)
    again = workspace.root / "again"
    again.mkdir()
    predict_again(fold_inputs(task), again)
    saved = pd.read_parquet(folder / "fold0" / "oof.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(again / "oof.parquet"), saved, check_exact=True)
