"""MobileNet v2."""

from __future__ import annotations

from functools import partial
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING

from msgspec.structs import replace

from visus.errors import ModelError
from visus.models.inverted import Inverted, Padding, inverted_stages, round_channels
from visus.models.parts import BatchNorm, Count, Factor, Share, require_image
from visus.spec import Variant

if TYPE_CHECKING:
    from torch import nn

    from visus.nn import Pyramid

# Table 2 of the paper: t, c, n, s are expand, channels, depth, stride.
TABLE_2 = (
    Inverted(expand=1, channels=16),
    Inverted(expand=6, channels=24, depth=2, stride=2),
    Inverted(expand=6, channels=32, depth=3, stride=2),
    Inverted(expand=6, channels=64, depth=4, stride=2),
    Inverted(expand=6, channels=96, depth=3),
    Inverted(expand=6, channels=160, depth=3, stride=2),
    Inverted(expand=6, channels=320),
)


class MobileNetV2(Variant, frozen=True, tag="mobilenet_v2"):
    """MobileNet v2: inverted residuals and linear bottlenecks (Sandler et al. 2018, arXiv:1801.04381): N×C×H×W in, a
    map for each row of table 2 out, from the stem's to the last 1×1 convolution's.

    rows: of inverted residuals, at alpha = 1. alpha: the width multiplier, of every layer's channels. divisor: channels
    are rounded to multiples of it. stem: channels of the first convolution. top: of the last one, which alpha makes
    wider, never narrower. padding: "symmetric" or "tensorflow" (see `TensorFlowPad`). dropout: before the last layer.

    torchvision's and timm's weights fit as it stands; those of Keras have padding "tensorflow" and BatchNorm(eps=1e-3).

    Departs from the paper: nothing; rounding and dropout, of which it says little, are as in the authors' code.
    """

    alpha: Factor = 1.0
    rows: tuple[Inverted, ...] = TABLE_2
    stem: Count = 32
    top: Count = 1280
    divisor: Count = 8
    padding: Padding = "symmetric"
    norm: BatchNorm = BatchNorm()
    dropout: Share = 0.2

    def build(self, shape: tuple[int, ...]) -> Pyramid:
        """shape: C×H×W of one image; any height and width."""
        from visus.nn import ConvNormAct, Pyramid

        channels, _, _ = require_image(self, shape)
        if not self.rows:
            raise ModelError("mobilenet_v2 needs at least one row of inverted residuals")
        conv = partial(ConvNormAct, norm=self.norm.build, padding=self.padding)
        rows = [replace(row, channels=self._scaled(row.channels, self.alpha)) for row in self.rows]
        stem, top = self._scaled(self.stem, self.alpha), self._scaled(self.top, max(1.0, self.alpha))
        stages = [
            conv(channels, stem, 3, 2, act="relu6"),
            *inverted_stages(rows, stem, conv=conv, act="relu6"),
            conv(rows[-1].channels, top, act="relu6"),
        ]
        strides = tuple(accumulate((2, *(row.stride for row in rows), 1), mul))
        return Pyramid(stages, (stem, *(row.channels for row in rows), top), strides)

    def head(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Global average pooling, dropout and one linear layer, on features of this shape."""
        from visus.nn import pooled_head

        return pooled_head(shape[0], classes, self.dropout)

    def _scaled(self, channels: int, width: float) -> int:
        return round_channels(channels * width, self.divisor)
