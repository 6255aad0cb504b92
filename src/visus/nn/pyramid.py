"""`Pyramid`: what every network is to every task. `Classifier`: a pyramid and a head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from visus.errors import ModelError


class Pyramid(nn.Module):
    """Stages from fine to coarse; what every task builds on.

    channels: of each stage's map. strides: of each stage's map relative to the input image; empty where the
    features are vectors and not maps. grid: rows×columns of patches, where stages pass tokens N×T×D, the last
    rows·columns of which are the patches, row by row.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.stages, self.channels, self.strides, self.grid = nn.ModuleList(stages), channels, strides, grid

    def outputs(self, x_NCHW: Tensor) -> list[Tensor]:
        """What every stage gives to the next."""
        found = []
        for stage in self.stages:
            x_NCHW = stage(x_NCHW)
            found.append(x_NCHW)
        return found

    def maps(self, x_NCHW: Tensor) -> list[Tensor]:
        """Every stage's map: the i-th is N × channels[i] × about H/strides[i] × about W/strides[i]."""
        found = self.outputs(x_NCHW)
        if self.grid is None:
            return found
        patches = self.grid[0] * self.grid[1]
        return [x_NTD[:, -patches:].transpose(1, 2).reshape(len(x_NTD), -1, *self.grid) for x_NTD in found]

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The last stage's output: its map, or its tokens."""
        for stage in self.stages:
            x_NCHW = stage(x_NCHW)
        return x_NCHW


class Classifier(nn.Module):
    """A pyramid and a head: N×C×H×W (or N×F) → N×K scores, before softmax.

    auxiliary: heads on the outputs of stages, by the stage's number; they only help while training, with `share` of
    the loss each.
    """

    def __init__(
        self,
        backbone: Pyramid,
        head: nn.Module,
        auxiliary: Mapping[int, nn.Module] | None = None,
        share: float = 0.0,
    ) -> None:
        super().__init__()
        self.backbone, self.head, self.share = backbone, head, share
        self.auxiliary = nn.ModuleDict({str(stage): module for stage, module in (auxiliary or {}).items()})

    def forward(self, x_NCHW: Tensor) -> Tensor:
        scores: Tensor = self.head(self.backbone(x_NCHW))
        return scores

    def graded(self, x_NCHW: Tensor) -> list[tuple[float, Tensor]]:
        """The scores of every head with the share of its loss: the main head's, 1, and then the auxiliary ones'."""
        found = self.backbone.outputs(x_NCHW)
        extra = [(self.share, module(found[int(stage)])) for stage, module in self.auxiliary.items()]
        return [(1.0, self.head(found[-1])), *extra]


def parted(head: nn.Module) -> tuple[nn.Sequential, nn.Sequential]:
    """A head's layers before the last one that learns, and the rest, shared with it. Raises ModelError where none
    does."""
    layers = _flat(head)
    learning = [index for index, layer in enumerate(layers) if next(layer.parameters(), None) is not None]
    if not learning:
        raise ModelError("the head of this network has no layer that learns", "take the plan full")
    return nn.Sequential(*layers[: learning[-1]]), nn.Sequential(*layers[learning[-1] :])


def _flat(head: nn.Module) -> list[nn.Module]:
    """The layers of a head, those inside of nested sequences too."""
    if not isinstance(head, nn.Sequential):
        return [head]
    return [layer for child in head for layer in _flat(child)]


class Rescale(nn.Module):
    """Standardised values → values in the data's units: x·std + mean, with std and mean fixed. N×V in and out."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x_NV: Tensor) -> Tensor:
        return x_NV * self.std + self.mean
