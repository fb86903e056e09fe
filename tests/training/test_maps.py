"""Activation maps: Grad-CAM's own arithmetic, in the image's own places, of the worst images."""

import copy
import io
import logging
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.core import DataLoaders
from PIL import Image
from timm.models.swin_transformer import SwinTransformer
from torch import nn

from foldwise import Competition
from foldwise.commands.planning import Selection
from foldwise.commands.train import train
from foldwise.config.recipe import SettledRecipe
from foldwise.data.opened import open_competition
from foldwise.store.predictions import predictions_frame
from foldwise.training.fitting.streams import seed_block
from foldwise.training.maps import (
    FEATURES,
    PIXELS,
    as_png,
    evidence,
    in_grid,
    most_wrong,
    places,
    worst_maps,
)
from foldwise.training.models.baselines import Linear
from foldwise.training.models.building import build_model
from foldwise.training.speed.smallconv import SmallConv
from foldwise.workspace import Workspace
from tiny import CLASSES, only_run
from weights import assert_same_weights


@pytest.fixture
def competition(workspace: Workspace) -> Competition:
    return Competition.load("tiny", workspace.root)


@pytest.fixture
def dls(competition: Competition) -> DataLoaders:
    block = competition.datablock(fold=0, recipe="tiny")
    return block.dataloaders(bs=4, val_bs=4, device=torch.device("cpu"))


def built(name: str, side: int = 128, outputs: int = 3, **settings: Any) -> nn.Module:
    """A model of random weights as training builds it, for images of one channel."""
    recipe = SettledRecipe.model_validate(
        {
            "name": "r",
            "model": name,
            "weights": "none",
            "image_size": side,
            "stage": [{"epochs": 1, "lr": 1e-3}],
            **settings,
        }
    )
    with seed_block(0, "test"):
        return build_model(recipe, outputs, 1).eval().requires_grad_(False)


def opened(packed: bytes) -> np.ndarray:
    """A picture's levels."""
    return np.asarray(Image.open(io.BytesIO(packed))).astype(int)


def noise(*shape: int) -> torch.Tensor:
    with seed_block(1, "test"):
        return torch.randn(*shape)


def test_it_is_the_classifiers_weights_where_an_average_is_pooled() -> None:
    model, images = built("test_resnet"), noise(5, 1, 128, 128)
    said = torch.tensor([2, 0, 1, 2, 2])
    found = evidence(model, images, said, places(model)[0])
    features = model.forward_features(images)  # (n, c, 4, 4)
    expected = torch.einsum("nchw,nc->nhw", features, model.get_classifier().weight[said]) / 16
    assert found is not None
    assert found.shape == (5, 4, 4)
    assert found.any()
    torch.testing.assert_close(found, expected.relu())
    assert not torch.equal(found, expected)  # something spoke against a class


def test_one_output_speaks_for_the_second_class_and_against_the_first() -> None:
    model, images = built("test_resnet", outputs=1), noise(2, 1, 128, 128)
    features = model.forward_features(images)
    signed = torch.einsum("nchw,c->nhw", features, model.get_classifier().weight[0]) / 16
    for said, expected in ((1, signed), (0, -signed)):
        found = evidence(model, images, torch.full((2,), said), places(model)[0])
        torch.testing.assert_close(found, expected.relu())


def test_each_pixel_of_linear_counts_by_its_own_weight() -> None:
    model, images = Linear(6 * 8 * 3, 4).eval(), noise(2, 3, 6, 8)
    found = evidence(model, images, torch.tensor([3, 1]), places(model)[0])
    weight = model.head.weight[[3, 1]].view(2, 3, 6, 8) * model.scale
    torch.testing.assert_close(found, (images * weight).sum(dim=1).relu())


def test_a_model_may_say_that_its_features_are_the_pixels() -> None:
    class Pixels(nn.Module):
        features_are_pixels = True

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (images * torch.arange(8.0)).sum(dim=(1, 2))  # a class for each column

    model, images = Pixels(), noise(2, 1, 6, 8)
    assert places(model) == [(PIXELS, 0)]
    found = evidence(model, images, torch.tensor([3, 1]), places(model)[0])
    assert found is not None
    expected = torch.zeros(2, 6, 8)
    expected[0, :, 3], expected[1, :, 1] = 3 * images[0, 0, :, 3], images[1, 0, :, 1]
    torch.testing.assert_close(found, expected.relu())


