"""On a GPU: every precision trains, reloads and predicts the same, deterministically if asked."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from torch import nn

from foldwise.commands import train as training
from foldwise.commands.planning import Selection, Session
from foldwise.data.opened import open_competition
from foldwise.executors import FoldJob
from foldwise.jobs import fold_inputs
from foldwise.kinds.events import BatchDone
from foldwise.store.files import read_json, sha256_file
from foldwise.training.fitting import checkpoint
from foldwise.training.fitting.run import Run
from foldwise.training.speed.fusing import for_prediction
from foldwise.workspace import Workspace
from tiny import write_tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


class Stop(Exception):
    """Ends a training from its observer."""


def train(workspace: Workspace, *overrides: str) -> Run:
    return training.train(
        open_competition(workspace, "tiny"), Selection(overrides=tuple(overrides), folds=(0,))
    )[0]


@pytest.mark.parametrize("precision", ["auto", "bf16", "fp16", "fp32"])
def test_each_precision_trains_and_predicts_the_same_after_loading(
    tmp_path: Path, precision: str
) -> None:
    from foldwise.training.fitting.fold import predict_again

    workspace = write_tiny(tmp_path)
    run = train(workspace, f"precision={precision}", "stage.0.epochs=3")
    assert run.record.resolved["device"] == "cuda"
    assert run.record.resolved["precision"] in ("bf16", "fp16", "fp32")
    task = FoldJob(tmp_path, workspace.data, workspace.runs, "tiny", run.folder, 0)
    predict_again(fold_inputs(task), tmp_path / "again")
    for name in ("oof", "oof_plain", "test", "test_plain"):
        frame = pd.read_parquet(tmp_path / "again" / f"{name}.parquet")
        saved = pd.read_parquet(run.fold(0).path / f"{name}.parquet")
        assert np.isfinite(frame[["zebra", "10", "ant"]].to_numpy()).all()
        np.testing.assert_allclose(frame.iloc[:, 1:], saved.iloc[:, 1:], atol=1e-6)


def test_deterministic_runs_give_the_same_bytes(tmp_path: Path) -> None:
    workspace = write_tiny(tmp_path)
    hashes = []
    for _ in range(2):
        run = train(workspace, "stage.0.epochs=2")
        hashes.append(sha256_file(run.fold(0).path / "weights.safetensors"))
        shutil.rmtree(workspace.runs)
    assert hashes[0] == hashes[1]
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_training_that_was_stopped_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    monkeypatch.setattr(checkpoint, "CHECKPOINT_SECONDS", 0.0)  # within epochs, too
    settings = [
        f"precision={precision}",
        "stage.0.epochs=2",
        "batch_size=5",
        "drop_rate=0.3",
        "mixup=0.4",
        "ema=0.9",
    ]

    def hashes(stop: int | None) -> list[str]:
        workspace = write_tiny(tmp_path / str(stop))

        def observe(event: object) -> None:
            if isinstance(event, BatchDone) and event.done == stop:
                raise Stop("here")

        if stop is not None:
            with pytest.raises(Stop):
                training.train(
                    open_competition(workspace, "tiny"),
                    Selection(overrides=tuple(settings), folds=(0,)),
                    session=Session(observe=observe),
                )
        run = train(workspace, *settings)
        return [
            sha256_file(run.fold(0).path / name)
            for name in ("weights.safetensors", "oof.parquet", "test.parquet", "history.json")
        ]

    expected = hashes(None)
    for stop in (1, 3, 5):  # four batches in an epoch
        assert hashes(stop) == expected, f"stopped after batch {stop}"


@pytest.mark.parametrize("model", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_a_model_made_ready_for_prediction_says_the_same(model: str) -> None:
    torch.manual_seed(0)
    net = timm.create_model(model, num_classes=5).cuda().to(memory_format=torch.channels_last)
    images = torch.randn(8, 3, 64, 64, device="cuda").to(memory_format=torch.channels_last)
    net.train()(images)  # statistics
    ready = for_prediction(net, images[:2], "fp32")
    norms = [layer for layer in ready.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert not norms  # TF32 does not count as a difference
    with torch.inference_mode():
        expected = net.eval()(images)
        assert (ready(images) - expected).abs().max() <= 0.01 * expected.abs().max()


def test_no_training_batch_waits_for_the_gpu(tmp_path: Path) -> None:
    workspace = write_tiny(tmp_path, n_train=90)
    seen = []

    def observe(event: object) -> None:
        if isinstance(event, BatchDone):
            seen.append(event.done)
            torch.cuda.set_sync_debug_mode("error" if 2 <= event.done < 5 else "default")

    settings = [
        "precision=bf16",
        "deterministic=false",
        "mixup=0.2",
        "augment.warp=0.2",
        "ema=0.99",
        "clip=1",
        "accumulate=2",
    ]
    try:
        training.train(
            open_competition(workspace, "tiny"),
            Selection(overrides=tuple(settings), folds=(0,)),
            session=Session(observe=observe),
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(seen) >= 5


def test_a_fold_tells_its_gpu_memory_and_where_its_model_looked(tmp_path: Path) -> None:
    run = train(write_tiny(tmp_path))
    done = read_json(run.fold(0).path / "done.json")
    assert 1e6 < done["device_memory_bytes"] < 1e10
    maps = pd.read_parquet(run.fold(0).path / "maps.parquet")
    assert len(maps) == len(pd.read_parquet(run.fold(0).path / "oof.parquet"))
