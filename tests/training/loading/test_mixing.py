"""Mixed images carry the shares of their targets; validation is never mixed."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from foldwise import Competition
from foldwise.config.augment import Augment
from foldwise.config.recipe import SettledRecipe
from foldwise.training.fitting.stages import Place, Trainable, train_stages
from foldwise.training.fitting.streams import EpochStreams, seed_block
from foldwise.training.loading.augment import Augmenter
from foldwise.training.loading.draws import stream
from foldwise.training.loading.mixing import Mixing, boxes, shares
from foldwise.training.models.building import build_model
from foldwise.workspace import Workspace
from tiny import CLASSES, SETTLED
from weights import assert_same_weights

N, SIZE = 64, (20, 28)


class Learn:
    """What Mixing asks of a Learner."""

    def __init__(self, images: torch.Tensor, targets: torch.Tensor) -> None:
        self.xb, self.yb = (images,), (targets,)


def mixed(
    images: torch.Tensor, targets: torch.Tensor, mixup: float, cutmix: float, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    callback = Mixing(mixup, cutmix, N)
    callback.streams.begin(lambda name: stream(name, seed))
    callback.learn = Learn(images, targets)
    callback.before_batch()
    return callback.learn.xb[0], callback.learn.yb[0]


def plain(n: int = N) -> torch.Tensor:
    """Image i is i everywhere, so that a mixture tells what it is made of."""
    return torch.arange(float(n))[:, None, None, None].expand(n, 3, *SIZE).contiguous()


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0), (0, 1)])
def test_targets_have_the_shares_that_the_images_have(mixup: float, cutmix: float) -> None:
    images, targets = mixed(plain(), torch.arange(N), mixup, cutmix)
    assert (images.shape, targets.shape) == ((N, 3, *SIZE), (N, N))
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(N))
    expected = (targets * torch.arange(float(N))).sum(dim=1)  # each image's mean is its class
    torch.testing.assert_close(images.mean(dim=(1, 2, 3)), expected, rtol=1e-5, atol=1e-4)
    own = targets.diagonal()
    assert len(own.unique()) > N / 2  # a share of its own for every image
    assert ((targets > 0).sum(dim=1) <= 2).all()


def test_mixup_averages_two_whole_images() -> None:
    images, _ = mixed(plain(), torch.arange(N), 1.0, 0)
    assert (images.flatten(1).amax(dim=1) - images.flatten(1).amin(dim=1)).max() < 1e-4


def test_cutmix_puts_one_box_of_exactly_the_targets_area_into_an_image() -> None:
    images, targets = mixed(plain(), torch.arange(N), 0, 1.0)
    foreign = images[:, 0] != torch.arange(float(N))[:, None, None]  # (n, h, w)
    assert (images == images[:, :1]).all()
    area = foreign.flatten(1).sum(dim=1) / (SIZE[0] * SIZE[1])
    alone = targets.diagonal() == 1
    assert torch.equal(targets.diagonal()[~alone], 1 - area[~alone])
    mixed_in = (~alone).nonzero()[:, 0]
    assert len(mixed_in) > 0
    for i in mixed_in:
        rows, columns = foreign[i].any(dim=1), foreign[i].any(dim=0)
        assert torch.equal(foreign[i], rows[:, None] & columns[None, :])
        (other,) = images[i, 0][foreign[i]].unique().tolist()
        assert targets[i, int(other)] == pytest.approx(area[i].item())
    assert foreign.flatten(1).any(dim=0).all()  # every place of an image may be hit


def test_boxes_lie_inside_and_are_cut_off_at_the_edges() -> None:
    kept, places = torch.tensor([0.0, 1.0, 0.75, 0.75]), torch.tensor([0.5, 0.5, 0.0, 0.999])
    top, bottom, left, right = boxes(kept, places, places, (20, 40))
    assert torch.stack([top, bottom], 1).tolist() == [[0, 20], [10, 10], [0, 5], [14, 20]]
    assert torch.stack([left, right], 1).tolist() == [[0, 40], [20, 20], [0, 10], [29, 40]]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_drawn_from_the_beta_distribution(alpha: float) -> None:
    made = shares(torch.rand(20000, generator=torch.Generator().manual_seed(0)), alpha)
    assert made.mean() == pytest.approx(0.5, abs=0.01)
    assert made.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)
    assert made.min() >= 0
    assert made.max() <= 1


def test_with_both_each_batch_takes_one_of_them_about_as_often() -> None:
    cut = 0
    for seed in range(60):
        images, _ = mixed(plain(8), torch.arange(8), 1.0, 1.0, seed)
        cut += int((images == images.round()).all())
    assert 15 < cut < 45


def test_many_labels_are_mixed_as_they_are() -> None:
    hot = (torch.rand(N, 5, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    _, one = mixed(plain(), torch.arange(N), 0.4, 0)
    _, made = mixed(plain(), hot, 0.4, 0)
    torch.testing.assert_close(made, one @ hot)
    assert hot.max() == 1


def test_the_same_stream_mixes_the_same_way_and_another_one_does_not() -> None:
    callback = Mixing(0.4, 1.0, N)
    first, second = (callback.mix(plain(), torch.eye(N)) for _ in range(2))
    callback.streams.begin(stream)
    again = callback.mix(plain(), torch.eye(N))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], second[1])


def test_the_stream_does_not_depend_on_the_settings() -> None:
    after = []
    for mixup, cutmix in ((0.4, 0), (0, 1.0), (2.0, 2.0)):
        callback = Mixing(mixup, cutmix, N)
        callback.mix(plain(), torch.eye(N))
        after.append(torch.rand(2, generator=callback.streams.generators["mix"]))
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0], after[2])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0), (0, 1)])
def test_a_gpu_mixes_the_same_way(mixup: float, cutmix: float) -> None:
    expected = mixed(plain(), torch.arange(N), mixup, cutmix)
    made = mixed(plain().cuda(), torch.arange(N).cuda(), mixup, cutmix)
    torch.testing.assert_close(tuple(part.cpu() for part in made), tuple(expected))


def test_each_epoch_has_its_own_stream() -> None:
    class Train:
        after_batch = SimpleNamespace(fs=[Augmenter(Augment(hflip=True, rotate=5), SIZE, (0.5,))])

    callback, streams = Mixing(0.4, 1.0, N), EpochStreams(seed=4, fold=1, stage=2)
    streams.learn = SimpleNamespace(
        dls=SimpleNamespace(train=Train()), cbs=[streams, callback], epoch=7
    )
    with seed_block(0):
        streams.before_epoch()
    (augmenter,) = Train.after_batch.fs
    generators = {**augmenter.streams.generators, **callback.streams.generators}
    assert {name: each.initial_seed() for name, each in generators.items()} == {
        name: stream(4, 1, 2, name, 7) for name in ("augment.hflip", "augment.rotate", "mix")
    }


def trained(competition: Competition, **settings: Any) -> tuple[nn.Module, float, float]:
    """A trained model, the validation loss reported, and that of the plain validation images."""
    table = competition.recipe("tiny").settle(SETTLED).model_dump()
    table["stage"][0]["epochs"] = 2
    recipe = SettledRecipe.model_validate(
        {**table, "precision": "fp32", "compile": False, **settings}
    )
    with seed_block(0, 0, "init"):
        model = build_model(recipe, len(CLASSES), 1)
        dls, report, _ = train_stages(
            Trainable(
                model=model,
                block_of=lambda stage: competition.datablock(fold=0, recipe=recipe, stage=stage),
                recipe=recipe,
            ),
            Place("tiny", 0, 0, 3),
            lambda event: None,
        )
    model.eval()
    with torch.inference_mode():
        batches = [[part.as_subclass(torch.Tensor) for part in batch] for batch in dls.valid]
        logits = torch.cat([model(images) for images, _ in batches])
    loss = F.cross_entropy(logits, torch.cat([targets for _, targets in batches])).item()
    return model.cpu(), report.history[-1]["valid_loss"], loss


def test_training_with_both_gives_the_same_bytes_and_validates_unmixed(
    workspace: Workspace,
) -> None:
    competition = Competition.load("tiny", workspace.root)
    model, reported, plain_loss = trained(competition, mixup=0.4, cutmix=1.0)
    again, _, _ = trained(competition, mixup=0.4, cutmix=1.0)
    unmixed, _, _ = trained(competition)
    assert_same_weights(model, again)
    assert not torch.equal(model.fc.weight, unmixed.fc.weight)
    assert reported == pytest.approx(plain_loss, rel=1e-4)
