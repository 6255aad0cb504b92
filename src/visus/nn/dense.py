"""Dense connections (Huang et al. 2016, arXiv:1608.06993)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class DenseLayer(nn.Module):
    """x and branch(x), one after the other along the channels: N×C×H×W → N×(C + new)×H×W."""

    def __init__(self, branch: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        return torch.cat([x_NCHW, self.branch(x_NCHW)], 1)
