"""From codes back to images: maps that grow step by step."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn
from torch.nn import functional as F


class Grown(nn.Module):
    """N×code → N×C×H×W. A linear layer makes the first, smallest map, and each step enlarges it.

    shape: C×H×W of the first map. steps: each a height and width, to which the map is enlarged by repeating values, or
    None, and the layers that follow.
    """

    def __init__(
        self, code: int, shape: tuple[int, int, int], steps: Sequence[tuple[tuple[int, int] | None, nn.Module]]
    ) -> None:
        super().__init__()
        self.first = nn.Linear(code, prod(shape))
        self.shape, self.sizes = shape, tuple(size for size, _ in steps)
        self.blocks = nn.ModuleList(block for _, block in steps)

    def forward(self, code_ND: Tensor) -> Tensor:
        y_NCHW: Tensor = self.first(code_ND).unflatten(1, self.shape)
        for size, block in zip(self.sizes, self.blocks, strict=True):
            if size is not None and y_NCHW.shape[-2:] != size:
                y_NCHW = F.interpolate(y_NCHW, size, mode="nearest")
            y_NCHW = block(y_NCHW)
        return y_NCHW


class Enlarged(nn.Module):
    """A transposed convolution of 4×4 and stride 2, of which the upper left part of the size that is asked for is kept:
    N×c_in×H×W → N×c_out×height×width, at most twice as many rows and columns."""

    def __init__(self, c_in: int, c_out: int, size: tuple[int, int], *, bias: bool) -> None:
        super().__init__()
        self.conv, self.size = nn.ConvTranspose2d(c_in, c_out, 4, 2, 1, bias=bias), size

    def forward(self, x_NCHW: Tensor) -> Tensor:
        found: Tensor = self.conv(x_NCHW)[..., : self.size[0], : self.size[1]]
        return found
