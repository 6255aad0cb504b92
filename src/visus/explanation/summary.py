"""The layers of a network: shapes, parameters, multiply-adds. Nothing is computed and no memory taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from visus.explanation.blocks import Block, blocks_of
from visus.models import Network, build_classifier
from visus.nn import Classifier, SparseConv2d


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
class Stage:
    """A stage of a network's pyramid, or its head, which is the last.

    name: "stages.0" and so on, as in `backbone`, or "head". shape: of its output without the batch. map: of its map,
    which is another shape where tokens are passed on. stride: of the map relative to the input; None of vectors.
    blocks: what it is made of.
    """

    name: str
    shape: tuple[int, ...]
    map: tuple[int, ...]
    stride: int | None
    blocks: tuple[Block, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All layers in order of use, but for those that only pass on what they get, and the sums.

    input: the shape of one. stages: of a classifier, with its head; of other modules none. auxiliary: parameters of the
    heads that are only used while training; they are among the parameters, and have no rows. buffers: stored numbers
    that aren't trained: batch statistics.
    """

    input: tuple[int, ...]
    rows: tuple[Row, ...]
    stages: tuple[Stage, ...]
    parameters: int
    auxiliary: int
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
    names = {module: name for name, module in model.named_modules()}
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            shapes[module] = tuple(output.shape[1:])

    hooks = [module.register_forward_hook(note) for module in names]
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    counts = counter.get_flop_counts()
    root = type(model).__name__

    def macs(module: nn.Module) -> int:
        name = f"{root}.{names[module]}" if names[module] else "Global"
        absent: float = sum(
            sum(counts.get(f"{root}.{names[each]}", {}).values()) * (1 - each.density)
            for each in module.modules()
            if isinstance(each, SparseConv2d)
        )
        found: int = sum(counts.get(name, {}).values())
        return round((found - absent) / 2)

    def layer(module: nn.Module) -> bool:
        if isinstance(module, nn.Identity):
            return False
        return not next(module.children(), None) or next(module.parameters(recurse=False), None) is not None

    buffers = dict(model.named_buffers())
    return Summary(
        input=tuple(x.shape[1:]),
        rows=tuple(
            Row(names[module], type(module).__name__, shape, _trained(module, recurse=False), macs(module))
            for module, shape in shapes.items()
            if layer(module)
        ),
        stages=tuple(_stages(model, shapes, macs)) if isinstance(model, Classifier) else (),
        parameters=_trained(model),
        auxiliary=_trained(model.auxiliary) if isinstance(model, Classifier) else 0,
        buffers=sum(b.numel() for name, b in model.state_dict().items() if name in buffers and b.is_floating_point()),
        multiply_adds=macs(model),
    )


def _stages(
    model: Classifier, shapes: Mapping[nn.Module, tuple[int, ...]], macs: Callable[[nn.Module], int]
) -> Iterator[Stage]:
    backbone = model.backbone
    strides = backbone.strides or (None,) * len(backbone.stages)
    for index, (stage, stride) in enumerate(zip(backbone.stages, strides, strict=True)):
        shape = shapes[stage]
        found = (shape[-1], *backbone.grid) if backbone.grid else shape
        yield Stage(f"stages.{index}", shape, found, stride, blocks_of(stage), _trained(stage), macs(stage))
    shape = shapes[model.head]
    yield Stage("head", shape, shape, None, blocks_of(model.head), _trained(model.head), macs(model.head))


def _trained(module: nn.Module, recurse: bool = True) -> int:
    return sum(p.numel() for p in module.parameters(recurse) if p.requires_grad)
