"""Models are timm's, their weights are data, and random weights never stand in for others."""

import errno
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file

from foldwise.config.loading import with_overrides
from foldwise.config.recipe import Recipe, SettledRecipe, SizedRecipe
from foldwise.errors import SpecError, StorageError, WeightsError
from foldwise.tasks import MultiClass, task_of
from foldwise.training.fitting.streams import seed_block
from foldwise.training.models import pretrained
from foldwise.training.models.building import (
    as_weights,
    build_model,
    load_trained,
    preprocessing_of,
    read_preprocessing,
    save_weights,
)
from foldwise.training.models.weights import load_state, tensor_names
from tiny import RECIPE
from weights import assert_same_weights


def recipe(*overrides: str) -> SettledRecipe:
    import tomllib

    return SettledRecipe.model_validate(
        {"name": "r", **with_overrides(tomllib.loads(RECIPE), overrides)}
    )


@pytest.mark.parametrize("model", ["resnet18", "resnext26ts", "test_convnext", "test_vit"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_timm_models_are_built_for_any_number_of_channels(model: str, channels: int) -> None:
    size = 160 if model == "test_vit" else 32
    built = build_model(recipe(f"model={model}"), 5, channels).eval()
    assert built(torch.rand(2, channels, size, size)).shape == (2, 5)


def test_the_seed_decides_random_weights() -> None:
    states = []
    for seed in (1, 1, 2):
        with seed_block(seed, 0, "init"):
            states.append(build_model(recipe(), 3, 1).state_dict()["fc.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_an_unknown_model_or_tag_gets_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="has no model 'resnt50'; did you mean 'resnet50'"):
        build_model(recipe("model=resnt50"), 3, 3)
    with pytest.raises(SpecError, match="no weights tag 'tv_in2k'; did you mean 'tv_in1k'"):
        preprocessing_of(recipe("model=resnet50.tv_in2k"), MultiClass(tuple("ab")), "RGB")


def test_preprocessing_comes_from_the_weights_tag() -> None:
    imagenet = preprocessing_of(recipe("model=resnet50.tv_in1k"), MultiClass(("a", "b")), "RGB")
    assert imagenet.mean == (0.485, 0.456, 0.406)
    inception = preprocessing_of(
        recipe("model=test_resnet.r160_in1k"), MultiClass(("a", "b")), "RGB"
    )
    assert inception.mean == (0.5, 0.5, 0.5)
    grey = preprocessing_of(recipe("model=resnet50.tv_in1k"), MultiClass(("a", "b")), "L")
    assert grey.mean == pytest.approx((0.449,))
    four = preprocessing_of(recipe("model=resnet50.tv_in1k"), MultiClass(("a", "b")), "RGBA")
    assert four.mean == (0.485, 0.456, 0.406, 0.5)


def test_weights_and_preprocessing_survive_the_file(tmp_path: Path) -> None:
    model, about = (
        build_model(recipe(), 3, 1),
        preprocessing_of(recipe(), MultiClass(("z", "a", "10")), "L"),
    )
    save_weights(tmp_path / "w.safetensors", model, about)
    loaded, read = load_trained(tmp_path / "w.safetensors")
    assert read == about
    assert_same_weights(loaded, model)


def test_a_full_disk_keeps_no_half_of_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    about = preprocessing_of(recipe(), MultiClass(("a", "b", "c")), "L")
    with pytest.raises(StorageError, match="no disk space left"):
        save_weights(tmp_path / "w.safetensors", build_model(recipe(), 3, 1), about)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_weights_file_is_loaded_with_another_classifier_and_first_convolution(
    tmp_path: Path, ending: str
) -> None:
    source = timm.create_model("test_resnet", num_classes=7)
    path = tmp_path / f"w{ending}"
    state = {k: v.contiguous().half() for k, v in source.state_dict().items()}
    save_file(state, path) if ending == ".safetensors" else torch.save({"state_dict": state}, path)
    built = build_model(recipe(f'weights="{path}"'), 3, 1)
    name = "layer1.0.conv1.weight"
    assert torch.equal(built.state_dict()[name], state[name].float())
    assert built.state_dict()["conv1.0.weight"].shape[1] == 1
    expected = state["conv1.0.weight"].float().sum(dim=1, keepdim=True)
    assert torch.allclose(built.state_dict()["conv1.0.weight"], expected)
    assert built.state_dict()["fc.weight"].shape[0] == 3


def test_a_weights_file_of_ours_brings_its_own_statistics(tmp_path: Path) -> None:
    from dataclasses import replace

    about = replace(preprocessing_of(recipe(), MultiClass(("a", "b")), "RGB"), mean=(0.1, 0.2, 0.3))
    save_weights(tmp_path / "w.safetensors", build_model(recipe(), 2, 3), about)
    path = tmp_path / "w.safetensors"
    assert preprocessing_of(recipe(f'weights="{path}"'), MultiClass(tuple("ab")), "RGB").mean == (
        0.1,
        0.2,
        0.3,
    )


def test_what_is_no_weights_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"expected a weights file at .*none.pth, found none"):
        build_model(recipe(f'weights="{tmp_path}/none.pth"'), 3, 1)
    for content, looks in (
        (b"half", "header too small"),
        (b"", "it is empty"),
        (b" <html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
    ):
        (tmp_path / "bad.safetensors").write_bytes(content)
        for read in (load_state, read_preprocessing, tensor_names):
            with pytest.raises(WeightsError, match=f"bad.safetensors cannot be read .*{looks}"):
                read(tmp_path / "bad.safetensors")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "code.pth")  # a pickled module is code
    with pytest.raises(WeightsError, match=r"code.pth cannot be read as weights"):
        load_state(tmp_path / "code.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="should hold tensors by name"):
        load_state(tmp_path / "list.pth")
    other = timm.create_model("resnet10t", num_classes=3)
    save_file(
        {k: v.contiguous() for k, v in other.state_dict().items()}, tmp_path / "o.safetensors"
    )
    with pytest.raises(WeightsError, match=r"should hold the weights of test_resnet: .* missing"):
        build_model(recipe(f'weights="{tmp_path}/o.safetensors"'), 3, 1)
    assert read_preprocessing(tmp_path / "o.safetensors") is None
    with pytest.raises(WeightsError, match="has no preprocessing of foldwise's"):
        load_trained(tmp_path / "o.safetensors")


@pytest.mark.parametrize("offline", [True, False])
def test_an_unreachable_hub_names_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda *args: None)
    if offline:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    else:  # a real connection, refused by this machine
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        closed = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", closed)
    with pytest.raises(WeightsError) as caught:
        build_model(recipe("weights=auto", "model=resnet18.tv_in1k"), 3, 3)
    for words in (
        "hub cannot be reached",
        "model.safetensors",
        "timm/resnet18.tv_in1k",
        'weights = "none"',
        'weights = "<path',
    ):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_in_the_local_cache_need_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = timm.create_model("test_resnet", num_classes=1000)
    path = tmp_path / "model.safetensors"
    save_file({k: v.contiguous() for k, v in source.state_dict().items()}, path)
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda *args: str(path))
    built = build_model(recipe("weights=auto"), 3, 3)
    name = "layer1.0.conv1.weight"
    assert torch.equal(built.state_dict()[name], source.state_dict()[name])
    assert built.state_dict()["fc.weight"].shape[0] == 3


def test_a_model_without_published_weights_is_said() -> None:
    with pytest.raises(WeightsError, match="timm has no pretrained weights for botnet50ts_256"):
        build_model(recipe("weights=auto", "model=botnet50ts_256"), 3, 3)


@pytest.mark.parametrize("model", ["resnet18", "test_convnext", "test_efficientnet", "test_vit"])
def test_drop_path_reaches_the_model(model: str) -> None:
    built = build_model(recipe(f"model={model}", "drop_path=0.3"), 3, 3)
    rates = [m.drop_prob for m in built.modules() if isinstance(m, timm.layers.DropPath)]
    assert 0.2 < max(rates) <= 0.3 + 1e-6  # EfficientNet has 0.3 (n - 1) / n
    plain = build_model(recipe(f"model={model}"), 3, 3)
    assert {m.drop_prob for m in plain.modules() if isinstance(m, timm.layers.DropPath)} <= {0}
    assert plain.state_dict().keys() == built.state_dict().keys()


@pytest.mark.parametrize("model", ["vgg11", "densenet121"])
def test_a_model_without_drop_path_is_said(model: str) -> None:
    wanted = f"drop_path = 0.1 needs a model with residual blocks .* {model} has none: set drop_"
    with pytest.raises(SpecError, match=wanted):
        build_model(recipe(f"model={model}", "drop_path=0.1"), 3, 3)


def test_a_model_that_ignores_drop_path_is_said_and_other_mistakes_are_not_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timm, "create_model", lambda *args, **kwargs: torch.nn.Linear(1, 1))
    with pytest.raises(SpecError, match="test_resnet has none"):
        build_model(recipe("drop_path=0.1"), 3, 3)

    def broken(*args: object, **kwargs: object) -> None:
        raise TypeError("something else")

    monkeypatch.setattr(timm, "create_model", broken)
    with pytest.raises(TypeError, match="something else"):
        build_model(recipe("drop_path=0.1"), 3, 3)


@pytest.mark.realdata
def test_real_weights_are_loaded_and_see_their_classes(realdata: Path) -> None:
    path = realdata / "resnet18-cifar10.safetensors"
    built = build_model(recipe(f'weights="{path}"', "model=resnet18"), 10, 3)
    state = load_state(path)
    assert torch.equal(built.state_dict()["fc.weight"], state["fc.weight"].float())


@pytest.mark.parametrize(("multi", "outputs"), [(False, "softmax"), (True, "sigmoids")])
def test_weights_from_before_outputs_had_kinds_are_read(
    tmp_path: Path, multi: bool, outputs: str
) -> None:
    import json
    from dataclasses import asdict

    own = recipe(*["loss=bce"] * multi)
    about = preprocessing_of(own, task_of(("a", "b"), "labels" if multi else "class"), "L")
    assert (about.outputs, not about.one_class, about.n_outputs) == (outputs, multi, 2)
    old = {**asdict(about), "multi": multi}
    del old["outputs"]
    model = build_model(recipe(), 2, 1)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors", metadata={"foldwise": json.dumps(old)})
    assert read_preprocessing(tmp_path / "w.safetensors") == about
    assert load_trained(tmp_path / "w.safetensors")[1] == about


def test_what_layers_share_is_saved_for_each_of_them(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    model[1].weight = model[0].weight
    about = preprocessing_of(recipe(), MultiClass(("z", "a", "10")), "L")
    save_weights(tmp_path / "w.safetensors", model, about)
    state = load_state(tmp_path / "w.safetensors")
    assert sorted(state) == sorted(model.state_dict())
    assert torch.equal(state["1.weight"], model[0].weight)


def test_fastais_head_is_saved_loaded_and_carried_on(tmp_path: Path) -> None:
    settings = ["head=fastai", "image_size=32"]
    first = build_model(recipe(*settings), 3, 3).eval()
    about = preprocessing_of(recipe(*settings), MultiClass(tuple(["a", "b", "c"])), "RGB")
    save_weights(tmp_path / "w.safetensors", first, about)
    images = torch.rand(2, 3, 32, 32)
    again, known = load_trained(tmp_path / "w.safetensors")
    assert known.head == "fastai"
    assert torch.equal(again.eval()(images), first(images))
    further = build_model(recipe(*settings, f"weights={tmp_path / 'w.safetensors'}"), 3, 3)
    assert torch.equal(further.eval()(images), first(images))
    other = build_model(recipe(*settings, f"weights={tmp_path / 'w.safetensors'}"), 5, 3).eval()
    assert other(images).shape == (2, 5)  # more classes: the body alone
    assert torch.equal(other.body(images), first.body(images))
    linear = build_model(recipe("image_size=32", f"weights={tmp_path / 'w.safetensors'}"), 3, 3)
    assert torch.equal(linear.eval().forward_features(images), first.body(images))


def test_fastais_head_needs_a_feature_map() -> None:
    with pytest.raises(SpecError, match=r'head = "fastai" pools a feature map .*; use head = "lin'):
        build_model(recipe("head=fastai", "model=test_vit", "image_size=160"), 3, 3)


@pytest.mark.parametrize(
    ("model", "weights", "size", "interpolation"),
    [
        ("resnet18.a1_in1k", "auto", (224, 224), "bicubic"),
        ("convnext_tiny.fb_in22k_ft_in1k_384", "auto", (384, 384), "bicubic"),
        ("resnet34.tv_in1k", "auto", (224, 224), "bilinear"),
        ("test_resnet", "none", (160, 160), "bilinear"),
        ("vit_small_patch14_dinov2", "none", (518, 518), "bilinear"),
        ("linear", "none", (224, 224), "bilinear"),
    ],
)
def test_size_and_interpolation_are_those_of_the_weights_where_the_recipe_says_auto(
    model: str, weights: str, size: tuple[int, int], interpolation: str
) -> None:
    base = {"name": "r", "model": model, "weights": weights, "stage": [{"epochs": 1, "lr": 1e-3}]}
    seen = as_weights(Recipe.model_validate({**base, "image_size": "auto"}))
    assert seen.final_size == size
    assert seen.cache_sizes == (size,)
    assert seen.interpolation == interpolation
    assert (
        preprocessing_of(seen, MultiClass(tuple(["a", "b"])), "RGB").interpolation == interpolation
    )
    own = SizedRecipe.model_validate({**base, "image_size": 64, "interpolation": "bilinear"})
    assert as_weights(own) == own


def test_a_weights_file_of_ours_brings_its_size_and_interpolation(tmp_path: Path) -> None:
    made = {
        "name": "r",
        "model": "test_resnet",
        "weights": "none",
        "image_size": [48, 40],
        "interpolation": "bicubic",
        "stage": [{"epochs": 1, "lr": 1e-3}],
    }
    recipe = SizedRecipe.model_validate(made)
    about = preprocessing_of(recipe, MultiClass(tuple(["a", "b"])), "RGB")
    save_weights(tmp_path / "w.safetensors", build_model(recipe, 2, 3), about)
    next_one = {
        **made,
        "weights": str(tmp_path / "w.safetensors"),
        "image_size": "auto",
        "interpolation": "auto",
    }
    seen = as_weights(Recipe.model_validate(next_one))
    assert seen.final_size == (48, 40)
    assert seen.interpolation == "bicubic"


def test_sizes_that_do_not_go_with_the_weights_are_said() -> None:
    recipe = Recipe.model_validate(
        {
            "name": "r",
            "model": "convnext_tiny.fb_in22k_ft_in1k_384",
            "image_size": "auto",
            "presize": 256,
            "stage": [{"epochs": 1, "lr": 1e-3}],
        }
    )
    with pytest.raises(
        SpecError,
        match=r"recipe r at its weights' \[384, 384\] pixels.*presize "
        r"must be at least its image_size, got \[256, 256\]",
    ):
        as_weights(recipe)
