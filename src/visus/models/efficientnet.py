"""EfficientNet and EfficientNet-Lite."""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from math import ceil
from operator import mul
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from visus.errors import ModelError
from visus.models.inverted import ChannelGate, Inverted, Padding, inverted_stages, round_channels
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

# Table 1 of the paper, stages 2 to 8.
TABLE_1 = (
    Inverted(expand=1, size=3, channels=16, depth=1),
    Inverted(expand=6, size=3, channels=24, depth=2, stride=2),
    Inverted(expand=6, size=5, channels=40, depth=2, stride=2),
    Inverted(expand=6, size=3, channels=80, depth=3, stride=2),
    Inverted(expand=6, size=5, channels=112, depth=3),
    Inverted(expand=6, size=5, channels=192, depth=4, stride=2),
    Inverted(expand=6, size=3, channels=320, depth=1),
)


class EfficientNet(Variant, frozen=True, tag="efficientnet"):
    """EfficientNet (Tan & Le 2019, arXiv:1905.11946): N×C×H×W in, a map for each row of table 1 out, from the stem's to
    the last 1×1 convolution's.

    rows: of inverted residuals, at width = depth = 1. width: of every layer's channels. divisor: channels are rounded
    to multiples of it. depth: of each row's number of blocks, rounded up; the third thing to scale, resolution, is the
    input's size. scaling: "compound", all of it; "lite" leaves the stem, the last convolution and the depth of the
    first and the last row as they are. stem, top: channels of the first and of the last convolution. activation: of
    every layer that has one, and in the gates. squeeze: in each block's gate, the squeezed channels over those that
    come into the block; 0 for no gates. drop: stochastic depth, from 0 at the first block to this after the last.
    dropout: before the last layer. padding: "symmetric" or "tensorflow" (see `TensorFlowPad`).

    torchvision's weights of B5 to B7 fit as it stands; its others and timm's have BatchNorm(), Keras's and timm's
    tf_efficientnet_* have padding "tensorflow".

    Departs from the paper: nothing. What it doesn't say is as in the authors' code: by how much the gates squeeze,
    normalisation's eps (momentum: §5.2), the images' sizes, the ratio of dropout of each network. EfficientNet-Lite has
    no paper, only that code.
    """

    width: Factor = 1.0
    depth: Factor = 1.0
    rows: tuple[Inverted, ...] = TABLE_1
    scaling: Literal["compound", "lite"] = "compound"
    stem: Count = 32
    top: Count = 1280
    divisor: Count = 8
    activation: Literal["silu", "relu6"] = "silu"
    squeeze: Share = 0.25
    drop: Share = 0.2
    dropout: Share = 0.2
    padding: Padding = "symmetric"
    norm: BatchNorm = BatchNorm(eps=1e-3, momentum=0.01)

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image; any height and width."""
        from visus.nn import ConvNormAct, Pyramid

        channels, _, _ = require_image(self, shape)
        if not self.rows:
            raise ModelError("efficientnet needs at least one row of inverted residuals")
        conv = partial(ConvNormAct, norm=self.norm.build, padding=self.padding)
        gate = (
            ChannelGate(of="input", act=self.activation, scale="sigmoid", ratio=self.squeeze) if self.squeeze else None
        )
        stem, rows, top = self._scaled()
        stages = [
            conv(channels, stem, 3, 2, act=self.activation),
            *inverted_stages(rows, stem, conv=conv, act=self.activation, gate=gate, drop=self.drop),
            conv(rows[-1].channels, top, act=self.activation),
        ]
        strides = tuple(accumulate((2, *(row.stride for row in rows), 1), mul))
        return Pyramid(stages, (stem, *(row.channels for row in rows), top), strides)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, dropout and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)

    def _scaled(self) -> tuple[int, list[Inverted], int]:
        """The stem's channels, the rows and the last channels of this width and depth."""
        fixed = (0, len(self.rows) - 1) if self.scaling == "lite" else ()
        rows = [
            replace(
                row,
                channels=round_channels(row.channels * self.width, self.divisor),
                depth=row.depth if index in fixed else ceil(row.depth * self.depth),
            )
            for index, row in enumerate(self.rows)
        ]
        ends = 1.0 if self.scaling == "lite" else self.width
        stem, top = (round_channels(each * ends, self.divisor) for each in (self.stem, self.top))
        return stem, rows, top
