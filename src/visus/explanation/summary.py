"""The layers of a network: shapes, parameters, multiply-adds. Nothing is computed and no memory taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from visus.models import Network, build_classifier
from visus.nn import SparseConv2d


@dataclass(frozen=True, slots=True)
class Row:
    """One layer.

    shape: of its output without the batch. parameters: its own, trainable. multiply_adds: for one image.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All layers in order of use, and the sums. buffers: stored numbers that aren't trained: batch statistics."""

    rows: tuple[Row, ...]
    parameters: int
    buffers: int
    multiply_adds: int


def summarize(network: Network, shape: tuple[int, ...], classes: int) -> Summary:
    """The layers of a classifier for inputs of `shape`. Raises ModelError where it can't be built."""
    with torch.device("meta"):
        model = build_classifier(network, shape, classes).eval()
        return summarize_module(model, torch.empty(1, *shape))


def summarize_module(model: nn.Module, x: Tensor) -> Summary:
    """The layers of any module that takes x, a batch of one.

    Multiply-adds are of convolutions, linear layers and matrix products, not of biases, normalisations, activations.
    """
    by_name = dict(model.named_modules())
    names = {module: name for name, module in by_name.items()}
    shapes: dict[str, tuple[int, ...]] = {}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[names[module]] = tuple(output.shape[1:])

    leaves = [
        m
        for m in model.modules()
        if not next(m.children(), None) or next(m.parameters(recurse=False), None) is not None
    ]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    counts = counter.get_flop_counts()
    buffers = dict(model.named_buffers())
    root = type(model).__name__

    def macs(module: nn.Module) -> int:
        total: int = sum(counts.get(f"{root}.{names[module]}", {}).values()) // 2
        return round(total * module.density) if isinstance(module, SparseConv2d) else total

    rows = tuple(
        Row(
            name=names[module],
            kind=type(module).__name__,
            shape=shapes[names[module]],
            parameters=sum(p.numel() for p in module.parameters(recurse=False) if p.requires_grad),
            multiply_adds=macs(module),
        )
        for module in (by_name[name] for name in shapes)
    )
    whole = sum(counts.get("Global", {}).values()) // 2
    thinned = sum(sum(counts.get(f"{root}.{names[m]}", {}).values()) // 2 - macs(m) for m in leaves)
    return Summary(
        rows=rows,
        parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        buffers=sum(b.numel() for name, b in model.state_dict().items() if name in buffers and b.is_floating_point()),
        multiply_adds=whole - thinned,
    )
