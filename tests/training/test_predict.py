"""TTA views are fixed, undo each other, and are averaged as probabilities in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from foldwise.training.fitting.activations import Meaning
from foldwise.training.predict import MOVES, VIEWS, predict, shift_images

UNDO = {"rot90": "rot270", "rot270": "rot90"}


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_undone_by_its_inverse(view: str) -> None:
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(VIEWS[UNDO.get(view, view)](VIEWS[view](x)), x)


def test_the_views_are_all_different() -> None:
    x = torch.rand(1, 1, 4, 4)
    seen = {VIEWS[view](x).numpy().tobytes() for view in VIEWS}
    assert len(seen) == len(VIEWS) == 8


class Corner(nn.Module):
    """Logits from the upper left corner's pixels, so that every view gives others."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * x[:, :, 0, :2].mean(dim=1)


def predicted(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    """All batches' predictions together."""
    mean, plain = zip(*predict(*arguments), strict=True)
    return np.concatenate(mean), np.concatenate(plain)


def test_views_are_averaged_and_the_plain_one_is_kept() -> None:
    x = torch.rand(5, 1, 4, 4)
    mean, plain = predicted(Corner(), [(x[:3],), (x[3:],)], ("none", "hflip"), "fp32")
    assert mean.dtype == plain.dtype == np.float64
    assert mean.shape == (5, 2)
    expected = [torch.softmax(Corner()(v).double(), 1).numpy() for v in (x, x.flip(-1))]
    assert plain == pytest.approx(expected[0])
    assert mean == pytest.approx((expected[0] + expected[1]) / 2)
    assert mean.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-15)
    again, _ = predicted(Corner(), [(x,)], ("none", "hflip"), "fp32")
    assert (again == mean).all()  # the size of batches changes nothing here


def test_a_moved_view_has_the_reflection_where_nothing_was() -> None:
    row = torch.arange(4.0).expand(1, 1, 4, 4)  # 0 1 2 3 in every row
    assert shift_images(row, (0, 1), 0.25)[0, 0, 0].tolist() == [1, 0, 1, 2]
    assert shift_images(row, (0, -1), 0.5)[0, 0, 0].tolist() == [2, 3, 2, 1]
    column = row.transpose(2, 3)
    assert shift_images(column, (1, 0), 0.25)[0, 0, :, 0].tolist() == [1, 0, 1, 2]
    assert shift_images(column, (-1, 0), 0.25)[0, 0, :, 0].tolist() == [1, 2, 3, 2]
    assert shift_images(column, (0, 1), 0.25).equal(column)


def test_shifted_views_are_averaged_and_the_plain_one_is_not_moved() -> None:
    x = torch.rand(5, 1, 4, 4)
    model = Corner()
    mean, plain = predicted(model, [(x,)], ("none", "hflip"), "fp32", Meaning("softmax"), 0.25)
    seen = [shift_images(view, move, 0.25) for view in (x, x.flip(-1)) for move in MOVES]
    expected = [torch.softmax(model(view).double(), 1).numpy() for view in seen]
    assert len(expected) == 10
    assert mean == pytest.approx(np.mean(expected, axis=0))
    assert plain == pytest.approx(expected[0])


def test_dropout_is_off_and_no_gradient_is_kept() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Dropout(0.9)).train()
    x = torch.rand(4, 1, 4, 4)
    first, _ = predicted(model, [(x,)], ("none",), "fp32")
    second, _ = predicted(model, [(x,)], ("none",), "fp32")
    assert (first == second).all()
    assert model.training  # a copy predicted


class Pixels(nn.Module):
    """Logits that are the pixels themselves."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0, 0, : self.n]


@pytest.mark.parametrize(
    ("outputs", "n", "by_hand"),
    [
        ("softmax", 3, lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)),
        ("sigmoids", 3, lambda x: 1 / (1 + np.exp(-x))),
        ("one_sigmoid", 1, lambda x: np.hstack([1 / (1 + np.exp(x)), 1 / (1 + np.exp(-x))])),
        (
            "scaled_sigmoids",
            3,
            lambda x: 1 / (1 + np.exp(-x)) / (1 / (1 + np.exp(-x))).sum(axis=1, keepdims=True),
        ),
    ],
)
def test_logits_become_probabilities_by_what_they_mean(outputs: str, n: int, by_hand: Any) -> None:
    x = torch.randn(5, 1, 2, 4, generator=torch.Generator().manual_seed(0))
    mean, plain = predicted(Pixels(n), [(x,)], ("none", "vflip"), "fp32", Meaning(outputs))
    first, second = (by_hand(view[:, 0, 0, :n].double().numpy()) for view in (x, x.flip(-2)))
    assert plain == pytest.approx(first, rel=1e-12)
    assert mean == pytest.approx((first + second) / 2, rel=1e-12)
    if outputs != "sigmoids":
        assert mean.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-15)


@pytest.mark.parametrize("outputs", ["one_sigmoid", "scaled_sigmoids", "softmax"])
def test_probabilities_of_extreme_logits_still_sum_to_one(outputs: str) -> None:
    n = 1 if outputs == "one_sigmoid" else 3
    for value in (-3000.0, 3000.0):
        _, plain = predicted(
            Pixels(n),
            [(torch.full((1, 1, 2, 4), value),)],
            ("none",),
            "fp32",
            Meaning(outputs),
        )
        assert plain.sum() == pytest.approx(1)
