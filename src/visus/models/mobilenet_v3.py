"""MobileNet v3."""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from math import prod
from operator import mul
from typing import TYPE_CHECKING, Literal

from visus.errors import ModelError
from visus.models.inverted import ChannelGate, Padding, Window, inverted_residual, round_channels
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.spec import Spec, Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

GATE = ChannelGate(of="inner", act="relu", scale="hardsigmoid", divisor=8)


class Bneck(Spec, frozen=True):
    """A row of table 1 or 2: one inverted residual.

    size: of the depthwise window. inner: its channels ("exp size"). channels: out. gate, act, stride: SE, NL, s.
    """

    size: Window
    inner: Count
    channels: Count
    act: Literal["relu", "hardswish"]
    stride: Count = 1
    gate: ChannelGate | None = None


# Tables 1 and 2 of the paper; a stage is the rows with the same channels.
LARGE = (
    (Bneck(size=3, inner=16, channels=16, act="relu"),),
    (
        Bneck(size=3, inner=64, channels=24, act="relu", stride=2),
        Bneck(size=3, inner=72, channels=24, act="relu"),
    ),
    (
        Bneck(size=5, inner=72, channels=40, act="relu", stride=2, gate=GATE),
        *[Bneck(size=5, inner=120, channels=40, act="relu", gate=GATE)] * 2,
    ),
    (
        Bneck(size=3, inner=240, channels=80, act="hardswish", stride=2),
        Bneck(size=3, inner=200, channels=80, act="hardswish"),
        *[Bneck(size=3, inner=184, channels=80, act="hardswish")] * 2,
    ),
    (
        Bneck(size=3, inner=480, channels=112, act="hardswish", gate=GATE),
        Bneck(size=3, inner=672, channels=112, act="hardswish", gate=GATE),
    ),
    (
        Bneck(size=5, inner=672, channels=160, act="hardswish", stride=2, gate=GATE),
        *[Bneck(size=5, inner=960, channels=160, act="hardswish", gate=GATE)] * 2,
    ),
)
SMALL = (
    (Bneck(size=3, inner=16, channels=16, act="relu", stride=2, gate=GATE),),
    (
        Bneck(size=3, inner=72, channels=24, act="relu", stride=2),
        Bneck(size=3, inner=88, channels=24, act="relu"),
    ),
    (
        Bneck(size=5, inner=96, channels=40, act="hardswish", stride=2, gate=GATE),
        *[Bneck(size=5, inner=240, channels=40, act="hardswish", gate=GATE)] * 2,
    ),
    (
        Bneck(size=5, inner=120, channels=48, act="hardswish", gate=GATE),
        Bneck(size=5, inner=144, channels=48, act="hardswish", gate=GATE),
    ),
    (
        Bneck(size=5, inner=288, channels=96, act="hardswish", stride=2, gate=GATE),
        *[Bneck(size=5, inner=576, channels=96, act="hardswish", gate=GATE)] * 2,
    ),
)


class MobileNetV3(Variant, frozen=True, tag="mobilenet_v3"):
    """MobileNet v3 (Howard et al. 2019, arXiv:1905.02244): N×C×H×W in, one map a stage out, from the stem's to the last
    1×1 convolution's.

    stages: rows of the paper's tables, at alpha = 1. alpha: the width multiplier, of the channels of rows and of `top`;
    a row's inner channels keep their ratio to the channels in. divisor: channels are rounded to multiples of it.
    stem, top: channels of the first and of the last convolution. wide: of the layer after pooling; alpha makes it
    wider, never narrower. activation: of these three. padding: "symmetric" or "tensorflow" (see `TensorFlowPad`).
    dropout: before the last layer.

    torchvision's weights fit as it stands; Keras's and timm's tf_mobilenetv3_* have padding "tensorflow", timm's others
    BatchNorm().

    Departs from the paper: in table 2 (the small network) the last 1×1 convolution has a gate; it has none here, as in
    the authors' code and in all widely used weights. Normalisation's momentum is that of §6.1, its eps the authors'
    code's.
    """

    stages: tuple[tuple[Bneck, ...], ...] = LARGE
    top: Count = 960
    wide: Count = 1280
    alpha: Factor = 1.0
    stem: Count = 16
    activation: Literal["relu", "hardswish"] = "hardswish"
    divisor: Count = 8
    padding: Padding = "symmetric"
    norm: BatchNorm = BatchNorm(eps=1e-3, momentum=0.01)
    dropout: Share = 0.2

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image; any height and width."""
        from torch import nn

        from visus.nn import ConvNormAct, Pyramid

        channels, _, _ = require_image(self, shape)
        if not self.stages or not all(self.stages):
            raise ModelError("mobilenet_v3 needs at least one stage, and one row in each")
        conv = partial(ConvNormAct, norm=self.norm.build, padding=self.padding)
        stages: list[nn.Module] = [conv(channels, self.stem, 3, 2, act=self.activation)]
        maps, unscaled, c_in = [self.stem], self.stem, self.stem
        for rows in self.stages:
            blocks = []
            for row in rows:
                inner, out = self._round(row.inner * c_in / unscaled), self._round(row.channels * self.alpha)
                blocks.append(
                    inverted_residual(c_in, inner, out, row.size, row.stride, conv=conv, act=row.act, gate=row.gate)
                )
                unscaled, c_in = row.channels, out
            stages.append(nn.Sequential(*blocks))
            maps.append(c_in)
        top = self._round(self.top * self.alpha)
        stages.append(conv(c_in, top, act=self.activation))
        strides = (2, *(prod(row.stride for row in rows) for rows in self.stages), 1)
        return Pyramid(stages, (*maps, top), tuple(accumulate(strides, mul)))

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, the wide layer, dropout and the last layer, on features of this shape."""
        from torch import nn

        from visus.nn import activation, pooled_head

        wide = self._round(self.wide * max(1.0, self.alpha))
        drop = [nn.Dropout(self.dropout)] if self.dropout else []
        pooled = pooled_head(shape[0], wide)
        return nn.Sequential(*pooled, activation(self.activation), *drop, nn.Linear(wide, classes))

    def _round(self, channels: float) -> int:
        return round_channels(channels, self.divisor)
