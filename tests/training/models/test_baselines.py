"""Baselines: a linear layer learns by plain gradient descent; a prior is the classes' shares."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from foldwise import Competition
from foldwise.commands.planning import Selection
from foldwise.commands.submit import submit
from foldwise.commands.train import train
from foldwise.config.recipe import SettledRecipe, SizedRecipe
from foldwise.data.competition import load_data
from foldwise.data.opened import open_competition
from foldwise.errors import SpecError
from foldwise.jobs import fold_inputs
from foldwise.metrics.scoring import score
from foldwise.store.files import read_json
from foldwise.tasks import MultiClass
from foldwise.training.fitting.fold import predict_again
from foldwise.training.fitting.run import Run
from foldwise.training.fitting.streams import seed_block
from foldwise.training.fitting.tuning import settle
from foldwise.training.loading.batches import dataloaders
from foldwise.training.models.baselines import Linear, Prior
from foldwise.training.models.building import (
    build_model,
    load_trained,
    preprocessing_of,
    read_preprocessing,
    save_weights,
)
from foldwise.training.models.groups import layer_groups
from foldwise.workspace import Workspace
from tiny import CLASSES, ids, write_tiny

LINEAR = """
model = "linear"
image_size = 16
batch_size = 8

[[stage]]
epochs = 30
lr = 1
"""


def with_recipe(workspace: Workspace, name: str, text: str) -> Workspace:
    """The workspace with one recipe more."""
    (workspace.competition("tiny") / "recipes" / f"{name}.toml").write_text(text)
    return workspace


def linear(image_size: int | tuple[int, int] = 8, **keys: object) -> SettledRecipe:
    stage = [{"epochs": 1, "lr": 1}]
    return SettledRecipe.model_validate(
        {"name": "l", "model": "linear", "image_size": image_size, "stage": stage, **keys}
    )


def test_a_linear_model_is_one_layer_on_pixels_of_0_to_1() -> None:
    recipe = linear((8, 12))
    about = preprocessing_of(recipe, MultiClass(("a", "b", "c")), "RGBA")
    assert (about.mean, about.std) == ((0.0,) * 4, (1.0,) * 4)
    with seed_block(0, "init"):
        model = build_model(recipe, 3, 4)
    images = torch.rand(5, 4, 8, 12)
    weight, bias = model.head.weight, model.head.bias
    assert weight.shape == (3, 4 * 8 * 12)
    by_hand = images.reshape(5, -1) @ weight.T / (4 * 8 * 12) ** 0.5 + bias
    assert torch.allclose(model(images), by_hand, atol=1e-5)
    last = images.to(memory_format=torch.channels_last)
    assert torch.allclose(model(last), by_hand, atol=1e-5)
    assert [{id(p) for p in group} for group in layer_groups(model, "fastai")] == [
        {id(weight), id(bias)}
    ]


def test_linear_weights_are_drawn_from_a_standard_normal_by_the_seed() -> None:
    weights = []
    for seed in (1, 1, 2):
        with seed_block(seed, "init"):
            weights.append(build_model(linear(64), 2, 3).head.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert weights[0].mean().item() == pytest.approx(0, abs=0.03)
    assert weights[0].std().item() == pytest.approx(1, abs=0.03)
    assert build_model(linear(64), 2, 3).head.bias.tolist() == [0, 0]


def test_logits_and_steps_have_one_scale_at_every_image_size() -> None:
    with seed_block(0, "scale"):
        for size in (8, 140):
            model = build_model(linear(size), 500, 4)
            images = torch.rand(2, 4, size, size)
            assert model(images).std().item() == pytest.approx((1 / 3) ** 0.5, rel=0.15)
            before = model(images)[0, 0]
            (grad,) = torch.autograd.grad(before, model.head.weight)
            assert (grad**2).sum().item() == pytest.approx(1 / 3, rel=0.2)  # of a step of rate 1


def test_linear_weights_survive_the_file(tmp_path: Path) -> None:
    recipe = linear((8, 12), loss="mae")
    about = preprocessing_of(recipe, MultiClass(("b", "a")), "L")
    assert (about.outputs, about.n_outputs) == ("one_sigmoid", 1)
    model = build_model(recipe, about.n_outputs, 1)
    save_weights(tmp_path / "w.safetensors", model, about)
    loaded, read = load_trained(tmp_path / "w.safetensors")
    assert read == about
    images = torch.rand(3, 1, 8, 12)
    assert torch.equal(loaded(images), model(images))


@pytest.mark.parametrize("classes", [CLASSES[:2], CLASSES])
@pytest.mark.parametrize("loss", ["auto", "mae"])
def test_a_linear_model_learns_an_easy_task(
    tmp_path: Path, classes: tuple[str, ...], loss: str
) -> None:
    workspace = with_recipe(write_tiny(tmp_path, 60, classes=classes), "linear", LINEAR)
    settings = [f"loss={loss}", "precision=fp32"]
    run = train(
        open_competition(workspace, "tiny"), Selection(("linear",), tuple(settings), folds=(0,))
    )[0]
    assert run.record.resolved["compile"] is False
    history = json.loads((run.fold(0).path / "history.json").read_text())
    assert len(history) == 30
    chance = 1 / len(classes)
    assert history[-1]["accuracy"] >= chance + 0.3
    oof = pd.read_parquet(run.fold(0).path / "oof_plain.parquet")
    assert oof[list(classes)].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-12)
    truth = load_data(workspace, "tiny").train.frame.set_index("id")["label"].loc[oof["id"]]
    right = (oof[list(classes)].idxmax(axis=1).to_numpy() == truth.to_numpy()).mean()
    assert right == pytest.approx(history[-1]["accuracy"])
    about = read_preprocessing(run.fold(0).path / "weights.safetensors")
    assert about is not None
    assert about.outputs == ("one_sigmoid" if len(classes) == 2 else "softmax")


def test_a_linear_model_goes_down_its_gradient_at_a_constant_rate(workspace: Workspace) -> None:
    with_recipe(workspace, "linear", LINEAR)
    settings = ["batch_size=64", "stage.0.epochs=3", "stage.0.lr=0.5", "precision=fp32"]
    run = train(
        open_competition(workspace, "tiny"), Selection(("linear",), tuple(settings), folds=(0,))
    )[0]
    block = Competition.load("tiny", workspace.root).datablock(0, run.recipe)
    images, targets = dataloaders(block, 64, torch.device("cpu")).train.one_batch()
    images, targets = (x.as_subclass(torch.Tensor) for x in (images, targets))
    assert len(images) == 20  # all rows: an epoch is one step
    assert 0 <= images.min() < images.max() <= 1
    with seed_block(0, 0, "init"):
        model = build_model(run.recipe, 3, 1)
    for _ in range(3):
        grads = torch.autograd.grad(F.cross_entropy(model(images), targets), [*model.parameters()])
        with torch.no_grad():
            for param, grad in zip(model.parameters(), grads, strict=True):
                param -= 0.5 * grad
    trained, _ = load_trained(run.fold(0).path / "weights.safetensors")
    assert torch.allclose(trained.head.weight, model.head.weight, atol=1e-5)
    assert torch.allclose(trained.head.bias, model.head.bias, atol=1e-5)


def test_a_frozen_body_leaves_a_linear_model_all_it_has(tmp_path: Path) -> None:
    workspace = with_recipe(write_tiny(tmp_path), "linear", LINEAR)
    settings = ["stage.0.train=head", "stage.0.epochs=1", "stage.0.lr=0.1"]
    run = train(
        open_competition(workspace, "tiny"), Selection(("linear",), tuple(settings), folds=(0,))
    )[0]
    model, about = load_trained(run.fold(0).path / "weights.safetensors")
    with seed_block(0, 0, "init"):
        fresh = build_model(run.recipe, about.n_outputs, 1)
    assert not torch.equal(model.head.weight, fresh.head.weight)


def shares_by_hand(run: Run, table: pd.DataFrame, fold: int) -> list[float]:
    """Each class's share of the rows of the other folds."""
    of = run.folds.frame.set_index("id")["fold"].loc[table["id"]].to_numpy()
    part = table["label"].to_numpy()[of != fold]
    return [(part == name).sum() / len(part) for name in CLASSES]


