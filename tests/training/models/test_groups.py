"""Layer groups are the model's real ones, from the stem to the head, each parameter once."""

import numpy as np
import pytest
import timm
import torch
from fastai.vision.learner import vision_learner
from fastai.vision.models import resnet34

from foldwise.config.stage import Stage
from foldwise.training.models.baselines import Linear
from foldwise.training.models.groups import frozen_groups, layer_groups, rates_of
from foldwise.training.models.heads import classifiers_of, with_fastai_head

SIZES = {  # of fastai, stage, block groups
    "resnet34": (3, 6, 18),
    "resnext50_32x4d": (3, 6, 18),
    "convnext_atto": (3, 6, 14),
    "efficientnet_b0": (3, 9, 18),
    "vit_tiny_patch16_224": (3, 14, 14),
}


@pytest.mark.parametrize("name", SIZES)
def test_every_parameter_is_in_one_group_and_the_head_is_the_last(name: str) -> None:
    model = timm.create_model(name, num_classes=5)
    for how, number in zip(("fastai", "stage", "block"), SIZES[name], strict=True):
        groups = layer_groups(model, how)
        ids = [id(param) for group in groups for param in group]
        assert sorted(ids) == sorted(id(param) for param in model.parameters())
        assert len(groups) == number
        assert [id(p) for p in groups[-1]] == [id(p) for p in model.get_classifier().parameters()]


def test_fastais_groups_are_those_of_its_vision_learner() -> None:
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader

    rows = [(torch.zeros(3, 32, 32), 0)] * 4
    dls = DataLoaders(*[DataLoader(rows, bs=2, num_workers=0)] * 2)
    learner = vision_learner(
        dls,
        resnet34,
        pretrained=False,
        n_out=5,
        normalize=False,
        loss_func=torch.nn.CrossEntropyLoss(),
    )
    theirs = [sum(p.numel() for p in group) for group in learner.splitter(learner.model)]
    model = with_fastai_head(timm.create_model("resnet34"), 5, 3, (32, 32))
    ours = [sum(p.numel() for p in group) for group in layer_groups(model, "fastai")]
    assert ours == theirs


def test_fastais_head_pools_twice_and_has_512_hidden_units() -> None:
    model = with_fastai_head(timm.create_model("test_resnet"), 5, 3, (32, 32)).eval()
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 5)
    widths = [
        m.in_features for m in classifiers_of(model)[0].modules() if isinstance(m, torch.nn.Linear)
    ]
    assert widths == [2 * 96, 512]
    assert model.body.training is False


def test_a_linear_model_is_all_head() -> None:
    assert [len(group) for group in layer_groups(Linear(4, 2), "fastai")] == [2]


def stage(**settings: object) -> Stage:
    return Stage.model_validate({"epochs": 1, "lr": 1e-3, **settings})


def test_a_pair_of_rates_is_spread_over_the_groups() -> None:
    assert rates_of(stage(), 1e-3, 3).tolist() == [1e-3] * 3
    assert rates_of(stage(), (1e-5, 1e-3), 3) == pytest.approx(np.array([1e-5, 1e-4, 1e-3]))
    assert rates_of(stage(spread="head"), (1e-4, 1e-3), 3).tolist() == [1e-4, 1e-4, 1e-3]
    assert rates_of(stage(), (1e-5, 1e-3), 1).tolist() == [1e-3]


def test_the_number_of_frozen_groups() -> None:
    assert frozen_groups(stage(), 6) == 0
    assert frozen_groups(stage(train="head"), 6) == 5
    assert frozen_groups(stage(train=2), 6) == 4
    assert frozen_groups(stage(train=9), 6) == 0
