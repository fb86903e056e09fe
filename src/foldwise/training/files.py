"""Weights files: read without running code, and brought into a model they may not quite fit."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import adapt_input_conv

from foldwise.errors import WeightsError, examples
from foldwise.training.heads import Headed

BODY, HEAD = "body.", "head."  # how the names of a model with fastai's head begin


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors, .pth or .pt file; never any code.

    Raises: WeightsError: the file is missing, damaged, or holds more than tensors.
    """
    existing(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        first = str(error).strip().splitlines()[0]
        raise WeightsError(f"{path} cannot be read as weights: {first}") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise WeightsError(f"{path} should hold tensors by name (a state dict)")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def load_into(model: Any, path: Path, channels: int) -> None:
    """Load a file into a model whose classifier and first convolution may differ from it."""
    state = {name: tensor.float() for name, tensor in load_state(path).items()}
    if any(name.startswith(BODY) for name in state):  # with fastai's head, see `load_head`
        state = {n.removeprefix(BODY): t for n, t in state.items() if n.startswith(BODY)}
    own = model.state_dict()
    config = model.pretrained_cfg
    firsts = config["first_conv"]
    for name in (f"{n}.weight" for n in ([firsts] if isinstance(firsts, str) else firsts or [])):
        if name in state and name in own and state[name].shape != own[name].shape:
            state[name] = adapt_input_conv(channels, state[name])
    classifiers = config["classifier"]
    heads = tuple([classifiers] if isinstance(classifiers, str) else classifiers or [])
    for name in [n for n in state if n.rsplit(".", 1)[0] in heads]:
        if name not in own or state[name].shape != own[name].shape:
            del state[name]
    wrong = [n for n, t in state.items() if n not in own or t.shape != own[n].shape]
    lacking = [n for n in own if n not in state and n.rsplit(".", 1)[0] not in heads]
    lacking = [n for n in lacking if not n.endswith("num_batches_tracked")]
    if wrong or lacking:
        raise WeightsError(
            f"{path} should hold the weights of {config['architecture']}: {len(lacking)} tensors "
            f"are missing ({examples(lacking, 2)}), {len(wrong)} are unknown or of another shape "
            f"({examples(wrong, 2)}); is `model` the one that the file was made for?"
        )
    model.load_state_dict(state, strict=False)


def load_head(model: Headed, path: Path) -> None:
    """Take the head's weights from a file that has the same head; else it stays random."""
    state, own = load_state(path), model.head.state_dict()
    state = {n.removeprefix(HEAD): t for n, t in state.items() if n.startswith(HEAD)}
    if {n: t.shape for n, t in state.items()} == {n: t.shape for n, t in own.items()}:
        model.head.load_state_dict(state)


def existing(path: Path) -> Path:
    """The path itself. Raises: WeightsError: no file is there."""
    if not path.is_file():
        raise WeightsError(f"expected a weights file at {path}, found none")
    return path
