"""Residual connections (He et al. 2015, arXiv:1512.03385)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from visus.nn.activation import Activation, activation


class Residual(nn.Module):
    """act(branch(x) + skip(x)). drop: the chance that a sample's branch is left out while training (`DropPath`)."""

    def __init__(
        self, branch: Sequence[nn.Module], skip: nn.Module, act: Activation | None = "relu", drop: float = 0.0
    ) -> None:
        super().__init__()
        self.branch, self.skip = nn.Sequential(*branch), skip
        self.drop = DropPath(drop) if drop else nn.Identity()
        self.act = activation(act)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y: Tensor = self.act(self.drop(self.branch(x_NCHW)) + self.skip(x_NCHW))
        return y


class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016, arXiv:1603.09382): while training, whole samples are zeroed at this rate.

    Those that stay are divided by the chance to stay, so that the mean is kept.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return x
        kept = x.new_empty(x.shape[0], *[1] * (x.ndim - 1)).bernoulli_(1 - self.rate)
        return x * kept / (1 - self.rate)


class PadShortcut(nn.Module):
    """Option A of the paper: every stride-th pixel, and zeros for the channels that are new. No parameters."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = c_out - c_in, stride

    def forward(self, x_NCHW: Tensor) -> Tensor:
        before = self.extra // 2
        return F.pad(x_NCHW[..., :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))
