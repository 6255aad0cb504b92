"""The receptive fields of a network: how much of the image a pixel of each layer sees. Nothing is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from visus.explanation.follow import Following, Span
from visus.explanation.rules import rule_of
from visus.models import Network


@dataclass(frozen=True, slots=True)
class Field:
    """A receptive field. None: the whole side, whatever its length."""

    rows: Span | None
    columns: Span | None


def receptive_field(network: Network, shape: tuple[int, ...]) -> tuple[Field, ...]:
    """The theoretical receptive field of every stage, for inputs of `shape`; see `layer_fields`.

    Raises ModelError where the network can't be built, or does what can't be followed.
    """
    with torch.device("meta"):
        backbone = network.build(shape).eval()
        found = layer_fields(backbone, torch.empty(1, *shape))
    return tuple(found[f"stages.{number}"] for number in range(len(backbone.stages)))


def layer_fields(model: nn.Module, x: Tensor) -> dict[str, Field]:
    """The theoretical receptive field of the output of every layer of a module, by name, in order of use.

    x: N×C×H×W, on the meta device. The field is that of an image without an end: the sizes depend on windows and
    strides alone (Araujo, Norris, Sim 2019, "Computing receptive fields of convolutional neural networks", Distill).
    Where maps meet, by addition or side by side, it is the least that holds all of their fields. Global pooling,
    attention, and linear layers on whole maps see the whole image. By convention, what a map is multiplied with isn't
    counted where it sees the whole image (the gates of squeeze-and-excitation), nor are statistics of group
    normalisation. Behind a transposed convolution the size is that of its widest pixels, and start their mean place.

    Raises ModelError for an operation that can't be followed.
    """
    found: dict[str, Field] = {}
    mode = Following(rule_of)
    mode.begin(x)

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                found[name] = Field(*mode.spans(output))

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in model.named_modules()]
    try:
        with torch.no_grad(), mode:
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found
