"""A network for prediction alone: normalisations that follow a layer are folded into its weights."""

from __future__ import annotations

from copy import deepcopy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from visus.weights.graphs.layers import Unlike
from visus.weights.graphs.network import layers_of


def folded(model: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A copy of a network in evaluation that gives the same for inputs of `shape` with fewer operations.

    Batch normalisations that directly follow a convolution or linear layer are folded into it. A network that can't be
    followed is copied as it is.
    """
    copy = deepcopy(model).eval()
    try:
        layers = layers_of(deepcopy(model).to("meta"), shape)
    except Unlike:
        return copy
    for layer in layers:
        if layer.kind == "weights" and layer.eps is not None:
            place, norm = layer.name, layer.parts["mean"].rpartition(".")[0]
            before, after = copy.get_submodule(place), copy.get_submodule(norm)
            assert isinstance(after, nn.BatchNorm1d | nn.BatchNorm2d)
            both = (
                fuse_linear_bn_eval(before, after)
                if isinstance(before, nn.Linear)
                else fuse_conv_bn_eval(before, after)  # type: ignore[type-var]
            )
            copy.set_submodule(place, both)
            copy.set_submodule(norm, nn.Identity())
    return copy
