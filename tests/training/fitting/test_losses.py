"""Losses are torch's, fastai's, timm's and torchvision's, whatever the targets are made of."""

import math

import numpy as np
import pytest
import timm.loss
import torch
import torch.nn.functional as F
from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, FocalLossFlat
from fastai.torch_core import TensorBase, TensorCategory, TensorMultiCategory
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torchvision.ops import sigmoid_focal_loss

from foldwise.config.recipe import SettledRecipe
from foldwise.kinds.loss import Outputs
from foldwise.training.fitting.activations import Meaning
from foldwise.training.fitting.criterion import ClassLoss, loss_of, ordinal_shares
from foldwise.training.loading.balance import class_weights


def recipe(smoothing: float = 0.0, **keys: object) -> SettledRecipe:
    return SettledRecipe.model_validate(
        {
            "name": "r",
            "model": "resnet18",
            "image_size": 32,
            "label_smoothing": smoothing,
            "stage": [{"epochs": 1, "lr": 1e-3}],
            **keys,
        }
    )


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LOGITS = random(0, 16, 5)
TARGETS = torch.arange(16) % 5
SHARES = (3 * random(1, 16, 5)).softmax(dim=1)
HOT = F.one_hot(TARGETS, 5).float()
MANY = (SHARES > 0.2).float()
ONE, TWO = random(2, 16, 1), torch.arange(16) // 3 % 2  # one output, two classes
P = ONE[:, 0].double().sigmoid()  # of the second class


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_indices_go_fastais_way_bit_for_bit(smoothing: float) -> None:
    loss = loss_of(recipe(smoothing), Meaning("softmax"))
    expected = CrossEntropyLossFlat(label_smoothing=smoothing)
    for targets in (TARGETS, TensorCategory(TARGETS), TARGETS.int()):
        assert torch.equal(loss(LOGITS, targets), expected(LOGITS, targets))


CASES: list[tuple[str, Outputs]] = [
    ("cross_entropy", "softmax"),
    ("focal", "softmax"),
    ("mae", "softmax"),
    ("bce", "scaled_sigmoids"),
    ("bce", "one_sigmoid"),
    ("mae", "one_sigmoid"),
    ("focal", "one_sigmoid"),
]


@pytest.mark.parametrize("keys", [{}, {"smoothing": 0.1}, {"ordinal": 0.7}])
@pytest.mark.parametrize(("name", "outputs"), CASES)
def test_one_hot_shares_cost_what_class_indices_cost(
    name: str, outputs: Outputs, keys: dict[str, float]
) -> None:
    logits, targets = (ONE, TWO) if outputs == "one_sigmoid" else (LOGITS, TARGETS)
    hot = F.one_hot(targets).float()
    weights = torch.arange(1.0, hot.shape[1] + 1)
    for each in (None, weights):
        loss = loss_of(recipe(loss=name, **keys), Meaning(outputs), each)
        assert loss(logits, hot).item() == pytest.approx(loss(logits, targets).item(), rel=1e-6)
        assert loss(TensorBase(logits), TensorBase(hot)).item() == loss(logits, hot).item()
        loss.reduction = "none"
        rows = loss(logits, targets)
        assert rows.shape == (16,)
        loss.reduction = "mean"
        assert rows.mean().item() == pytest.approx(loss(logits, targets).item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_shares_are_smoothed_as_torch_does(smoothing: float) -> None:
    made = loss_of(recipe(smoothing), Meaning("softmax"))(LOGITS, SHARES)
    moved = SHARES * (1 - smoothing) + smoothing / 5
    by_hand = -(moved * LOGITS.log_softmax(dim=1)).sum(dim=1).mean()
    assert made.item() == pytest.approx(by_hand.item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_many_labels_cost_binary_cross_entropy_each(smoothing: float) -> None:
    made = loss_of(recipe(smoothing), Meaning("sigmoids"))(LOGITS, TensorMultiCategory(MANY))
    moved = MANY * (1 - smoothing) + smoothing / 2
    assert made.item() == BCEWithLogitsLossFlat()(LOGITS, moved).item()
    by_hand = F.binary_cross_entropy(LOGITS.sigmoid(), moved).item()
    assert made.item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classes_each_for_itself_cost_what_timm_says(smoothing: float) -> None:
    made = loss_of(recipe(smoothing, loss="bce"), Meaning("scaled_sigmoids"))(LOGITS, TARGETS)
    expected = timm.loss.BinaryCrossEntropy(smoothing=smoothing)(LOGITS, TARGETS)
    assert made.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "bce"])
