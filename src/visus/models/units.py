"""The layers of residual and densely connected networks: one row of a table each, all made in one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from visus.models.parts import BatchNorm

if TYPE_CHECKING:
    from visus.nn import Activation, ConvNormAct
    from visus.nn.preact import NormAct

Bias = Literal["none", "open", "all"]


class Conv(NamedTuple):
    """A convolution: channels out, pixels of a side of its window, stride, groups."""

    channels: int
    size: int = 1
    stride: int = 1
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Layers:
    """Makes the layers of one network.

    norm: all its normalisations. bias: the convolutions that have one, "none", "all", or the "open" ones, which no
    normalisation follows.
    """

    norm: BatchNorm
    bias: Bias = "none"

    def closed(self, c_in: int, conv: Conv, act: Activation | None = "relu") -> ConvNormAct:
        """A convolution with its normalisation and activation."""
        from visus.nn import ConvNormAct

        channels, size, stride, groups = conv
        norm, bias = self.norm.build, self.bias == "all"
        return ConvNormAct(c_in, channels, size, stride, groups=groups, norm=norm, bias=bias, act=act)

    def inner(self, c_in: int, conv: Conv) -> ConvNormAct:
        """A convolution alone, which `before` follows."""
        return self._alone(c_in, conv, self.bias == "all")

    def open(self, c_in: int, conv: Conv) -> ConvNormAct:
        """A convolution alone, which no normalisation follows."""
        return self._alone(c_in, conv, self.bias != "none")

    def before(self, channels: int, dropout: float = 0.0) -> NormAct:
        """Normalisation and activation of what a convolution takes."""
        from visus.nn.preact import NormAct

        return NormAct(channels, norm=self.norm.build, dropout=dropout)

    @staticmethod
    def _alone(c_in: int, conv: Conv, bias: bool) -> ConvNormAct:
        from visus.nn import ConvNormAct

        channels, size, stride, groups = conv
        return ConvNormAct(c_in, channels, size, stride, groups=groups, norm=None, bias=bias, act=None)
