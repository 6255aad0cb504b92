"""A neck: maps of several strides, each of which knows what the others see."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visus.nn.conv import ConvNormAct


def separable(c_in: int, c_out: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """A depthwise and a pointwise convolution (Howard et al. 2017, arXiv:1704.04861): N×c_in×H×W → N×c_out×H'×W'."""
    return nn.Sequential(
        ConvNormAct(c_in, c_in, size, stride, groups=c_in, act="silu"), ConvNormAct(c_in, c_out, act="silu")
    )


class FeaturePyramid(nn.Module):
    """A feature pyramid with a way back: meaning flows from coarse to fine (Lin et al. 2017, arXiv:1612.03144), then
    places from fine to coarse (Liu et al. 2018, arXiv:1803.01534). Convolutions are separable.

    channels: of the maps that come in, from fine to coarse. width: of all that go out. extra: coarser maps beyond the
    last, each of half the side of the one before.
    """

    def __init__(self, channels: Sequence[int], width: int, extra: int = 0) -> None:
        super().__init__()
        self.lateral = nn.ModuleList([ConvNormAct(each, width, act="silu") for each in channels])
        self.extra = nn.ModuleList([separable(width, width, stride=2) for _ in range(extra)])
        steps = len(channels) + extra - 1
        self.down = nn.ModuleList([separable(2 * width, width) for _ in range(steps)])
        self.shrink = nn.ModuleList([separable(width, width, stride=2) for _ in range(steps)])
        self.up = nn.ModuleList([separable(2 * width, width) for _ in range(steps)])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """N×C_i×H_i×W_i from fine to coarse → as many, and `extra` more, of N×width×H_i×W_i."""
        found = [layer(each) for layer, each in zip(self.lateral, maps, strict=True)]
        for layer in self.extra:
            found.append(layer(found[-1]))
        for index in reversed(range(len(found) - 1)):
            above = F.interpolate(found[index + 1], size=found[index].shape[-2:], mode="nearest")
            found[index] = self.down[index](torch.cat((found[index], above), 1))
        for index, (fine, coarse) in enumerate(pairwise(range(len(found)))):
            below = self.shrink[index](found[fine])
            if below.shape[-2:] != found[coarse].shape[-2:]:  # a network without padding rounds otherwise
                below = F.interpolate(below, size=found[coarse].shape[-2:], mode="nearest")
            found[coarse] = self.up[index](torch.cat((found[coarse], below), 1))
        return found
