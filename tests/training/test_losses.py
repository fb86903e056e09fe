"""Losses are fastai's and torch's, for class indices and for shares of classes alike."""

import pytest
import torch
import torch.nn.functional as F
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat
from fastai.torch_core import TensorBase, TensorCategory, TensorMultiCategory

from foldwise.spec.recipe import Recipe
from foldwise.training.losses import loss_of


def recipe(smoothing: float = 0.0) -> Recipe:
    return Recipe.model_validate(
        {"name": "r", "model": "resnet18", "image_size": 32, "label_smoothing": smoothing,
         "stage": [{"epochs": 1, "lr": 1e-3}]}
    )  # fmt: skip


LOGITS = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
TARGETS = torch.arange(16) % 5
SHARES = torch.rand(16, 5, generator=torch.Generator().manual_seed(1)).softmax(dim=1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_indices_go_fastais_way_bit_for_bit(smoothing: float) -> None:
    loss = loss_of(recipe(smoothing), False)
    expected = CrossEntropyLossFlat(label_smoothing=smoothing)
    for targets in (TARGETS, TensorCategory(TARGETS), TARGETS.int()):
        assert torch.equal(loss(LOGITS, targets), expected(LOGITS, targets))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_hot_shares_cost_what_class_indices_cost(smoothing: float) -> None:
    loss = loss_of(recipe(smoothing), False)
    hot = F.one_hot(TARGETS, 5).float()
    assert loss(LOGITS, hot).item() == pytest.approx(loss(LOGITS, TARGETS).item(), rel=1e-6)
    assert loss(TensorBase(LOGITS), TensorBase(hot)).item() == loss(LOGITS, hot).item()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_shares_are_smoothed_as_torch_does(smoothing: float) -> None:
    made = loss_of(recipe(smoothing), False)(LOGITS, SHARES)
    moved = SHARES * (1 - smoothing) + smoothing / 5
    by_hand = -(moved * LOGITS.log_softmax(dim=1)).sum(dim=1).mean()
    assert made.item() == pytest.approx(by_hand.item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_many_labels_cost_binary_cross_entropy_each(smoothing: float) -> None:
    hot = (SHARES > 0.2).float()
    made = loss_of(recipe(smoothing), True)(LOGITS, TensorMultiCategory(hot))
    moved = hot * (1 - smoothing) + smoothing / 2
    assert made.item() == BCEWithLogitsLossFlat()(LOGITS, moved).item()
    by_hand = F.binary_cross_entropy(LOGITS.sigmoid(), moved).item()
    assert made.item() == pytest.approx(by_hand, rel=1e-5)


def test_a_notebook_finds_activation_and_decoding() -> None:
    one, many = loss_of(recipe(), False), loss_of(recipe(), True)
    assert torch.equal(one.activation(LOGITS), LOGITS.softmax(dim=-1))
    assert torch.equal(one.decodes(LOGITS), LOGITS.argmax(dim=-1))
    assert torch.equal(many.activation(LOGITS), LOGITS.sigmoid())
    assert torch.equal(many.decodes(LOGITS.sigmoid()), LOGITS > 0)
    for loss, targets in ((one, TARGETS), (one, SHARES), (many, SHARES)):
        loss.reduction = "none"
        assert loss(LOGITS, targets).numel() >= 16