@pytest.fixture(scope="module")
def priors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Run]:
    """A workspace with all folds of a prior; its classes have 11, 10 and 10 rows."""
    workspace = write_tiny(tmp_path_factory.mktemp("priors"), 31)
    with_recipe(workspace, "prior", 'model = "prior"\n')
    return workspace, train(open_competition(workspace, "tiny"), Selection(("prior",)))[0]


def test_a_prior_is_the_class_shares_of_each_folds_training_part(
    priors: tuple[Workspace, Run],
) -> None:
    workspace, run = priors
    table = load_data(workspace, "tiny").train.frame
    different = set()
    for fold in range(3):
        expected = shares_by_hand(run, table, fold)
        different.add(tuple(expected))
        for name in ("oof", "oof_plain", "test", "test_plain"):
            frame = pd.read_parquet(run.fold(fold).path / f"{name}.parquet")
            assert (frame[list(CLASSES)] == expected).all(axis=None)
        assert sorted(read_json(run.fold(fold).record)["sha256"]) == [
            "history.json",
            *sorted(f"{part}{kind}.parquet" for part in ("oof", "test") for kind in ("", "_plain")),
            "weights.safetensors",
        ]
        assert read_json(run.fold(fold).path / "history.json") == []
    assert len(different) > 1
    assert list(run.oof()["id"]) == sorted(ids("train", 31))
    assert [list(frame["id"]) for frame in run.test(ids("test", 12))] == [ids("test", 12)] * 3
    value = score(load_data(workspace, "tiny").spec.metric, table, run.oof()).value
    assert value == pytest.approx(np.log(3), abs=0.02)


