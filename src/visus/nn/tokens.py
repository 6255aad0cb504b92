"""From images to tokens, and from tokens to one vector."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor, nn


class Rows(nn.Module):
    """The rows of an image as a sequence: N×C×H×W → N×H×C·W, each row channel by channel."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW.transpose(1, 2).flatten(2)


class Pixels(nn.Module):
    """The pixels of a map as a sequence, row by row: N×C×H×W → N×H·W×C."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return x_NCHW.flatten(2).transpose(1, 2)


class ClassToken(nn.Module):
    """One learnt token before the others: N×T×width → N×(1 + T)×width. It starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, x_NTD: Tensor) -> Tensor:
        return torch.cat([self.token.expand(x_NTD.shape[0], -1, -1), x_NTD], 1)


class LearntPositions(nn.Module):
    """A learnt vector for each place added: N×count×width in and out. They start normal, with spread 0.02."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(1, count, width))
        nn.init.normal_(self.table, std=0.02)

    def forward(self, x_NTD: Tensor) -> Tensor:
        return x_NTD + self.table


class SinusoidalPositions(nn.Module):
    """A fixed vector for each place added, see `sinusoids`: N×count×width in and out. Nothing is stored."""

    table: Tensor

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(count, width), persistent=False)

    def forward(self, x_NTD: Tensor) -> Tensor:
        return x_NTD + self.table


class FirstToken(nn.Module):
    """N×T×D → N×D, the class token."""

    def forward(self, x_NTD: Tensor) -> Tensor:
        return x_NTD[:, 0]


class MeanToken(nn.Module):
    """N×T×D → N×D, the mean over the tokens."""

    def forward(self, x_NTD: Tensor) -> Tensor:
        return x_NTD.mean(1)


def sinusoids(count: int, width: int) -> Tensor:
    """count×width: sin(p/10000^(2i/width)) at column 2i of row p, the cosine of the same at column 2i + 1.

    Source: Vaswani et al. 2017, arXiv:1706.03762, §3.5.
    """
    columns = torch.arange(width)
    wavelengths = 10_000 ** ((columns - columns % 2) / width)
    angles_TD = torch.arange(count)[:, None] / wavelengths
    return torch.where(columns % 2 == 0, angles_TD.sin(), angles_TD.cos())


def keep_variance(layer: nn.Linear | nn.Conv2d) -> nn.Module:
    """The layer with new weights, of variance one over its inputs (LeCun et al. 1998), and biases at zero.

    What comes out of it then varies as much as what goes in.
    """
    nn.init.normal_(layer.weight, std=prod(layer.weight.shape[1:]) ** -0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
