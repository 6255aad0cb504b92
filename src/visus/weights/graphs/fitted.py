"""The weights of an ONNX graph in our names: layer by layer, where the graph is that of one of our networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import torch
from torch import Tensor

from visus.models import Network, build_classifier
from visus.weights.formats import Stored
from visus.weights.graphs import network, onnx
from visus.weights.graphs.layers import Layer, Part, Unlike, matched
from visus.weights.translate import COUNTER

CLOSE = 1e-3  # relative difference of two eps that are the same number in float32 and as text


@dataclass(frozen=True)
class Fitted:
    """spec: the reading of the network that the graph is of. tensors: its whole state. folded: whether the
    normalisations were folded into other layers, so that ours leave everything as it is."""

    spec: Network
    input: tuple[int, int, int]
    classes: int
    tensors: dict[str, Tensor]
    folded: bool


def fit(stored: Stored, readings: Sequence[Network], shape: tuple[int, int, int]) -> Fitted:
    """The state of the first of these readings of a network that an ONNX graph is of.

    shape: C×H×W of the images; the channels are those that the graph's first layer takes, unless the network makes
    others of them first. Raises Unlike that says what keeps the first reading from being the graph's.
    """
    theirs = onnx.layers_of(stored.nodes, stored.tensors)
    weighted = [layer for layer in theirs if layer.kind == "weights"]
    if not weighted:
        raise Unlike("it has no layers with weights")
    classes, first = weighted[-1].shape[0], weighted[0]
    channels = first.shape[1] * first.shape[-1] if first.window is not None else shape[0]
    failures: list[Unlike] = []
    for spec, count in product(readings, dict.fromkeys((channels, shape[0]))):
        try:
            return _fit(theirs, spec, (count, *shape[1:]), classes)
        except Unlike as failure:
            failures.append(failure)
    raise failures[0]


def _fit(theirs: list[Layer[Tensor]], spec: Network, shape: tuple[int, int, int], classes: int) -> Fitted:
    with torch.device("meta"):
        model = build_classifier(spec, shape, classes)
    ours = network.layers_of(model, shape)
    tensors: dict[str, Tensor] = {}
    folded = False
    for mine, given in matched(ours, theirs):
        _same_settings(mine, given)
        folded = folded or (mine.eps is not None and given.eps is None)
        tensors |= _parts(mine, given)
    state = model.state_dict()
    counters = {name: torch.zeros((), dtype=torch.int64) for name in state if name.endswith(COUNTER)}
    missing = [name for name in state if name not in tensors and name not in counters]
    if missing:
        raise Unlike(f"it lacks what the network only uses while training: {missing[0]}")
    found = {name: tensor.reshape(state[name].shape) for name, tensor in tensors.items()}
    return Fitted(spec, shape, classes, found | counters, folded)


def _same_settings(mine: Layer[str], given: Layer[Tensor]) -> None:
    if mine.window is not None and given.window is not None:
        size = mine.window.size
        for what, here, there in zip(
            ("stride", "dilation", "padding"), mine.window.on(size), given.window.on(size), strict=True
        ):
            if here != there:
                raise Unlike(f"the {what} of {mine.name} is {there} in it and {here} in the network")
    if mine.eps is not None and given.eps is not None and abs(mine.eps - given.eps) > CLOSE * mine.eps:
        raise Unlike(f"the eps of {mine.name} is {given.eps:g} in it and {mine.eps:g} in the network")


def _parts(mine: Layer[str], given: Layer[Tensor]) -> dict[str, Tensor]:
    """Our tensors of one layer."""
    parts = dict(given.parts)
    if mine.kind == "table" and not mine.parts:
        return {}  # a fixed one
    if mine.kind == "norm" or (mine.kind == "weights" and mine.eps is not None):
        parts = _normed(parts, mine)
    elif mine.kind == "weights" and given.eps is not None:
        parts = _plain(parts, given.eps)
    found = {name: parts.pop(part) for part, name in mine.parts.items() if part in parts}
    for part, name in mine.parts.items():
        whole = prod(mine.shape[:-1]) if part == "weight" and mine.kind == "weights" else mine.shape[0]
        if name in found and found[name].numel() != whole:
            raise Unlike(f"the {part} of {mine.name} has {found[name].numel():,} values in it")
    absent = [part for part, name in mine.parts.items() if name not in found]
    if absent == ["bias"]:
        found[mine.parts["bias"]] = torch.zeros(mine.shape[0])
    elif absent:
        raise Unlike(f"{mine.name} has no {absent[0]} in it")
    for part, left in parts.items():  # what ours has no place for may only be what changes nothing
        if not torch.equal(left, torch.full_like(left, float(part == "scale"))):
            raise Unlike(f"{mine.name} has a {part} in it and none in the network")
    return found


def _normed(parts: dict[Part, Tensor], mine: Layer[str]) -> dict[Part, Tensor]:
    """With a normalisation, as ours has it: one that leaves all as it is where the other's was folded."""
    bias = parts.pop("bias", None) if "bias" not in mine.parts else None
    if "variance" in parts:
        return parts if bias is None else parts | {"mean": parts["mean"] - bias}
    zeros, ones = torch.zeros(mine.shape[0]), torch.ones(mine.shape[0])
    assert mine.eps is not None
    scale, shift = parts.get("scale", ones), parts.get("shift", zeros if bias is None else bias)
    through_mean = "shift" not in mine.parts
    return parts | {
        "scale": scale, "shift": zeros if through_mean else shift,
        "mean": -shift / scale if through_mean else zeros, "variance": ones - mine.eps,
    }  # fmt: skip


def _plain(parts: dict[Part, Tensor], eps: float) -> dict[Part, Tensor]:
    """Without a normalisation: the other's is folded into the weights."""
    factor = parts["scale"].double() / (parts["variance"].double() + eps).sqrt()
    bias = parts["bias"].double() if "bias" in parts else torch.zeros_like(factor)
    weight = parts["weight"].double() * factor.reshape(-1, *[1] * (parts["weight"].ndim - 1))
    shifted = (bias - parts["mean"]) * factor + parts["shift"]
    return {"weight": weight.float(), "bias": shifted.float()}
