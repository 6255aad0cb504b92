"""`Pyramid`: what every network is to every task. `Classifier`: a pyramid and a head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Pyramid(nn.Module):
    """Stages from fine to coarse; what every task builds on.

    channels: of each stage's map. strides: of each stage's map relative to the input image; empty where the
    features are vectors and not maps.
    """

    def __init__(self, stages: Sequence[nn.Module], channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
        super().__init__()
        self.stages, self.channels, self.strides = nn.ModuleList(stages), channels, strides

    def maps(self, x_NCHW: Tensor) -> list[Tensor]:
        """Every stage's map: the i-th is N × channels[i] × about H/strides[i] × about W/strides[i]."""
        found = []
        for stage in self.stages:
            x_NCHW = stage(x_NCHW)
            found.append(x_NCHW)
        return found

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The last stage's map."""
        return self.maps(x_NCHW)[-1]


class Classifier(nn.Module):
    """A pyramid and a head: N×C×H×W (or N×F) → N×K scores, before softmax."""

    def __init__(self, backbone: Pyramid, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, x_NCHW: Tensor) -> Tensor:
        scores: Tensor = self.head(self.backbone(x_NCHW))
        return scores


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
