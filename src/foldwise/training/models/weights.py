"""Weights files: read without running code, and brought into a model they may not quite fit."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import nn

from foldwise.errors import WeightsError, strays
from foldwise.store.files import need_readable
from foldwise.training.models.heads import Headed, Names, as_timm, classifier_parameters

BODY, HEAD = "body.", "head."  # how the names of a model with fastai's head begin


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors, .pth or .pt file; never any code.

    Raises: WeightsError: the file is missing, damaged, or holds more than tensors.
    """
    need_readable(need_existing(path))
    with _damage(path):
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise WeightsError(f"{path} should hold tensors by name (a state dict)")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def tensor_names(path: Path) -> list[str]:
    """The names of a file's tensors. Raises: WeightsError: see `load_state`."""
    need_existing(path)
    if path.suffix != ".safetensors":
        return list(load_state(path))
    with _damage(path), safe_open(path, framework="pt") as handle:
        return list(handle.keys())


def metadata(path: Path) -> dict[str, str]:
    """What a .safetensors file says beside its tensors. Raises: WeightsError: it is damaged."""
    with _damage(path), safe_open(path, framework="pt") as handle:
        return handle.metadata() or {}


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into one line that says what the file looks like."""
    try:
        yield
    except Exception as error:  # of damaged bytes the decoders of torch and pickle raise anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        looks = "" if isinstance(error, OSError) else _looks(path)
        raise WeightsError(f"{path} cannot be read as weights: {looks or first}") from error


def _looks(path: Path) -> str:
    """What a file that holds no weights often is; empty where its first bytes do not tell."""
    with path.open("rb") as handle:
        begins = handle.read(100).lstrip(b"\xef\xbb\xbf \t\r\n")
    if not begins:
        return "it is empty"
    if begins.startswith(b"<"):
        return "it is a web page"
    return "it is a pointer of Git LFS" if begins.startswith(b"version https://git-lfs") else ""


def load_into(model: nn.Module, path: Path, channels: int) -> None:
    """Load a file into a model whose classifier and first convolution may differ from it."""
    own, config = model.state_dict(), as_timm(model).pretrained_cfg
    state, dropped = _body_of(load_state(path), model)
    for name in (f"{n}.weight" for n in _names(config["first_conv"])):
        if name in state and name in own and state[name].shape != own[name].shape:
            state[name] = adapt_input_conv(channels, state[name])
    heads = _heads_of(model)
    misfits = {n for n, t in state.items() if n not in own or t.shape != own[n].shape}
    wrong = [n for n in state if n in misfits and _layer(n) not in heads]
    state = {n: t for n, t in state.items() if n not in misfits or n in wrong}
    lacking = [n for n in own if n not in state and _layer(n) not in heads and n not in dropped]
    lacking = [n for n in lacking if not n.endswith("num_batches_tracked")]
    if wrong or lacking:
        raise WeightsError(
            f"{path} should hold the weights of {config['architecture']}: got tensors "
            f"{strays(missing=lacking, unknown_or_of_another_shape=list(wrong))}; "
            "is `model` the one that the file was made for?"
        )
    model.load_state_dict(state, strict=False)


def _body_of(
    state: dict[str, torch.Tensor], model: nn.Module
) -> tuple[dict[str, torch.Tensor], set[str]]:
    """A file's tensors in fp32 by the model's own names, and the model's that such files lack.

    Files with fastai's head (see `load_head`) hold the body under a prefix, as it was without its
    classifier: of some families a norm goes with that. TResNet's own names begin so, too.
    """
    own = model.state_dict()
    state = {name: tensor.float() for name, tensor in state.items()}
    if state.keys() <= own.keys() or not any(name.startswith(BODY) for name in state):
        return state, set()
    body = {n.removeprefix(BODY): t for n, t in state.items() if n.startswith(BODY)}
    bare = copy.deepcopy(model)
    as_timm(bare).reset_classifier(0, "")
    unpooled = {name: _unpool(tensor, own.get(name)) for name, tensor in body.items()}
    return unpooled, own.keys() - bare.state_dict().keys()


def _heads_of(model: nn.Module) -> set[str]:
    """The names of the layers that make a model's classifier."""
    params = {id(param) for param in classifier_parameters(model)}
    found = {_layer(name) for name, param in model.named_parameters() if id(param) in params}
    return found | {*_names(as_timm(model).pretrained_cfg["classifier"])}


def _names(value: Names) -> list[str]:
    """What timm's configuration gives as one name, several, or none."""
    return [value] if isinstance(value, str) else [*(value or ())]


def _layer(name: str) -> str:
    """The layer of a tensor, by its name."""
    return name.rsplit(".", 1)[0]


def _unpool(tensor: torch.Tensor, own: torch.Tensor | None) -> torch.Tensor:
    """A 1x1 convolution's weights as those of the linear layer that stands for it behind pooling:
    a body without pooling keeps the hidden layer of its classifier as a convolution."""
    if own is not None and own.ndim == 2 and tensor.shape == (*own.shape, 1, 1):
        return tensor.flatten(1)
    return tensor


def filled_by_timm(path: Path, create: Callable[[], nn.Module]) -> nn.Module:
    """The model that `create` makes and timm fills from a file.

    timm says nothing where it takes no tensor of a file: the classifier may differ, so others may.
    Raises: WeightsError: the file is of another model.
    """
    try:
        model = create()
    except RuntimeError as error:
        if not any(words in str(error) for words in ("loading state_dict", "Pretrained ")):
            raise
    else:
        own: dict[torch.Size, list[torch.Tensor]] = {}
        for tensor in model.state_dict().values():
            own.setdefault(tensor.shape, []).append(tensor)
        if any(
            torch.equal(tensor.to(mine.dtype), mine)
            for tensor in load_state(path).values()
            for mine in own.get(tensor.shape, ())
            if mine.numel() > 1
        ):
            return model
    raise WeightsError(
        f"{path} should hold timm's weights of the recipe's model, but its tensors are those of "
        "another one; remove that file and run the same command again, which downloads it anew"
    )


def load_head(model: Headed, path: Path) -> None:
    """Take the head's weights from a file that has the same head; else it stays random."""
    state, own = load_state(path), model.head.state_dict()
    state = {n.removeprefix(HEAD): t for n, t in state.items() if n.startswith(HEAD)}
    if {n: t.shape for n, t in state.items()} == {n: t.shape for n, t in own.items()}:
        model.head.load_state_dict(state)


def need_existing(path: Path) -> Path:
    """The path itself. Raises: WeightsError: no file is there."""
    if not path.is_file():
        raise WeightsError(f"expected a weights file at {path}, found none")
    return path