def test_one_output_for_two_classes_costs_their_log_loss(name: str) -> None:
    made = loss_of(recipe(loss=name), Meaning("one_sigmoid"))(ONE, TWO)
    assert made.item() == pytest.approx(log_loss(TWO.numpy(), P.numpy()), rel=1e-6)
    half = loss_of(recipe(loss=name), Meaning("one_sigmoid"))(ONE, torch.full((16, 2), 0.5))
    assert half.item() == pytest.approx(-(P.log() + (1 - P).log()).mean().item() / 2, rel=1e-6)


def test_the_mean_absolute_distance_is_1_less_p_or_p() -> None:
    made = loss_of(recipe(loss="mae"), Meaning("one_sigmoid"))(ONE, TWO)
    by_hand = np.where(TWO.numpy() == 1, 1 - P.numpy(), P.numpy()).mean()
    assert made.item() == pytest.approx(by_hand, rel=1e-6)
    shares = torch.tensor([[0.25, 0.75]])
    for logit, expected in ((0.0, 0.25), (math.log(3), 0.0)):  # p = 0.5 and 0.75
        each = loss_of(recipe(loss="mae"), Meaning("one_sigmoid"))(torch.tensor([[logit]]), shares)
        assert each.item() == pytest.approx(expected, abs=1e-7)
    more = loss_of(recipe(loss="mae"), Meaning("softmax"))(LOGITS, TARGETS)
    right = LOGITS.softmax(dim=1)[torch.arange(16), TARGETS]
    assert more.item() == pytest.approx((1 - right).mean().item(), rel=1e-6)
    two = torch.cat((torch.zeros(16, 1), ONE), dim=1)  # the same probabilities by softmax
    same = loss_of(recipe(loss="mae"), Meaning("softmax"))(two, TWO)
    assert same.item() == pytest.approx(made.item(), rel=1e-6)


def test_the_focal_loss_is_the_papers() -> None:
    focal = loss_of(recipe(loss="focal"), Meaning("softmax"))
    p = 0.9  # a well classified row counts a hundredth: (1 - 0.9)^2
    logits = torch.tensor([[math.log(p), math.log(1 - p)]])
    made = focal(logits, torch.tensor([0])).item()
    assert made == pytest.approx(-(0.1**2) * math.log(0.9), rel=1e-4)
    for gamma in (0.0, 0.5, 2.0, 5.0):
        loss = loss_of(recipe(loss={"name": "focal", "gamma": gamma}), Meaning("softmax"))
        expected = FocalLossFlat(gamma=gamma)(LOGITS, TARGETS).item()
        assert loss(LOGITS, TARGETS).item() == pytest.approx(expected, rel=1e-5)
    plain = loss_of(recipe(0.1, loss={"name": "focal", "gamma": 0}), Meaning("softmax"))
    assert plain(LOGITS, SHARES).item() == pytest.approx(
        F.cross_entropy(LOGITS, SHARES, label_smoothing=0.1).item(), rel=1e-6
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_of_many_labels_is_torchvisions(gamma: float) -> None:
    loss = loss_of(recipe(loss={"name": "focal", "gamma": gamma}), Meaning("sigmoids"))
    expected = sigmoid_focal_loss(LOGITS, MANY, alpha=-1, gamma=gamma, reduction="mean")
    assert loss(LOGITS, MANY).item() == pytest.approx(expected.item(), rel=1e-5)
    one = loss_of(recipe(loss={"name": "focal", "gamma": gamma}), Meaning("one_sigmoid"))
    expected = sigmoid_focal_loss(ONE[:, 0], TWO.float(), alpha=-1, gamma=gamma, reduction="mean")
    assert one(ONE, TWO).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0, 2.0])
@pytest.mark.parametrize("outputs", ["softmax", "sigmoids"])
def test_the_focal_losss_gradient_is_finite_where_all_is_sure(
    outputs: Outputs, gamma: float
) -> None:
    logits = torch.tensor([[300.0, -300.0], [-300.0, 300.0]], requires_grad=True)
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # the first is right, the second wrong
    loss_of(recipe(loss={"name": "focal", "gamma": gamma}), Meaning(outputs))(
        logits, targets
    ).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[0] == 0).all()
    assert (logits.grad[1] != 0).all()


def gradient(loss: ClassLoss, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss's gradient by the logits."""
    own = logits.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(own, targets), own)
    return found


