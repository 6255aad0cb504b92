"""What MobileNets and EfficientNets share: depthwise convolutions, inverted residuals, gates, rounded channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from visus.models.parts import Count, Factor, Share
from visus.spec import Spec

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Activation, ConvNormAct

Padding = Literal["symmetric", "tensorflow"]
Window = Literal[3, 5, 7]


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of the divisor, at least once the divisor and at least nine tenths of what was asked for.

    The papers only say "multiples of 8"; their authors' code rounds so.

    >>> [round_channels(32 * width) for width in (0.35, 0.5, 0.75, 1.3)]
    [16, 16, 24, 40]
    """
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


class ChannelGate(Spec, frozen=True):
    """Squeeze-and-excitation between the depthwise convolution and the last one (Hu et al. 2017, arXiv:1709.01507).

    ratio: squeezed channels over those `of` the block's "input" (EfficientNet), or over the "inner" ones, which are
    gated (MobileNet v3). divisor: what the squeezed are rounded to multiples of; without one they are rounded down.
    act: after the first of the two layers, scale: after the second.
    """

    of: Literal["input", "inner"]
    act: Literal["relu", "relu6", "silu"]
    scale: Literal["sigmoid", "hardsigmoid"]
    ratio: Factor = 0.25
    divisor: Count | None = None

    def build(self, c_in: int, inner: int) -> nn.Module:
        """N×inner×H×W in and out, in a block with c_in channels in."""
        from visus.nn import Gate

        asked = self.ratio * {"input": c_in, "inner": inner}[self.of]
        squeezed = round_channels(asked, self.divisor) if self.divisor else max(1, int(asked))
        return Gate(inner, squeezed, self.act, self.scale)


class Inverted(Spec, frozen=True):
    """A row of a network's table: `depth` inverted residuals with so many channels out, the first with the stride.

    expand: inner channels over those in. size: of the depthwise window.
    """

    channels: Count
    expand: Count = 6
    size: Window = 3
    stride: Count = 1
    depth: Count = 1


def depthwise(conv: Callable[..., ConvNormAct], channels: int, size: int, stride: int, act: Activation) -> nn.Module:
    """One filter a channel: N×channels×H×W → N×channels×H/stride×W/stride. conv: builds a `ConvNormAct`.

    Weights start with He's variance for what a value feeds here, 2/size², as in the authors' code of EfficientNet, and
    not with `ConvNormAct`'s, 2/(size²·channels): with that they are so small that running variances, which start at 1,
    are far from the true ones for hundreds of steps. (MobileNet's authors draw all weights with a deviation of 0.09.)
    """
    from torch import nn

    layer = conv(channels, channels, size, stride, groups=channels, act=act)
    nn.init.normal_(layer.conv.weight, std=(2 / size**2) ** 0.5)
    return layer


def inverted_residual(
    c_in: int,
    inner: int,
    c_out: int,
    size: int,
    stride: int,
    *,
    conv: Callable[..., ConvNormAct],
    act: Activation,
    gate: ChannelGate | None = None,
    drop: float = 0.0,
) -> nn.Module:
    """N×c_in×H×W → N×c_out×H/stride×W/stride: 1×1 to the inner channels, size×size depthwise, gate, 1×1 without an
    activation (Sandler et al. 2018, arXiv:1801.04381, §3.3).

    Its input is added where the shapes are the same; the first 1×1 is left out where it would keep the channels.
    conv: builds a `ConvNormAct`. drop: see `Residual`.
    """
    from torch import nn

    from visus.nn import Residual

    layers: list[nn.Module] = [] if inner == c_in else [conv(c_in, inner, act=act)]
    layers.append(depthwise(conv, inner, size, stride, act))
    layers += [gate.build(c_in, inner)] if gate else []
    layers.append(conv(inner, c_out, act=None))
    if (c_in, stride) == (c_out, 1):
        return Residual(layers, nn.Identity(), act=None, drop=drop)
    block = nn.Sequential()
    block.add_module("branch", nn.Sequential(*layers))  # so that both kinds have the same names
    return block


def inverted_stages(
    rows: Sequence[Inverted],
    c_in: int,
    *,
    conv: Callable[..., ConvNormAct],
    act: Activation,
    gate: ChannelGate | None = None,
    drop: Share = 0.0,
) -> list[nn.Module]:
    """One stage for each row, from N×c_in×H×W on. drop: grows from 0 at the first block to this after the last."""
    from torch import nn

    stages: list[nn.Module] = []
    index, total = 0, sum(row.depth for row in rows)
    for row in rows:
        blocks = []
        for stride in (row.stride, *[1] * (row.depth - 1)):
            rate = drop * index / total
            blocks.append(
                inverted_residual(
                    c_in, c_in * row.expand, row.channels, row.size, stride, conv=conv, act=act, gate=gate, drop=rate
                )
            )
            c_in, index = row.channels, index + 1
        stages.append(nn.Sequential(*blocks))
    return stages