@pytest.mark.parametrize(
    ("name", "side", "expected"),
    [
        ("test_resnet", 128, FEATURES),
        ("test_resnet", 96, "layer3"),  # layer4 has 3x3
        ("test_resnet", 32, "layer2"),
        ("test_efficientnet", 128, FEATURES),
        ("test_convnext", 64, "stages.2"),
        ("test_vit", 64, "blocks.4"),  # of six: the last one's other tokens reach no logit
    ],
)
def test_the_last_place_with_something_to_see_is_taken(name: str, side: int, expected: str) -> None:
    model, images = built(name, side), noise(4, 1, side, side)
    for place in places(model):
        found = evidence(model, images, torch.tensor([0, 1, 2, 0]), place)
        if found is not None and min(found.shape[1:]) >= 4 and found.any():
            break
    assert place[0] == expected


def test_fastais_head_and_small_convolutions_have_maps() -> None:
    model, images = built("test_resnet", head="fastai"), noise(2, 1, 128, 128)
    found = evidence(model, images, torch.tensor([0, 1]), places(model)[0])
    assert found is not None
    assert found.shape == (2, 4, 4)
    assert found.any()
    wide = built("resnet18", 32)
    assert any(isinstance(layer, SmallConv) for layer in wide.modules())
    assert evidence(wide, noise(2, 1, 32, 32), torch.tensor([0, 1]), ("layer2", 128)) is not None


def test_tokens_go_back_to_where_they_were_cut_out() -> None:
    tokens = torch.arange(1.0 + 6 * 10).view(1, -1, 1).expand(2, -1, 7)
    grid = in_grid(tokens, 7, 1, torch.Size((100, 160)))  # patches of 16, a border left out
    assert grid is not None
    assert grid.shape == (2, 6, 10, 7)
    assert grid[0, 2, 3, 0] == 1 + 2 * 10 + 3
    bare = in_grid(tokens[:, 1:], 7, 1, torch.Size((96, 160)))  # without the class token
    assert torch.equal(bare, grid)
    assert in_grid(tokens[:, :57], 7, 1, torch.Size((96, 96))) is None  # 7 x 8 are no square
    assert in_grid(tokens, 8, 1, torch.Size((96, 160))) is None


def test_a_vit_sees_a_patch_where_it_lies() -> None:
    model, images = built("test_vit", 96), torch.zeros(1, 1, 96, 160)
    tapped: list[torch.Tensor] = []
    model.patch_embed.register_forward_hook(lambda _, __, out: tapped.append(out))
    model(images)
    images[0, 0, 32:48, 80:96] = 5.0
    model(images)
    moved = (tapped[1] - tapped[0]).flatten(1, 2) if tapped[0].ndim == 4 else tapped[1] - tapped[0]
    grid = in_grid(moved, 64, 1, images.shape[2:])
    assert grid is not None
    assert grid.abs().sum(dim=3)[0].nonzero().tolist() == [[2, 5]]


def test_channels_may_come_last() -> None:
    with seed_block(0, "test"):
        model = SwinTransformer(
            img_size=(64, 96),
            patch_size=4,
            in_chans=1,
            num_classes=3,
            embed_dim=16,
            depths=(1, 1),
            num_heads=(1, 2),
            window_size=4,
        )
    model.eval().requires_grad_(False)
    images = noise(2, 1, 64, 96)
    found = evidence(model, images, torch.tensor([0, 2]), places(model)[0])
    assert model.forward_features(images).shape == (2, 8, 12, 32)
    assert found is not None
    assert found.shape == (2, 8, 12)


def test_a_map_is_a_grey_picture_whose_brightest_pixel_is_white() -> None:
    image = Image.open(io.BytesIO(as_png(np.array([[0.0, 0.5, 2.0], [0.004, 0.003, 1.0]]))))
    assert (image.mode, image.size) == ("L", (3, 2))
    assert np.asarray(image).tolist() == [[0, 64, 255], [1, 0, 128]]
    assert not opened(as_png(np.zeros((4, 5)))).any()


def oof_of(competition: Competition, *rows: list[float]) -> pd.DataFrame:
    return predictions_frame(competition.train["id"][: len(rows)], np.array(rows), CLASSES)


