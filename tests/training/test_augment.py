"""Augmentation is one resampling, the same for the same stream, and what its name says."""

import pytest
import torch
from fastai.vision.core import TensorImage

from foldwise.spec.recipe import Augment
from foldwise.training.augment import Augmentation, affine_maps, lit, resampled


def batch(n: int = 6, size: tuple[int, int] = (16, 24)) -> TensorImage:
    return TensorImage(torch.rand(n, 3, *size, generator=torch.Generator().manual_seed(0)))


def test_without_settings_nothing_changes() -> None:
    x = batch()
    assert torch.equal(Augmentation(Augment(), (16, 24)).encodes(x), x)


def test_the_same_stream_gives_the_same_batch_and_another_one_does_not() -> None:
    transform = Augmentation(
        Augment(hflip=True, rotate=20, zoom=(0.8, 1.2), contrast=0.2), (16, 24)
    )
    first = transform.encodes(batch())
    second = transform.encodes(batch())
    transform.reseed(0)
    assert torch.equal(transform.encodes(batch()), first)
    assert not torch.equal(second, first)


def test_every_image_gets_its_own_draw() -> None:
    same = TensorImage(batch(1).repeat(6, 1, 1, 1))
    made = Augmentation(Augment(rotate=20), (16, 24)).encodes(same)
    assert all(not torch.equal(made[0], made[i]) for i in range(1, 6))


@pytest.mark.parametrize(("name", "axis"), [("hflip", -1), ("vflip", -2)])
def test_flips_mirror_about_half_of_the_images_exactly(name: str, axis: int) -> None:
    x = batch(200, (8, 12))
    made = Augmentation(Augment(**{name: True}), (8, 12)).encodes(x)
    flipped = [torch.allclose(made[i], x[i].flip(axis), atol=1e-5) for i in range(200)]
    kept = [torch.allclose(made[i], x[i], atol=1e-5) for i in range(200)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 70 < sum(flipped) < 130


def test_a_rotation_turns_pixels_not_normalised_coordinates() -> None:
    theta = affine_maps(Augment(rotate=180), 50, (10, 40), torch.Generator().manual_seed(0))
    assert theta is not None
    scale = torch.tensor([4.0, 1.0])  # width over height, in pixels
    linear = theta[:, :, :2] * scale[:, None] / scale[None, :]
    identity = torch.eye(2).expand(50, 2, 2)
    assert torch.allclose(linear @ linear.transpose(1, 2), identity, atol=1e-5)


def test_zoom_and_shift_stay_in_their_ranges() -> None:
    theta = affine_maps(Augment(zoom=(0.5, 2), shift=0.1), 500, (8, 8), torch.Generator())
    assert theta is not None
    factors = 1 / theta[:, 0, 0]
    assert 0.5 <= factors.min() < 0.6
    assert 1.8 < factors.max() <= 2.0
    assert 0.15 < theta[:, :, 2].abs().max() <= 0.2  # 0.1 of a side that is 2 long


def test_light_stays_between_black_and_white() -> None:
    made = lit(batch(), Augment(brightness=0.9, contrast=0.9), torch.Generator().manual_seed(1))
    assert made.min() >= 0
    assert made.max() <= 1
    assert not torch.equal(made, batch())


def test_shrinking_averages_instead_of_dropping_pixels() -> None:
    stripes = torch.zeros(1, 1, 32, 32)
    stripes[..., ::2] = 1
    assert (resampled(stripes, None, (4, 4)) - 0.5).abs().max() < 0.1
    assert resampled(stripes, None, (32, 32)) is stripes


def test_validation_images_are_as_soft_as_training_images() -> None:
    """Else BatchNorm meets other statistics: on leaf that cost 3.5 nats."""
    edges = (torch.rand(40, 1, 48, 48, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    identity = resampled(edges, None, (32, 32))
    turned = Augmentation(Augment(rotate=180, zoom=(1, 1)), (32, 32)).encodes(TensorImage(edges))
    middle = (slice(None), slice(None), slice(8, 24), slice(8, 24))
    assert identity[middle].std() == pytest.approx(turned[middle].std().item(), rel=0.1)
