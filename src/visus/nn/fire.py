"""SqueezeNet's module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visus.nn.conv import ConvNormAct


class Fire(nn.Module):
    """Few channels by 1×1 filters, then many by 1×1 and by 3×3 filters side by side, each with ReLU (Iandola et al.
    2016, arXiv:1602.07360, §3.2): N×c_in×H×W → N×(small + large)×H×W.

    squeezed: channels between. small, large: channels of the 1×1 and of the 3×3 filters, in this order.
    """

    def __init__(self, c_in: int, squeezed: int, small: int, large: int) -> None:
        super().__init__()
        self.squeeze = ConvNormAct(c_in, squeezed, norm=None)
        self.small = ConvNormAct(squeezed, small, norm=None)
        self.large = ConvNormAct(squeezed, large, 3, norm=None)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        few_NSHW = self.squeeze(x_NCHW)
        return torch.cat([self.small(few_NSHW), self.large(few_NSHW)], 1)
