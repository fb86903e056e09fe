"""Every family of timm's trains whole: each parameter in one group, all classifiers the head."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from foldwise.config.recipe import SettledRecipe
from foldwise.errors import RunError, SpecError
from foldwise.tasks import MultiClass
from foldwise.training.fitting import tuning
from foldwise.training.models.building import (
    build_model,
    load_trained,
    preprocessing_of,
    save_weights,
)
from foldwise.training.models.groups import check_groups, layer_groups
from foldwise.training.models.heads import Headed, with_fastai_head

FAMILIES = {  # groups: fastai, stage, block; and tensors of the head
    "test_resnet": ((3, 6, 6), 2),
    "test_vit": ((3, 8, 8), 2),
    "poolformer_s12": ((3, 6, 17), 2),  # no groups of timm's
    "caformer_s18": ((3, 6, 23), 6),  # likewise; its classifier has two layers
    "pit_ti_distilled_224": ((3, 7, 18), 4),  # likewise; and two classifiers
    "csatv2": ((3, 6, 6), 2),  # likewise; the stages are lists
    "levit_128s": ((3, 5, 11), 8),  # two classifiers with a norm each
    "deit_tiny_distilled_patch16_224": ((3, 14, 14), 4),
    "efficientformerv2_s0": ((3, 6, 6), 4),
    "swiftformer_xs": ((3, 6, 18), 4),
    "crossvit_tiny_240": ((3, 5, 5), 4),  # a list of classifiers
    "efficientvim_m1_dist": ((3, 5, 8), 16),  # two lists of them
    "rdnet_tiny": ((3, 9, 9), 2),  # timm has no coarse groups
    "swin_tiny_patch4_window7_224": ((3, 6, 14), 2),
}
SMALL = [
    "poolformer_s12",
    "pit_ti_distilled_224",
    "levit_128s",
    "efficientformerv2_s0",
    "crossvit_tiny_240",
    "test_vit",
]


def recipe(model: str, size: int = 64, **settings: Any) -> SettledRecipe:
    return SettledRecipe.model_validate(
        {
            "name": "r",
            "model": model,
            "weights": "none",
            "image_size": size,
            "stage": [{"epochs": 1, "lr": 1e-3}],
            **settings,
        }
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_each_parameter_is_in_one_group_and_all_classifiers_are_the_last(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=3)
    counts, n_head = FAMILIES[name]
    for how, count in zip(("fastai", "stage", "block"), counts, strict=True):
        groups = layer_groups(model, how)
        check_groups(model, groups)
        assert (len(groups), len(groups[-1])) == (count, n_head)
        assert all(groups)
    own = model.get_classifier()
    own = nn.ModuleList(own) if isinstance(own, tuple) else own
    assert {id(p) for p in groups[-1]} == {id(p) for p in own.parameters()}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_step_reaches_every_parameter_and_weights_are_loaded_again(
    name: str, tmp_path: Path
) -> None:
    size = 224 if name == "levit_128s" else 64
    own = recipe(name, size)
    model = build_model(own, 3, 3)
    images = torch.rand(2, 3, size, size)
    model.train()(images).square().sum().backward()
    grouped = [param for group in layer_groups(model, "fastai") for param in group]
    assert len(grouped) == len(list(model.parameters()))
    assert all(param.grad is not None for param in grouped)
    save_weights(
        tmp_path / "w.safetensors", model, preprocessing_of(own, MultiClass(("a", "b", "c")), "RGB")
    )
    again, _ = load_trained(tmp_path / "w.safetensors")
    assert torch.equal(again.eval()(images), model.eval()(images))
    more = build_model(recipe(name, size, weights=str(tmp_path / "w.safetensors")), 5, 3)
    assert more(images).shape == (2, 5)


def test_a_parameter_in_no_group_or_in_two_stops_the_training() -> None:
    model = timm.create_model("test_resnet", num_classes=2)
    groups = layer_groups(model, "stage")
    with pytest.raises(
        RunError,
        match=r"each parameter of a model should be in one layer group, "
        r"and 9 of ResNet are in none or in two, e.g. conv1.0.weight; this is a "
        r"bug of foldwise: please report it",
    ):
        check_groups(model, groups[1:])
    with pytest.raises(RunError, match=r"2 of ResNet .* e.g. fc.weight"):
        check_groups(model, [*groups, groups[-1]])


def test_fastais_head_pools_features_whose_channels_come_last() -> None:
    torch.manual_seed(0)
    body = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1), embed_dim=24)
    model = with_fastai_head(body, 5, 3, (224, 224)).eval()
    assert model.channels_last
    images = torch.rand(2, 3, 224, 224)
    assert model(images).shape == (2, 5)
    features = model.body(images)
    assert torch.equal(model.head(features.permute(0, 3, 1, 2)), model(images))
    check_groups(model, layer_groups(model, "stage"))


def test_a_norm_that_goes_with_the_classifier_is_not_missed_under_fastais_head(
    tmp_path: Path,
) -> None:
    own = recipe("efficientvit_m0", head="fastai")
    first = build_model(own, 3, 3)
    assert isinstance(first, Headed)
    path = tmp_path / "w.safetensors"
    save_weights(path, first, preprocessing_of(own, MultiClass(("a", "b", "c")), "RGB"))
    for head in ("fastai", "linear"):
        more = build_model(recipe("efficientvit_m0", head=head, weights=str(path)), 5, 3)
        state = more.body.state_dict() if isinstance(more, Headed) else more.state_dict()
        name = "stages.0.blocks.0.dw0.m.conv.weight"
        assert torch.equal(state[name], first.body.state_dict()[name])


@pytest.mark.slow
def test_a_family_whose_own_names_begin_as_those_of_fastais_head_do_is_loaded(
    tmp_path: Path,
) -> None:
    path = tmp_path / "w.safetensors"
    for head, name in (("linear", "body.conv1.conv.weight"), ("fastai", "conv1.conv.weight")):
        own = recipe("tresnet_m", head=head)
        first = build_model(own, 3, 3)
        save_weights(path, first, preprocessing_of(own, MultiClass(("a", "b", "c")), "RGB"))
        more = build_model(recipe("tresnet_m", weights=str(path)), 5, 3)
        saved = [t for n, t in first.state_dict().items() if n.endswith(name)]
        assert torch.equal(more.state_dict()["body.conv1.conv.weight"], saved[0])


@pytest.mark.slow
@pytest.mark.parametrize(("of", "into"), [("fastai", "linear"), ("linear", "fastai")])
def test_a_classifiers_hidden_layer_is_loaded_under_either_head(
    of: str, into: str, tmp_path: Path
) -> None:
    path, hidden = tmp_path / "w.safetensors", "head.pre_logits.fc.weight"
    own = recipe("resnet50_mlp", head=of)  # without pooling timm makes this layer a convolution
    first = build_model(own, 3, 3)
    save_weights(path, first, preprocessing_of(own, MultiClass(("a", "b", "c")), "RGB"))
    more = build_model(recipe("resnet50_mlp", head=into, weights=str(path)), 5, 3)
    one, other = (
        (model.body if isinstance(model, Headed) else model).state_dict()[hidden].flatten(1)
        for model in (first, more)
    )
    assert torch.equal(one, other)


def test_a_body_that_cannot_leave_out_its_classifiers_takes_no_fastai_head() -> None:
    with pytest.raises(SpecError, match=r'CrossVit gives no features; use head = "linear"'):
        build_model(recipe("crossvit_tiny_240", 64, head="fastai"), 3, 3)


def test_an_encoder_is_no_classifier() -> None:
    with (
        torch.device("meta"),
        pytest.raises(SpecError, match="qwen3_vit_88m_enc encodes images and has no classifier; "),
    ):
        build_model(recipe("qwen3_vit_88m_enc", 224), 3, 3)


def test_the_step_that_is_timed_is_of_the_model_that_trains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = []

    def build(*arguments: Any) -> nn.Module:
        built.append(build_model(*arguments))
        return built[-1]

    monkeypatch.setattr(tuning, "build_on_device", build)
    which = recipe(
        "vit_tiny_patch16_224",
        64,
        stage=[{"epochs": 1, "lr": 1e-3, "image_size": 32}, {"epochs": 1, "lr": 1e-3}],
    )
    tuning.step_of(which, "fp32", 3, 1, 2, compiled=False)()
    assert built[0].patch_embed.img_size == (64, 64)
    tuning.step_of(recipe("test_resnet", head="fastai"), "fp32", 3, 1, 2, compiled=False)()
    assert isinstance(built[1], Headed)
