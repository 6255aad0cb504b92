"""Residual connections (He et al. 2015, arXiv:1512.03385)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """relu(branch(x) + skip(x))."""

    def __init__(self, branch: Sequence[nn.Module], skip: nn.Module) -> None:
        super().__init__()
        self.branch, self.skip = nn.Sequential(*branch), skip

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return F.relu(self.branch(x_NCHW) + self.skip(x_NCHW), inplace=True)


class PadShortcut(nn.Module):
    """Option A of the paper: every stride-th pixel, and zeros for the channels that are new. No parameters."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = c_out - c_in, stride

    def forward(self, x_NCHW: Tensor) -> Tensor:
        before = self.extra // 2
        return F.pad(x_NCHW[..., :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))
