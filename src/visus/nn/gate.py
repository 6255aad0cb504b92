"""Squeeze-and-excitation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Gate(nn.Module):
    """Channels reweighted by their global means (Hu et al. 2017, arXiv:1709.01507): N×C×H×W in and out."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        mean_NC11 = x_NCHW.mean((2, 3), keepdim=True)
        return x_NCHW * torch.sigmoid(self.excite(F.relu(self.squeeze(mean_NC11))))