def test_a_prior_needs_no_cache_and_predicts_the_same_again(
    priors: tuple[Workspace, Run], tmp_path: Path
) -> None:
    from foldwise.executors import FoldJob

    workspace, run = priors
    assert run.record.caches == ()
    assert not list((workspace.data / "tiny" / "cache").glob("*/done.json"))
    task = FoldJob(workspace.root, workspace.data, workspace.runs, "tiny", run.folder, 1)
    predict_again(fold_inputs(task), tmp_path)
    for name in ("oof", "oof_plain", "test", "test_plain"):
        saved = pd.read_parquet(run.fold(1).path / f"{name}.parquet")
        pd.testing.assert_frame_equal(
            pd.read_parquet(tmp_path / f"{name}.parquet"), saved, check_exact=True
        )


def test_a_prior_can_be_submitted(tmp_path: Path) -> None:
    workspace = write_tiny(tmp_path)
    with_recipe(workspace, "tiny", 'model = "prior"\n')
    entry = submit(open_competition(workspace, "tiny"))
    assert entry.score.value == pytest.approx(np.log(3), abs=0.02)
    with pytest.raises(SpecError, match=r"model = .prior. sees no images.*no DataBlock"):
        Competition.load("tiny", workspace.root).datablock(0, "tiny")


def test_a_prior_is_a_model_too(priors: tuple[Workspace, Run]) -> None:
    model, about = load_trained(priors[1].fold(0).path / "weights.safetensors")
    logits = model(torch.rand(3, 1, *about.image_size))
    expected = model.shares.expand(3, -1)
    assert torch.allclose(logits.double().softmax(dim=1), expected, atol=1e-6)
    many = Prior(torch.tensor([0.25, 0.0, 1.0], dtype=torch.float64), many=True)
    assert many(torch.rand(2, 1, 8, 8)).sigmoid().tolist() == [[0.25, 0.0, 1.0]] * 2
    (batch,) = many.batches(2)
    assert batch[0].tolist() == [[0.25, 0.0, 1.0]] * 2
    assert [len(mean) for mean, _ in many.batches(2050)] == [1024, 1024, 2]


LONG = {"name": "l", "image_size": 8, "stage": [{"epochs": 10_000, "lr": 1}]}


def test_auto_asks_nothing_of_a_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    from foldwise.training.fitting import tuning

    monkeypatch.delattr(tuning, "step_of")  # nothing is built and timed
    monkeypatch.setattr(tuning, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(tuning, "resolve", lambda wanted, on: "bf16")
    for recipe in (
        SizedRecipe.model_validate({**LONG, "model": "linear", "batch_size": "auto"}),
        SizedRecipe.model_validate({"name": "p", "model": "prior"}),
    ):
        values = settle(recipe, 10**6, 3, 1, 5)
        assert (values["compile"], values["batch_size"]) == (False, 64)


def test_a_linear_layer_is_its_own_classifier() -> None:
    model = Linear(12, 3)
    assert model.get_classifier() is model.head
