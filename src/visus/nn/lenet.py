"""The layers that only LeNet-5 has (LeCun et al. 1998, Proc. IEEE 86(11), §II.B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

LARGE = 1 << 15  # values, from which on a tanh takes longer than Python's part of a faster one
NARROW = 16  # channels, under which torch's own pooling of channels-last maps goes value by value


class Tanh(nn.Module):
    """tanh(x). While it learns, on processors, large maps are computed as 2σ(2x) − 1.

    That takes a third of the time, a tenth of the network's training step; it is off by at most 2·10⁻⁷.
    """

    def forward(self, x: Tensor) -> Tensor:
        return _tanh(x, self.training)


class ScaledTanh(nn.Module):
    """1.7159 · tanh(2x/3), which maps ±1 to ±1 (appendix A of the paper). Computed as `Tanh`."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * _tanh(x * (2 / 3), self.training)


class AveragePool(nn.Module):
    """The mean of each 2×2 window. N×C×H×W → N×C×H/2×W/2.

    While it learns, few channels are convolved with a kernel of quarters, in half the time of torch's own pooling.
    """

    quarters: Tensor
    kernel_size = stride = 2

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("quarters", torch.full((channels, 1, 2, 2), 0.25), persistent=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        channels = len(self.quarters)
        if self.training and channels < NARROW:
            return F.conv2d(x_NCHW, self.quarters, stride=2, groups=channels)
        return F.avg_pool2d(x_NCHW, 2)


class Subsample(nn.Module):
    """S2 and S4: the mean of each 2×2 window, times a coefficient plus a bias, one pair a map.

    The paper sums the four pixels; the mean is that sum with the coefficient taken four times larger.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient, self.bias = (
            nn.Parameter(torch.ones(channels, 1, 1)),
            nn.Parameter(torch.zeros(channels, 1, 1)),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        scaled: Tensor = F.avg_pool2d(x_NCHW, 2) * self.coefficient + self.bias
        return scaled


class SparseConv2d(nn.Module):
    """A convolution in which each map out sees only some of the maps in: C3 and its table I.

    table: for each map out, the maps in. Only the kernels that the table names exist; the others are zeros put
    between them for the convolution, which is much faster than one convolution for each row of the table.
    density: the share of kernels that exist, by which multiply-adds are counted.
    """

    lookup: Tensor

    def __init__(self, table: Sequence[Sequence[int]], c_in: int, size: int) -> None:
        super().__init__()
        pairs = [row * c_in + each for row, maps in enumerate(table) for each in maps]
        self.c_in, self.c_out, self.density = c_in, len(table), len(pairs) / (len(table) * c_in)
        self.kernels = nn.Parameter(torch.empty(len(pairs), size, size))
        self.bias = nn.Parameter(torch.empty(len(table)))
        lookup = torch.full((len(table) * c_in,), len(pairs))
        lookup[pairs] = torch.arange(len(pairs))
        self.register_buffer("lookup", lookup, persistent=False)
        with torch.no_grad():  # the paper's appendix A: uniform within ±2.4 over the number of inputs
            start = 0
            for row, maps in enumerate(table):
                bound = 2.4 / (len(maps) * size * size)
                self.kernels[start : start + len(maps)].uniform_(-bound, bound)
                self.bias[row].uniform_(-bound, bound)
                start += len(maps)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        kernels = torch.cat([self.kernels, torch.zeros_like(self.kernels[:1])])
        weight = kernels.index_select(0, self.lookup).view(self.c_out, self.c_in, *self.kernels.shape[1:])
        return F.conv2d(x_NCHW, weight, self.bias)


class WholeConv2d(nn.Module):
    """A convolution whose kernel is as large as its map: C5. N×C×H×W → N×c_out×1×1.

    It is a matrix product and learns as one, which takes a seventh off the network's training step; otherwise it is
    computed as what it is, for those who look at the network's graph.
    """

    def __init__(self, c_in: int, c_out: int, size: tuple[int, int]) -> None:
        super().__init__()
        made = nn.Conv2d(c_in, c_out, size)
        self.kernel_size, self.weight, self.bias = size, made.weight, made.bias

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not self.training:
            return F.conv2d(x_NCHW, self.weight, self.bias)
        # in the order in which channels-last maps and weights lie in memory, so that nothing is copied there
        x_NF, weight_OF = (each.permute(0, 2, 3, 1).flatten(1) for each in (x_NCHW, self.weight))
        return F.linear(x_NF, weight_OF, self.bias)[:, :, None, None]


class _QuickTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.mul(x, 2).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten.tanh_backward(gradients[0], ctx.saved_tensors[0])
        return found


def _tanh(x: Tensor, training: bool) -> Tensor:
    if training and x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() >= LARGE:
        found: Tensor = _QuickTanh.apply(x)  # type: ignore[no-untyped-call]
        return found
    return torch.tanh(x)


class Prototypes(nn.Module):
    """The output layer: minus the squared distance of x to each class's fixed code of ±1, over 16. N×F → N×K.

    With softmax cross-entropy these scores give the paper's discriminative criterion (equation 9) without its
    constant for a rubbish class. The paper's distances aren't divided: with them softmax is saturated from the start,
    and learning is slow. The paper draws its ten codes by hand as 7×12 pictures of digits; it names codes
    drawn at random as the plain choice, and those serve here, for any number of classes.
    """

    codes: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        codes = np.random.default_rng(1998).choice([-1.0, 1.0], (classes, features))
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.float32))

    def forward(self, x_NF: Tensor) -> Tensor:
        return -(x_NF[:, None] - self.codes).square().sum(2) / 16