@pytest.mark.parametrize(("name", "outputs"), CASES)
def test_balanced_weights_scale_each_rows_gradient_as_scikit_learn_says(
    name: str, outputs: Outputs
) -> None:
    n = 2 if outputs == "one_sigmoid" else 5
    logits = ONE if n == 2 else LOGITS
    targets = torch.tensor([0, 0, 0, 1] if n == 2 else [0, 0, 0, 0, 1, 1, 2, 4, 3, 3]).repeat(4)[
        :16
    ]
    weights = class_weights("balanced", [str(c) for c in range(n)], targets)
    assert weights is not None
    expected = compute_class_weight("balanced", classes=np.arange(n), y=targets.numpy())
    assert weights.numpy() == pytest.approx(expected, rel=1e-6)
    plain = gradient(loss_of(recipe(loss=name), Meaning(outputs)), logits, targets)
    made = gradient(loss_of(recipe(loss=name), Meaning(outputs), weights), logits, targets)
    assert torch.allclose(made, plain * weights[targets][:, None], rtol=1e-5, atol=1e-9)
    assert not torch.allclose(made, plain)


def test_weights_of_many_labels_weigh_their_positives() -> None:
    weights = class_weights("balanced", list("abcde"), MANY)
    assert weights is not None
    for written in ("bce", {"name": "focal", "gamma": 0}):
        loss = loss_of(recipe(loss=written), Meaning("sigmoids"), weights)
        expected = F.binary_cross_entropy_with_logits(LOGITS, MANY, pos_weight=weights)
        assert loss(LOGITS, MANY).item() == pytest.approx(expected.item(), rel=1e-6)
    # at p = 1/2 positives and negatives of a label push equally: the gradient's sum is 0
    pushed = gradient(loss_of(recipe(), Meaning("sigmoids"), weights), torch.zeros(16, 5), MANY)
    assert pushed.sum(dim=0).abs().max() < 1e-6


def test_ordinal_targets_of_four_classes_by_hand() -> None:
    e = [math.exp(-d) for d in range(4)]  # of distances 0 to 3
    first = [value / sum(e) for value in e]
    second = [value / (e[1] + e[0] + e[1] + e[2]) for value in (e[1], e[0], e[1], e[2])]
    table = ordinal_shares(4, 1.0, torch.device("cpu"))
    assert table[:2].tolist() == [pytest.approx(first), pytest.approx(second)]
    assert table[3].tolist() == pytest.approx(first[::-1])
    logits, targets = LOGITS[:4, :4], torch.tensor([0, 1, 3, 3])
    by_hand = -(table[targets] * logits.log_softmax(dim=1)).sum(dim=1).mean()
    made = loss_of(recipe(ordinal=1.0), Meaning("softmax"))(logits, targets)
    assert made.item() == pytest.approx(by_hand.item(), rel=1e-6)
    mixed = torch.tensor([[0.5, 0.5, 0.0, 0.0]])  # mixing first or spreading first is the same
    expected = -((table[0] + table[1]) / 2 * logits[0].log_softmax(dim=0)).sum()
    made = loss_of(recipe(ordinal=1.0), Meaning("softmax"))(logits[:1], mixed)
    assert made.item() == pytest.approx(expected.item(), rel=1e-6)
    narrow = ordinal_shares(4, 0.01, torch.device("cpu"))
    assert torch.allclose(narrow, torch.eye(4))


def test_a_neighbour_costs_less_than_a_stranger() -> None:
    loss = loss_of(recipe(ordinal=1.0), Meaning("softmax"))
    near, far = (torch.nn.functional.one_hot(torch.tensor([k]), 4) * 5.0 for k in (1, 3))
    assert loss(near, torch.tensor([0])) < loss(far, torch.tensor([0]))
    plain = loss_of(recipe(), Meaning("softmax"))
    assert plain(near, torch.tensor([0])) == plain(far, torch.tensor([0]))


def test_a_notebook_finds_activation_and_decoding() -> None:
    one, many = loss_of(recipe(), Meaning("softmax")), loss_of(recipe(), Meaning("sigmoids"))
    assert torch.equal(one.activation(LOGITS), LOGITS.softmax(dim=-1))
    assert torch.equal(one.decodes(LOGITS), LOGITS.argmax(dim=-1))
    assert torch.equal(many.activation(LOGITS), LOGITS.sigmoid())
    assert torch.equal(many.decodes(LOGITS.sigmoid()), LOGITS > 0)
    two = loss_of(recipe(loss="mae"), Meaning("one_sigmoid"))
    assert torch.equal(two.decodes(two.activation(ONE)), (ONE[:, 0] > 0).long())
    for loss, targets in ((one, TARGETS), (one, SHARES), (many, SHARES)):
        loss.reduction = "none"
        assert loss(LOGITS, targets).shape == (16,)
