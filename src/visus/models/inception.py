"""What the Inception networks are written in: rows of convolutions and pools, side by side, and one builder of them.

A branch is a tuple of rows, a module is a `Mixed` of branches, a stage is a tuple of rows as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

from visus.models.layers import ResponseNorm
from visus.models.parts import BatchNorm

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Padding, Pyramid
    from visus.nn.inception import PoolPadding

Average = Literal["inside", "padded"]
LEAST_CHANNELS = 8


@dataclass(frozen=True)
class Kit:
    """What all rows of one network share.

    norm: after each convolution; None for none, and then convolutions have biases. bias: of convolutions beside
    their normalisation. width: all channels times this, but at least 8. average: at the border, the mean of the
    pixels "inside" of the image (TensorFlow's rule), or of the whole window, "padded" with zeros (torch's).
    """

    norm: BatchNorm | None
    bias: bool = False
    width: float = 1.0
    average: Average = "inside"

    def wide(self, channels: int) -> int:
        """The channels of a row in this network."""
        return channels if self.width == 1 else max(LEAST_CHANNELS, round(channels * self.width))


@dataclass(frozen=True)
class Conv:
    """A convolution, its normalisation, ReLU. size: of the window, one number or (rows, columns).

    Without normalisation nothing but the weights keeps the spread of the maps, from layer to layer, so they start
    scaled by the fan-in (He et al. 2015, arXiv:1502.01852, equation 10).
    """

    channels: int
    size: int | tuple[int, int] = 1
    stride: int = 1
    padding: Padding = "symmetric"

    def build(self, kit: Kit, c_in: int) -> tuple[nn.Module, int]:
        """The layer, and the channels that it gives."""
        from torch import nn

        from visus.nn import ConvNormAct

        norm, c_out = kit.norm.build if kit.norm else None, kit.wide(self.channels)
        built = ConvNormAct(
            c_in, c_out, self.size, self.stride, padding=self.padding, norm=norm, bias=kit.bias or norm is None
        )
        if norm is None:
            nn.init.kaiming_normal_(built.conv.weight, nonlinearity="relu")
        return built, c_out


@dataclass(frozen=True)
class MaxPool:
    """The largest of each window."""

    size: int = 3
    stride: int = 1
    padding: PoolPadding = "symmetric"

    def build(self, kit: Kit, c_in: int) -> tuple[nn.Module, int]:
        """The layer, and the channels that it gives."""
        from visus.nn.inception import max_pool

        return max_pool(self.size, self.stride, self.padding), c_in


@dataclass(frozen=True)
class AveragePool:
    """The mean of the 3×3 pixels around each."""

    stride = 1

    def build(self, kit: Kit, c_in: int) -> tuple[nn.Module, int]:
        """The layer, and the channels that it gives."""
        from torch import nn

        return nn.AvgPool2d(3, 1, 1, count_include_pad=kit.average == "padded"), c_in


@dataclass(frozen=True)
class LocalResponse:
    """Local response normalisation over 5 channels; α 1e-4 (divided by 5), β 0.75, k 1, as Caffe's GoogLeNet has it."""

    stride = 1

    def build(self, kit: Kit, c_in: int) -> tuple[nn.Module, int]:
        """The layer, and the channels that it gives."""
        return ResponseNorm(k=1.0, alpha=2e-5).build(c_in), c_in


@dataclass(frozen=True)
class Mixed:
    """Branches side by side, concatenated. All have the same stride."""

    branches: tuple[tuple[Row, ...], ...]

    @property
    def stride(self) -> int:
        """Of each branch."""
        return _stride(self.branches[0])

    def build(self, kit: Kit, c_in: int) -> tuple[nn.Module, int]:
        """The layer, and the channels that it gives."""
        from visus.nn.inception import Concatenate

        built = [_sequence(kit, branch, c_in) for branch in self.branches]
        return Concatenate([module for module, _ in built]), sum(channels for _, channels in built)


@dataclass(frozen=True)
class Shortcut:
    """act(x + scale · linear(mixed(x))), where linear is a 1×1 convolution with bias back to the channels of x."""

    mixed: Mixed
    scale: float
    act: Literal["relu"] | None = "relu"
    stride = 1

    def build(self, kit: Kit, c_in: int) -> tuple[nn.Module, int]:
        """The layer, and the channels that it gives."""
        from torch import nn

        from visus.nn import ConvNormAct, Residual
        from visus.nn.inception import Scale

        mixed, inner = self.mixed.build(kit, c_in)
        linear = ConvNormAct(inner, c_in, norm=None, act=None)
        return Residual([mixed, linear, Scale(self.scale)], nn.Identity(), self.act), c_in


HALVE = MaxPool(3, 2, "valid")
MEAN = AveragePool()
LEAST_SIDE = 75  # of v3 and after: five windows that halve and two 3×3 without padding leave one pixel

Row = Conv | MaxPool | AveragePool | LocalResponse | Mixed | Shortcut
Stage = tuple[Row, ...]


def build_pyramid(kit: Kit, stages: Sequence[Stage], c_in: int) -> Pyramid:
    """A network of these stages for images of c_in channels."""
    from visus.nn import Pyramid

    modules, channels, strides = [], [], []
    for number, rows in enumerate(stages):
        module, c_in = _sequence(kit, rows, c_in)
        modules.append(module)
        channels.append(c_in)
        strides.append(prod(_stride(each) for each in stages[: number + 1]))
    return Pyramid(modules, tuple(channels), tuple(strides))


def _sequence(kit: Kit, rows: Sequence[Row], c_in: int) -> tuple[nn.Module, int]:
    from torch import nn

    modules = []
    for row in rows:
        module, c_in = row.build(kit, c_in)
        modules.append(module)
    return nn.Sequential(*modules), c_in


def _stride(rows: Sequence[Row]) -> int:
    return prod(row.stride for row in rows)
