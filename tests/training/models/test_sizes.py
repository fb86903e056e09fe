"""Models of a fixed size are made for, or brought to, the size of the images that they get."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from foldwise import Competition
from foldwise.config.budget import FACTORS, sizes_that_go
from foldwise.config.recipe import SizedRecipe
from foldwise.errors import SpecError, WeightsError
from foldwise.tasks import MultiClass
from foldwise.training.fitting.averaging import Ema
from foldwise.training.fitting.stages import Place, Trainable, train_stages
from foldwise.training.fitting.streams import seed_block
from foldwise.training.models.building import (
    build_model,
    load_trained,
    preprocessing_of,
    save_weights,
)
from foldwise.training.models.positions import resample
from foldwise.training.models.sizes import bring_to, check_sizes, made_for, near, takes
from foldwise.workspace import Workspace


def recipe(model: str, *sizes: Any, **settings: Any) -> SizedRecipe:
    """A recipe with a stage for each size."""
    return SizedRecipe.model_validate(
        {
            "name": "r",
            "model": model,
            "weights": "none",
            "image_size": sizes[-1],
            "stage": [{"epochs": 1, "lr": 1e-3, "image_size": size} for size in sizes],
            **settings,
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "size", "made"),
    [
        ("resnet18", (50, 70), (224, 224)),  # any size goes, and nothing is done for it
        ("vit_tiny_patch16_224", (96, 64), (96, 64)),
        ("vit_tiny_patch16_224", (100, 100), None),  # no multiple of the patch
        ("swin_tiny_patch4_window7_224", (96, 96), (96, 96)),
        ("xcit_nano_12_p8_224", (64, 64), (224, 224)),  # positions are convolutions
        ("pit_ti_224", (64, 64), (64, 64)),
        ("mixer_s16_224", (64, 64), (64, 64)),
    ],
)
def test_a_model_is_made_for_its_own_size_or_where_it_takes_no_other_for_the_images(
    model: str, size: tuple[int, int], made: tuple[int, int] | None
) -> None:
    before = torch.random.get_rng_state()
    assert made_for(model, size) == made
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.slow
def test_a_size_that_a_model_does_not_take_is_one_line_with_sizes_that_go() -> None:
    with pytest.raises(
        SpecError,
        match=r"^vit_tiny_patch16_224 should get images of 96, 112 or "
        r"224 pixels, say, got image_size = 100 in recipe r;",
    ):
        build_model(recipe("vit_tiny_patch16_224", 100), 3, 3)
    assert near("vit_tiny_patch16_224", (100, 130)) == [(96, 128), (112, 144), (224, 224)]


def test_a_model_that_keeps_its_size_has_one_in_all_stages() -> None:
    check_sizes(recipe("vit_tiny_patch16_224", 64, 96))
    with pytest.raises(
        SpecError,
        match=r"pit_ti_224 keeps the size that it is made for, got 64 "
        r"and 96 in recipe r; set one image_size in all stages",
    ):
        check_sizes(recipe("pit_ti_224", 64, 96))


@pytest.mark.parametrize("model", ["vit_tiny_patch16_224", "pit_ti_224"])
def test_positions_of_a_weights_file_are_interpolated(model: str, tmp_path: Path) -> None:
    small = recipe(model, 64)
    first = build_model(small, 3, 3)
    path = tmp_path / "w.safetensors"
    save_weights(path, first, preprocessing_of(small, MultiClass(("a", "b", "c")), "RGB"))
    larger = build_model(recipe(model, [96, 64], weights=str(path)), 3, 3)
    assert larger.eval()(torch.rand(1, 3, 96, 64)).shape == (1, 3)
    assert torch.equal(larger.state_dict()["head.weight"], first.state_dict()["head.weight"])
    old, new = (each.state_dict()["pos_embed"] for each in (first, larger))
    assert old.shape != new.shape
    assert new.mean(dim=1 if old.ndim == 3 else (2, 3)) == pytest.approx(
        old.mean(dim=1 if old.ndim == 3 else (2, 3)), abs=0.02
    )


def test_weights_for_one_size_alone_are_not_taken_at_another(tmp_path: Path) -> None:
    own = recipe("mixer_s16_224", 64)
    path = tmp_path / "w.safetensors"
    save_weights(path, build_model(own, 2, 3), preprocessing_of(own, MultiClass(("a", "b")), "RGB"))
    next_one = recipe("mixer_s16_224", 96, weights=str(path))
    with pytest.raises(
        WeightsError,
        match=r"mixer_s16_224 should get images of the size that its "
        r"weights are for, 64 pixels, got image_size = 96, for which .*; set "
        r'image_size = 64, or weights = "none"',
    ):
        build_model(next_one, 2, 3)
    assert not takes(next_one)
    assert takes(next_one.model_copy(update={"weights": "none"}))


def test_what_is_learned_of_places_is_interpolated_and_nothing_else() -> None:
    torch.manual_seed(0)
    grid = torch.rand(1, 5, 4, 4)
    expected = F.interpolate(grid, (8, 8), mode="bicubic", antialias=True)
    sizes = (64, 64), (128, 128)

    def of(tensor: torch.Tensor, *shape: int, name: str = "pos") -> torch.Tensor | None:
        return resample(name, tensor, torch.Size(shape), *sizes)

    torch.testing.assert_close(of(grid, 1, 5, 8, 8), expected)
    last = grid.permute(0, 2, 3, 1)
    torch.testing.assert_close(of(last, 1, 8, 8, 5), expected.permute(0, 2, 3, 1))
    tokens = torch.cat([torch.ones(1, 1, 5), last.flatten(1, 2)], dim=1)
    made = of(tokens, 1, 65, 5)
    assert made is not None
    assert torch.equal(made[:, 0], torch.ones(1, 5))  # the class has no place
    torch.testing.assert_close(made[:, 1:], expected.flatten(2).mT, atol=1e-5, rtol=1e-5)
    biases = of(grid[0].flatten(1), 5, 64, name="attn.attention_biases")
    torch.testing.assert_close(biases, expected[0].flatten(1), atol=1e-5, rtol=1e-5)
    along = of(torch.arange(7.0)[:, None], 15, 1, name="attn.rel_pos_h")
    assert along is not None
    assert along[7].item() == pytest.approx(3.0)  # no distance stays in the middle
    window = of(torch.rand(49, 2), 225, 2, name="attn.relative_position_bias_table")
    assert window is not None
    for tensor, shape in (
        (torch.rand(16, 8), (64, 8)),
        (torch.rand(1, 16, 9, 5), (1, 16, 36, 5)),
        (torch.rand(2), (2, 3)),
        (torch.rand(1, 15, 5), (1, 64, 5)),
    ):
        assert of(tensor, *shape) is None


@pytest.mark.slow
def test_a_budget_shrinks_to_sizes_that_the_model_takes() -> None:
    def sizes(which: SizedRecipe) -> dict[float, list[tuple[int, int]]]:
        found = sizes_that_go(which, takes)
        return {f: [r.stage_size(stage) for stage in r.stage] for f, r in found.items()}

    assert sizes(recipe("test_resnet", 200)) == {
        1.0: [(200, 200)],
        0.75: [(152, 152)],
        0.5: [(96, 96)],
    }
    assert sizes(recipe("vit_tiny_patch16_224", 96, 160)) == {
        1.0: [(96, 96), (160, 160)],
        0.75: [(64, 64), (128, 128)],
        0.5: [(48, 48), (80, 80)],
    }
    assert list(sizes_that_go(recipe("vit_tiny_patch16_224", 160), lambda smaller: False)) == [
        FACTORS[0]
    ]


@pytest.fixture
def competition(workspace: Workspace) -> Competition:
    return Competition.load("tiny", workspace.root)


def test_images_may_grow_from_stage_to_stage_with_averages_and_the_last_size_is_saved(
    competition: Competition, tmp_path: Path
) -> None:
    growing = recipe("vit_tiny_patch16_224", 32, 64, ema=0.5).settle(
        {"precision": "fp32", "batch_size": 8, "compile": False, "loss": "cross_entropy"}
    )
    with seed_block(0, "test"):
        model = build_model(growing, 3, 1)
    assert model.pos_embed.shape[1] == 1 + 4
    train_stages(
        Trainable(
            model=model,
            block_of=lambda n: competition.datablock(fold=0, recipe=growing, stage=n),
            recipe=growing,
        ),
        Place("r", 0, 0, 3),
        lambda event: None,
    )
    assert model.pos_embed.shape[1] == 1 + 16
    about = preprocessing_of(growing, MultiClass(("a", "b", "c")), "L")
    save_weights(tmp_path / "w.safetensors", model, about)
    again, _ = load_trained(tmp_path / "w.safetensors")
    images = torch.rand(1, 1, 64, 64)
    assert torch.equal(again.eval()(images), model.eval()(images))


def test_an_average_is_interpolated_as_its_model_is() -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=2)
    ema = Ema(0.9, 2)
    average = {name: value.detach() + 1 for name, value in model.named_parameters()}
    ema.average = dict(average)

    def change(which: nn.Module) -> None:
        bring_to(which, "vit_tiny_patch16_224", (64, 64))

    ema.follow(model, change)
    twin = timm.create_model("vit_tiny_patch16_224", num_classes=2)
    twin.load_state_dict(average)
    change(twin)
    assert {k: v.shape for k, v in ema.average.items()} == {
        k: v.shape for k, v in twin.named_parameters()
    }
    assert all(torch.equal(ema.average[k], v) for k, v in twin.named_parameters())
    ema.follow(model, change)  # a checkpoint's, of the later stage: it is left as it is
    assert all(torch.equal(ema.average[k], v) for k, v in twin.named_parameters())
