"""A model made ready for prediction: batch norms folded away, what follows a convolution in it."""

import copy
import logging
import operator
from collections.abc import Iterator

import torch
from timm.layers import BatchNormAct2d
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from foldwise.training.speed.precision import DTYPES, autocast, first_line
from foldwise.training.speed.smallconv import SmallConv, applies, small_conv

log = logging.getLogger(__name__)

NORMS = (nn.BatchNorm2d, BatchNormAct2d)
# what oneDNN computes while a convolution's results are still at hand, by its name for it
FUSABLE_ACTIVATIONS = {
    nn.ReLU: "relu",
    nn.SiLU: "swish",
    F.relu: "relu",
    torch.relu: "relu",
    F.silu: "swish",
}
AFTER = {"relu": F.relu, "swish": F.silu}
CONVS = (nn.Conv2d, SmallConv)
SUMS = (operator.add, operator.iadd, torch.add)
CLOSE = 1e-3  # share of the largest output; folding moves it by about 1e-6


class Tracer(fx.Tracer):
    """torch's tracer; timm's norms with an activation, and our own layers, stay whole too."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        """Whether a module is one node of the graph."""
        return isinstance(module, BatchNormAct2d | SmallConv) or super().is_leaf_module(
            module, name
        )


class FusedConv(nn.Module):
    """A convolution with its bias, a sum with another tensor and an activation in one pass."""

    def __init__(self, conv: nn.Conv2d, activation: str | None) -> None:
        super().__init__()
        self.conv, self.activation = conv, activation

    def forward(self, images: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
        """act(conv(images) + other)."""
        conv, run = self.conv, torch.ops.mkldnn._convolution_pointwise
        arguments = conv.weight, conv.bias, conv.padding, conv.stride, conv.dilation, conv.groups
        images = images.to(conv.weight.dtype).contiguous(memory_format=torch.channels_last)
        other = None if other is None else other.to(conv.weight.dtype)
        small = applies(conv, images)
        # of 1x1 pixels no format is to be seen: the sum is not fused then
        if small or (other is not None and images.shape[2:] == (1, 1)):
            out = small_conv(conv, images) if small else run(images, *arguments, "none", [], "")
            out = out if other is None else out + other
            return AFTER[self.activation](out) if self.activation else out
        if other is None:
            fused: torch.Tensor = run(images, *arguments, self.activation or "none", [], "")
        else:
            fused = run.binary(images, other, *arguments, "add", None, self.activation, [], "")
        return fused


@torch.inference_mode()
def for_prediction(model: nn.Module, images: torch.Tensor, precision: str) -> nn.Module:
    """A copy of a trained model that says the same faster, for batches like `images`.

    Batch norms become part of the convolutions before them; on a CPU, activations and sums too
    (oneDNN's fused operators, those that torch.compile uses). Weights of convolutions and linear
    layers are cast once: autocast would cast them in every forward pass. A model that cannot be
    traced, or that says something else afterwards, is only cast.

    images: a few, normalised (b, c, h, w) on the model's device.
    """
    model = copy.deepcopy(model).eval()
    if any(isinstance(layer, NORMS) for layer in model.modules()):
        try:
            fused = _fuse(copy.deepcopy(model), onednn=images.device.type == "cpu")
            difference, scale = _difference(model, fused, images)
            if difference <= CLOSE * scale:
                with autocast(precision, images.device):
                    said = _cast(fused, precision)(images)
                if said.isfinite().all():  # a folded weight may be too large for fp16
                    return fused
            log.info("predicting without fused layers: outputs moved by %.2g", difference)
        except Exception as error:  # tracing runs the model's own code: any error may come of it
            log.info("predicting without fused layers (%s)", first_line(error))
    return _cast(model, precision)


def _cast(model: nn.Module, precision: str) -> nn.Module:
    """The model, its convolutions' and linear layers' weights in a lower precision."""
    for layer in model.modules():
        if isinstance(layer, nn.modules.conv._ConvNd | nn.Linear):
            for param in layer.parameters(recurse=False):
                param.data = param.data.to(DTYPES[precision])
    return model


def _difference(model: nn.Module, fused: nn.Module, images: torch.Tensor) -> tuple[float, float]:
    """The largest difference between the two models' outputs in fp32, and the largest output.

    TF32, which convolutions on a GPU use for fp32, would differ by more than a thousandth.
    """
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected = model(images)
        return float((fused(images) - expected).abs().max()), float(expected.abs().max())


def _fuse(model: nn.Module, onednn: bool) -> fx.GraphModule:
    """The model with its layers joined, in place."""
    traced = fx.GraphModule(model, Tracer().trace(model))
    for node in list(traced.graph.nodes):
        _fold_norm(traced, node)
    if onednn and torch.backends.mkldnn.is_available():
        for node in list(traced.graph.nodes):
            _fuse_conv(traced, node)
    traced.delete_all_unused_submodules()
    traced.graph.lint()
    traced.recompile()
    return traced


def _layer(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The module that a node calls, where no other node calls it."""
    if node.op != "call_module":
        return None
    calls = sum(other.target == node.target for other in traced.graph.nodes)
    return traced.get_submodule(str(node.target)) if calls == 1 else None


def _fold_norm(traced: fx.GraphModule, node: fx.Node) -> None:
    """Fold a batch norm into the convolution before it; its activation, if any, stays."""
    norm = _layer(traced, node)
    if not isinstance(norm, NORMS) or norm.running_mean is None or norm.running_var is None:
        return
    before = node.all_input_nodes[0]
    conv = _layer(traced, before)
    if not isinstance(conv, nn.Conv2d) or type(conv) not in CONVS or len(before.users) > 1:
        return
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    if isinstance(norm, BatchNormAct2d):
        traced.set_submodule(str(node.target), norm.act)  # drop is for training alone
    else:
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)


