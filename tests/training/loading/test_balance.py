"""Balanced weights are scikit-learn's; balanced draws are even, and the same at the same place."""

import random
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from fasttransform import Pipeline
from sklearn.utils.class_weight import compute_class_weight

from foldwise import Competition
from foldwise.training.fitting.streams import EpochStreams, seed_block
from foldwise.training.loading.balance import balanced_draws, class_counts, class_weights
from foldwise.training.loading.batches import dataloaders, training_targets
from foldwise.workspace import Workspace
from tiny import CLASSES, edit

CPU = torch.device("cpu")
CODES = np.repeat([2, 0, 3], [90, 9, 1])  # class 1 has no row
HOT = torch.tensor([[1.0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]])


def test_counts_are_of_rows() -> None:
    assert class_counts(torch.from_numpy(CODES), 4).tolist() == [9, 0, 90, 1]
    assert class_counts(HOT, 3).tolist() == [4, 0, 1]


def test_balanced_weights_are_scikit_learns_and_1_in_the_mean() -> None:
    weights = class_weights("balanced", list("abcd"), torch.from_numpy(CODES))
    assert weights is not None
    assert weights.dtype == torch.float32
    expected = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=CODES)
    assert weights[[0, 2, 3]].numpy() == pytest.approx(expected)
    assert weights[1] == 1
    assert weights[torch.from_numpy(CODES)].mean().item() == pytest.approx(1)


def test_balanced_weights_of_labels_are_their_negatives_by_positives() -> None:
    weights = class_weights("balanced", list("abc"), HOT)
    assert weights is not None
    assert weights.tolist() == [1, 1, 3]  # all rows, none, one of four


def test_given_weights_go_to_their_classes_by_name() -> None:
    weights = class_weights({"ant": 3.0, "zebra": 0.5}, CLASSES, torch.from_numpy(CODES))
    assert weights is not None
    assert weights.tolist() == [0.5, 1, 3]
    assert class_weights(None, CLASSES, torch.from_numpy(CODES)) is None


def test_every_class_is_drawn_about_equally_and_every_row_of_it() -> None:
    codes = np.random.default_rng(0).permutation(np.repeat([2, 0, 3], [9000, 900, 100]))
    drawn = np.array(balanced_draws(codes, random.Random(1)))
    assert len(drawn) == 10_000
    shares = np.bincount(codes[drawn], minlength=4) / 10_000
    assert shares == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.02)  # 4 standard deviations
    rare = Counter(drawn[codes[drawn] == 3].tolist())
    assert set(rare) == set(np.flatnonzero(codes == 3))
    assert max(rare.values()) < 70  # 33 each in the mean


def test_draws_follow_their_generator() -> None:
    one, two, other = (balanced_draws(CODES, random.Random(seed)) for seed in (1, 1, 2))
    assert one == two
    assert one != other


@pytest.fixture
def uneven(workspace: Workspace) -> Competition:
    """The competition `tiny` with 24 rows of one class, 4 and 2 of the others."""
    path = workspace.raw("tiny") / "train_labels.csv"
    frame = pd.read_csv(path, dtype={"id": str})
    labels = np.repeat([0, 1, 2], [24, 4, 2])
    frame[list(CLASSES)] = np.eye(3)[np.random.default_rng(0).permutation(labels)]
    frame.to_csv(path, index=False)
    toml = workspace.competition("tiny") / "competition.toml"
    edit(toml, "n = 3\nseed = 1\n\n[folds.sites]", "n = 2\nseed = 1\n\n[folds.sites]")
    edit(
        workspace.competition("tiny") / "recipes" / "tiny.toml",
        "batch_size",
        'sampling = "balanced"\nbatch_size',
    )
    return Competition.load("tiny", workspace.root)


def epoch(competition: Competition, *place: int, number: int = 0) -> list[int]:
    """The class numbers of an epoch's batches at a place: seed, fold, stage."""

    class Learner:
        dls = dataloaders(competition.datablock(0, "tiny"), 5, CPU)
        cbs = ()
        epoch = number

    streams = EpochStreams(*place)
    streams.learn = Learner
    with seed_block("draws"):
        streams.before_epoch()
        return torch.cat([targets for _, targets in Learner.dls.train]).tolist()


def test_training_draws_all_classes_and_validation_every_row_once(uneven: Competition) -> None:
    seen: Counter[int] = Counter()
    for number in range(40):
        drawn = epoch(uneven, 0, 0, 0, number=number)
        assert len(drawn) == 15  # as many rows as there are
        seen.update(drawn)
    assert [seen[c] / 600 for c in range(3)] == pytest.approx([1 / 3] * 3, abs=0.08)
    dls = dataloaders(uneven.datablock(0, "tiny"), 5, CPU)
    codes = training_targets(dls)
    assert sorted(codes.tolist()) == [0] * 12 + [1] * 2 + [2]
    valid = torch.cat([targets for _, targets in dls.valid])
    assert valid.bincount(minlength=3).tolist() == [12, 2, 1]
    assert [CLASSES[c] for c in valid] == list(dls.valid_ds.items["label"])


def test_draws_hang_on_seed_fold_stage_and_epoch_alone(uneven: Competition) -> None:
    first = epoch(uneven, 0, 0, 0)
    assert epoch(uneven, 0, 0, 0) == first
    for place, number in (((1, 0, 0), 0), ((0, 1, 0), 0), ((0, 0, 1), 0), ((0, 0, 0), 1)):
        assert epoch(uneven, *place, number=number) != first


def test_images_belong_to_the_targets_drawn(uneven: Competition) -> None:
    dls = dataloaders(uneven.datablock(0, "tiny"), 5, CPU)
    known = {}  # a plain pass over the training part: the pixels of each row with its label
    for position, id in enumerate(dls.train_ds.items["id"]):
        pixels = dls.train_ds.tls[0].tfms.fs[1].encodes(id)
        known[pixels.numpy().tobytes()] = int(training_targets(dls)[position])
    dls.train.after_batch = Pipeline()
    assert len(dls.train) > 0
    for images, targets in dls.train:
        assert len(images)
        for image, target in zip(images, targets, strict=True):
            assert known[image.contiguous().numpy().tobytes()] == int(target)
