"""Pictures of the pipeline: the images are the training's own, augmented, under their labels."""

import io
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.core import DataLoaders
from PIL import Image

from foldwise import Competition
from foldwise.config.recipe import SettledRecipe
from foldwise.data.images.cache import ImageCache
from foldwise.data.labels.table import LabelTable
from foldwise.tasks import MultiClass, MultiLabel
from foldwise.training.fitting.streams import seed_block
from foldwise.training.loading.batches import CachedImages
from foldwise.training.loading.showing import as_jpeg, augmented_images, draw_batch, save_sheet
from foldwise.training.models.building import Preprocessing, preprocessing_of
from foldwise.workspace import Workspace
from tiny import CLASSES, SETTLED


@pytest.fixture
def competition(workspace: Workspace) -> Competition:
    return Competition.load("tiny", workspace.root)


def recipe_of(competition: Competition, **settings: object) -> SettledRecipe:
    return SettledRecipe.model_validate(
        {**competition.recipe("tiny").settle(SETTLED).model_dump(), **settings}
    )


def loaders(competition: Competition, recipe: SettledRecipe, fold: int = 1) -> DataLoaders:
    block = competition.datablock(fold=fold, recipe=recipe)
    return block.dataloaders(bs=8, device=torch.device("cpu"))


def shown(
    competition: Competition, recipe: SettledRecipe, seed: int = 0
) -> tuple[pd.DataFrame, DataLoaders]:
    dls, about = loaders(competition, recipe), preprocessing_of(recipe, MultiClass(CLASSES), "L")
    return augmented_images(dls, competition.data.train, about, seed, 1), dls


def cache_of(dls: DataLoaders) -> ImageCache:
    return next(f for f in dls.train_ds.tls[0].tfms.fs if isinstance(f, CachedImages)).cache


def opened(packed: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(packed))).astype(int)


def test_they_are_rows_of_the_training_part_under_their_labels(competition: Competition) -> None:
    frame, dls = shown(competition, recipe_of(competition))
    assert list(frame.columns) == ["id", "label", "image"]
    assert len(frame) == len(dls.train_ds) == 20  # fewer than 24
    assert set(frame["id"]) == set(dls.train_ds.items["id"])
    assert list(frame["id"]) != list(dls.train_ds.items["id"])  # shuffled
    truth = competition.train.set_index("id")["label"].astype(str)
    assert list(frame["label"]) == list(truth[frame["id"]])
    image = Image.open(io.BytesIO(frame["image"][0]))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))


def test_they_are_what_the_pipeline_makes_of_the_cached_images(competition: Competition) -> None:
    plain = recipe_of(competition, augment={})
    frame, dls = shown(competition, plain)
    cached = cache_of(dls)
    rows = cached.rows(frame["id"])
    assert len(rows) > 0
    for packed, row in zip(frame["image"], rows, strict=True):
        moved = np.abs(opened(packed)[:, :, 0] - cached.pixels[row][:, :, 0].astype(int))
        assert moved.mean() < 4  # JPEG
    turned, _ = shown(competition, recipe_of(competition, augment={"rotate": 90, "hflip": True}))
    assert list(turned["id"]) == list(frame["id"])
    pairs = zip(turned["image"], frame["image"], strict=True)
    assert np.mean([np.abs(opened(one) - opened(other)).mean() for one, other in pairs]) > 10


def test_the_same_place_gives_the_same_bytes_whatever_was_drawn_before(
    competition: Competition,
) -> None:
    recipe = recipe_of(competition)
    first, dls = shown(competition, recipe)
    again, _ = shown(competition, recipe)
    assert first.equals(again)
    dls.train.one_batch()
    random.random(), torch.rand(1)
    about = preprocessing_of(recipe, MultiClass(CLASSES), "L")
    assert augmented_images(dls, competition.data.train, about, 0, 1).equals(first)
    other, _ = shown(competition, recipe, seed=1)
    assert list(other["id"]) != list(first["id"])


def test_the_trainings_own_order_stays_as_it_was(competition: Competition) -> None:
    recipe = recipe_of(competition)
    orders = []
    for looked in (False, True):
        dls = loaders(competition, recipe)
        if looked:
            draw_batch(dls, 0, 1)
        dls.train.rng = random.Random(7)
        orders.append(list(dls.train.get_idxs()))
    assert orders[0] == orders[1]


def test_balanced_draws_are_shown_as_they_are_trained(competition: Competition) -> None:
    recipe = recipe_of(competition, sampling="balanced")
    dls = loaders(competition, recipe)
    items = dls.train_ds.items
    few = items[(items["label"] == "zebra") | ~items["label"].duplicated()]  # one of the others
    block = competition.datablock(fold=1, recipe=recipe)
    dls = block.dataloaders(pd.concat([few, dls.valid_ds.items]), bs=8)
    about = preprocessing_of(recipe, MultiClass(CLASSES), "L")
    labels = augmented_images(dls, competition.data.train, about, 0, 1)["label"].value_counts()
    assert labels.sum() == len(few)
    assert labels["zebra"] <= len(few) - 4 < (few["label"] == "zebra").sum()


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(1, [100, 100, 100]), (3, [100, 30, 200]), (4, [178, 143, 228])],
)
def test_grey_and_transparent_images_become_rgb(channels: int, expected: list[int]) -> None:
    levels = np.full((16, 24, channels), (100, 30, 200, 127)[:channels], np.uint8)
    image = opened(as_jpeg(levels))
    assert image.shape == (16, 24, 3)
    assert np.abs(image - expected).max() <= 3


def test_many_labels_are_joined_and_centred_values_brought_back(
    competition: Competition,
) -> None:
    recipe = recipe_of(competition, augment={})
    dls = loaders(competition, recipe)
    frame = competition.train.drop(columns="label")
    hot = pd.DataFrame(np.tile([1, 0, 1], (30, 1)), columns=list(CLASSES)).astype(np.uint8)
    table = LabelTable(pd.concat([frame, hot], axis=1), frame, MultiLabel(CLASSES))
    one = preprocessing_of(recipe, MultiClass(CLASSES), "L")
    assert set(augmented_images(dls, table, one, 0, 1)["label"]) == {"zebra ant"}
    raw = cache_of(dls).pixels.mean()
    means = [opened(each).mean() for each in augmented_images(dls, table, one, 0, 1)["image"]]
    assert np.mean(means) == pytest.approx(raw, abs=12)  # of the training part alone
    other = Preprocessing(**{**vars(one), "mean": (0.0,)})
    darker = [opened(each).mean() for each in augmented_images(dls, table, other, 0, 1)["image"]]
    assert np.mean(darker) < np.mean(means) - 30


def test_a_sheet_has_a_picture_for_every_row(competition: Competition, tmp_path: Path) -> None:
    recipe = recipe_of(competition)
    paths = [tmp_path / f"{n}.png" for n in range(2)]
    for path in paths:
        with seed_block(0, "sheet"):
            assert save_sheet(loaders(competition, recipe), path, 0, 1) == 20
    assert paths[0].read_bytes() == paths[1].read_bytes()
    image = np.asarray(Image.open(paths[0]).convert("L")).astype(int)
    height, width = image.shape
    assert (width, height) == (1200, 920)  # four rows of six
    last = image[-height // 4 :]  # of two pictures and four blank places
    assert last[:, : width // 3].std() > 30
    assert (last[:, width // 3 :] == 255).all()