def _chain_of(
    traced: fx.GraphModule, node: fx.Node, summing: bool
) -> tuple[list[fx.Node], fx.Node | None, str | None]:
    """A convolution with the sum and the activation that it can do itself: the nodes in order,
    what is added, and the activation. summing: whether it can add at all."""
    chain, other = [node], None
    for user in _followers(node):
        if summing and other is None and _sums(user):
            added = [arg for arg in user.args if arg is not chain[-1] and isinstance(arg, fx.Node)]
            if not added:  # a number, or twice the same
                break
            chain.append(user)
            other = added[0]
            continue
        activation = _activation(traced, user)
        if activation and (other is None or activation == "relu"):  # oneDNN has no other then
            return [*chain, user], other, activation
        break
    return chain, other, None


def _fuse_conv(traced: fx.GraphModule, node: fx.Node) -> None:
    """Let a convolution do the sum and the activation that follow it."""
    conv = _layer(traced, node)
    if not isinstance(conv, nn.Conv2d) or type(conv) not in CONVS:  # other subclasses do more
        return
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return
    chain, other, activation = _chain_of(traced, node, summing=conv.groups == 1)
    traced.set_submodule(str(node.target), FusedConv(conv, activation))
    with traced.graph.inserting_after(chain[-1]):
        arguments = (node.args[0],) if other is None else (node.args[0], other)
        new = traced.graph.call_module(str(node.target), arguments)
    chain[-1].replace_all_uses_with(new)
    for done in reversed(chain):
        traced.graph.erase_node(done)


def _sums(node: fx.Node) -> bool:
    """Whether a node is the plain sum of two things."""
    return node.target in SUMS and len(node.args) == 2 and not node.kwargs


def _followers(node: fx.Node) -> Iterator[fx.Node]:
    """The nodes after one, as long as each has one user alone."""
    while len(node.users) == 1:
        node = next(iter(node.users))
        yield node


def _activation(traced: fx.GraphModule, node: fx.Node) -> str | None:
    """oneDNN's name for what a node computes."""
    if node.op == "call_module":
        return FUSABLE_ACTIVATIONS.get(type(_layer(traced, node)))
    return FUSABLE_ACTIVATIONS.get(node.target) if node.op == "call_function" else None
