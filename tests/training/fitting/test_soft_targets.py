"""Shares of classes and weights of rows reach the loss of training, and nothing else."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from matplotlib import pyplot

from foldwise import Competition
from foldwise.commands.planning import Selection, scheme_folds
from foldwise.commands.train import train
from foldwise.config.recipe import SettledRecipe
from foldwise.data.competition import load_data
from foldwise.data.folds import labels_hash
from foldwise.data.opened import OpenCompetition, open_competition
from foldwise.kinds.loss import Outputs
from foldwise.store.files import sha256_json
from foldwise.store.predictions import read_predictions
from foldwise.training.fitting.activations import Meaning
from foldwise.training.fitting.criterion import ClassLoss
from foldwise.training.fitting.meters import AccuracyMeter
from foldwise.training.fitting.run import RunData, identity
from foldwise.training.loading.batches import dataloaders, training_targets
from foldwise.training.loading.mixing import Mixing
from foldwise.workspace import Workspace
from tiny import CLASSES, edit

CPU = torch.device("cpu")
LINEAR = """
model = "linear"
image_size = 16
batch_size = 8

[[stage]]
epochs = 20
lr = 1
"""


def rewritten(workspace: Workspace, soft: bool = False, weight: str = "") -> pd.DataFrame:
    """The labels with half of a row's share at the next class, and a column of weights.

    The spec reads what is asked for; returns the file's frame by id.
    """
    path = workspace.raw("tiny") / "train_labels.csv"
    labels = pd.read_csv(path, dtype={"id": str})
    if soft:
        hot = labels[list(CLASSES)].to_numpy()
        labels[list(CLASSES)] = 0.6 * hot + 0.4 * np.roll(hot, 1, axis=1)
    labels["sure"] = np.arange(len(labels)) / 10
    labels.to_csv(path, index=False)
    keys = ["soft = true"] * soft + [f'weight = "{weight}"'] * bool(weight)
    toml = workspace.competition("tiny") / "competition.toml"
    edit(toml, 'group = "site"', "\n".join(['group = "site"', *keys]))
    (workspace.competition("tiny") / "recipes" / "linear.toml").write_text(LINEAR)
    return labels.set_index("id")


def recipe(loss: str, **keys: object) -> SettledRecipe:
    return SettledRecipe.model_validate(
        {
            "name": "r",
            "model": "resnet18",
            "image_size": 32,
            "loss": loss,
            "stage": [{"epochs": 1, "lr": 1e-3}],
            **keys,
        }
    )


def test_training_batches_have_shares_and_weights_and_validation_shares(
    workspace: Workspace,
) -> None:
    file = rewritten(workspace, soft=True, weight="sure")
    competition = Competition.load("tiny", workspace.root)
    dls = dataloaders(competition.datablock(0, "tiny"), 8, CPU)
    known = competition.train.set_index("id").loc[dls.train_ds.items["id"]]
    assert training_targets(dls).tolist() == [CLASSES.index(name) for name in known["label"]]
    dls.train.shuffle = False
    batches = list(dls.train.create_batches(range(20)))
    assert [len(batch) for batch in batches] == [3, 3]  # what does not fill one is left out
    expected = file.loc[known.index[:16]]
    shares, weights = (torch.cat([batch[i] for batch in batches]).numpy() for i in (1, 2))
    assert shares == pytest.approx(expected[list(CLASSES)].to_numpy())
    assert weights == pytest.approx(expected["sure"].to_numpy())
    images, targets = dls.valid.one_batch()
    items = [dls.valid_ds[i] for i in range(len(images))]
    assert torch.equal(targets, dls.valid.do_batch(items)[1])  # the slow way gives the same
    assert targets.shape == (10, 3)
    assert [len(batch) for batch in dls.test_dl(competition.test)] == [1]


def test_a_notebook_shows_the_shares(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    rewritten(workspace, soft=True, weight="sure")
    competition = Competition.load("tiny", workspace.root)
    competition.datablock(0, "tiny").summary()
    dataloaders(competition.datablock(0, "tiny"), 8, CPU).show_batch(max_n=1)
    title = pyplot.gcf().axes[0].get_title()
    assert title in ("zebra 0.60;10 0.40", "10 0.60;ant 0.40", "zebra 0.40;ant 0.60")


LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
SOFT = (2 * torch.randn(12, 3, generator=torch.Generator().manual_seed(1))).softmax(dim=1)
WEIGHTS = torch.arange(12.0) / 4
CASES: list[tuple[str, Outputs]] = [
    ("cross_entropy", "softmax"),
    ("focal", "softmax"),
    ("mae", "softmax"),
    ("bce", "scaled_sigmoids"),
    ("bce", "sigmoids"),
    ("focal", "sigmoids"),
    ("focal", "one_sigmoid"),
    ("mae", "one_sigmoid"),
    ("bce", "one_sigmoid"),
]


@pytest.mark.parametrize("by_class", [None, torch.tensor([1.0, 2.0, 0.5])])
@pytest.mark.parametrize(("name", "outputs"), CASES)
def test_a_rows_weight_multiplies_its_loss_and_rows_count_all(
    name: str, outputs: Outputs, by_class: torch.Tensor | None
) -> None:
    n = 2 if outputs == "one_sigmoid" else 3
    logits, targets = LOGITS[:, : 1 if n == 2 else n], SOFT[:, :n]
    loss = ClassLoss(recipe(name), Meaning(outputs), by_class if by_class is None else by_class[:n])
    alone = torch.stack([loss(logits[i : i + 1], targets[i : i + 1]) for i in range(12)])
    made = loss(logits, targets, WEIGHTS)
    assert made.item() == pytest.approx((alone * WEIGHTS).mean().item(), rel=1e-5)
    assert loss(logits, targets, torch.ones(12)).item() == pytest.approx(alone.mean().item())
    loss.reduction = "none"
    assert loss(logits, targets, WEIGHTS).tolist() == pytest.approx((alone * WEIGHTS).tolist())


def test_weighted_shares_cost_their_cross_entropy() -> None:
    by_hand = -(WEIGHTS[:, None] * SOFT * LOGITS.log_softmax(dim=1)).sum() / 12
    made = ClassLoss(recipe("cross_entropy"), Meaning("softmax"))(LOGITS, SOFT, WEIGHTS)
    assert made.item() == pytest.approx(by_hand.item(), rel=1e-6)
    codes = torch.arange(12) % 3  # with class numbers too
    rows = F.cross_entropy(LOGITS, codes, reduction="none") * WEIGHTS
    made = ClassLoss(recipe("cross_entropy"), Meaning("softmax"))(LOGITS, codes, WEIGHTS)
    assert made.item() == pytest.approx(rows.mean().item(), rel=1e-6)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0), (0, 1)])
def test_mixed_images_have_weights_in_the_same_shares(mixup: float, cutmix: float) -> None:
    callback = Mixing(mixup, cutmix, 12)
    images = torch.arange(12.0)[:, None, None, None].expand(12, 1, 16, 16).contiguous()
    callback.learn = SimpleNamespace(xb=(images,), yb=(torch.arange(12), WEIGHTS))
    callback.before_batch()
    targets, weights = callback.learn.yb
    assert weights.tolist() == pytest.approx((targets @ WEIGHTS).tolist(), abs=1e-6)
    assert not torch.equal(weights, WEIGHTS)


def test_accuracy_takes_the_largest_share_for_right() -> None:
    accuracy = AccuracyMeter()
    accuracy.reset()
    accuracy.accumulate(SimpleNamespace(pred=LOGITS, y=SOFT))
    expected = (LOGITS.argmax(dim=1) == SOFT.argmax(dim=1)).float().mean()
    assert float(accuracy.value) == pytest.approx(expected.item())


def test_rows_of_weight_0_teach_nothing(workspace: Workspace) -> None:
    rewritten(workspace, weight="sure")
    path = workspace.raw("tiny") / "train_labels.csv"
    labels = pd.read_csv(path, dtype={"id": str})
    labels["sure"] = labels["ant"]  # only these count
    labels.to_csv(path, index=False)
    (run,) = train(open_competition(workspace, "tiny"), Selection(("linear",), folds=(0,)))
    oof = read_predictions(run.fold(0).path / "oof.parquet", CLASSES)
    assert (oof[list(CLASSES)].idxmax(axis=1) == "ant").all()
    history = json.loads((run.fold(0).path / "history.json").read_text())
    assert history[-1]["accuracy"] == pytest.approx(1 / 3, abs=0.07)  # every row counts there
    assert history[-1]["valid_loss"] > 2 * history[-1]["train_loss"]


def test_shares_are_what_is_learned(workspace: Workspace) -> None:
    rewritten(workspace, soft=True)
    (run,) = train(
        open_competition(workspace, "tiny"),
        Selection(("linear",), ("stage.0.lr=5", "stage.0.epochs=30"), folds=(0,)),
    )
    oof = read_predictions(run.fold(0).path / "oof.parquet", CLASSES).set_index("id")
    found = load_data(workspace, "tiny").train.frame.set_index("id").loc[oof.index]
    assert (oof.idxmax(axis=1) == found["label"].astype(str)).mean() > 0.8
    largest = oof.max(axis=1).mean()
    assert 0.5 < largest < 0.75  # of one-hot labels it learns to be as good as sure
    history = json.loads((run.fold(0).path / "history.json").read_text())
    assert history[-1]["accuracy"] > 0.8


def test_a_run_is_another_one_with_other_shares_or_weights_and_the_same_without(
    workspace: Workspace,
) -> None:
    def run_of() -> tuple[str, str]:
        data = load_data(workspace, "tiny")
        folds = scheme_folds(OpenCompetition(workspace, data))
        own = Competition.load("tiny", workspace.root).recipe("tiny")
        return identity(RunData(competition=data, folds=folds, caches=[]), own, 0), folds.sha256

    data = load_data(workspace, "tiny")
    folds = scheme_folds(OpenCompetition(workspace, data))
    own = Competition.load("tiny", workspace.root).recipe("tiny")
    spec = data.spec.training_part()
    assert not {"soft", "weight"} & {*spec["labels"]}  # settings that are not used are in no hash
    before = {
        "spec": spec,
        "recipe": own.identity(),
        "seed": 0,
        "labels": labels_hash(data.train),
        "images": [],
        "folds": folds.sha256,
    }
    assert identity(RunData(competition=data, folds=folds, caches=[]), own, 0) == sha256_json(
        before
    )
    rewritten(workspace, soft=True, weight="sure")
    found = {run_of()}
    path = workspace.raw("tiny") / "train_labels.csv"
    first = path.read_text().splitlines()[1]
    for old, new in ((first, first[:-3] + "7.5"), ("0.6", "0.61")):
        edit(path, old, new)
        found.add(run_of())
    assert len(found) == 3
    assert {sha256 for _, sha256 in found} == {folds.sha256}  # folds know labels alone
