"""Stems: how residual and densely connected networks begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from visus.models.parts import Count
from visus.models.units import Conv, Layers
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

End = Literal["activated", "bare"]
Pool = Literal["symmetric", "zeros", "ceil"]


class LargeStem(Variant, frozen=True, tag="large"):
    """For photographs: 7×7 at stride 2, then 3×3 max pooling at stride 2.

    pool: what the windows see beyond the edges: "symmetric", nothing, one pixel on each side; "zeros", zeros there
    (Keras; the same after ReLU); "ceil", windows from the first pixel on, cut off at right and bottom (Caffe).
    end: "activated", normalisation and ReLU before the pooling, or "bare", the convolution alone.
    """

    channels: Count = 64
    pool: Pool = "symmetric"
    end: End = "activated"
    stride = 4

    def build(self, c_in: int, layers: Layers) -> nn.Module:
        """N×c_in×H×W → N×channels×H/4×W/4."""
        return _stacked(c_in, [Conv(self.channels, 7, 2)], layers, self.end, _pooling(self.pool))

    def least(self, side: int) -> int:
        """The shortest side of images that gives maps of `side` pixels."""
        return _least_pooled(side, self.pool)


class DeepStem(Variant, frozen=True, tag="deep"):
    """For photographs: 3×3 convolutions, the first at stride 2, then 3×3 max pooling at stride 2 (SENet-154).

    inner: channels of all convolutions but the last. pool, end: as of LargeStem.
    """

    inner: tuple[Count, ...] = (64, 64)
    channels: Count = 128
    pool: Pool = "symmetric"
    end: End = "activated"
    stride = 4

    def build(self, c_in: int, layers: Layers) -> nn.Module:
        """N×c_in×H×W → N×channels×H/4×W/4."""
        convs = [Conv(out, 3, 1 if index else 2) for index, out in enumerate((*self.inner, self.channels))]
        return _stacked(c_in, convs, layers, self.end, _pooling(self.pool))

    def least(self, side: int) -> int:
        """The shortest side of images that gives maps of `side` pixels."""
        return _least_pooled(side, self.pool)


class SmallStem(Variant, frozen=True, tag="small"):
    """For small images: 3×3 at stride 1. end: "activated", with normalisation and ReLU, or "bare", without."""

    channels: Count = 16
    end: End = "activated"
    stride = 1

    def build(self, c_in: int, layers: Layers) -> nn.Module:
        """N×c_in×H×W → N×channels×H×W."""
        return _stacked(c_in, [Conv(self.channels, 3)], layers, self.end, [])

    def least(self, side: int) -> int:
        """The shortest side of images that gives maps of `side` pixels."""
        return side


def _stacked(c_in: int, convs: Sequence[Conv], layers: Layers, end: End, pooling: list[nn.Module]) -> nn.Module:
    from torch import nn

    parts: list[nn.Module] = []
    for number, conv in enumerate(convs, 1):
        bare = end == "bare" and number == len(convs)
        parts.append(layers.open(c_in, conv) if bare else layers.closed(c_in, conv))
        c_in = conv.channels
    parts += pooling
    return nn.Sequential(*parts) if len(parts) > 1 else parts[0]


def _pooling(pool: Pool) -> list[nn.Module]:
    from torch import nn

    if pool == "zeros":
        return [nn.ZeroPad2d(1), nn.MaxPool2d(3, 2)]
    return [nn.MaxPool2d(3, 2, ceil_mode=True) if pool == "ceil" else nn.MaxPool2d(3, 2, 1)]


def _least_pooled(side: int, pool: Pool) -> int:
    # ⌈n/2⌉ after the convolution; of these m the pooling makes ⌈m/2⌉, or from the first pixel on ⌈(m − 3)/2⌉ + 1
    return 2 * (2 * side if pool == "ceil" else 2 * side - 1) - 1