def test_the_least_probability_of_the_truth_is_the_worst(competition: Competition) -> None:
    table = competition.data.train  # labels: zebra, 10, ant, zebra, ...
    oof = oof_of(competition, [0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.9, 0.05, 0.05], [0.4, 0.3, 0.3])
    worst = most_wrong(table, oof.iloc[::-1])
    ids = competition.train["id"]
    assert worst["id"].tolist() == [ids[2], ids[0], ids[3], ids[1]]
    assert worst["said"].tolist() == [0, 1, 0, 1]


def test_of_24_worst_images_the_model_and_the_generators_stay_as_they_were(
    competition: Competition, dls: DataLoaders
) -> None:
    table = competition.data.train
    with seed_block(3, "probabilities"):
        probs = np.random.default_rng(0).dirichlet(np.ones(3), 30)
        oof = predictions_frame(table.frame["id"], probs, CLASSES)
        model = built("test_resnet", 32).train().requires_grad_(True)
        model.fc.weight.grad = torch.ones_like(model.fc.weight)
        model.layer1.eval()
        model.conv1.requires_grad_(False)
        before = copy.deepcopy(model.state_dict())
        flags = [(m.training, [p.requires_grad for p in m.parameters()]) for m in model.modules()]
        found = worst_maps(model, dls, table, oof)
    assert found is not None
    assert list(found.columns) == ["id", "said", "map"]
    assert found["id"].tolist() == most_wrong(table, oof)["id"].tolist()
    assert len(found) == 24
    assert set(found["said"]) <= set(CLASSES)
    assert_same_weights(model, before)
    assert flags == [
        (m.training, [p.requires_grad for p in m.parameters()]) for m in model.modules()
    ]
    assert torch.equal(model.fc.weight.grad, torch.ones_like(model.fc.weight))
    assert model.conv1[0].weight.grad is None
    assert not model.layer2._forward_hooks


def test_rows_have_the_maps_of_their_own_images(competition: Competition, dls: DataLoaders) -> None:
    table, model = competition.data.train, built("test_resnet", 32)
    oof = predictions_frame(
        table.frame["id"], np.random.default_rng(0).dirichlet([1, 1, 1], 30), CLASSES
    )
    found = worst_maps(model, dls, table, oof)
    assert found is not None
    seen = found[[opened(each).any() for each in found["map"]]]
    row = seen.iloc[len(seen) // 2]  # of the second batch, or a later one
    assert row.name >= 4
    cached = dls.test_dl(table.frame[table.frame["id"] == row["id"]]).one_batch()[0]
    said = torch.tensor([CLASSES.index(row["said"])])
    alone = evidence(model, cached.as_subclass(torch.Tensor), said, ("layer2", 48))
    assert alone is not None
    assert np.abs(opened(row["map"]) - opened(as_png(alone[0].numpy()))).max() <= 1


class Alien(nn.Module):
    """A model that timm does not know."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :3]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Alien(), "no activation maps (AttributeError"),
        (
            SwinTransformer(
                img_size=32,
                patch_size=16,
                in_chans=1,
                num_classes=3,
                embed_dim=16,
                depths=(1, 1),
                num_heads=(1, 2),
                window_size=2,
            ),
            "no activation maps: no layer of the model gives 4 x 4 pixels",
        ),
    ],
    ids=["alien", "coarse"],
)
def test_a_model_without_maps_is_said_in_one_line(
    competition: Competition,
    dls: DataLoaders,
    caplog: pytest.LogCaptureFixture,
    model: nn.Module,
    words: str,
) -> None:
    oof = oof_of(competition, [0.2, 0.5, 0.3], [0.1, 0.8, 0.1])
    with caplog.at_level(logging.INFO, "foldwise"):
        assert worst_maps(model, dls, competition.data.train, oof) is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(words)


def test_a_fold_leaves_the_maps_of_its_validation_images(workspace: Workspace) -> None:
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    train(open_competition(workspace, "tiny"), Selection(folds=(1,)))
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    folder = only_run(workspace) / "fold1"
    maps = pd.read_parquet(folder / "maps.parquet")
    oof = pd.read_parquet(folder / "oof.parquet").set_index("id")
    assert list(maps.columns) == ["id", "said", "map"]
    assert sorted(maps["id"]) == sorted(oof.index)  # ten rows: all of them
    assert maps["said"].tolist() == oof.loc[maps["id"]].idxmax(axis=1).tolist()
    levels = [opened(each) for each in maps["map"]]
    assert {each.shape for each in levels} == {(4, 4)}  # of layer2
    assert max(each.max() for each in levels) == 255
