"""Layers of the Inception networks (Szegedy et al. 2014, arXiv:1409.4842, and what came after)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from visus.nn.conv import TensorFlowPad


class Concatenate(nn.Module):
    """Branches side by side on one input, their maps concatenated: N×C×H×W → N×ΣC_i×H'×W'.

    No branch may write over its input, since the others read it too.
    """

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return torch.cat([branch(x_NCHW) for branch in self.branches], 1)


class Scale(nn.Module):
    """x · factor, a constant: what keeps wide residual networks stable (arXiv:1602.07261, §3.3). Any shape."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


PoolPadding = Literal["symmetric", "tensorflow", "ceil", "valid"]


def max_pool(size: int, stride: int, padding: PoolPadding = "symmetric") -> nn.Module:
    """The largest value of each size×size window: N×C×H×W → N×C×H'×W'. What lies outside of the image never wins.

    padding: "symmetric", (size − 1)/2 on each side; "tensorflow", see TensorFlowPad; "valid", none; "ceil", none, and
    a last window that is cut by the border counts (Caffe's rule): ⌈(H − size)/stride⌉ + 1 rows.
    """
    if padding == "tensorflow":
        pad = TensorFlowPad((size, size), (stride, stride), float("-inf"))
        return nn.Sequential(pad, nn.MaxPool2d(size, stride))
    around = (size - 1) // 2 if padding == "symmetric" else 0
    return nn.MaxPool2d(size, stride, around, ceil_mode=padding == "ceil")
