"""Augmentation is the same for the same stream, another for every image, and what it is called."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from fastai.data.transforms import Normalize
from fastai.vision.core import TensorImage

from foldwise.config.augment import Augment
from foldwise.kinds.augmentation import AUGMENTATIONS
from foldwise.training.loading.augment import Augmenter, colour_map, recolour
from foldwise.training.loading.augmentations.base import Colouring, ColourMap
from foldwise.training.loading.augmentations.pixels import Erase
from foldwise.training.loading.draws import Streams, stream
from foldwise.training.loading.geometry import resample

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = (16, 24)
EVERYTHING = Augment(
    hflip=True,
    vflip=True,
    rotate={"degrees": 20, "p": 0.75},
    zoom={"factor": (0.8, 1.2), "p": 0.75},
    shift={"share": 0.1, "p": 0.75},
    warp={"magnitude": 0.2, "p": 0.75},
    crop=(0.5, 1),
    brightness={"amount": 0.2, "p": 0.75},
    contrast={"amount": 0.2, "p": 0.75},
    saturation={"amount": 0.5, "p": 0.75},
    erase=0.5,
)
LIGHT = ("brightness", "contrast", "saturation")


def without(augment: Augment, *names: str) -> Augment:
    """The same augmentations but for some."""
    return Augment.model_validate(augment.model_dump() | dict.fromkeys(names, False))


def batch(n: int = 6, size: tuple[int, int] = SIZE, channels: int = 3) -> TensorImage:
    generator = torch.Generator().manual_seed(0)
    return TensorImage(torch.rand(n, channels, *size, generator=generator))


def augmented(x: TensorImage, size: tuple[int, int] = SIZE, **settings: Any) -> torch.Tensor:
    made = Augmenter(Augment(**settings), size, MEAN[: x.shape[1]]).encodes(x)
    return made.as_subclass(torch.Tensor)


def recoloured(image: torch.Tensor, draws: dict[str, float], **settings: float) -> torch.Tensor:
    """One image whose colours some kinds change for sure, by their draws."""
    u = {name: torch.tensor([[value], [0.0]]) for name, value in draws.items()}
    recolour(image, colour_map(Augment(**settings).kinds, u))
    return image


def test_without_settings_nothing_changes_and_the_batch_given_is_never_written_to() -> None:
    x = batch()
    assert torch.equal(augmented(x), batch())
    augmented(x, brightness=0.5, erase=1)
    Augmenter(EVERYTHING, SIZE, MEAN).encodes(x)
    assert torch.equal(x, batch())


def test_the_same_stream_gives_the_same_batch_and_another_one_does_not() -> None:
    transform = Augmenter(EVERYTHING, SIZE, MEAN)
    first = transform.encodes(batch())
    second = transform.encodes(batch())
    transform.streams.begin(stream)
    assert torch.equal(transform.encodes(batch()), first)
    assert not torch.equal(second, first)
    transform.streams.begin(lambda name: stream(name, 1))
    assert not torch.equal(transform.encodes(batch()), first)


def draws_of(augment: Augment) -> dict[str, torch.Tensor]:
    """What every kind has drawn for two batches, and what it would draw next."""
    transform, seen = Augmenter(augment, SIZE, MEAN), {}
    for _ in range(2):
        transform.encodes(batch())
    for kind in augment.kinds:
        seen[kind.name] = transform.streams.uniform(f"augment.{kind.name}", 2, kind.draws)
    return seen


class Toy(Colouring):
    """An augmentation that the others know nothing of."""

    draws: ClassVar[int] = 3

    name: str = "toy"

    def colours(self, u: torch.Tensor) -> ColourMap:
        """Another brightness."""
        return ColourMap(torch.ones_like(u[0]), u[1] - u[2])


def test_one_more_kind_leaves_the_draws_of_the_others_as_they_were() -> None:
    full = draws_of(EVERYTHING)
    table = {**EVERYTHING.model_dump(), "toy": Toy()}
    more = draws_of(Augment.model_validate(table))
    assert more.keys() == {*full, "toy"}
    assert len(full) == 11
    for name, drawn in full.items():
        assert torch.equal(more[name], drawn)
        alone = draws_of(Augment.model_validate({name: EVERYTHING.model_dump()[name]}))
        assert torch.equal(alone[name], drawn)


def test_one_more_kind_in_the_table_leaves_the_batches_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = Augmenter(EVERYTHING, SIZE, MEAN).encodes(batch())
    known = {"earlier": "toy:Toy", **AUGMENTATIONS.known, "toy": "toy:Toy"}
    monkeypatch.setattr(
        "foldwise.config.augment.AUGMENTATIONS", replace(AUGMENTATIONS, known=known)
    )
    after = Augmenter(EVERYTHING, SIZE, MEAN).encodes(batch())
    assert torch.equal(after, before)


def test_kinds_and_images_draw_different_numbers() -> None:
    streams = Streams(f"augment.{kind.name}" for kind in EVERYTHING.kinds)
    rows = [streams.uniform(name, 1000, 2) for name in streams.generators]
    assert torch.corrcoef(torch.cat(rows)).triu(1).abs().max() < 0.15


def test_an_image_draws_the_same_numbers_in_batches_of_any_size() -> None:
    one, two = Streams(["augment.crop"]), Streams(["augment.crop"])
    together = one.uniform("augment.crop", 6, 4)
    parts = [two.uniform("augment.crop", n, 4) for n in (1, 3, 2)]
    assert torch.equal(torch.cat(parts, dim=1), together)


@pytest.mark.parametrize("settings", [{"rotate": 20}, {"contrast": 0.2}, {"crop": (0.2, 1)}])
def test_every_image_gets_its_own_draw(settings: dict[str, Any]) -> None:
    made = augmented(TensorImage(batch(1).repeat(6, 1, 1, 1)), **settings)
    assert all(not torch.equal(made[0], made[i]) for i in range(1, 6))


@pytest.mark.parametrize(("name", "axis"), [("hflip", -1), ("vflip", -2)])
def test_flips_mirror_about_half_of_the_images_exactly(name: str, axis: int) -> None:
    x = batch(200, (8, 12))
    made = augmented(x, (8, 12), **{name: True})
    flipped = [torch.allclose(made[i], x[i].flip(axis), atol=1e-5) for i in range(200)]
    kept = [torch.allclose(made[i], x[i], atol=1e-5) for i in range(200)]
    assert all(a != b for a, b in zip(flipped, kept, strict=True))
    assert 70 < sum(flipped) < 130


def test_all_settings_work_together_for_any_number_of_channels() -> None:
    for channels in (1, 3, 4):
        made = Augmenter(EVERYTHING, (12, 20), (0.5,) * channels).encodes(batch(8, SIZE, channels))
        assert made.shape == (8, channels, 12, 20)
        assert made.isfinite().all()


def test_light_stays_between_black_and_white() -> None:
    made = augmented(batch(), brightness=0.9, contrast=0.9, saturation=0.9)
    assert made.min() >= 0
    assert made.max() <= 1
    assert not torch.equal(made, batch())


def test_contrast_brightness_and_saturation_are_one_formula() -> None:
    image = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1)
    draws = {"brightness": 0.75, "contrast": 0.25, "saturation": 0.8}
    recoloured(image, draws, brightness=0.2, contrast=0.4, saturation=0.5)
    # b = 0.5 * 0.2, c = 1 - 0.5 * 0.4, s = 1 + 0.6 * 0.5
    pixel = [0.8 * (value - 0.5) + 0.5 + 0.1 for value in (0.2, 0.4, 0.6)]
    grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
    expected = [1.3 * value + (1 - 1.3) * grey for value in pixel]
    assert image.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_a_saturation_of_zero_is_grey() -> None:
    made = batch(1).as_subclass(torch.Tensor).clone()
    recoloured(made, {"saturation": 0.0}, saturation=1)
    red, green, blue = batch(1)[0]
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    torch.testing.assert_close(made[0], torch.stack([grey] * 3).as_subclass(torch.Tensor))


def test_grey_images_have_no_saturation_and_an_alpha_channel_has_no_light() -> None:
    grey = batch(6, SIZE, 1)
    assert torch.equal(augmented(grey, saturation=0.9), grey)
    x = batch(6, SIZE, 4)
    made = Augmenter(without(EVERYTHING, "erase"), SIZE, (0.5,) * 4).encodes(x)
    moved = Augmenter(without(EVERYTHING, "erase", *LIGHT), SIZE, (0.5,) * 4).encodes(x)
    assert torch.equal(made[:, 3], moved[:, 3])
    assert not torch.equal(made[:, :3], moved[:, :3])


def test_each_change_of_light_has_its_own_chance() -> None:
    x = TensorImage(torch.full((2000, 1, 1, 1), 0.25))
    half = {"amount": 0.1, "p": 0.5}
    both = augmented(x, (1, 1), brightness=half, contrast=half).flatten()
    assert (both == 0.25).float().mean() == pytest.approx(0.25, abs=0.04)
    never = {"amount": 0.1, "p": 0}
    none = augmented(x, (1, 1), brightness=never, contrast=never)
    assert torch.equal(none.flatten(), torch.full((2000,), 0.25))


def test_erasing_replaces_one_rectangle_by_the_mean_and_nothing_else() -> None:
    size, n = (60, 60), 400
    x = batch(n, size)
    made = augmented(x, size, erase=0.3)
    changed = (made != x.as_subclass(torch.Tensor)).any(dim=1)  # (n, h, w)
    erased = changed.flatten(1).any(dim=1)
    assert erased.float().mean() == pytest.approx(0.3, abs=0.07)
    shapes = []
    numbers = erased.nonzero()[:, 0]
    assert len(numbers) > 0
    for i in numbers:
        rows, columns = changed[i].any(dim=1), changed[i].any(dim=0)
        assert torch.equal(changed[i], rows[:, None] & columns[None, :])  # a rectangle
        for hit in (rows, columns):
            at = hit.nonzero()[:, 0]
            assert len(at) == at[-1] - at[0] + 1  # without a gap
        shapes.append((int(rows.sum()), int(columns.sum())))
        normal = Normalize.from_stats(MEAN, STD, cuda=False)(TensorImage(made[i][None]))
        assert (normal[0][:, changed[i]] == 0).all()
    areas = [h * w / 3600 for h, w in shapes]
    assert 0.018 < min(areas) < 0.04
    assert 0.29 < max(areas) < 0.34
    assert all(0.27 < h / w < 3.6 for h, w in shapes)
    assert max(w / h for h, w in shapes) > 2
    assert max(h / w for h, w in shapes) > 2


def test_erasing_reaches_every_corner() -> None:
    for x, y in ((0.0, 0.0), (0.0, 0.9999), (0.9999, 0.0), (0.9999, 0.9999)):
        images = torch.ones(1, 1, 20, 30)
        u = torch.tensor([[0.0], [0.5], [0.5], [x], [y]])
        Erase(p=1).paint(images, u, (0.0,))
        assert images[0, 0, -1 if y else 0, -1 if x else 0] == 0
        assert images.mean() == pytest.approx(1 - 0.175, abs=0.02)  # half-way from 2 to 33 %


def test_validation_images_are_as_soft_as_training_images() -> None:
    """Else BatchNorm meets other statistics: on leaf that cost 3.5 nats."""
    edges = (torch.rand(40, 1, 48, 48, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    identity = resample(edges, None, (32, 32))
    turned = augmented(TensorImage(edges), (32, 32), rotate=180, zoom=(1, 1))
    middle = (slice(None), slice(None), slice(8, 24), slice(8, 24))
    assert identity[middle].std() == pytest.approx(turned[middle].std().item(), rel=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_makes_the_same_batch() -> None:
    for size in (SIZE, (8, 12)):
        x = batch(32)
        expected = Augmenter(EVERYTHING, size, MEAN).encodes(x)
        made = Augmenter(EVERYTHING, size, MEAN).encodes(x.cuda())
        torch.testing.assert_close(
            made.cpu().as_subclass(torch.Tensor),
            expected.as_subclass(torch.Tensor),
            atol=1e-4,
            rtol=0,
        )
